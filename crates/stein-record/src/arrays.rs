//! Small arrays of `f32` on disk: `.npy` for one, `.safetensors` for several by name.

use std::collections::BTreeMap;
use std::io::{BufReader, Read};
use std::path::Path;

use safetensors::Dtype;
use safetensors::tensor::Metadata;

use crate::torch::half;
use crate::{RecordError, atomic, file};

/// The tensors of `evaluation/field.safetensors`, for 2-D data with S noise levels on a G×G grid:
/// `x [G]`, `y [G]`, `sigma [S]`, `learned_score [S, G, G, 2]` (index order: level, y, x, component), and where the
/// density is known `density [S, G, G]` and `true_score [S, G, G, 2]`, and where the network has a density of its own
/// `learned_density [S, G, G]`, NaN at levels where it could not be normalised.
pub const FIELD_TENSORS: [&str; 7] = ["x", "y", "sigma", "learned_score", "density", "true_score", "learned_density"];

/// A dense array, row major.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Array {
    /// The extent of each dimension.
    pub shape: Vec<usize>,
    /// The values; as many as the product of `shape`.
    pub data: Vec<f32>,
}

impl Array {
    /// An array of that shape.
    ///
    /// # Panics
    /// If the number of values is not the product of the shape.
    pub fn new(shape: impl Into<Vec<usize>>, data: Vec<f32>) -> Self {
        let shape = shape.into();
        assert_eq!(shape.iter().product::<usize>(), data.len(), "an array of shape {shape:?}");
        Self { shape, data }
    }

    /// The number of rows: the first extent (1 for a scalar).
    pub fn rows(&self) -> usize {
        self.shape.first().copied().unwrap_or(1)
    }

    /// Numbers in a row: the product of the other extents.
    pub fn row_length(&self) -> usize {
        self.shape.iter().skip(1).product()
    }

    /// Row `i`.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn row(&self, i: usize) -> &[f32] {
        let d = self.row_length();
        &self.data[i * d..(i + 1) * d]
    }

    /// The rows `from..to`.
    ///
    /// # Panics
    /// If there are not that many.
    pub fn slice(&self, rows: std::ops::Range<usize>) -> Self {
        let d = self.row_length();
        let mut shape = self.shape.clone();
        shape[0] = rows.len();
        Self { shape, data: self.data[rows.start * d..rows.end * d].to_vec() }
    }

    /// Reads a `.npy` file of little-endian numbers, rounded to `f32`, in C order; `None` if there is no file.
    pub fn read_npy(path: &Path) -> Result<Option<Self>, RecordError> {
        read(path, file::ARRAYS, read_npy)
    }

    /// Reads the bytes of a `.npy` file.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn from_npy(bytes: &[u8]) -> Result<Self, String> {
        read_npy(bytes, bytes.len() as u64)
    }

    /// Writes a `.npy` file (version 1.0, `<f4`, C order) atomically.
    pub fn write_npy(&self, path: &Path) -> Result<(), RecordError> {
        atomic::write(path, &npy_bytes(self))
    }
}

/// Reads arrays of at most `most` bytes from a file; `None` if there is none. `from` is told their length.
fn read<T>(
    path: &Path,
    most: u64,
    from: impl FnOnce(BufReader<std::fs::File>, u64) -> Result<T, String>,
) -> Result<Option<T>, RecordError> {
    let Some((file, length)) = file::open_at_most(path, most)? else { return Ok(None) };
    let read = from(BufReader::new(file), length);
    read.map(Some).map_err(|problem| RecordError::damaged(path, problem))
}

/// The most rows and columns of nothing: beside an extent of 0 the others are bounded by no data.
const MAX_EMPTY: usize = 1 << 20;

/// Refuses a shape of no values whose other extents are enormous: whoever counts its rows would not end.
pub(crate) fn checked(array: Array) -> Result<Array, String> {
    let extents = array.shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d.max(1)));
    if array.data.is_empty() && extents.is_none_or(|n| n > MAX_EMPTY) {
        return Err(format!("a shape of {:?} holds nothing, and is too large for that", array.shape));
    }
    Ok(array)
}

