//! The container of PyTorch up to 1.5, which the published NCSN checkpoints are in: pickles one behind another (a magic number,
//! the protocol, facts about the system, the object, the storages' keys), then each storage: its count and its numbers.

use std::collections::HashMap;
use std::io::{Read, Seek};
use std::rc::Rc;

use super::tensor::Dtype;
use super::value::{Id, Node, Tree, shortened};
use super::{Place, pickle};

/// The magic number, little-endian.
const MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
const PROTOCOL: i64 = 1001;

/// Reads the pickles, and where each storage lies.
pub(super) fn read(
    from: &mut (impl Read + Seek),
    length: u64,
    tree: &mut Tree,
) -> Result<(Id, HashMap<Rc<str>, Place>), String> {
    let magic = pickle::read(from, tree)?;
    if !matches!(tree.get(magic), Node::Long(bytes) if *bytes == MAGIC) {
        return Err("it is a pickle, but does not begin with PyTorch's magic number".into());
    }
    let protocol = pickle::read(from, tree)?;
    if !matches!(tree.get(protocol), Node::Int(PROTOCOL)) {
        return Err(format!("its protocol is not {PROTOCOL}"));
    }
    // Storages are little-endian whatever the system was.
    pickle::read(from, tree)?;
    let root = pickle::read(from, tree)?;
    let dtypes = dtypes(tree)?;
    let keys = pickle::read(from, tree)?;
    let keys = tree.items(keys).ok_or("the list of its storages is none")?;
    let mut places = HashMap::new();
    for &key in keys {
        let key = tree.text(key).ok_or("a storage's key is no text")?;
        let problem = |problem: &str| format!("storage {}: {problem}", shortened(key));
        let dtype = dtypes.get(key).ok_or_else(|| problem("nothing tells the type of its numbers"))?;
        let mut count = [0; 8];
        from.read_exact(&mut count).map_err(|_| problem("it is cut off"))?;
        let at = from.stream_position().map_err(|e| e.to_string())?;
        let bytes = u64::from_le_bytes(count).checked_mul(dtype.size() as u64);
        let Some(bytes) = bytes.filter(|&bytes| bytes <= length.saturating_sub(at)) else {
            return Err(problem("it is cut off"));
        };
        from.seek_relative(bytes as i64).map_err(|e| e.to_string())?;
        places.insert(key.clone(), Place { at, bytes, crc: None });
    }
    Ok((root, places))
}

/// The type of each storage's numbers, by its key.
fn dtypes(tree: &Tree) -> Result<HashMap<Rc<str>, Dtype>, String> {
    let mut found = HashMap::new();
    for storage in tree.storages() {
        let before = found.insert(storage.key.clone(), storage.dtype);
        if before.is_some_and(|before| before != storage.dtype) {
            return Err(format!("storage {}: it is of two types", shortened(&storage.key)));
        }
    }
    Ok(found)
}
