//! Checkpoints of PyTorch, in either of its containers, read without executing anything.
//!
//! A checkpoint is a pickle of whatever a program liked to keep, of which the state dicts are asked for: dictionaries from names
//! to tensors, wherever in it they lie. What a pickle would have imported and called is carried as a name.

mod legacy;
mod pickle;
mod tensor;
mod value;
mod zip;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::{HashMap, HashSet, VecDeque};
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;
use std::rc::Rc;

use flate2::Crc;

pub use tensor::Tensor;
pub(crate) use tensor::half;
use value::{Id, Node, Tree, shortened};

use crate::arrays::checked;
use crate::{Array, RecordError, file};

/// How many dictionaries and lists in each other are looked through.
const DEPTH: usize = 6;
/// How many of them in all.
const MOST_SEEN: usize = 100_000;
/// The most bytes of a key in a table's path: a few bytes of a file can repeat a long one.
const LONGEST_KEY: usize = 60;
/// Bytes of a parameter's name; a name that is longer is none, and could be in a pickle as often as that has room for a number.
const LONGEST_NAME: usize = 1000;

/// Bytes of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    at: u64,
    bytes: u64,
    crc: Option<u32>,
}

trait Source: Read + Seek {}
impl<T: Read + Seek> Source for T {}

/// A checkpoint. Its tensors' numbers are read when they are asked for.
pub struct Checkpoint {
    from: BufReader<Box<dyn Source>>,
    tree: Tree,
    root: Id,
    storages: HashMap<Rc<str>, Place>,
    big_endian: bool,
    /// Storages whose sums hold.
    sound: HashSet<Rc<str>>,
}

impl std::fmt::Debug for Checkpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Checkpoint").field("storages", &self.storages.len()).finish_non_exhaustive()
    }
}

/// A dictionary from names to tensors, or a list of tensors, which is named by number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Where it lies, the keys joined by slashes: `0`, `ema/shadow_params`; a dot for the whole.
    pub path: String,
    /// Its tensors, in its order. What else it holds is left out.
    pub tensors: Vec<(Rc<str>, Rc<Tensor>)>,
}

/// Whether a file begins as one of the containers does.
pub fn is_checkpoint(start: &[u8]) -> bool {
    start.starts_with(&zip::LOCAL) || matches!(start, [0x80, 2..=5, ..] if start.get(8) != Some(&b'{'))
}

impl Checkpoint {
    /// Opens a checkpoint; `None` if there is no file.
    ///
    /// # Errors
    /// If it cannot be read, or is none.
    pub fn open(path: &Path) -> Result<Option<Self>, RecordError> {
        let Some(file) = file::open(path)? else { return Ok(None) };
        Self::read(file).map(Some).map_err(|problem| RecordError::damaged(path, problem))
    }

    /// Reads all but the tensors' numbers.
    ///
    /// # Errors
    /// What is wrong with it. Nothing is allocated that its bytes do not fill.
    pub fn read(from: impl Read + Seek + 'static) -> Result<Self, String> {
        let mut from = BufReader::new(Box::new(from) as Box<dyn Source>);
        let length = from.seek(SeekFrom::End(0)).map_err(|e| e.to_string())?;
        from.rewind().map_err(|e| e.to_string())?;
        let mut start = Vec::new();
        from.by_ref().take(512).read_to_end(&mut start).map_err(|e| e.to_string())?;
        from.rewind().map_err(|e| e.to_string())?;
        let mut tree = Tree::default();
        if start.starts_with(&zip::LOCAL) {
            return Self::zipped(from, length, tree);
        }
        if !is_checkpoint(&start) {
            let tar = start.get(257..262) == Some(b"ustar");
            let why = if tar { ": it is a tar archive, as PyTorch wrote them before 0.1.10" } else { "" };
            return Err(format!("it is no checkpoint of PyTorch, neither a zip nor a pickle{why}"));
        }
        let (root, storages) = legacy::read(&mut from, length, &mut tree)?;
        Ok(Self { from, tree, root, storages, big_endian: false, sound: HashSet::new() })
    }

    fn zipped(mut from: BufReader<Box<dyn Source>>, length: u64, mut tree: Tree) -> Result<Self, String> {
        let entries = zip::entries(&mut from, length)?;
        let mut pickles = entries.iter().filter_map(|(name, &place)| Some((name.strip_suffix("data.pkl")?, place)));
        let (prefix, place) = match (pickles.next(), pickles.next()) {
            (Some((prefix, place)), None) if prefix.is_empty() || prefix.ends_with('/') => (prefix.to_owned(), place),
            (Some(_), Some(_)) => return Err("it is a zip with several data.pkl; a checkpoint has one".into()),
            _ => return Err("it is a zip, but has no data.pkl as PyTorch's have".into()),
        };
        let order = match entries.get(&format!("{prefix}byteorder")) {
            Some(place) if place.bytes <= 16 => zip::read_at(&mut from, place.at, place.bytes)?,
            Some(_) => return Err("its byte order is none".into()),
            None => b"little".to_vec(),
        };
        let big_endian = match order.trim_ascii() {
            b"little" => false,
            b"big" => true,
            _ => return Err("its byte order is neither little nor big".into()),
        };
        check(&mut from, place, "data.pkl")?;
        from.seek(SeekFrom::Start(place.at)).map_err(|e| e.to_string())?;
        let root = pickle::read(&mut from.by_ref().take(place.bytes), &mut tree)?;
        let data = format!("{prefix}data/");
        let storages = entries.iter().filter_map(|(name, &place)| Some((name.strip_prefix(&data)?.into(), place)));
        let storages = storages.collect();
        Ok(Self { from, tree, root, storages, big_endian, sound: HashSet::new() })
    }

