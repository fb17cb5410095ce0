//! What stands in a pickle behind its opcodes.

use std::io::Read;

use super::Machine;
use crate::torch::value::Node;

/// The most bytes of a module's or a class's name.
pub(super) const LONGEST_NAME: usize = 1000;

impl<R: Read> Machine<'_, R> {
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let mut bytes = [0; N];
        self.from.read_exact(&mut bytes).map_err(|_| "it is cut off")?;
        Ok(bytes)
    }

    pub(super) fn byte(&mut self) -> Result<u8, String> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(super) fn length4(&mut self) -> Result<u64, String> {
        self.array().map(|bytes| u32::from_le_bytes(bytes).into())
    }

    /// So many bytes: there is memory only for those that come.
    pub(super) fn bytes(&mut self, count: u64) -> Result<Vec<u8>, String> {
        let mut bytes = Vec::new();
        self.from.by_ref().take(count).read_to_end(&mut bytes).map_err(|e| e.to_string())?;
        if bytes.len() as u64 == count { Ok(bytes) } else { Err("it is cut off".into()) }
    }

    pub(super) fn skip(&mut self, count: u64) -> Result<Node, String> {
        self.bytes(count).map(|_| Node::Other)
    }

    pub(super) fn text(&mut self, length: u64) -> Result<Node, String> {
        let bytes = self.bytes(length)?;
        Ok(Node::Text(String::from_utf8_lossy(&bytes).into()))
    }

    pub(super) fn line(&mut self) -> Result<String, String> {
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