const MAGIC: &[u8] = b"\x93NUMPY\x01\x00";

fn npy_bytes(array: &Array) -> Vec<u8> {
    let dims: String = array.shape.iter().map(|d| format!("{d}, ")).collect();
    let mut header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}), }}", dims.trim_end());
    // The format wants the data to start at a multiple of 64 bytes, the header to end in a newline.
    let unpadded = MAGIC.len() + 2 + header.len() + 1;
    header.extend(std::iter::repeat_n(' ', unpadded.next_multiple_of(64) - unpadded));
    header.push('\n');
    let mut out = Vec::with_capacity(MAGIC.len() + 2 + header.len() + 4 * array.data.len());
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&(header.len() as u16).to_le_bytes());
    out.extend_from_slice(header.as_bytes());
    out.extend(array.data.iter().flat_map(|x| x.to_le_bytes()));
    out
}

/// So many bytes, of which `what` is.
fn bytes(mut from: impl Read, count: u64, what: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    from.by_ref().take(count).read_to_end(&mut bytes).map_err(|e| e.to_string())?;
    if bytes.len() as u64 == count { Ok(bytes) } else { Err(format!("{what} is cut off")) }
}

/// The extents of an array, and its values, row major.
pub type ShapeAndValues = (Vec<usize>, Vec<f64>);

/// Reads a `.npy` file of little-endian floats or integers in C order to double precision; `None` if there is
/// no file.
///
/// # Errors
/// If it cannot be read, or is none.
pub fn read_npy_f64(path: &Path) -> Result<Option<ShapeAndValues>, RecordError> {
    read(path, file::ARRAYS, |from, length| npy(from, length, |x| x))
}

fn read_npy(from: impl Read, length: u64) -> Result<Array, String> {
    let (shape, data) = npy(from, length, |x| x as f32)?;
    checked(Array { shape, data })
}

/// An array of `length` bytes. What the header says is compared with that before there is memory for it.
fn npy<T>(mut from: impl Read, length: u64, as_wanted: fn(f64) -> T) -> Result<(Vec<usize>, Vec<T>), String> {
    let magic = bytes(&mut from, MAGIC.len() as u64, "it").ok().filter(|magic| magic == MAGIC);
    magic.ok_or("not a version 1.0 .npy file")?;
    let size = bytes(&mut from, 2, "the header")?;
    let size = u16::from_le_bytes([size[0], size[1]]);
    let header = bytes(&mut from, size.into(), "the header")?;
    let header = std::str::from_utf8(&header).map_err(|_| "the header is not text")?;
    let kind = header.split_once("'descr': '").and_then(|(_, rest)| rest.split_once('\''));
    let (Some((kind, _)), true) = (kind, header.contains("'fortran_order': False")) else {
        return Err("only numbers in C order are read; numpy.ascontiguousarray(x) has them so".into());
    };
    let Some(width) = kind.get(2..).and_then(|width| width.parse().ok()).filter(|_| KINDS.contains(&kind)) else {
        return Err(format!("its numbers are {kind:?}; those of {} are read", KINDS.join(", ")));
    };
    let shape =
        header.split_once("'shape': (").and_then(|(_, tail)| tail.split_once(')')).ok_or("the header has no shape")?.0;
    let shape: Vec<usize> = shape
        .split(',')
        .map(str::trim)
        .filter(|d| !d.is_empty())
        .map(|d| d.parse().map_err(|_| format!("{d:?} is not an extent")))
        .collect::<Result<_, String>>()?;
    let count = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
    let needed = count.and_then(|n| n.checked_mul(width)).ok_or("the shape is too large")?;
    let there = length.saturating_sub(MAGIC.len() as u64 + 2 + u64::from(size));
    if needed as u64 != there {
        return Err(format!("a shape of {shape:?} needs {needed} bytes, the file has {there}"));
    }
    let count = count.unwrap_or_default();
    let data = match kind {
        "<f4" => numbers(from, count, |b| as_wanted(f32::from_le_bytes(b).into()))?,
        "|i1" => numbers(from, count, |[b]: [u8; 1]| as_wanted((b as i8).into()))?,
        "|u1" => numbers(from, count, |[b]: [u8; 1]| as_wanted(b.into()))?,
        "<i2" => numbers(from, count, |b| as_wanted(i16::from_le_bytes(b).into()))?,
        "<u2" => numbers(from, count, |b| as_wanted(u16::from_le_bytes(b).into()))?,
        "<i4" => numbers(from, count, |b| as_wanted(i32::from_le_bytes(b).into()))?,
        "<u4" => numbers(from, count, |b| as_wanted(u32::from_le_bytes(b).into()))?,
        "<i8" => numbers(from, count, |b| as_wanted(i64::from_le_bytes(b) as f64))?,
        "<u8" => numbers(from, count, |b| as_wanted(u64::from_le_bytes(b) as f64))?,
        _ => numbers(from, count, |b| as_wanted(f64::from_le_bytes(b)))?,
    };
    Ok((shape, data))
}

