//! IDX files, in which MNIST and the sets after it come: an array of bytes behind the extents of its dimensions.
//!
//! ```text
//! 0 0 | type, 8 for unsigned bytes | number of dimensions n | n extents, big-endian u32 | values, the last dimension fastest
//! ```

use std::io::Read;
use std::path::Path;

use flate2::read::MultiGzDecoder;

use crate::{RecordError, file};

/// The most bytes of an array: sixty thousand pictures of 28×28 are 47 MB.
pub const MOST: u64 = 1 << 30;
/// What the format calls unsigned bytes.
const BYTES: u8 = 8;
const MOST_DIMENSIONS: usize = 4;

/// An array of bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idx {
    /// The extent of each dimension.
    pub shape: Vec<usize>,
    /// The values, row major; as many as the product of `shape`.
    pub data: Vec<u8>,
}

impl Idx {
    /// Reads a file or, where there is none, the same with `.gz` at its end; `None` if there is neither. Both may be links: who names
    /// data has them where there is room.
    ///
    /// # Errors
    /// If it cannot be read, or is none.
    pub fn read(path: &Path) -> Result<Option<Self>, RecordError> {
        for path in [path.to_owned(), path.with_added_extension("gz")] {
            if let Some(bytes) = file::read(&file::named(&path), MOST)? {
                return Self::parse(bytes).map(Some).map_err(|problem| RecordError::damaged(&path, problem));
            }
        }
        Ok(None)
    }

    /// The bytes of a file, not compressed.
    ///
    /// # Panics
    /// If an extent is beyond what the format has room for.
    pub fn to_bytes(&self) -> Vec<u8> {
        let extent = |&extent: &usize| u32::try_from(extent).expect("an extent below 2³²").to_be_bytes();
        let head = [0, 0, BYTES, self.shape.len() as u8].into_iter().chain(self.shape.iter().flat_map(extent));
        head.chain(self.data.iter().copied()).collect()
    }

    /// Reads the bytes of a file, compressed by gzip or not.
    ///
    /// # Errors
    /// What is wrong with them. Nothing is allocated that the bytes do not fill.
    pub fn parse(bytes: Vec<u8>) -> Result<Self, String> {
        let compressed = bytes.starts_with(&GZIP);
        let head = if compressed { inflate(&bytes, HEAD)? } else { bytes[..bytes.len().min(HEAD as usize)].to_vec() };
        let (shape, start) = header(&head)?;
        let wanted = shape.iter().try_fold(1u64, |n, &extent| n.checked_mul(extent as u64));
        let Some(wanted) = wanted.filter(|&wanted| wanted <= MOST) else {
            return Err(format!("its header promises {shape:?} values of a byte; at most {MOST} are read"));
        };
        // No more than was promised, but for what tells that there is more.
        let mut bytes = if compressed { inflate(&bytes, start as u64 + wanted + 1)? } else { bytes };
        let there = (bytes.len() - start) as u64;
        if wanted != there {
            let more = if compressed && there > wanted { " or more" } else { "" };
            return Err(format!("its header promises {shape:?} values of a byte, behind it are {there} bytes{more}"));
        }
        bytes.drain(..start);
        Ok(Self { shape, data: bytes })
    }
}

/// The extents, and where the values begin.
fn header(bytes: &[u8]) -> Result<(Vec<usize>, usize), String> {
    let (magic, rest) = bytes.split_at_checked(4).ok_or("it is too short for an IDX file")?;
    let &[0, 0, kind, dimensions] = magic else {
        return Err(format!("it is no IDX file: that begins with two zeros{}", file::page_hint(bytes)));
    };
    if kind != BYTES {
        return Err(format!("it is an IDX file of type {kind:#04x}; those of unsigned bytes, 0x08, are read"));
    }
    let dimensions = usize::from(dimensions);
    if !(1..=MOST_DIMENSIONS).contains(&dimensions) {
        return Err(format!("it has {dimensions} dimensions; 1 to {MOST_DIMENSIONS} are read"));
    }
    let extents = rest.get(..4 * dimensions).ok_or("its header is cut off")?;
    let extent = |bytes: &[u8]| bytes.iter().fold(0usize, |n, &b| n << 8 | usize::from(b));
    Ok((extents.chunks_exact(4).map(extent).collect(), 4 + 4 * dimensions))
}

