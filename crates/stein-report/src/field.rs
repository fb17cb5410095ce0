//! Density and score on a grid, checked.

use stein_record::arrays::{Array, ArrayFile};

/// `evaluation/field.safetensors` (see [`stein_record::arrays::FIELD_TENSORS`]) with shapes that fit together.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Field {
    /// Grid points along x, rising evenly.
    pub(crate) x: Vec<f64>,
    /// Grid points along y, rising evenly.
    pub(crate) y: Vec<f64>,
    /// Noise levels.
    pub(crate) sigma: Vec<f64>,
    learned: Option<Array>,
    density: Option<Array>,
    learned_density: Option<Array>,
    truth: Option<Array>,
}

impl Field {
    /// Checks what a file holds.
    pub(crate) fn from_arrays(file: &ArrayFile) -> Result<Self, String> {
        let axis = |name: &str| -> Result<Vec<f64>, String> {
            let array = file.arrays.get(name).ok_or_else(|| format!("there is no tensor {name:?}"))?;
            let values: Vec<f64> = array.data.iter().map(|&v| f64::from(v)).collect();
            if array.shape.len() != 1 || values.is_empty() || values.iter().any(|v| !v.is_finite()) {
                return Err(format!("{name:?} is not a list of numbers"));
            }
            Ok(values)
        };
        let (x, y, sigma) = (axis("x")?, axis("y")?, axis("sigma")?);
        for (name, grid) in [("x", &x), ("y", &y)] {
            if grid.len() < 2 || grid.windows(2).any(|w| w[1] <= w[0]) {
                return Err(format!("{name:?} does not rise"));
            }
        }
        let part = |name: &str, components: Option<usize>| -> Result<Option<Array>, String> {
            let Some(array) = file.arrays.get(name) else { return Ok(None) };
            let mut expected = vec![sigma.len(), y.len(), x.len()];
            expected.extend(components);
            let count = expected.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
            if array.shape != expected || count != Some(array.data.len()) {
                return Err(format!("{name:?} has the shape {:?} instead of {expected:?}", array.shape));
            }
            Ok(Some(array.clone()))
        };
        let (learned, density, truth) =
            (part("learned_score", Some(2))?, part("density", None)?, part("true_score", Some(2))?);
        let learned_density = part("learned_density", None)?;
        Ok(Self { x, y, sigma, learned, density, learned_density, truth })
    }

    /// Whether there is a learned score.
    pub(crate) fn has_learned(&self) -> bool {
        self.learned.is_some()
    }

    /// Whether the true score is known.
    pub(crate) fn has_truth(&self) -> bool {
        self.truth.is_some()
    }

    /// The learned score.
    pub(crate) fn learned(&self, level: usize, row: usize, column: usize) -> Option<[f64; 2]> {
        self.pair(&self.learned, level, row, column)
    }

    /// The true score.
    pub(crate) fn truth(&self, level: usize, row: usize, column: usize) -> Option<[f64; 2]> {
        self.pair(&self.truth, level, row, column)
    }

    fn pair(&self, array: &Option<Array>, level: usize, row: usize, column: usize) -> Option<[f64; 2]> {
        let at = 2 * ((level * self.y.len() + row) * self.x.len() + column);
        let pair = array.as_ref()?.data.get(at..at + 2)?;
        let pair = [f64::from(pair[0]), f64::from(pair[1])];
        pair.iter().all(|v| v.is_finite()).then_some(pair)
    }

    /// The density at a level, row by row from the lowest y; what is not a positive number is 0.
    pub(crate) fn density(&self, level: usize) -> Option<Vec<f64>> {
        self.positive(&self.density, level)
    }

    /// The same of what was learned, for networks that have a density; `None` where that was not normalised, so finite nowhere.
    pub(crate) fn learned_density(&self, level: usize) -> Option<Vec<f64>> {
        let size = self.x.len() * self.y.len();
        let values = self.learned_density.as_ref()?.data.get(level * size..(level + 1) * size)?;
        values.iter().any(|v| v.is_finite()).then(|| self.positive(&self.learned_density, level))?
    }

    /// Whether a density was learned.
    pub(crate) fn has_learned_density(&self) -> bool {
        self.learned_density.is_some()
    }

    fn positive(&self, array: &Option<Array>, level: usize) -> Option<Vec<f64>> {
        let size = self.x.len() * self.y.len();
        let values = array.as_ref()?.data.get(level * size..(level + 1) * size)?;
        Some(values.iter().map(|&v| if v.is_finite() && v > 0.0 { f64::from(v) } else { 0.0 }).collect())
    }

    /// The area of a grid point's cell.
    pub(crate) fn cell(&self) -> f64 {
        let step = |v: &[f64]| (v[v.len() - 1] - v[0]) / (v.len() - 1) as f64;
        step(&self.x) * step(&self.y)
    }

    /// The level whose σ is nearest in ratio; σ = 0 takes the smallest.
    pub(crate) fn nearest_level(&self, sigma: f64) -> usize {
        let distance = |s: f64| (s.max(1e-30).ln() - sigma.max(1e-30).ln()).abs();
        let best = (0..self.sigma.len()).min_by(|&a, &b| distance(self.sigma[a]).total_cmp(&distance(self.sigma[b])));
        best.unwrap_or(0)
    }

