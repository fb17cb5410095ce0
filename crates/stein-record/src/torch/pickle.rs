//! A pickle machine that executes nothing.
//!
//! It knows the opcodes of protocols 2 to 5 and what makes tensors of storages. Whatever else a pickle would import and call
//! becomes [`Node::Opaque`], which carries the name alone.

use std::collections::HashMap;
use std::io::Read;
use std::rc::Rc;

use super::tensor::{Dtype, Storage, Tensor};
use super::value::{Id, Node, Tree, shortened};

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

    /// What would import and call.
    fn object(&mut self, opcode: u8) -> Result<(), String> {
        match opcode {
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.push(Node::Global(format!("{module}.{name}").into()))
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let (Some(module), Some(name)) = (self.tree.text(module), self.tree.text(name)) else {
                    return Err("a global whose name is no text".into());
                };
                // Both may be long and asked for again and again.
                if module.len() + name.len() > LONGEST_NAME {
                    return Err("a global's name is too long".into());
                }
                let name = format!("{module}.{name}");
                self.push(Node::Global(name.into()))
            }
            b'R' => {
                let (arguments, callable) = (self.pop()?, self.pop()?);
                let made = self.call(callable, arguments)?;
                self.stack.push(made);
                Ok(())
            }
            // A state, such as the `_metadata` of a state dict, changes no value that is asked for.
            b'b' => self.pop().and_then(|_| self.top()).map(drop),
            0x81 => {
                let (_, class) = (self.pop()?, self.pop()?);
                let opaque = self.opaque(class)?;
                self.push(opaque)
            }
            0x92 => {
                let (_, _, class) = (self.pop()?, self.pop()?, self.pop()?);
                let opaque = self.opaque(class)?;
                self.push(opaque)
            }
            _ => {
                let id = self.pop()?;
                let found = self.persistent(id)?;
                self.stack.push(found);
                Ok(())
            }
        }
    }

    fn opaque(&self, class: Id) -> Result<Node, String> {
        match self.tree.get(class) {
            Node::Global(name) | Node::Opaque(name) => Ok(Node::Opaque(name.clone())),
            _ => Err("something is called that is no global".into()),
        }
    }

    /// What a call gives, for the few globals that make tensors and dictionaries of what is there.
    fn call(&mut self, callable: Id, arguments: Id) -> Result<Id, String> {
        let Node::Global(name) = self.tree.get(callable) else {
            let opaque = self.opaque(callable)?;
            return self.tree.push(opaque);
        };
        let name = name.clone();
        let given = self.tree.items(arguments).ok_or("a call without a tuple of arguments")?;
        match (&*name, given) {
            (
                "torch._utils._rebuild_tensor" | "torch._utils._rebuild_tensor_v2",
                &[storage, offset, shape, strides, ..],
            ) => {
                let tensor = self.tensor([storage, offset, shape, strides])?;
                self.tree.push(tensor)
            }
            ("torch._utils._rebuild_parameter" | "torch._utils._rebuild_parameter_with_state", &[data, ..]) => Ok(data),
            // A tensor with attributes of its own: what makes it, its type, arguments, state.
            ("torch._tensor._rebuild_from_type_v2", &[make, _, inner, ..]) if self.rebuilds(make) => {
                self.call(make, inner)
            }
            ("torch.Size", &[extents, ..]) => Ok(extents),
            ("collections.OrderedDict", []) => self.tree.push(Node::Dict(Vec::new())),
            ("collections.OrderedDict", &[pairs, ..]) => {
                let pairs = self.pairs(pairs)?;
                self.tree.push(Node::Dict(pairs))
            }
            _ => self.tree.push(Node::Opaque(name)),
        }
    }

    /// Whether a global makes a tensor directly: what is called within a call is no such call again.
    fn rebuilds(&self, make: Id) -> bool {
        let Node::Global(name) = self.tree.get(make) else { return false };
        name.starts_with("torch._utils._rebuild_tensor") || name.starts_with("torch._utils._rebuild_parameter")
    }

    /// The entries of an ordered dictionary, as Python 2 writes them: a list of pairs.
    fn pairs(&mut self, list: Id) -> Result<Vec<(Id, Id)>, String> {
        let entries = self.tree.items(list).ok_or("an ordered dictionary of what is no list")?;
        let pair = |&entry: &Id| match self.tree.items(entry) {
            Some(&[key, value]) => Ok((key, value)),
            _ => Err("an ordered dictionary of what are no pairs".to_owned()),
        };
        let pairs = entries.iter().map(pair).collect::<Result<Vec<_>, String>>()?;
        self.tree.spend(pairs.len())?;
        Ok(pairs)
    }

    fn tensor(&self, [storage, offset, shape, strides]: [Id; 4]) -> Result<Node, String> {
        let storage = match self.tree.get(storage) {
            Node::Storage(storage) => storage.clone(),
            // Of a type that is not read.
            Node::Opaque(name) => return Ok(Node::Opaque(name.clone())),
            _ => return Err("a tensor of what is no storage".into()),
        };
        let numbers = |id: Id| {
            let items = self.tree.items(id)?;
            if items.len() > Tensor::MOST_DIMENSIONS {
                None
            } else {
                items.iter().map(|&n| self.tree.natural(n)).collect()
            }
        };
        let (Some(offset), Some(shape), Some(strides)) = (self.tree.natural(offset), numbers(shape), numbers(strides))
        else {
            return Err("a tensor whose extents, strides or offset are no natural numbers, or too many".into());
        };
        Tensor::new(storage, offset, shape, strides).map(|tensor| Node::Tensor(Rc::new(tensor)))
    }

    /// A storage: `("storage", its type, key, device, count)`, with a view into another as sixth in old files.
    fn persistent(&mut self, id: Id) -> Result<Id, String> {
        let items = self.tree.items(id).ok_or("a persistent id that is no tuple")?;
        let kind = items.first().and_then(|&kind| self.tree.text(kind)).map(|kind| kind.to_string());
        match (kind.as_deref(), items) {
            (Some("storage"), &[_, kind, key, _, count, ref view @ ..]) => {
                let Node::Global(kind) = self.tree.get(kind) else {
                    return Err("a storage whose type is no global".into());
                };
                let Some(dtype) = Dtype::of_storage(kind) else {
                    let opaque = Node::Opaque(kind.clone());
                    return self.tree.push(opaque);
                };
                let (Some(key), Some(count)) = (self.tree.text(key).cloned(), self.tree.natural(count)) else {
                    return Err("a storage without a key or a count".into());
                };
                let view = view.first().and_then(|&view| self.tree.items(view));
                let storage = match view {
                    Some(&[_, from, count]) => {
                        let (Some(from), Some(count)) = (self.tree.natural(from), self.tree.natural(count)) else {
                            return Err("a view of a storage without a place".into());
                        };
                        Storage { key, dtype, from, count }
                    }
                    _ => Storage { key, dtype, from: 0, count },
                };
                self.tree.push(Node::Storage(Rc::new(storage)))
            }
            // A class with its source text, which nobody reads.
            (Some("module"), &[_, class, ..]) => Ok(class),
            (kind, _) => Err(format!("a persistent id of {}", kind.map_or_else(|| "no kind".into(), shortened))),
        }
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

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let mut bytes = [0; N];
        self.from.read_exact(&mut bytes).map_err(|_| "it is cut off")?;
        Ok(bytes)
    }

    fn byte(&mut self) -> Result<u8, String> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn length4(&mut self) -> Result<u64, String> {
        self.array().map(|bytes| u32::from_le_bytes(bytes).into())
    }

    /// So many bytes: there is memory only for those that come.
    fn bytes(&mut self, count: u64) -> Result<Vec<u8>, String> {
        let mut bytes = Vec::new();
        self.from.by_ref().take(count).read_to_end(&mut bytes).map_err(|e| e.to_string())?;
        if bytes.len() as u64 == count { Ok(bytes) } else { Err("it is cut off".into()) }
    }

    fn skip(&mut self, count: u64) -> Result<Node, String> {
        self.bytes(count).map(|_| Node::Other)
    }

    fn text(&mut self, length: u64) -> Result<Node, String> {
        let bytes = self.bytes(length)?;
        Ok(Node::Text(String::from_utf8_lossy(&bytes).into()))
    }

    fn line(&mut self) -> Result<String, String> {
        let mut line = Vec::new();
        loop {
            match self.byte()? {
                b'\n' => return Ok(String::from_utf8_lossy(&line).into_owned()),
                _ if line.len() == LONGEST_NAME => return Err("a global's name is too long".into()),
                byte => line.push(byte),
            }
        }
    }
}

/// The most bytes of a module's or a class's name.
const LONGEST_NAME: usize = 1000;

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
