//! What a pickle would import and call, and what it gets instead.

use std::io::Read;
use std::rc::Rc;

use super::Machine;
use super::input::LONGEST_NAME;
use crate::torch::tensor::{Dtype, Storage, Tensor};
use crate::torch::value::{Id, Node, shortened};

impl<R: Read> Machine<'_, R> {
    /// What would import and call.
    pub(super) fn object(&mut self, opcode: u8) -> Result<(), String> {
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
}
