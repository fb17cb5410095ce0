//! Samples against somebody else's: a sampler's test vectors.
//!
//! A vector is a safetensors file of `f32` tensors: `x [B, D]`, where the chains start; `noise [K, B, D]`, standard normals in
//! the order in which the algorithm's published form draws them, left out where it draws none; `expected [B, D]`, where the
//! chains end. Its metadata are `experiment`, TOML with `[data]`, `[network] kind = "exact"`, `[schedule]` and `[sampler]`, and
//! `source`, free text. Samples are drawn in single precision, as a run draws them.

use std::ops::ControlFlow;

use burn::tensor::{Device, Tensor};
use stein_core::{ChainNoise, Observer, Registry, SampleError, StepInfo, matrix, to_host};
use stein_experiment::SampleParts;
use stein_record::Array;
use stein_record::arrays::ArrayFile;
use stein_record::source::Source;

use crate::VectorError;
use crate::verify::source_of;

/// What a sampler's vector tells.
#[derive(Debug, Clone, PartialEq)]
pub struct VerifiedSamples {
    /// max |ours − theirs| over max |theirs|.
    pub sample_error: f64,
    /// Where the vector comes from.
    pub source: String,
    /// Tensors that no such vector has, by name.
    pub unused: Vec<String>,
}

/// Whether a vector is one of a sampler: it says where chains end.
pub fn holds_samples(file: &ArrayFile) -> bool {
    file.arrays.contains_key("expected")
}

/// Checks one vector; `name` is what messages call it.
///
/// # Errors
/// If the file is not a sampler's vector, or its sampler can't be held against one.
pub fn verify_samples(name: &str, file: &ArrayFile, registry: &Registry) -> Result<VerifiedSamples, VectorError> {
    let text = file.metadata.get("experiment").ok_or_else(|| "there is no `experiment` in its metadata".to_owned())?;
    let wrong = |diagnostics| VectorError::Experiment(Box::new(source_of(name, text)), diagnostics);
    let source = Source::new(format!("{name}, experiment"), text.as_bytes()).map_err(wrong)?;
    let vector = Vector::read(file)?;
    let device = Device::flex();
    let parts = SampleParts::read(&source, registry, &device).map_err(wrong)?;
    let samples = vector.draw(&parts, &device)?;
    Ok(VerifiedSamples {
        sample_error: relative_error(&samples, &vector.expected.data),
        source: file.metadata.get("source").cloned().unwrap_or_default(),
        unused: file.arrays.keys().filter(|n| !TENSORS.contains(&n.as_str())).cloned().collect(),
    })
}

const TENSORS: [&str; 3] = ["x", "noise", "expected"];

/// The tensors of a vector, of shapes that fit.
struct Vector<'a> {
    x: &'a Array,
    noise: Option<&'a Array>,
    expected: &'a Array,
}

impl<'a> Vector<'a> {
    fn read(file: &'a ArrayFile) -> Result<Self, String> {
        let of = |name: &str| file.arrays.get(name);
        let x = of("x").ok_or("there is no tensor `x`")?;
        let expected = of("expected").ok_or("there is no tensor `expected`")?;
        let noise = of("noise");
        let [batch, d] = x.shape[..] else {
            return Err(format!("`x` has the shape {:?}; it must be [B, D]", x.shape));
        };
        if batch == 0 || d == 0 {
            return Err(format!("`x` has the shape {:?}: there is nothing in it", x.shape));
        }
        if expected.shape != x.shape {
            return Err(format!(
                "`expected` has the shape {:?}; it must be that of `x`, {:?}",
                expected.shape, x.shape
            ));
        }
        if let Some(noise) = noise
            && (noise.shape.len() != 3 || noise.shape[1..] != x.shape[..])
        {
            let shape = &noise.shape;
            return Err(format!(
                "`noise` has the shape {shape:?}; with this `x` it must be [K, B, D] = [K, {batch}, {d}]"
            ));
        }
        for (name, array) in [("x", Some(x)), ("noise", noise), ("expected", Some(expected))] {
            if let Some(value) = array.and_then(|a| a.data.iter().find(|v| !v.is_finite())) {
                return Err(format!("a number in `{name}` is {value}; they must be finite"));
            }
        }
        Ok(Self { x, noise, expected })
    }

    /// Where our sampler takes the chains, `[B, D]`.
    fn draw(&self, parts: &SampleParts, device: &Device) -> Result<Vec<f32>, String> {
        let [batch, d] = [self.x.rows(), self.x.row_length()];
        if parts.dimension != d {
            return Err(format!("`x` has rows of {d} numbers, and its [data] rows of {}", parts.dimension));
        }
        if parts.sampler.evaluations(&*parts.schedule).is_none() {
            return Err("the sampler chooses its own steps as it goes: no vector can follow it".into());
        }
        let given = self.noise.map_or(0, Array::rows);
        let draws = self.noise.into_iter().flat_map(|z| (0..z.rows()).map(|k| z.row(k).to_vec())).collect();
        let mut noise = ChainNoise::replay(batch, draws);
        let x = matrix(self.x.data.clone(), d, device);
        let drawn = parts.sampler.sample(&parts.score, &*parts.schedule, x, &mut noise, &mut UnlessRejecting);
        let drawn = drawn.map_err(|e| match e {
            SampleError::Stopped { .. } => "the sampler accepts and rejects: no vector can follow it".to_owned(),
            other => other.to_string(),
        })?;
        if noise.asked() > given {
            let asked = noise.asked();
            return Err(format!(
                "the sampler draws {asked} rows of noise; `noise` has {given}, and needs [{asked}, B, D]"
            ));
        }
        Ok(to_host(drawn))
    }
}

/// Stops a sampler that rejects proposals: a chain that rounding sends the other way ends elsewhere.
struct UnlessRejecting;

impl Observer for UnlessRejecting {
    fn step(&mut self, info: StepInfo, _: &Tensor<2>) -> ControlFlow<()> {
        if info.acceptance.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

/// max |a − b| over max |b|; 0 where both are zero, and no number where one of `a` is none.
fn relative_error(a: &[f32], b: &[f32]) -> f64 {
    let largest = |values: &mut dyn Iterator<Item = f64>| {
        values.fold(0.0, |most: f64, v| if v > most || v.is_nan() { v } else { most })
    };
    let distance = largest(&mut a.iter().zip(b).map(|(&a, &b)| (f64::from(a) - f64::from(b)).abs()));
    let size = largest(&mut b.iter().map(|&b| f64::from(b).abs()));
    if distance == 0.0 { 0.0 } else { distance / size }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_of_the_farthest_number_over_the_largest() {
        assert_eq!(relative_error(&[1.0, 2.5], &[1.0, 2.0]), 0.25);
        assert_eq!(relative_error(&[0.0], &[0.0]), 0.0);
        assert_eq!(relative_error(&[1.0], &[0.0]), f64::INFINITY);
        // Whatever comes after it.
        assert!(relative_error(&[1.0, f32::NAN, 1.0], &[1.0, 1.0, 2.0]).is_nan());
    }
}
