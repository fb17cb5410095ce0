//! Storages, and tensors as views into them.

use std::rc::Rc;

/// The type of a storage's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dtype {
    Half,
    BFloat16,
    Float,
    Double,
    Byte,
    Char,
    Short,
    Int,
    Long,
    Bool,
}

impl Dtype {
    /// That of a storage class, `torch.FloatStorage`.
    pub(super) fn of_storage(class: &str) -> Option<Self> {
        let name = class.strip_prefix("torch.")?;
        Some(match name.strip_prefix("cuda.").unwrap_or(name).strip_suffix("Storage")? {
            "Half" => Self::Half,
            "BFloat16" => Self::BFloat16,
            "Float" => Self::Float,
            "Double" => Self::Double,
            "Byte" => Self::Byte,
            "Char" => Self::Char,
            "Short" => Self::Short,
            "Int" => Self::Int,
            "Long" => Self::Long,
            "Bool" => Self::Bool,
            _ => return None,
        })
    }

    /// Bytes of a number.
    pub(super) fn size(self) -> usize {
        match self {
            Self::Byte | Self::Char | Self::Bool => 1,
            Self::Half | Self::BFloat16 | Self::Short => 2,
            Self::Float | Self::Int => 4,
            Self::Double | Self::Long => 8,
        }
    }

    /// A number of its bytes, little-endian; what has more digits than single precision is rounded.
    fn number(self, bytes: &[u8]) -> f32 {
        fn whole<const N: usize>(bytes: &[u8]) -> [u8; N] {
            let mut out = [0; N];
            out.copy_from_slice(bytes);
            out
        }
        match self {
            Self::Half => half(u16::from_le_bytes(whole(bytes))),
            // The upper half of a single.
            Self::BFloat16 => f32::from_bits(u32::from(u16::from_le_bytes(whole(bytes))) << 16),
            Self::Float => f32::from_le_bytes(whole(bytes)),
            Self::Double => f64::from_le_bytes(whole(bytes)) as f32,
            Self::Byte => f32::from(bytes[0]),
            Self::Char => f32::from(bytes[0] as i8),
            Self::Short => f32::from(i16::from_le_bytes(whole(bytes))),
            Self::Int => i32::from_le_bytes(whole(bytes)) as f32,
            Self::Long => i64::from_le_bytes(whole(bytes)) as f32,
            Self::Bool => f32::from(u8::from(bytes[0] != 0)),
        }
    }
}

/// IEEE half precision, exactly.
pub(crate) fn half(bits: u16) -> f32 {
    let sign = if bits & 0x8000 == 0 { 1.0 } else { -1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 0x1f), f32::from(bits & 0x3ff));
    match exponent {
        0 => sign * fraction * 2f32.powi(-24),
        31 if fraction == 0.0 => sign * f32::INFINITY,
        31 => f32::NAN,
        _ => sign * (1024.0 + fraction) * 2f32.powi(exponent - 25),
    }
}

/// Numbers that tensors are views into.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Storage {
    /// What the container calls it.
    pub(super) key: Rc<str>,
    pub(super) dtype: Dtype,
    /// Where it begins in what the container calls so, in numbers.
    pub(super) from: usize,
    /// How many numbers it has.
    pub(super) count: usize,
}

/// A tensor in a checkpoint, not read yet.
#[derive(Debug, PartialEq, Eq)]
pub struct Tensor {
    shape: Vec<usize>,
    strides: Vec<usize>,
    offset: usize,
    pub(super) storage: Rc<Storage>,
}

impl Tensor {
    pub(super) const MOST_DIMENSIONS: usize = 16;

