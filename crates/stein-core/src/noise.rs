//! Noise that is the same everywhere: counter-based ChaCha streams on the host.
//!
//! A run has one seed. A stream's key is derived from the seed and the stream's name, its position from the training step
//! (or the chain), so that any step's noise can be had without drawing the steps before it: a resumed run continues the
//! very same noise, on every backend, and a chain's noise does not depend on its neighbours.

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;
use rayon::prelude::*;
use sha2::{Digest, Sha256};

/// All noise streams of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Streams {
    seed: u64,
}

impl Streams {
    /// The streams of a run seed.
    pub fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// The noise of the stream `name` at `step`.
    pub fn at(&self, name: &str, step: u64) -> Noise {
        Noise { rng: generator(self.key(name), step) }
    }

    /// One stream a chain, for the chains of `range`.
    pub fn chains(&self, name: &str, range: std::ops::Range<u64>) -> ChainNoise {
        let key = self.key(name);
        ChainNoise { source: Source::Streams(range.map(|chain| generator(key, chain)).collect()) }
    }

    fn key(&self, name: &str) -> [u8; 32] {
        let mut hasher = Sha256::new();
        hasher.update(b"stein noise 1");
        hasher.update(self.seed.to_le_bytes());
        hasher.update(name.as_bytes());
        hasher.finalize().into()
    }
}

fn generator(key: [u8; 32], position: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::from_seed(key);
    rng.set_stream(position);
    rng
}

/// A source of random numbers.
#[derive(Debug, Clone)]
pub struct Noise {
    rng: ChaCha8Rng,
}

impl Noise {
    /// `n` standard normals.
    pub fn normals(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| self.normal()).collect()
    }

    /// One standard normal.
    pub fn normal(&mut self) -> f32 {
        self.rng.sample(StandardNormal)
    }

    /// `n` numbers uniform in [0, 1).
    pub fn uniforms(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| self.rng.random()).collect()
    }

    /// One number uniform in [0, 1).
    pub fn uniform(&mut self) -> f64 {
        self.rng.random()
    }

    /// An index below `n`.
    ///
    /// # Panics
    /// If `n` is 0.
    pub fn index(&mut self, n: usize) -> usize {
        self.rng.random_range(0..n)
    }

    /// Shuffles in place (Fisher–Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.index(i + 1));
        }
    }

    /// A seed for a generator of somebody else's.
    pub fn seed(&mut self) -> u64 {
        self.rng.next_u64()
    }
}

/// Normals of one task at least: fewer are not worth a thread.
const NORMALS: usize = 1024;

/// Independent noise for each chain of a chunk: samples do not depend on how chains are batched.
#[derive(Debug, Clone)]
pub struct ChainNoise {
    source: Source,
}

#[derive(Debug, Clone)]
enum Source {
    /// A generator a chain.
    Streams(Vec<ChaCha8Rng>),
    /// Somebody else's normals.
    Replay { chains: usize, draws: Vec<Vec<f32>>, asked: usize },
}

impl ChainNoise {
    /// Gives the `draws`, `[chains, d]` each, one after another in place of normals of its own, to compare a sampler with one
    /// elsewhere. Beyond the last come zeros: see [`asked`](Self::asked).
    pub fn replay(chains: usize, draws: Vec<Vec<f32>>) -> Self {
        Self { source: Source::Replay { chains, draws, asked: 0 } }
    }

    /// How many draws a replay was asked for, whether it had so many or not; 0 for noise of its own.
    pub fn asked(&self) -> usize {
        match self.source {
            Source::Streams(_) => 0,
            Source::Replay { asked, .. } => asked,
        }
    }

    /// The number of chains.
    pub fn len(&self) -> usize {
        match &self.source {
            Source::Streams(chains) => chains.len(),
            Source::Replay { chains, .. } => *chains,
        }
    }

