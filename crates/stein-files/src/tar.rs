//! Chosen files of a tar archive (POSIX.1-1988, ustar) that gzip has compressed.
//!
//! Only the last part of a name in the archive is looked at, and compared with the names that are wanted: no path comes out of it.

use std::io::Read;

use flate2::read::MultiGzDecoder;

/// The most bytes of an archive that are unpacked.
pub const MOST: u64 = 1 << 30;
const BLOCK: usize = 512;

/// A file that is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// Its name, without folders.
    pub name: &'static str,
    /// Its length.
    pub bytes: u64,
}

/// Reads an archive and hands over each of the wanted files, in the archive's order, the first of a name. Stops behind the last.
///
/// # Errors
/// What is wrong with the archive, a wanted file that is missing or of another length, or what `take` says.
pub fn members<E: From<String>>(
    from: impl Read,
    wanted: &[Member],
    mut take: impl FnMut(usize, Vec<u8>) -> Result<(), E>,
) -> Result<(), E> {
    let mut archive = MultiGzDecoder::new(from).take(MOST);
    let mut missing: Vec<usize> = (0..wanted.len()).collect();
    while !missing.is_empty() {
        let Some(header) = header(&mut archive)? else { break };
        let found = missing.iter().position(|&i| header.is_file && header.name == wanted[i].name.as_bytes());
        let Some(found) = found else {
            skip(&mut archive, header.bytes.next_multiple_of(BLOCK as u64))?;
            continue;
        };
        let i = missing.remove(found);
        let Member { name, bytes } = wanted[i];
        if header.bytes != bytes {
            return Err(format!("{name} has {} bytes in it, not {bytes}", header.bytes).into());
        }
        let mut data = Vec::new();
        archive.by_ref().take(bytes).read_to_end(&mut data).map_err(damaged)?;
        if data.len() as u64 != bytes {
            return Err(format!("it is cut off within {name}").into());
        }
        take(i, data)?;
        skip(&mut archive, bytes.next_multiple_of(BLOCK as u64) - bytes)?;
    }
    match missing.first() {
        Some(&i) => Err(format!("there is no {} in it", wanted[i].name).into()),
        None => Ok(()),
    }
}

struct Header {
    /// Without folders.
    name: Vec<u8>,
    bytes: u64,
    is_file: bool,
}

/// The next header; `None` at the end.
fn header(archive: &mut impl Read) -> Result<Option<Header>, String> {
    let mut block = Vec::new();
    archive.by_ref().take(BLOCK as u64).read_to_end(&mut block).map_err(damaged)?;
    if block.iter().all(|&b| b == 0) {
        return Ok(None);
    }
    let whole: &[u8; BLOCK] = block.as_slice().try_into().map_err(|_| "it is cut off within a header")?;
    let is_sum = |i: &usize| (148..156).contains(i);
    let sum: u64 = whole.iter().enumerate().map(|(i, &b)| if is_sum(&i) { 32 } else { u64::from(b) }).sum();
    if number(&whole[148..156]) != Some(sum) {
        return Err("it is no tar archive, or a header of it is damaged".into());
    }
    let name = whole[..100].split(|&b| b == 0).next().unwrap_or_default();
    let bytes = number(&whole[124..136]).filter(|&bytes| bytes <= MOST);
    Ok(Some(Header {
        name: name.rsplit(|&b| b == b'/').next().unwrap_or_default().to_vec(),
        bytes: bytes.ok_or_else(|| format!("a file in it says that it has more than {MOST} bytes"))?,
        is_file: matches!(whole[156], b'0' | 0),
    }))
}

/// An octal number, spaces and zeros about it.
fn number(field: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(field).ok()?.trim_matches(|c| c == ' ' || c == '\0');
    u64::from_str_radix(text, 8).ok()
}

fn skip(archive: &mut impl Read, bytes: u64) -> Result<(), String> {
    let skipped = std::io::copy(&mut archive.by_ref().take(bytes), &mut std::io::sink()).map_err(damaged)?;
    if skipped == bytes { Ok(()) } else { Err("it is cut off".into()) }
}

fn damaged(error: std::io::Error) -> String {
    format!("what gzip compressed is damaged: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test::{gzip, seal, tar};

    const WANTED: [Member; 2] = [Member { name: "one.bin", bytes: 3 }, Member { name: "two.bin", bytes: 600 }];

    fn read(bytes: &[u8]) -> Result<Vec<(usize, Vec<u8>)>, String> {
        let mut found = Vec::new();
        members(bytes, &WANTED, |i, data| {
            found.push((i, data));
            Ok::<_, String>(())
        })?;
        Ok(found)
    }

    #[test]
    fn wanted_files_come_by_name_whatever_else_there_is() {
        let (one, two) = (b"abc".to_vec(), vec![7; 600]);
        let archive = tar(&[("set/", &[][..]), ("set/readme", &[1; 700]), ("../../two.bin", &two), ("one.bin", &one)]);
        assert_eq!(read(&gzip(&archive)).unwrap(), [(1, two.clone()), (0, one.clone())]);
        // A second of a name is not looked at, nor what comes behind the last.
        let again = tar(&[("one.bin", &one[..]), ("one.bin", b"xyz"), ("two.bin", &two)]);
        let cut = &again[..again.len() - 1024 - 424];
        assert_eq!(read(&gzip(cut)).unwrap_err(), "it is cut off");
        assert_eq!(read(&gzip(&again)).unwrap()[0], (0, one));
    }

    #[test]
    fn what_is_no_such_archive_is_told() {
        let whole = tar(&[("one.bin", b"abc"), ("two.bin", &[7; 600])]);
        let mut flipped = whole.clone();
        flipped[3] ^= 1;
        let mut enormous = tar(&[("x", b"")]);
        enormous[124..136].copy_from_slice(b"77777777777\0");
        seal(&mut enormous[..512]);
        for (bytes, problem) in [
            (whole.clone(), "gzip"),
            (gzip(&whole)[..40].to_vec(), "damaged"),
            (gzip(&whole[..700]), "cut off"),
            (gzip(&whole[..100]), "cut off within a header"),
            (gzip(&flipped), "no tar archive"),
            (gzip(&enormous), "more than"),
            (gzip(&tar(&[("one.bin", b"abcd")])), "one.bin has 4 bytes in it, not 3"),
            (gzip(&tar(&[("one.bin", b"abc")])), "no two.bin"),
            (gzip(b""), "no one.bin"),
        ] {
            let said = read(&bytes).unwrap_err();
            assert!(said.contains(problem), "{said}, not {problem}");
        }
    }
}