    pub(super) fn new(
        storage: Rc<Storage>,
        offset: usize,
        shape: Vec<usize>,
        strides: Vec<usize>,
    ) -> Result<Self, String> {
        if shape.len() != strides.len() {
            return Err(format!("a tensor of shape {shape:?} has the strides {strides:?}"));
        }
        let extents = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d.max(1)));
        if extents.is_none_or(|n| n > isize::MAX as usize / 8) {
            return Err(format!("a tensor has the shape {shape:?}, which is too large"));
        }
        Ok(Self { shape, strides, offset, storage })
    }

    /// The extent of each dimension.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// How many numbers it has.
    pub fn count(&self) -> usize {
        self.shape.iter().product()
    }

    /// The stretch of the container's numbers that it lies in: the first, and how many.
    pub(super) fn stretch(&self) -> Result<(usize, usize), String> {
        if self.count() == 0 {
            return Ok((0, 0));
        }
        let steps = self.shape.iter().zip(&self.strides);
        let mut reaches = steps.map(|(&extent, &stride)| (extent - 1).checked_mul(stride));
        let span = reaches.try_fold(0usize, |sum, reach| sum.checked_add(reach?)).and_then(|n| n.checked_add(1));
        let end = span.and_then(|span| self.offset.checked_add(span));
        let (Some(span), true) = (span, end.is_some_and(|end| end <= self.storage.count)) else {
            let (shape, strides, offset, count) = (&self.shape, &self.strides, self.offset, self.storage.count);
            return Err(format!(
                "shape {shape:?}, strides {strides:?} and offset {offset} reach beyond its storage of {count} numbers"
            ));
        };
        let first = self.storage.from.checked_add(self.offset).ok_or("its storage begins nowhere")?;
        Ok((first, span))
    }

    /// Its numbers in row-major order, from the bytes of its stretch.
    pub(super) fn gather(&self, bytes: &[u8], big_endian: bool) -> Vec<f32> {
        let (dtype, size) = (self.storage.dtype, self.storage.dtype.size());
        let number = |at: usize| {
            let bytes = &bytes[at * size..(at + 1) * size];
            if !big_endian {
                return dtype.number(bytes);
            }
            let mut swapped = [0; 8];
            swapped[..size].copy_from_slice(bytes);
            swapped[..size].reverse();
            dtype.number(&swapped[..size])
        };
        let count = self.count();
        let mut out = Vec::with_capacity(count);
        let mut index = vec![0; self.shape.len()];
        let mut at = 0;
        for _ in 0..count {
            out.push(number(at));
            // The next index, as an odometer counts.
            for ((i, &extent), &stride) in index.iter_mut().zip(&self.shape).zip(&self.strides).rev() {
                *i += 1;
                // The stride of a single entry leads anywhere, and back again.
                at = at.wrapping_add(stride);
                if *i < extent {
                    break;
                }
                at = at.wrapping_sub(stride.wrapping_mul(extent));
                *i = 0;
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(count: usize, offset: usize, shape: &[usize], strides: &[usize]) -> Result<Tensor, String> {
        let storage = Storage { key: "0".into(), dtype: Dtype::Float, from: 0, count };
        Tensor::new(Rc::new(storage), offset, shape.into(), strides.into())
    }

    #[test]
    fn halves_are_ieees() {
        let cases =
            [(0x3c00, 1.0), (0xc000, -2.0), (0x7bff, 65504.0), (0x0001, 2f32.powi(-24)), (0x0400, 2f32.powi(-14))];
        for (bits, value) in cases {
            assert_eq!(half(bits), value, "{bits:#06x}");
        }
        assert_eq!((half(0x7c00), half(0xfc00)), (f32::INFINITY, f32::NEG_INFINITY));
        assert!(half(0x7e00).is_nan() && half(0x8000).is_sign_negative());
    }

    #[test]
    fn strided_tensors_are_made_contiguous() {
        let bytes: Vec<u8> = (0..12).flat_map(|i| (i as f32).to_le_bytes()).collect();
        let read = |tensor: &Tensor| {
            let (first, count) = tensor.stretch().unwrap();
            tensor.gather(&bytes[4 * first..4 * (first + count)], false)
        };
        assert_eq!(read(&tensor(12, 0, &[2, 3], &[3, 1]).unwrap()), [0., 1., 2., 3., 4., 5.]);
        assert_eq!(read(&tensor(12, 0, &[3, 2], &[1, 3]).unwrap()), [0., 3., 1., 4., 2., 5.], "transposed");
        assert_eq!(read(&tensor(12, 1, &[2, 2], &[6, 2]).unwrap()), [1., 3., 7., 9.]);
        assert_eq!(read(&tensor(12, 5, &[2, 2], &[0, 0]).unwrap()), [5.; 4], "expanded");
        assert_eq!(read(&tensor(12, 11, &[], &[]).unwrap()), [11.]);
        assert_eq!(read(&tensor(12, 4, &[2, 1], &[3, usize::MAX]).unwrap()), [4., 7.]);
        assert_eq!(read(&tensor(0, 7, &[0, 4], &[4, 1]).unwrap()), [0f32; 0]);
        let swapped: Vec<u8> = 1.5f32.to_be_bytes().into();
        assert_eq!(tensor(1, 0, &[1], &[1]).unwrap().gather(&swapped, true), [1.5]);
    }

    #[test]
    fn extents_stay_within_the_storage() {
        for (count, offset, shape, strides) in [
            (5, 0, &[2, 3][..], &[3, 1][..]),
            (6, 1, &[2, 3], &[3, 1]),
            (6, usize::MAX, &[1], &[1]),
            (6, 0, &[2, 2], &[usize::MAX, usize::MAX]),
            (6, 0, &[3], &[usize::MAX / 2 + 1]),
        ] {
            let said = tensor(count, offset, shape, strides).unwrap().stretch().unwrap_err();
            assert!(said.contains("beyond its storage"), "{said}");
        }
        assert!(tensor(6, 0, &[2], &[]).is_err());
        assert!(tensor(6, 0, &[usize::MAX, 2], &[0, 0]).unwrap_err().contains("too large"));
        assert!(tensor(6, 0, &[0, usize::MAX, 2], &[0, 0, 0]).is_err());
    }
}