/// What NumPy calls the numbers that are read.
const KINDS: [&str; 10] = ["<f8", "<f4", "|i1", "|u1", "<i2", "<u2", "<i4", "<u4", "<i8", "<u8"];

/// So many numbers of W bytes.
fn numbers<const W: usize, T>(
    mut from: impl Read,
    count: usize,
    number: impl Fn([u8; W]) -> T,
) -> Result<Vec<T>, String> {
    let mut numbers = Vec::new();
    numbers.try_reserve_exact(count).map_err(|_| format!("there is no memory for {count} numbers"))?;
    let mut buffer = vec![0; W * count.min(1 << 14)];
    while numbers.len() < count {
        let some = &mut buffer[..W * (count - numbers.len()).min(1 << 14)];
        from.read_exact(some).map_err(|e| e.to_string())?;
        numbers.extend(some.as_chunks().0.iter().map(|b| number(*b)));
    }
    Ok(numbers)
}

/// The most bytes of a header.
const HEADER: u64 = 100_000_000;

/// The most bytes of a safetensors file of so many numbers.
pub fn bytes_of(numbers: usize) -> u64 {
    HEADER.saturating_add((numbers as u64).saturating_mul(4))
}

/// The header of `length` bytes, which has been compared with that.
fn header(mut from: impl Read, length: u64) -> Result<Metadata, String> {
    let size = bytes(&mut from, 8, "the header")?.try_into().map_or(0, u64::from_le_bytes);
    let rest = length.saturating_sub(8);
    if size > HEADER.min(rest) {
        return Err(format!("a header of {size} bytes is too long for it"));
    }
    let header = bytes(&mut from, size, "the header")?;
    let header: Metadata = serde_json::from_slice(&header).map_err(|e| format!("not a safetensors header: {e}"))?;
    let (needed, there) = (header.data_len() as u64, rest - size);
    if needed != there {
        return Err(format!("its tensors need {needed} bytes, the file has {there}"));
    }
    Ok(header)
}

/// Named arrays with text metadata.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ArrayFile {
    /// The arrays.
    pub arrays: BTreeMap<String, Array>,
    /// The metadata.
    pub metadata: BTreeMap<String, String>,
}