    /// Up to `most` levels, evenly through the list, largest σ first.
    pub(crate) fn some_levels(&self, most: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.sigma.len()).collect();
        order.sort_by(|&a, &b| self.sigma[b].total_cmp(&self.sigma[a]));
        spread(order.len(), most).into_iter().map(|i| order[i]).collect()
    }

    /// The extent that a picture covers: half a cell beyond the outer grid points.
    pub(crate) fn extent(&self) -> Extent {
        let outer = |v: &[f64]| {
            let (first, last) = (v[0], v[v.len() - 1]);
            let half = (last - first) / (2 * (v.len() - 1)) as f64;
            (first - half, last + half)
        };
        Extent { x: outer(&self.x), y: outer(&self.y) }
    }
}

/// A rectangle of the plane.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Extent {
    pub(crate) x: (f64, f64),
    pub(crate) y: (f64, f64),
}

impl Extent {
    /// What holds all finite points but the outermost percent on each side, with a margin.
    pub(crate) fn around(points: &[[f64; 2]]) -> Self {
        let side = |k: usize| {
            let mut values: Vec<f64> = points.iter().map(|p| p[k]).filter(|v| v.is_finite()).collect();
            values.sort_by(f64::total_cmp);
            let Some(last) = values.len().checked_sub(1) else { return (-1.0, 1.0) };
            let cut = values.len() / 100;
            let (low, high) = (values[cut], values[last - cut]);
            let margin = (0.15 * (high - low)).max(1e-6 * (1.0 + high.abs()));
            if margin.is_finite() { (low - margin, high + margin) } else { (-1.0, 1.0) }
        };
        Self { x: side(0), y: side(1) }
    }

    /// Height over width.
    pub(crate) fn aspect(&self) -> f64 {
        let ratio = (self.y.1 - self.y.0) / (self.x.1 - self.x.0);
        if ratio.is_finite() { ratio.clamp(0.25, 4.0) } else { 1.0 }
    }

    /// Where a point lies in a box of that width and height; `None` if outside.
    pub(crate) fn place(&self, [x, y]: [f64; 2], width: f64, height: f64) -> Option<(f64, f64)> {
        let u = (x - self.x.0) / (self.x.1 - self.x.0);
        let v = (self.y.1 - y) / (self.y.1 - self.y.0);
        ((0.0..=1.0).contains(&u) && (0.0..=1.0).contains(&v)).then_some((u * width, v * height))
    }
}

/// Up to `most` of `count` indices, evenly spaced, the first and the last among them.
pub(crate) fn spread(count: usize, most: usize) -> Vec<usize> {
    if count <= most {
        return (0..count).collect();
    }
    match most {
        0 => Vec::new(),
        1 => vec![count - 1],
        _ => (0..most).map(|i| (i * (count - 1) + (most - 1) / 2) / (most - 1)).collect(),
    }
}

/// The rows of an `[N, 2]` array.
pub(crate) fn points(array: &Array) -> Option<Vec<[f64; 2]>> {
    match array.shape[..] {
        [n, 2] if n.checked_mul(2) == Some(array.data.len()) => {
            Some(array.data.chunks_exact(2).map(|p| [f64::from(p[0]), f64::from(p[1])]).collect())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(shape: [usize; 4]) -> ArrayFile {
        let mut file = ArrayFile::default();
        let list = |n: usize| Array::new([n], (0..n).map(|i| i as f32).collect());
        file.arrays.insert("x".into(), list(shape[2]));
        file.arrays.insert("y".into(), list(shape[1]));
        file.arrays.insert("sigma".into(), list(shape[0]));
        let count = shape.iter().product();
        file.arrays.insert("learned_score".into(), Array::new(shape, (0..count).map(|i| i as f32).collect()));
        file
    }

    #[test]
    fn shapes_are_checked() {
        let good = file([2, 3, 4, 2]);
        let field = Field::from_arrays(&good).unwrap();
        assert_eq!(field.learned(1, 2, 3), Some([46.0, 47.0]));
        assert_eq!((field.truth(0, 0, 0), field.density(0)), (None, None));
        assert_eq!(field.nearest_level(0.0), 0);
        let mut bad = good.clone();
        bad.arrays.insert("density".into(), Array::new([2, 4, 3], vec![0.0; 24]));
        assert!(Field::from_arrays(&bad).unwrap_err().contains("density"));
        let mut bad = good.clone();
        bad.arrays.insert("x".into(), Array::new([4], vec![0.0, f32::NAN, 1.0, 2.0]));
        assert!(Field::from_arrays(&bad).is_err());
        bad.arrays.insert("x".into(), Array::new([4], vec![0.0; 4]));
        assert!(Field::from_arrays(&bad).unwrap_err().contains("rise"));
        assert!(Field::from_arrays(&ArrayFile::default()).is_err());
    }

    #[test]
    fn spreading() {
        assert_eq!(spread(3, 6), [0, 1, 2]);
        assert_eq!(spread(20, 3), [0, 10, 19]);
        assert_eq!(spread(0, 3), [0; 0]);
        assert_eq!(spread(5, 1), [4]);
    }

    #[test]
    fn extents_hold_up() {
        let extent = Extent::around(&[[f64::NAN, 1.0], [f64::INFINITY, 1.0]]);
        assert_eq!(extent.x, (-1.0, 1.0));
        assert!(extent.place([0.0, 1.0], 10.0, 10.0).is_some());
        assert!(extent.place([f64::NAN, 1.0], 10.0, 10.0).is_none());
    }
}
