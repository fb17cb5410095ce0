//! Zip archives (PKWARE's APPNOTE 6.3), stored or deflated, with or without the zip64 records.
//!
//! What a name in an archive says is never a place that anything is written to.

use std::io::{self, Cursor, ErrorKind, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use flate2::Crc;
use flate2::read::DeflateDecoder;
use stein_record::{RecordError, file};

/// The most bytes of a file that is read out of an archive.
pub const MOST_FILE: u64 = 64 << 20;
/// The most bytes of the archive's list of files.
const MOST_DIRECTORY: u64 = 512 << 20;
/// How far the end record may lie from the end: behind it is a comment.
const END: u64 = 22 + 0xffff;

/// What an archive is read from.
trait Source: Read + Seek + Send + std::fmt::Debug {}

impl<T: Read + Seek + Send + std::fmt::Debug> Source for T {}

/// An archive that is open.
#[derive(Debug)]
pub struct Zip {
    file: Mutex<Box<dyn Source>>,
    /// Its files, in its own order, without folders.
    pub entries: Vec<Entry>,
}

/// A file in an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name, `/` between folders.
    pub name: String,
    /// Its length, as the archive says.
    pub bytes: u64,
    /// Its CRC-32.
    pub crc: u32,
    compressed: u64,
    method: u16,
    encrypted: bool,
    at: u64,
}

impl Zip {
    /// Opens an archive and reads its list of files.
    ///
    /// # Errors
    /// If it cannot be read, or is none.
    pub fn open(path: &Path) -> Result<Self, RecordError> {
        let absent = || RecordError::io(path, "read", std::io::Error::from(std::io::ErrorKind::NotFound));
        let file = file::open(&file::named(path))?.ok_or_else(absent)?;
        Self::of(Box::new(file)).map_err(|problem| RecordError::damaged(path, problem))
    }

    /// Reads the list of files of an archive in memory.
    ///
    /// # Errors
    /// If it is none.
    pub fn parse(bytes: Vec<u8>) -> Result<Self, String> {
        Self::of(Box::new(Cursor::new(bytes)))
    }

    fn of(mut file: Box<dyn Source>) -> Result<Self, String> {
        let directory = directory(&mut *file)?;
        let mut rest = &directory[..];
        let mut entries = Vec::new();
        while let Some((entry, more)) = entry(rest)? {
            rest = more;
            if !entry.name.ends_with('/') {
                entries.push(entry);
            }
        }
        Ok(Self { file: Mutex::new(file), entries })
    }

    /// Reads a file of it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(&self, entry: &Entry) -> Result<Vec<u8>, String> {
        self.tried(entry).map_err(|e| e.to_string())?
    }

    /// As [`Zip::read`]; the outer error is the system's, the inner one what is wrong with the file.
    pub(crate) fn tried(&self, entry: &Entry) -> io::Result<Result<Vec<u8>, String>> {
        match self.packed(entry) {
            Ok(packed) => Ok(unpacked(entry, packed)),
            // A place that no file can have is wrong, too.
            Err(e) if matches!(e.kind(), ErrorKind::InvalidData | ErrorKind::InvalidInput) => Ok(Err(e.to_string())),
            Err(e) => Err(e),
        }
    }

    /// A file's bytes as the archive has them.
    fn packed(&self, entry: &Entry) -> io::Result<Vec<u8>> {
        let Entry { bytes, compressed, .. } = *entry;
        if entry.encrypted {
            return Err(damaged("it is encrypted"));
        }
        if bytes.max(compressed) > MOST_FILE {
            return Err(damaged(&format!("it has {} bytes; at most {MOST_FILE} are read", bytes.max(compressed))));
        }
        // Whoever panicked with it left a place in it, which is set anew.
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let header = read_at(&mut **file, entry.at, 30)?;
        if header[..4] != *b"PK\x03\x04" {
            return Err(damaged("the archive has something else where it should be"));
        }
        let name = u64::from(u16_at(&header, 26)) + u64::from(u16_at(&header, 28));
        read_at(&mut **file, entry.at.saturating_add(30 + name), compressed)
    }
}

/// What a file's bytes in the archive are of.
fn unpacked(entry: &Entry, packed: Vec<u8>) -> Result<Vec<u8>, String> {
    let bytes = entry.bytes;
    let mut out = Vec::new();
    match entry.method {
        0 => out = packed,
        8 => drop(
            DeflateDecoder::new(&packed[..])
                .take(bytes + 1)
                .read_to_end(&mut out)
                .map_err(|e| format!("it is damaged: {e}"))?,
        ),
        other => return Err(format!("it is compressed by method {other}; 0 (stored) and 8 (deflated) are read")),
    }
    let mut crc = Crc::new();
    crc.update(&out);
    if out.len() as u64 != bytes || crc.sum() != entry.crc {
        return Err("it is damaged: its length or sum is another than the archive says".into());
    }
    Ok(out)
}

fn damaged(problem: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, problem)
}

/// So many bytes at a place.
fn read_at(file: &mut dyn Source, at: u64, count: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(at))?;
    file.take(count).read_to_end(&mut bytes)?;
    if bytes.len() as u64 == count { Ok(bytes) } else { Err(damaged("the archive is cut off")) }
}

fn bytes_at(file: &mut dyn Source, at: u64, count: u64) -> Result<Vec<u8>, String> {
    read_at(file, at, count).map_err(|e| e.to_string())
}