impl ArrayFile {
    /// The bytes of a safetensors file: equal contents give equal bytes, which the library's own writer (it keeps metadata
    /// in a hash map) does not promise.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut header = serde_json::Map::new();
        if !self.metadata.is_empty() {
            header.insert("__metadata__".into(), serde_json::json!(self.metadata));
        }
        let mut offset = 0;
        for (name, array) in &self.arrays {
            let end = offset + 4 * array.data.len();
            let entry = serde_json::json!({ "dtype": "F32", "shape": array.shape, "data_offsets": [offset, end] });
            header.insert(name.clone(), entry);
            offset = end;
        }
        let mut header = serde_json::Value::Object(header).to_string().into_bytes();
        header.resize(header.len().next_multiple_of(8), b' ');
        let mut out = Vec::with_capacity(8 + header.len() + offset);
        out.extend((header.len() as u64).to_le_bytes());
        out.extend(header);
        for array in self.arrays.values() {
            out.extend(array.data.iter().flat_map(|x| x.to_le_bytes()));
        }
        out
    }

    /// Reads the bytes of a safetensors file of floats of 16, 32 or 64 bits, which are rounded to `f32`.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        Self::from_reader(bytes, bytes.len() as u64)
    }

    fn from_reader(from: impl Read, length: u64) -> Result<Self, String> {
        Self::some_from_reader(from, length, |_| true)
    }

    /// Reads `length` bytes, and of them the arrays that are wanted. What the header says is compared with that before there is memory
    /// for it.
    fn some_from_reader(mut from: impl Read, length: u64, wanted: impl Fn(&str) -> bool) -> Result<Self, String> {
        let header = header(&mut from, length)?;
        let metadata = header.metadata().iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect();
        let mut out = Self { metadata, ..Self::default() };
        // They lie one behind another.
        for name in header.offset_keys() {
            let Some(about) = header.info(&name) else { continue };
            if !wanted(&name) {
                let (first, end) = about.data_offsets;
                let skipped = std::io::copy(&mut from.by_ref().take((end - first) as u64), &mut std::io::sink());
                skipped.map_err(|e| e.to_string())?;
                continue;
            }
            let count = about.shape.iter().product();
            let data = match about.dtype {
                Dtype::F32 => numbers(&mut from, count, f32::from_le_bytes)?,
                Dtype::F64 => numbers(&mut from, count, |b| f64::from_le_bytes(b) as f32)?,
                Dtype::F16 => numbers(&mut from, count, |b| half(u16::from_le_bytes(b)))?,
                // The upper half of a single.
                Dtype::BF16 => numbers(&mut from, count, |[low, high]| f32::from_le_bytes([0, 0, low, high]))?,
                other => return Err(format!("tensor {name:?} is {other:?}; F32, F64, F16 and BF16 can be read")),
            };
            let array = checked(Array { shape: about.shape.clone(), data });
            out.arrays.insert(name.clone(), array.map_err(|problem| format!("tensor {name:?}: {problem}"))?);
        }
        Ok(out)
    }

    /// Reads a safetensors file; `None` if there is none.
    pub fn read(path: &Path) -> Result<Option<Self>, RecordError> {
        read(path, file::ARRAYS, Self::from_reader)
    }

    /// Reads one of at most so many numbers.
    pub fn read_at_most(path: &Path, numbers: usize) -> Result<Option<Self>, RecordError> {
        read(path, bytes_of(numbers), Self::from_reader)
    }

    /// Reads those arrays of a safetensors file that are wanted, which must be floats of 16, 32 or 64 bits; others may be of any type. `None` if there is no
    /// file.
    pub fn read_some(path: &Path, wanted: impl Fn(&str) -> bool) -> Result<Option<Self>, RecordError> {
        read(path, file::ARRAYS, |from, length| Self::some_from_reader(from, length, wanted))
    }

    /// The shapes of a safetensors file's arrays by their names, without reading the arrays; `None` if there is no file.
    pub fn shapes(path: &Path) -> Result<Option<BTreeMap<String, Vec<usize>>>, RecordError> {
        read(path, file::ARRAYS, |mut from, length| {
            let header = header(&mut from, length)?;
            Ok(header.tensors().into_iter().map(|(name, about)| (name, about.shape.clone())).collect())
        })
    }

    /// Writes a safetensors file atomically.
    pub fn write(&self, path: &Path) -> Result<(), RecordError> {
        atomic::write(path, &self.to_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// −1.5 and 2⁻² in each type, by hand: sign, exponent with its bias, and the first bit of the fraction.
    #[test]
    fn floats_of_other_widths_are_rounded() {
        let of = |dtype: &str, bytes: &[u8]| {
            let header = format!(r#"{{"w":{{"dtype":"{dtype}","shape":[2],"data_offsets":[0,{}]}}}}"#, bytes.len());
            let file = [&(header.len() as u64).to_le_bytes(), header.as_bytes(), bytes].concat();
            ArrayFile::from_bytes(&file).map(|file| file.arrays["w"].data.clone())
        };
        let right = Ok(vec![-1.5, 0.25]);
        assert_eq!(of("F16", &[0x00, 0xbe, 0x00, 0x34]), right);
        assert_eq!(of("BF16", &[0xc0, 0xbf, 0x80, 0x3e]), right);
        assert_eq!(of("F64", &[(-1.5f64).to_le_bytes(), 0.25f64.to_le_bytes()].concat()), right);
        assert_eq!(of("F32", &[(-1.5f32).to_le_bytes(), 0.25f32.to_le_bytes()].concat()), right);
        assert!(of("I64", &[0; 16]).unwrap_err().contains("tensor \"w\" is I64; F32, F64, F16 and BF16 can be read"));
    }

    #[test]
    fn npy_round_trip() {
        for shape in [vec![], vec![3], vec![2, 3], vec![2, 0, 4]] {
            let n = shape.iter().product();
            let array = Array::new(shape, (0..n).map(|i| i as f32 - 1.5).collect());
            let bytes = npy_bytes(&array);
            assert_eq!(Array::from_npy(&bytes).unwrap(), array);
            if n > 0 {
                assert!(Array::from_npy(&bytes[..bytes.len() - 1]).unwrap_err().contains("needs"));
            }
        }
        assert!(Array::from_npy(b"").is_err());
        // What NumPy writes unless it is told otherwise.
        let mut double = npy_bytes(&Array::new([2], vec![0.0; 2]));
        double.truncate(double.len() - 8);
        let at = double.windows(3).position(|w| w == b"<f4").unwrap();
        double[at + 2] = b'8';
        double.extend([1.5f64, -0.1].iter().flat_map(|x| x.to_le_bytes()));
        assert_eq!(Array::from_npy(&double).unwrap(), Array::new([2], vec![1.5, -0.1]));
        assert!(Array::from_npy(b"\x93NUMPY\x01\x00\xff\xff").unwrap_err().contains("cut off"));
        // Integers of any width, and what is none of them.
        let of = |kind: &str, bytes: &[u8]| {
            let mut file = npy_bytes(&Array::new([2], vec![0.0; 2]));
            file.truncate(file.len() - 8);
            file[at..at + 3].copy_from_slice(kind.as_bytes());
            file.extend(bytes);
            Array::from_npy(&file).map(|array| array.data)
        };
        assert_eq!(of("|i1", &[255, 3]), Ok(vec![-1.0, 3.0]));
        assert_eq!(of("|u1", &[255, 3]), Ok(vec![255.0, 3.0]));
        assert_eq!(of("<i2", &[0, 255, 3, 0]), Ok(vec![-256.0, 3.0]));
        assert_eq!(of("<u4", &[0, 1, 0, 0, 3, 0, 0, 0]), Ok(vec![256.0, 3.0]));
        assert_eq!(of("<i8", &[[255; 8], [0; 8]].concat()), Ok(vec![-1.0, 0.0]));
        assert!(of("<c8", &[0; 16]).unwrap_err().contains("\"<c8\"; those of <f8"));
        assert!(of("<i4", &[0; 7]).unwrap_err().contains("needs 8 bytes"));
    }

    #[test]
    fn enormous_shapes_of_nothing_are_refused() {
        for shape in [vec![1 << 60, 0], vec![0, 1 << 40, 1 << 40]] {
            let empty = Array { shape, data: Vec::new() };
            assert!(Array::from_npy(&npy_bytes(&empty)).is_err(), "{:?}", empty.shape);
            let file = ArrayFile { arrays: BTreeMap::from([("a".into(), empty)]), ..ArrayFile::default() };
            assert!(ArrayFile::from_bytes(&file.to_bytes()).is_err());
        }
    }

    #[test]
    fn safetensors_round_trip() {
        let mut file = ArrayFile::default();
        file.arrays.insert("a".into(), Array::new([2, 2], vec![1.0, f32::NAN, -0.0, f32::INFINITY]));
        file.metadata.insert("k".into(), "v".into());
        file.metadata.insert("format".into(), "pt".into());
        file.arrays.insert("b.weight".into(), Array::new([0, 3], vec![]));
        let again = ArrayFile::from_bytes(&file.to_bytes()).unwrap();
        assert_eq!(again.metadata, file.metadata);
        assert_eq!(
            again.arrays["a"].data.iter().map(|x| x.to_bits()).collect::<Vec<_>>(),
            file.arrays["a"].data.iter().map(|x| x.to_bits()).collect::<Vec<_>>()
        );
        assert!(ArrayFile::from_bytes(b"not safetensors").is_err());
    }

    #[test]
    fn what_is_not_wanted_may_be_of_any_type() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let text = r#"{"steps":{"dtype":"I64","shape":[],"data_offsets":[4,12]},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},
            "b":{"dtype":"F32","shape":[2,1],"data_offsets":[12,20]}}"#;
        let numbers =
            [&0.5f32.to_le_bytes()[..], &7u64.to_le_bytes(), &1f32.to_le_bytes(), &2f32.to_le_bytes()].concat();
        std::fs::write(&path, [&(text.len() as u64).to_le_bytes()[..], text.as_bytes(), &numbers].concat()).unwrap();
        let some = ArrayFile::read_some(&path, |name| name == "b").unwrap().unwrap();
        assert_eq!(some.arrays, BTreeMap::from([("b".into(), Array::new([2, 1], vec![1.0, 2.0]))]));
        assert!(ArrayFile::read(&path).unwrap_err().to_string().contains("I64"));
        let shapes = ArrayFile::shapes(&path).unwrap().unwrap();
        assert_eq!(
            shapes,
            [("a", vec![1]), ("b", vec![2, 1]), ("steps", vec![])].map(|(n, s)| (n.to_owned(), s)).into()
        );
        assert!(ArrayFile::shapes(&folder.path().join("none")).unwrap().is_none());
    }

    #[test]
    fn a_length_that_lies_costs_no_memory() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let sparse = |bytes: Vec<u8>, length: u64| {
            std::fs::write(&path, bytes).unwrap();
            std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(length).unwrap();
        };
        let array = Array::new([2, 3], vec![0.5; 6]);
        let file = ArrayFile { arrays: BTreeMap::from([("a".into(), array.clone())]), ..ArrayFile::default() };
        sparse(npy_bytes(&array), 15 << 30);
        assert!(Array::read_npy(&path).unwrap_err().to_string().contains("[2, 3] needs 24 bytes"));
        sparse(file.to_bytes(), 15 << 30);
        assert!(ArrayFile::read(&path).unwrap_err().to_string().contains("need 24 bytes"));
        // One that is as long as it says, but no such numbers are wanted.
        let most = 1usize << 40;
        let text = format!("{{\"a\":{{\"dtype\":\"F32\",\"shape\":[{most}],\"data_offsets\":[0,{}]}}}}", 4 * most);
        let bytes = [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat();
        let length = (bytes.len() + 4 * most) as u64;
        sparse(bytes, length);
        for read in [ArrayFile::read(&path), ArrayFile::read_at_most(&path, 1 << 20)] {
            assert!(read.unwrap_err().to_string().contains("at most"));
        }
        assert!(bytes_of(1 << 33) > file::ARRAYS, "as many as there are");
    }
}