    /// All tables, the outermost first, and each once.
    pub fn tables(&self) -> Vec<Table> {
        let mut found = Vec::new();
        let mut seen = HashSet::from([self.root]);
        let mut queue = VecDeque::from([(self.root, String::new(), 0)]);
        while let Some((id, path, depth)) = queue.pop_front() {
            let tensors = self.tensors(id);
            if !tensors.is_empty() {
                found.push(Table { path: if path.is_empty() { ".".into() } else { path.clone() }, tensors });
            }
            for (key, child) in self.children(id) {
                if depth < DEPTH && seen.len() < MOST_SEEN && self.is_container(child) && seen.insert(child) {
                    let path = if path.is_empty() { key.into_owned() } else { format!("{path}/{key}") };
                    queue.push_back((child, path, depth + 1));
                }
            }
        }
        found
    }

    /// The integer at a path as tables have them; `None` if there is none.
    pub fn integer(&self, path: &str) -> Option<i64> {
        let mut at = self.root;
        for part in path.split('/') {
            at = self.children(at).find(|(key, _)| key == part)?.1;
        }
        if let Node::Int(n) = *self.tree.get(at) { Some(n) } else { None }
    }

    /// What the whole is, for a message.
    pub fn kind(&self) -> String {
        self.tree.kind(self.root)
    }

    /// Reads a tensor of at most so many numbers as single precision.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn array(&mut self, tensor: &Tensor, most: usize) -> Result<Array, String> {
        let count = tensor.count();
        if count > most {
            return Err(format!("it has {count} numbers; at most {most} are read"));
        }
        let (first, span) = tensor.stretch()?;
        let storage = &tensor.storage;
        let named = |problem: String| format!("its storage {}: {problem}", shortened(&storage.key));
        let place = self.storages.get(&storage.key).copied();
        let place = place.ok_or_else(|| named("it is not in the file".into()))?;
        let size = storage.dtype.size() as u64;
        let end = (first as u64).checked_add(span as u64).and_then(|end| end.checked_mul(size));
        if end.is_none_or(|end| end > place.bytes) {
            return Err(named(format!("it has {} bytes, which are too few", place.bytes)));
        }
        if !self.sound.contains(&storage.key) {
            check(&mut self.from, place, &storage.key).map_err(named)?;
            self.sound.insert(storage.key.clone());
        }
        let bytes = zip::read_at(&mut self.from, place.at + first as u64 * size, span as u64 * size).map_err(named)?;
        checked(Array::new(tensor.shape(), tensor.gather(&bytes, self.big_endian)))
    }

    fn is_container(&self, id: Id) -> bool {
        matches!(self.tree.get(id), Node::Dict(_) | Node::List(_) | Node::Tuple(_))
    }

    fn tensor(&self, id: Id) -> Option<Rc<Tensor>> {
        if let Node::Tensor(tensor) = self.tree.get(id) { Some(tensor.clone()) } else { None }
    }

    /// The tensors of a table; none of what is no table.
    fn tensors(&self, id: Id) -> Vec<(Rc<str>, Rc<Tensor>)> {
        match self.tree.get(id) {
            Node::Dict(pairs) => pairs
                .iter()
                .filter_map(|&(key, value)| {
                    let name = self.tree.text(key).filter(|name| name.len() <= LONGEST_NAME)?;
                    Some((name.clone(), self.tensor(value)?))
                })
                .collect(),
            Node::List(items) => {
                let named = |(i, &item): (usize, &Id)| Some((i.to_string().into(), self.tensor(item)?));
                items.iter().enumerate().map(named).collect::<Option<_>>().unwrap_or_default()
            }
            _ => Vec::new(),
        }
    }

    /// What a container holds, by keys that a path can have.
    fn children(&self, id: Id) -> Box<dyn Iterator<Item = (Cow<'_, str>, Id)> + '_> {
        let key = |key: Id| match self.tree.get(key) {
            Node::Text(text) if text.len() <= LONGEST_KEY => Some(Cow::Borrowed(&**text)),
            Node::Int(n) => Some(Cow::Owned(n.to_string())),
            _ => None,
        };
        match self.tree.get(id) {
            Node::Dict(pairs) => Box::new(pairs.iter().filter_map(move |&(k, value)| Some((key(k)?, value)))),
            Node::List(items) | Node::Tuple(items) => {
                Box::new(items.iter().enumerate().map(|(i, &item)| (Cow::Owned(i.to_string()), item)))
            }
            _ => Box::new(std::iter::empty()),
        }
    }
}

/// Compares an entry with its sum, if it has one.
fn check(from: &mut (impl Read + Seek), place: Place, name: &str) -> Result<(), String> {
    let Some(expected) = place.crc else { return Ok(()) };
    from.seek(SeekFrom::Start(place.at)).map_err(|e| e.to_string())?;
    let (mut left, mut sum, mut buffer) = (place.bytes, Crc::new(), vec![0; 1 << 16]);
    while left > 0 {
        let some = buffer.len().min(left.try_into().unwrap_or(usize::MAX));
        from.read_exact(&mut buffer[..some]).map_err(|_| "it is cut off")?;
        sum.update(&buffer[..some]);
        left -= some as u64;
    }
    if sum.sum() == expected { Ok(()) } else { Err(format!("{}: its checksum does not hold", shortened(name))) }
}