/// The list of files.
fn directory(file: &mut dyn Source) -> Result<Vec<u8>, String> {
    let length = file.seek(SeekFrom::End(0)).map_err(|e| e.to_string())?;
    let from = length.saturating_sub(END);
    let tail = bytes_at(file, from, length - from)?;
    let end = (0..=tail.len().saturating_sub(22)).rev().find(|&i| tail[i..].starts_with(b"PK\x05\x06"));
    let Some(end) = end.filter(|end| tail.len() >= end + 22) else {
        return Err(format!("it is no zip archive{}", file::page_hint(&bytes_at(file, 0, length.min(64))?)));
    };
    let (mut size, mut at) = (u64::from(u32_at(&tail, end + 12)), u64::from(u32_at(&tail, end + 16)));
    // Where these do not fit in 32 bits, a record before says where there are larger ones.
    let locator = end.checked_sub(20).map(|i| &tail[i..end]).filter(|locator| locator.starts_with(b"PK\x06\x07"));
    if let Some(locator) = locator {
        let record = bytes_at(file, u64_at(locator, 8), 56)?;
        if !record.starts_with(b"PK\x06\x06") {
            return Err("its end is damaged".into());
        }
        (size, at) = (u64_at(&record, 40), u64_at(&record, 48));
    }
    if size > MOST_DIRECTORY.min(length) {
        return Err(format!("its list of files has {size} bytes, which is too long for it"));
    }
    bytes_at(file, at, size)
}

/// The first entry of a list and what comes behind it; `None` at the end.
fn entry(list: &[u8]) -> Result<Option<(Entry, &[u8])>, String> {
    if list.is_empty() {
        return Ok(None);
    }
    let cut = || "its list of files is damaged".to_owned();
    let (header, rest) = list.split_at_checked(46).ok_or_else(cut)?;
    if !header.starts_with(b"PK\x01\x02") {
        return Err(cut());
    }
    let [name, extra, comment] = [28, 30, 32].map(|at| usize::from(u16_at(header, at)));
    let (name, rest) = rest.split_at_checked(name).ok_or_else(cut)?;
    let (extra, rest) = rest.split_at_checked(extra).ok_or_else(cut)?;
    let rest = rest.get(comment..).ok_or_else(cut)?;
    let mut large = large(extra).chunks_exact(8).map(|number| u64_at(number, 0));
    let [bytes, compressed, at] = [24, 20, 42].map(|at| match u32_at(header, at) {
        u32::MAX => large.next().unwrap_or(u64::from(u32::MAX)),
        small => small.into(),
    });
    let entry = Entry {
        name: String::from_utf8_lossy(name).replace('\\', "/"),
        bytes,
        crc: u32_at(header, 16),
        compressed,
        method: u16_at(header, 10),
        encrypted: u16_at(header, 8) & 1 == 1,
        at,
    };
    Ok(Some((entry, rest)))
}

/// The numbers that do not fit in 32 bits: those of them that there are, in the order of length, compressed length, place.
fn large(mut extra: &[u8]) -> &[u8] {
    while let Some((head, rest)) = extra.split_at_checked(4) {
        let Some((field, more)) = rest.split_at_checked(u16_at(head, 2).into()) else { break };
        if u16_at(head, 0) == 1 {
            return field;
        }
        extra = more;
    }
    &[]
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from(u16_at(bytes, at)) | u32::from(u16_at(bytes, at + 2)) << 16
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test::zip;

    fn open(bytes: &[u8]) -> Result<Zip, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.zip");
        std::fs::write(&path, bytes).unwrap();
        Zip::open(&path).map_err(|e| e.to_string())
    }

    #[test]
    fn files_come_as_they_were() {
        let long = vec![7; 100_000];
        for large in [false, true] {
            let zip = open(&zip(&[("a/b.png", b"abc", 0), ("a/", b"", 0), ("../c", &long, 8)], large)).unwrap();
            assert_eq!(zip.entries.iter().map(|e| e.name.as_str()).collect::<Vec<_>>(), ["a/b.png", "../c"]);
            assert!(zip.entries[1].compressed < 1000);
            assert_eq!(zip.read(&zip.entries[0]).unwrap(), b"abc");
            assert_eq!(zip.read(&zip.entries[1]).unwrap(), long);
        }
        assert!(open(&zip(&[], false)).unwrap().entries.is_empty());
    }

    #[test]
    fn what_is_damaged_is_told() {
        let whole = zip(&[("a", b"abc", 0), ("b", &[7; 1000], 8)], false);
        assert!(open(b"<html>").unwrap_err().contains("no zip archive; it looks like a web page"));
        assert!(open(b"").unwrap_err().contains("no zip archive"));
        assert!(open(&whole[..whole.len() - 1]).unwrap_err().contains("no zip archive"));
        for i in 0..whole.len() {
            for bit in [1, 0x80] {
                let mut spoilt = whole.clone();
                spoilt[i] ^= bit;
                // Whatever is said, nothing else than what was put in comes out.
                let Ok(zip) = open(&spoilt) else { continue };
                for entry in &zip.entries {
                    let read = zip.read(entry);
                    assert!(read.is_err() || [&b"abc"[..], &[7; 1000]].contains(&&read.unwrap()[..]), "byte {i}");
                }
            }
        }
        let zip = open(&zip(&[("a", b"abc", 12)], false)).unwrap();
        assert!(zip.read(&zip.entries[0]).unwrap_err().contains("method 12"));
    }

    #[test]
    fn what_says_that_it_is_enormous_costs_nothing() {
        let zip = open(&zip(&[("a", &vec![0; 1 << 20], 8)], false)).unwrap();
        let lies = Entry { bytes: 1000, ..zip.entries[0].clone() };
        assert!(zip.read(&lies).unwrap_err().contains("damaged"));
        let lies = Entry { bytes: 1 << 40, ..zip.entries[0].clone() };
        assert!(zip.read(&lies).unwrap_err().contains("at most"));
    }
}
