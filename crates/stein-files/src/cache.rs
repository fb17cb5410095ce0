//! Pictures that were decoded once, in one file with its sum, beside what they were decoded from.
//!
//! ```text
//! "stein pictures 1\n" | length of the header, u64 | header, JSON | labels, u32 each | pixels, u8 each
//! ```
//!
//! All numbers are little-endian. The files may be removed at any time.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use stein_record::{RecordError, atomic, file, hash};

use crate::pictures::{Pictures, Settings};

/// The folder that they lie in.
pub const FOLDER: &str = ".stein-pictures";
const MAGIC: &[u8] = b"stein pictures 1\n";
const MOST: u64 = 8 << 30;

#[derive(Debug, Serialize, Deserialize)]
struct Header {
    /// Of the settings and the files.
    key: String,
    labels: usize,
    pixels: usize,
    classes: Vec<String>,
    skipped: Vec<String>,
    /// SHA-256 of all that is behind the header.
    sha256: String,
}

/// What pictures are known by: the settings, and what changes when their files do.
pub fn key(settings: &Settings, state: &[String]) -> String {
    // The number counts up when something else is made of the same files.
    hash::sha256(serde_json::json!([2, settings, state]).to_string().as_bytes())
}

/// Where they are kept.
pub fn place(path: &Path, key: &str) -> PathBuf {
    let path = file::named(path);
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    path.parent().unwrap_or(Path::new(".")).join(FOLDER).join(format!("{name}-{}", &key[..16]))
}

/// The pictures that are kept at a place; `None` if there are none.
///
/// # Errors
/// If it cannot be read, or is not what was written there.
pub fn read(path: &Path, key: &str, dimension: usize) -> Result<Option<Pictures>, RecordError> {
    let Some(bytes) = file::read(path, MOST)? else { return Ok(None) };
    parse(&bytes, key, dimension).map(Some).map_err(|problem| RecordError::damaged(path, problem))
}

/// Reads the bytes of such a file.
///
/// # Errors
/// What is wrong with them.
pub fn parse(bytes: &[u8], key: &str, dimension: usize) -> Result<Pictures, String> {
    let rest = bytes.strip_prefix(MAGIC).ok_or("it holds no pictures")?;
    let (length, rest) = rest.split_first_chunk().ok_or("it is cut off")?;
    let length = usize::try_from(u64::from_le_bytes(*length)).map_err(|_| "its header is too long")?;
    let (header, rest) = rest.split_at_checked(length).ok_or("it is cut off")?;
    let header: Header = serde_json::from_slice(header).map_err(|e| format!("its header is damaged: {e}"))?;
    let wanted = header.labels.checked_mul(4).and_then(|labels| labels.checked_add(header.pixels));
    if header.key != key || wanted != Some(rest.len()) || hash::sha256(rest) != header.sha256 {
        return Err("it is not what was written there".into());
    }
    let (labels, pixels) = rest.split_at(4 * header.labels);
    let labels: Vec<u32> = labels.as_chunks().0.iter().map(|label| u32::from_le_bytes(*label)).collect();
    let rows = pixels.len() / dimension.max(1);
    let in_order = labels.iter().all(|&label| (label as usize) < header.classes.len());
    if pixels.len() != rows * dimension || !(labels.is_empty() || labels.len() == rows && in_order) {
        return Err("it holds other pictures than it says".into());
    }
    Ok(Pictures { pixels: pixels.to_vec(), labels, classes: header.classes, skipped: header.skipped })
}

/// Keeps pictures.
///
/// # Errors
/// If they cannot be written.
pub fn write(path: &Path, key: &str, pictures: &Pictures) -> Result<(), RecordError> {
    atomic::write(path, &bytes(key, pictures))
}

fn bytes(key: &str, pictures: &Pictures) -> Vec<u8> {
    let labels = pictures.labels.iter().flat_map(|label| label.to_le_bytes());
    let payload: Vec<u8> = labels.chain(pictures.pixels.iter().copied()).collect();
    let header = Header {
        key: key.into(),
        labels: pictures.labels.len(),
        pixels: pictures.pixels.len(),
        classes: pictures.classes.clone(),
        skipped: pictures.skipped.clone(),
        sha256: hash::sha256(&payload),
    };
    let header = serde_json::json!(header).to_string();
    [MAGIC, &(header.len() as u64).to_le_bytes(), header.as_bytes(), &payload].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_come_back_and_nothing_else_does() {
        let pictures = Pictures {
            pixels: vec![1, 2, 3, 4, 5, 6],
            labels: vec![1, 0],
            classes: vec!["a".into(), "b".into()],
            skipped: vec!["x.png: it is damaged".into()],
        };
        let whole = bytes("key", &pictures);
        assert_eq!(parse(&whole, "key", 3), Ok(pictures.clone()));
        assert!(parse(&whole, "other", 3).is_err() && parse(&whole, "key", 4).is_err());
        for i in 0..whole.len() {
            assert!(parse(&whole[..i], "key", 3).is_err(), "cut at {i}");
            let mut spoilt = whole.clone();
            spoilt[i] ^= 0x20;
            // Names in the header have no sum; what they name has.
            assert!(
                parse(&spoilt, "key", 3).is_ok_and(|p| p.pixels == pictures.pixels)
                    || parse(&spoilt, "key", 3).is_err()
            );
        }
        let lost = Pictures { labels: vec![2, 0], ..pictures };
        assert!(parse(&bytes("key", &lost), "key", 3).is_err(), "a class that there is not");
    }
}
