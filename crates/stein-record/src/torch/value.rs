//! What a pickle holds, as a graph of plain values.

use std::rc::Rc;

use super::tensor::{Storage, Tensor};

/// A place in a [`Tree`].
pub(super) type Id = u32;

/// The most values, entries of copied lists included: a network of ten thousand tensors with its optimiser has fewer than a million.
const MOST: usize = 1 << 22;

/// A value. What is inside another is named by its place, so that nothing is ever as deep as a file says.
#[derive(Debug)]
pub(super) enum Node {
    None,
    Int(i64),
    /// An integer that needs more than 64 bits, little-endian and signed.
    Long(Vec<u8>),
    /// A truth value, a float, bytes or a set: of these nobody asks what they are.
    Other,
    Text(Rc<str>),
    List(Vec<Id>),
    Tuple(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    /// A name in a Python module, `torch.FloatStorage`.
    Global(Rc<str>),
    Storage(Rc<Storage>),
    Tensor(Rc<Tensor>),
    /// What calling a global would have made that is not called.
    Opaque(Rc<str>),
}

/// The values of a file's pickles.
#[derive(Debug, Default)]
pub(super) struct Tree {
    nodes: Vec<Node>,
    spent: usize,
}

impl Tree {
    pub(super) fn push(&mut self, node: Node) -> Result<Id, String> {
        self.spend(1)?;
        self.nodes.push(node);
        Ok((self.nodes.len() - 1) as Id)
    }

    /// Counts entries that are copied.
    pub(super) fn spend(&mut self, count: usize) -> Result<(), String> {
        self.spent = self.spent.saturating_add(count);
        if self.spent > MOST { Err(format!("it holds more than {MOST} values")) } else { Ok(()) }
    }

    pub(super) fn get(&self, id: Id) -> &Node {
        &self.nodes[id as usize]
    }

    pub(super) fn get_mut(&mut self, id: Id) -> &mut Node {
        &mut self.nodes[id as usize]
    }

    pub(super) fn storages(&self) -> impl Iterator<Item = &Storage> {
        self.nodes.iter().filter_map(|node| if let Node::Storage(storage) = node { Some(&**storage) } else { None })
    }

    pub(super) fn text(&self, id: Id) -> Option<&Rc<str>> {
        if let Node::Text(text) = self.get(id) { Some(text) } else { None }
    }

    pub(super) fn natural(&self, id: Id) -> Option<usize> {
        if let Node::Int(n) = *self.get(id) { usize::try_from(n).ok() } else { None }
    }

    /// The entries of a list or tuple.
    pub(super) fn items(&self, id: Id) -> Option<&[Id]> {
        if let Node::List(items) | Node::Tuple(items) = self.get(id) { Some(items) } else { None }
    }

    /// What a value is, for a message.
    pub(super) fn kind(&self, id: Id) -> String {
        match self.get(id) {
            Node::None => "None".into(),
            Node::Int(_) | Node::Long(_) => "an integer".into(),
            Node::Other => "a truth value, a number, bytes or a set".into(),
            Node::Text(_) => "text".into(),
            Node::List(_) => "a list".into(),
            Node::Tuple(_) => "a tuple".into(),
            Node::Dict(_) => "a dictionary".into(),
            Node::Global(name) => format!("the name {}", shortened(name)),
            Node::Storage(_) => "a storage".into(),
            Node::Tensor(_) => "a tensor".into(),
            Node::Opaque(name) => {
                format!("an object of {}, which is not made: that would be to run code", shortened(name))
            }
        }
    }
}

/// A name for a message: printable, and not longer than a line.
pub(super) fn shortened(name: &str) -> String {
    const SHOWN: usize = 60;
    let mut out: String = name.chars().take(SHOWN).flat_map(char::escape_debug).collect();
    if name.chars().nth(SHOWN).is_some() {
        out.push('…');
    }
    out
}
