//! A pickle machine that executes nothing.
//!
//! It knows the opcodes of protocols 2 to 5 and what makes tensors of storages. Whatever else a pickle would import and call
//! becomes [`Node::Opaque`], which carries the name alone.

mod calls;
mod input;

use std::collections::HashMap;
use std::io::Read;

use super::value::{Id, Node, Tree};

/// The most bytes of a pickle. The numbers of tensors lie elsewhere.
const MOST_BYTES: u64 = 64 << 20;

/// Reads one pickle and not a byte more; gives its value's place.
pub(super) fn read(from: &mut impl Read, tree: &mut Tree) -> Result<Id, String> {
    let mut machine =
        Machine { from: from.take(MOST_BYTES), tree, stack: Vec::new(), marks: Vec::new(), memo: HashMap::new() };
    let ended = machine.run();
    let at = MOST_BYTES - machine.from.limit();
    ended.map_err(|problem| {
        if at == MOST_BYTES { "its pickle is too long".into() } else { format!("its pickle, byte {at}: {problem}") }
    })
}

struct Machine<'a, R> {
    from: std::io::Take<R>,
    tree: &'a mut Tree,
    stack: Vec<Id>,
    /// How high the stack was at each mark.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
}

impl<R: Read> Machine<'_, R> {
    fn run(&mut self) -> Result<Id, String> {
        loop {
            match self.byte()? {
                b'.' => return self.pop(),
                0x80 => self.protocol()?,
                // A frame is a hint for readers that buffer.
                0x95 => drop(self.array::<8>()?),
                opcode => self.step(opcode)?,
            }
        }
    }

    fn protocol(&mut self) -> Result<(), String> {
        match self.byte()? {
            2..=5 => Ok(()),
            other => Err(format!("protocol {other}; 2 to 5 are read")),
        }
    }

    fn step(&mut self, opcode: u8) -> Result<(), String> {
        match opcode {
            b'(' => self.marks.push(self.stack.len()),
            b'0' => drop(self.pop()?),
            b'1' => drop(self.marked()?),
            b'2' => self.stack.push(self.top()?),
            b'q' => {
                let at = self.byte()?;
                self.remember(at.into())?;
            }
            b'r' => {
                let at = u32::from_le_bytes(self.array()?);
                self.remember(at)?;
            }
            0x94 => self.remember(self.memo.len() as u32)?,
            b'h' => {
                let at = self.byte()?;
                self.recall(at.into())?;
            }
            b'j' => {
                let at = u32::from_le_bytes(self.array()?);
                self.recall(at)?;
            }
            b'c' | 0x93 | b'R' | b'b' | 0x81 | 0x92 | b'Q' => self.object(opcode)?,
            b']' | b'a' | b'e' | b')' | b't' | 0x85..=0x87 | b'}' | b's' | b'u' | 0x8f..=0x91 => {
                self.container(opcode)?
            }
            _ => {
                let node = self.scalar(opcode)?;
                self.push(node)?;
            }
        }
        Ok(())
    }

    /// Numbers, texts, bytes.
    fn scalar(&mut self, opcode: u8) -> Result<Node, String> {
        Ok(match opcode {
            b'N' => Node::None,
            0x88 | 0x89 => Node::Other,
            b'K' => Node::Int(self.byte()?.into()),
            b'M' => Node::Int(u16::from_le_bytes(self.array()?).into()),
            b'J' => Node::Int(i32::from_le_bytes(self.array()?).into()),
            0x8a => {
                let length = self.byte()?;
                integer(self.bytes(length.into())?)
            }
            0x8b => {
                let length = self.length4()?;
                integer(self.bytes(length)?)
            }
            b'G' => {
                self.array::<8>()?;
                Node::Other
            }
            b'X' => {
                let length = self.length4()?;
                self.text(length)?
            }
            0x8c => {
                let length = self.byte()?;
                self.text(length.into())?
            }
            0x8d => {
                let length = u64::from_le_bytes(self.array()?);
                self.text(length)?
            }
            // Texts of Python 2, in an encoding that nobody tells; names are ASCII.
            b'U' => {
                let length = self.byte()?;
                self.text(length.into())?
            }
            b'T' => {
                let length = self.length4()?;
                self.text(length)?
            }
            b'C' => {
                let length = self.byte()?;
                self.skip(length.into())?
            }
            b'B' => {
                let length = self.length4()?;
                self.skip(length)?
            }
            0x8e | 0x96 => {
                let length = u64::from_le_bytes(self.array()?);
                self.skip(length)?
            }
            other => {
                return Err(format!("{other:#04x} is none of the opcodes that are read, those of protocols 2 to 5"));
            }
        })
    }

    /// Lists, tuples, dictionaries, sets.
    fn container(&mut self, opcode: u8) -> Result<(), String> {
        match opcode {
            b']' => self.push(Node::List(Vec::new())),
            b'}' => self.push(Node::Dict(Vec::new())),
            b')' => self.push(Node::Tuple(Vec::new())),
            0x8f => self.push(Node::Other),
            b't' => {
                let items = self.marked()?;
                self.push(Node::Tuple(items))
            }
            0x85..=0x87 => {
                let mut items = (0x84..opcode).map(|_| self.pop()).collect::<Result<Vec<Id>, _>>()?;
                items.reverse();
                self.push(Node::Tuple(items))
            }
            b'a' => {
                let item = self.pop()?;
                self.append(vec![item])
            }
            b'e' => {
                let items = self.marked()?;
                self.append(items)
            }
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.set(&[key, value])
            }
            b'u' => {
                let items = self.marked()?;
                self.set(&items)
            }
            // What is in a set nobody asks.
            0x90 => self.marked().map(drop),
            _ => {
                self.marked()?;
                self.push(Node::Other)
            }
        }
    }

    fn append(&mut self, items: Vec<Id>) -> Result<(), String> {
        let onto = self.top()?;
        match self.tree.get_mut(onto) {
            Node::List(list) => list.extend(items),
            // A subclass of list, or of whatever has `append`.
            Node::Opaque(_) => {}
            _ => return Err("an entry is put into what is no list".into()),
        }
        Ok(())
    }

    fn set(&mut self, items: &[Id]) -> Result<(), String> {
        let into = self.top()?;
        let (pairs, []) = items.as_chunks::<2>() else { return Err("a key has no value".into()) };
        match self.tree.get_mut(into) {
            Node::Dict(dict) => dict.extend(pairs.iter().map(|&[key, value]| (key, value))),
            Node::Opaque(_) => {}
            _ => return Err("an entry is put into what is no dictionary".into()),
        }
        Ok(())
    }

    fn push(&mut self, node: Node) -> Result<(), String> {
        let id = self.tree.push(node)?;
        self.stack.push(id);
        Ok(())
    }

    /// Where the entries above the last mark begin.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn top(&self) -> Result<Id, String> {
        self.stack[self.floor()..].last().copied().ok_or_else(|| "something is taken from an empty stack".into())
    }

    fn pop(&mut self) -> Result<Id, String> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    /// What lies above the last mark, which goes.
    fn marked(&mut self) -> Result<Vec<Id>, String> {
        let mark = self.marks.pop().ok_or("there is no mark on the stack")?;
        Ok(self.stack.split_off(mark))
    }

    fn remember(&mut self, at: u32) -> Result<(), String> {
        let top = self.top()?;
        self.tree.spend(1)?;
        self.memo.insert(at, top);
        Ok(())
    }

    fn recall(&mut self, at: u32) -> Result<(), String> {
        let id = *self.memo.get(&at).ok_or_else(|| format!("there is no value {at} in the memo"))?;
        self.stack.push(id);
        Ok(())
    }
}

/// A little-endian signed integer of any length.
fn integer(bytes: Vec<u8>) -> Node {
    if bytes.len() > 8 {
        return Node::Long(bytes);
    }
    let fill = if bytes.last().is_some_and(|last| last & 0x80 != 0) { 0xff } else { 0 };
    let mut whole = [fill; 8];
    whole[..bytes.len()].copy_from_slice(&bytes);
    Node::Int(i64::from_le_bytes(whole))
}