const GZIP: [u8; 2] = [0x1f, 0x8b];
/// The most bytes of a header.
const HEAD: u64 = 4 + 4 * MOST_DIMENSIONS as u64;

/// What gzip compressed: its first bytes, `most` of them.
///
/// # Errors
/// If it is damaged, or was not compressed by gzip.
pub fn inflate(bytes: &[u8], most: u64) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    let read = MultiGzDecoder::new(bytes).take(most).read_to_end(&mut out);
    read.map_err(|e| format!("what gzip compressed is damaged: {e}"))?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn file(kind: u8, shape: &[u32], data: &[u8]) -> Vec<u8> {
        let extents = shape.iter().flat_map(|extent| extent.to_be_bytes());
        [0, 0, kind, shape.len() as u8].into_iter().chain(extents).chain(data.iter().copied()).collect()
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        out.write_all(bytes).unwrap();
        out.finish().unwrap()
    }

    #[test]
    fn arrays_come_as_they_were_compressed_or_not() {
        let idx = Idx { shape: vec![2, 1, 3], data: vec![1, 2, 3, 253, 254, 255] };
        let bytes = file(8, &[2, 1, 3], &idx.data);
        assert_eq!(idx.to_bytes(), bytes);
        assert_eq!(Idx::parse(bytes.clone()), Ok(idx.clone()));
        assert_eq!(Idx::parse(gzip(&bytes)), Ok(idx.clone()));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("images-idx3-ubyte");
        assert_eq!(Idx::read(&path).unwrap(), None);
        std::fs::write(path.with_added_extension("gz"), gzip(&bytes)).unwrap();
        assert_eq!(Idx::read(&path).unwrap(), Some(idx));
        #[cfg(unix)]
        {
            let shared = folder.path().join("shared");
            std::os::unix::fs::symlink(path.with_added_extension("gz"), &shared).unwrap();
            assert!(Idx::read(&shared).unwrap().is_some(), "by a link");
        }
        std::fs::write(&path, b"x").unwrap();
        assert!(Idx::read(&path).unwrap_err().to_string().contains("images-idx3-ubyte"));
    }

    #[test]
    fn what_is_none_is_told_apart() {
        let whole = file(8, &[2, 3], &[7; 6]);
        for (bytes, problem) in [
            (b"<!DOCTYPE html><html>".to_vec(), "web page"),
            (b"\n <html>".to_vec(), "web page"),
            (b"PK\x03\x04zip".to_vec(), "two zeros"),
            (Vec::new(), "too short"),
            (whole[..10].to_vec(), "cut off"),
            (whole[..17].to_vec(), "behind it are 5 bytes"),
            ([&whole[..], &[0]].concat(), "behind it are 7 bytes"),
            (file(0x0d, &[1], &[0; 4]), "type 0x0d"),
            (file(8, &[], &[]), "0 dimensions"),
            (file(8, &[1; 5], &[0]), "5 dimensions"),
            (file(8, &[u32::MAX; 4], &[0]), "promises"),
            (gzip(&whole)[..20].to_vec(), "damaged"),
            (gzip(b"<html>"), "web page"),
        ] {
            let said = Idx::parse(bytes).unwrap_err();
            assert!(said.contains(problem), "{said}, not {problem}");
        }
        let mut flipped = gzip(&whole);
        let sum = flipped.len() - 6;
        flipped[sum] ^= 1;
        assert!(Idx::parse(flipped).unwrap_err().contains("damaged"));
    }

    #[test]
    fn what_grows_without_end_is_cut() {
        assert_eq!(inflate(&gzip(&vec![5; 100_000]), 1000).unwrap(), [5; 1000]);
        let said = Idx::parse(gzip(&file(8, &[2, 3], &[7; 100_000]))).unwrap_err();
        assert!(said.contains("behind it are 7 bytes or more"), "{said}");
        let said = Idx::parse(gzip(&file(8, &[1 << 31, 1 << 31], &[]))).unwrap_err();
        assert!(said.contains("at most"), "{said}");
    }
}
