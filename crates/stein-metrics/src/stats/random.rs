//! Random numbers from a seed: ChaCha, so the same on every machine.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// What a stream is for; two purposes never share numbers under the same seed.
#[derive(Clone, Copy)]
pub(crate) enum Purpose {
    Splits,
    Directions,
    Gaussian,
    #[cfg(test)]
    Test,
}

pub(crate) struct Stream(ChaCha8Rng);

impl Stream {
    pub(crate) fn new(seed: u64, purpose: Purpose) -> Self {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        let mut generator = ChaCha8Rng::from_seed(key);
        generator.set_stream(purpose as u64);
        Self(generator)
    }

    /// Uniform in (0, 1], in steps of 2⁻⁵³.
    fn uniform(&mut self) -> f64 {
        ((self.0.next_u64() >> 11) + 1) as f64 * (-53f64).exp2()
    }

    /// Two independent standard normal numbers (Box–Muller).
    fn normal_pair(&mut self) -> [f64; 2] {
        let radius = (-2.0 * self.uniform().ln()).sqrt();
        let (sin, cos) = (std::f64::consts::TAU * self.uniform()).sin_cos();
        [radius * cos, radius * sin]
    }

    /// `n` independent standard normal numbers.
    pub(crate) fn normals(&mut self, n: usize) -> Vec<f64> {
        let mut out = Vec::with_capacity(n + 1);
        while out.len() < n {
            out.extend(self.normal_pair());
        }
        out.truncate(n);
        out
    }

    /// Uniform in 0..n, n > 0, without bias (Lemire 2019).
    fn below(&mut self, n: u64) -> u64 {
        loop {
            let product = u128::from(self.0.next_u64()) * u128::from(n);
            if product as u64 >= n.wrapping_neg() % n {
                return (product >> 64) as u64;
            }
        }
    }

    /// A uniformly random order of 0..n (Fisher–Yates).
    pub(crate) fn permutation(&mut self, n: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..n).collect();
        for i in (1..n).rev() {
            order.swap(i, self.below(i as u64 + 1) as usize);
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normals_have_the_moments_of_normals() {
        let z = Stream::new(3, Purpose::Test).normals(40_001);
        assert_eq!(z.len(), 40_001);
        let moment = |p: i32| z.iter().map(|z| z.powi(p)).sum::<f64>() / z.len() as f64;
        assert!(moment(1).abs() < 0.02);
        assert!((moment(2) - 1.0).abs() < 0.03);
        assert!((moment(4) - 3.0).abs() < 0.2);
    }

    #[test]
    fn permutations_hold_every_index_and_purposes_differ() {
        let order = Stream::new(1, Purpose::Splits).permutation(100);
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..100).collect::<Vec<_>>());
        assert_eq!(order, Stream::new(1, Purpose::Splits).permutation(100));
        assert_ne!(order, Stream::new(1, Purpose::Directions).permutation(100));
        assert_ne!(order, Stream::new(2, Purpose::Splits).permutation(100));
    }
}
