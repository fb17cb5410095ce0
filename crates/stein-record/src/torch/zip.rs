//! The zip container of PyTorch 1.6 and later: which entries there are, and where their bytes lie.
//!
//! PyTorch stores its entries as they are, so nothing is inflated: an entry is a stretch of the file, and none is longer than that.

use std::collections::BTreeMap;
use std::io::{Read, Seek, SeekFrom};

use super::Place;
use super::value::shortened;

const END: u32 = 0x0605_4b50;
const END_64: u32 = 0x0606_4b50;
const LOCATOR_64: u32 = 0x0706_4b50;
const CENTRAL: u32 = 0x0201_4b50;
/// What a file that is a zip begins with.
pub(super) const LOCAL: [u8; 4] = *b"PK\x03\x04";

/// The most bytes of the list of entries.
const MOST_LIST: u64 = 64 << 20;
/// A comment may stand behind the end record's 22 bytes.
const LONGEST_END: u64 = 22 + 0xffff;

/// The entries of an archive by their names.
pub(super) fn entries(from: &mut (impl Read + Seek), length: u64) -> Result<BTreeMap<String, Place>, String> {
    let (start, bytes) = directory(from, length)?;
    if bytes > MOST_LIST || start.checked_add(bytes).is_none_or(|end| end > length) {
        return Err("the list of its entries lies outside of it, or is too long".into());
    }
    let list = read_at(from, start, bytes)?;
    let mut rest = &list[..];
    let mut found = BTreeMap::new();
    while !rest.is_empty() {
        let (name, entry) = Entry::take(&mut rest)?;
        let place = entry.place(from, length).map_err(|problem| format!("entry {}: {problem}", shortened(&name)))?;
        if found.insert(name.clone(), place).is_some() {
            return Err(format!("it has two entries {}", shortened(&name)));
        }
    }
    Ok(found)
}

/// Where the list of entries begins, and how many bytes it has.
fn directory(from: &mut (impl Read + Seek), length: u64) -> Result<(u64, u64), String> {
    let tail_at = length.saturating_sub(LONGEST_END);
    let tail = read_at(from, tail_at, length - tail_at)?;
    // The last record whose comment ends with the file.
    let is_end = |at: &usize| {
        let record = &tail[*at..];
        u32_at(record, 0) == Some(END) && u16_at(record, 20).map(usize::from) == Some(record.len() - 22)
    };
    let at = (0..(tail.len() + 1).saturating_sub(22)).rev().find(is_end);
    let at = at.ok_or("it is cut off: the list of its entries, which stands at its end, is not there")?;
    let record = &tail[at..];
    let own = (u32_at(record, 16).unwrap_or_default(), u32_at(record, 12).unwrap_or_default());
    let locator = at.checked_sub(20).map(|at| &tail[at..]).filter(|locator| u32_at(locator, 0) == Some(LOCATOR_64));
    match locator.and_then(|locator| u64_at(locator, 8)) {
        Some(at) if at.checked_add(56).is_some_and(|end| end <= length) => {
            let record = read_at(from, at, 56)?;
            match (u32_at(&record, 0), u64_at(&record, 48), u64_at(&record, 40)) {
                (Some(END_64), Some(start), Some(bytes)) => Ok((start, bytes)),
                _ => Err("its zip64 end record is damaged".into()),
            }
        }
        Some(_) => Err("its zip64 end record lies outside of it".into()),
        None => Ok((own.0.into(), own.1.into())),
    }
}

/// What the list says of an entry.
struct Entry {
    flags: u16,
    method: u16,
    crc: u32,
    stored: u64,
    bytes: u64,
    header: u64,
}

impl Entry {
    /// Takes the next one from the list, with its name.
    fn take(rest: &mut &[u8]) -> Result<(String, Self), String> {
        let cut = "the list of its entries is damaged";
        let record = *rest;
        let length = |at| u16_at(record, at).map(usize::from);
        let (Some(CENTRAL), Some(name), Some(extra), Some(comment)) =
            (u32_at(record, 0), length(28), length(30), length(32))
        else {
            return Err(cut.into());
        };
        let (text, after) = record.get(46..).and_then(|r| r.split_at_checked(name)).ok_or(cut)?;
        let (extra, after) = after.split_at_checked(extra).ok_or(cut)?;
        *rest = after.get(comment..).ok_or(cut)?;
        let field16 = |at| u16_at(record, at).ok_or(cut);
        let field32 = |at| u32_at(record, at).ok_or(cut);
        // What does not fit stands in the zip64 field, in this order.
        let mut long = zip64(extra);
        let mut whole = |short: u32| -> Result<u64, String> {
            if short != u32::MAX {
                return Ok(short.into());
            }
            let (first, more) = long.split_at_checked(8).ok_or(cut)?;
            long = more;
            u64_at(first, 0).ok_or_else(|| cut.into())
        };
        let (bytes, stored, header) = (whole(field32(24)?)?, whole(field32(20)?)?, whole(field32(42)?)?);
        let entry = Self { flags: field16(8)?, method: field16(10)?, crc: field32(16)?, stored, bytes, header };
        Ok((String::from_utf8_lossy(text).into_owned(), entry))
    }

    /// Where its bytes lie, behind a header of their own.
    fn place(&self, from: &mut (impl Read + Seek), length: u64) -> Result<Place, String> {
        if self.flags & 1 != 0 {
            return Err("it is encrypted".into());
        }
        if self.method != 0 || self.stored != self.bytes {
            return Err(
                "it is compressed, which PyTorch does not do: unpack the file, and zip it again with `zip -0`".into()
            );
        }
        let outside = "it lies outside of the file";
        if self.header.checked_add(30).is_none_or(|end| end > length) {
            return Err(outside.into());
        }
        let header = read_at(from, self.header, 30)?;
        let (Some(name), Some(extra), true) = (u16_at(&header, 26), u16_at(&header, 28), header.starts_with(&LOCAL))
        else {
            return Err("its header is damaged".into());
        };
        let at = self.header + 30 + u64::from(name) + u64::from(extra);
        if at.checked_add(self.bytes).is_none_or(|end| end > length) {
            return Err(outside.into());
        }
        Ok(Place { at, bytes: self.bytes, crc: Some(self.crc) })
    }
}

/// The zip64 field among an entry's extra fields.
fn zip64(mut extra: &[u8]) -> &[u8] {
    while let (Some(id), Some(length)) = (u16_at(extra, 0), u16_at(extra, 2)) {
        let Some((field, rest)) = extra[4..].split_at_checked(length.into()) else { break };
        if id == 1 {
            return field;
        }
        extra = rest;
    }
    &[]
}

/// Bytes of the file that are known to be in it.
pub(super) fn read_at(from: &mut (impl Read + Seek), at: u64, count: u64) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    from.seek(SeekFrom::Start(at)).map_err(|e| e.to_string())?;
    from.by_ref().take(count).read_to_end(&mut bytes).map_err(|e| e.to_string())?;
    if bytes.len() as u64 == count { Ok(bytes) } else { Err("it is cut off".into()) }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|b| u16::from_le_bytes(*b))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|b| u32::from_le_bytes(*b))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|b| u64::from_le_bytes(*b))
}