    /// Whether there is no chain.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The next `d` standard normals of each chain, row major `[chains, d]`.
    pub fn normals(&mut self, d: usize) -> Vec<f32> {
        match &mut self.source {
            Source::Streams(chains) => {
                let mut out = vec![0.0; chains.len() * d];
                let rows = out.par_chunks_mut(d.max(1)).zip(chains).with_min_len(NORMALS.div_ceil(d.max(1)));
                rows.for_each(|(out, rng)| out.fill_with(|| rng.sample(StandardNormal)));
                out
            }
            Source::Replay { chains, draws, asked } => {
                let mut out = draws.get(*asked).cloned().unwrap_or_default();
                *asked += 1;
                out.resize(*chains * d, 0.0);
                out
            }
        }
    }

    /// The next `d` numbers uniform in [0, 1) of each chain, row major `[chains, d]`; a replay has none, and gives zeros.
    pub fn uniforms(&mut self, d: usize) -> Vec<f32> {
        match &mut self.source {
            Source::Streams(chains) => {
                let mut out = Vec::with_capacity(chains.len() * d);
                for rng in chains {
                    out.extend((0..d).map(|_| -> f32 { rng.random() }));
                }
                out
            }
            Source::Replay { chains, .. } => vec![0.0; *chains * d],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_reproducible_and_distinct() {
        let streams = Streams::new(7);
        assert_eq!(streams.at("a", 3).normals(5), streams.at("a", 3).normals(5));
        assert_ne!(streams.at("a", 3).normals(5), streams.at("a", 4).normals(5));
        assert_ne!(streams.at("a", 3).normals(5), streams.at("b", 3).normals(5));
        assert_ne!(streams.at("a", 3).normals(5), Streams::new(8).at("a", 3).normals(5));
    }

    #[test]
    fn chains_do_not_depend_on_their_chunk() {
        let streams = Streams::new(1);
        let mut all = streams.chains("sampler", 0..6);
        let mut part = streams.chains("sampler", 4..6);
        for _ in 0..3 {
            assert_eq!(all.normals(7)[28..], part.normals(7)[..]);
        }
    }

    #[test]
    fn chains_do_not_depend_on_the_threads() {
        let draw = || Streams::new(1).chains("sampler", 0..5000).normals(3);
        let pool = |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
        let one = pool(1).install(draw);
        assert_eq!(one, pool(4).install(draw));
        assert_eq!(one[..3], Streams::new(1).chains("sampler", 0..1).normals(3)[..]);
    }

    #[test]
    fn a_replay_gives_what_it_was_given_and_counts_what_it_was_asked_for() {
        let mut noise = ChainNoise::replay(2, vec![vec![1.0, 2.0], vec![3.0, 4.0]]);
        assert_eq!((noise.len(), noise.asked()), (2, 0));
        assert_eq!(noise.normals(1), [1.0, 2.0]);
        assert_eq!(noise.normals(1), [3.0, 4.0]);
        assert_eq!(noise.asked(), 2);
        // Nothing is left: zeros, and the shortage can be seen.
        assert_eq!(noise.normals(1), [0.0, 0.0]);
        assert_eq!(noise.asked(), 3);
        let mut own = Streams::new(1).chains("sampler", 0..2);
        own.normals(3);
        assert_eq!((own.len(), own.asked()), (2, 0));
    }

    #[test]
    fn moments_of_the_normals() {
        let z = Streams::new(0).at("moments", 0).normals(200_000);
        let n = z.len() as f64;
        let mean = z.iter().map(|&x| f64::from(x)).sum::<f64>() / n;
        let variance = z.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / n;
        let fourth = z.iter().map(|&x| f64::from(x).powi(4)).sum::<f64>() / n;
        // Five standard errors: 1/√n, √(2/n), √(96/n).
        assert!(mean.abs() < 5.0 / n.sqrt(), "{mean}");
        assert!((variance - 1.0).abs() < 5.0 * (2.0 / n).sqrt(), "{variance}");
        assert!((fourth - 3.0).abs() < 5.0 * (96.0 / n).sqrt(), "{fourth}");
    }

    #[test]
    fn the_first_numbers_are_pinned() {
        // A changed generator would silently change every published run.
        let first = Streams::new(0).at("batch", 0).normals(2);
        assert_eq!(first, PINNED, "{first:?}");
    }

    const PINNED: [f32; 2] = [-0.306_483_86, -2.125_263];
}
