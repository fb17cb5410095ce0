//! Who is asked: ours, and other programs in `tests/benches`.

use super::side::Side;
use super::{ours, peer, wanted};

/// Another program that answers the same questions.
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    /// What the JSON calls it.
    pub(crate) key: &'static str,
    /// How its script's name ends, after the benchmark's.
    script: &'static str,
    arguments: &'static [&'static str],
}

pub(crate) const PEERS: [Peer; 3] = [
    Peer { name: "PyTorch eager", key: "torch", script: "peer.py", arguments: &[] },
    Peer { name: "torch.compile", key: "torch_compile", script: "peer.py", arguments: &["--compile"] },
    Peer { name: "JAX jit", key: "jax", script: "jax.py", arguments: &[] },
];

/// All that are asked of one benchmark.
pub(crate) struct Sides {
    pub(crate) own: Side,
    /// In the order of [`PEERS`]; none where ours is asked alone.
    pub(crate) others: Vec<Side>,
}

impl Sides {
    /// Starts them, with as many threads as there are cores.
    pub(crate) fn start(bench: &str, peers: bool) -> Result<Self, String> {
        let threads = threads();
        let own = Side::start(ours(bench), threads)?;
        let mut others = Vec::new();
        for Peer { script, arguments, .. } in PEERS.iter().filter(|_| peers) {
            let mut command = peer(&format!("{bench}_{script}"));
            command.args(*arguments);
            others.push(Side::start(command, threads).map_err(wanted)?);
        }
        Ok(Self { own, others })
    }
}

pub(crate) fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
