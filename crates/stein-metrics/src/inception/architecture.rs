//! What the network is made of, as data: from it follow the names and shapes of the weights, and the forward pass.
//!
//! Inception v3 of Szegedy et al. 2015 (arXiv 1512.00567) as TensorFlow published it; names are torchvision's.

/// Something that is done to the whole.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Stage<L> {
    Layer(L),
    Halve,
    /// What the branches make of the same images, one behind another along the channels.
    Block(Vec<Branch<L>>),
}

/// A pool, if there is one, then a layer after another, of which the last ones may stand side by side.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Branch<L> {
    pub(super) pool: Option<Pool>,
    pub(super) chain: Vec<L>,
    pub(super) ends: Vec<L>,
}

/// A pool of 3×3 pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pool {
    /// Means about each pixel, at edges over the pixels that there are.
    Mean,
    /// Maxima about each pixel.
    Max,
    /// Maxima about every second pixel that has all its neighbours.
    Halve,
}

/// A convolution without bias, a batch normalisation and ReLU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layer {
    /// Before `.conv.weight`, `.bn.weight`, `.bn.bias`, `.bn.running_mean` and `.bn.running_var`.
    pub(super) name: String,
    pub(super) inputs: usize,
    pub(super) outputs: usize,
    /// Height and width.
    pub(super) kernel: [usize; 2],
    pub(super) fit: Fit,
}

/// What a convolution does at edges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fit {
    /// Zeros are put around: images keep their size.
    Same,
    /// Only pixels that have all their neighbours.
    Inner,
    /// Every second one of these.
    Halve,
}

impl<L> Stage<L> {
    /// The same of other layers.
    pub(super) fn try_map<M, E>(self, f: &mut impl FnMut(L) -> Result<M, E>) -> Result<Stage<M>, E> {
        let mut all = |layers: Vec<L>| layers.into_iter().map(&mut *f).collect::<Result<Vec<M>, E>>();
        Ok(match self {
            Self::Layer(layer) => Stage::Layer(f(layer)?),
            Self::Halve => Stage::Halve,
            Self::Block(branches) => Stage::Block(
                branches
                    .into_iter()
                    .map(|Branch { pool, chain, ends }| Ok(Branch { pool, chain: all(chain)?, ends: all(ends)? }))
                    .collect::<Result<_, E>>()?,
            ),
        })
    }
}

/// A layer within a block: its name there, channels out, kernel, fit.
type Within = (&'static str, usize, [usize; 2], Fit);
/// A branch of a block.
type Rows = (Option<Pool>, Vec<Within>, Vec<Within>);

const ONE: [usize; 2] = [1, 1];
const THREE: [usize; 2] = [3, 3];
const ROW: [usize; 2] = [1, 7];
const COLUMN: [usize; 2] = [7, 1];

const fn same(name: &'static str, outputs: usize, kernel: [usize; 2]) -> Within {
    (name, outputs, kernel, Fit::Same)
}

const fn halve(name: &'static str, outputs: usize) -> Within {
    (name, outputs, THREE, Fit::Halve)
}

fn chain(layers: &[Within]) -> Rows {
    (None, layers.to_vec(), Vec::new())
}

fn pooled(pool: Pool, layers: &[Within]) -> Rows {
    (Some(pool), layers.to_vec(), Vec::new())
}

fn forked(layers: &[Within], ends: &[Within]) -> Rows {
    (None, layers.to_vec(), ends.to_vec())
}

/// InceptionA.
fn a(pooled_outputs: usize) -> Vec<Rows> {
    vec![
        chain(&[same("branch1x1", 64, ONE)]),
        chain(&[same("branch5x5_1", 48, ONE), same("branch5x5_2", 64, [5, 5])]),
        chain(&[same("branch3x3dbl_1", 64, ONE), same("branch3x3dbl_2", 96, THREE), same("branch3x3dbl_3", 96, THREE)]),
        pooled(Pool::Mean, &[same("branch_pool", pooled_outputs, ONE)]),
    ]
}

/// InceptionB.
fn b() -> Vec<Rows> {
    vec![
        chain(&[halve("branch3x3", 384)]),
        chain(&[same("branch3x3dbl_1", 64, ONE), same("branch3x3dbl_2", 96, THREE), halve("branch3x3dbl_3", 96)]),
        pooled(Pool::Halve, &[]),
    ]
}

/// InceptionC.
fn c(width: usize) -> Vec<Rows> {
    vec![
        chain(&[same("branch1x1", 192, ONE)]),
        chain(&[same("branch7x7_1", width, ONE), same("branch7x7_2", width, ROW), same("branch7x7_3", 192, COLUMN)]),
        chain(&[
            same("branch7x7dbl_1", width, ONE),
            same("branch7x7dbl_2", width, COLUMN),
            same("branch7x7dbl_3", width, ROW),
            same("branch7x7dbl_4", width, COLUMN),
            same("branch7x7dbl_5", 192, ROW),
        ]),
        pooled(Pool::Mean, &[same("branch_pool", 192, ONE)]),
    ]
}

/// InceptionD.
fn d() -> Vec<Rows> {
    vec![
        chain(&[same("branch3x3_1", 192, ONE), halve("branch3x3_2", 320)]),
        chain(&[
            same("branch7x7x3_1", 192, ONE),
            same("branch7x7x3_2", 192, ROW),
            same("branch7x7x3_3", 192, COLUMN),
            halve("branch7x7x3_4", 192),
        ]),
        pooled(Pool::Halve, &[]),
    ]
}

/// InceptionE.
fn e(pool: Pool) -> Vec<Rows> {
    let ends = |row: &'static str, column: &'static str| [same(row, 384, [1, 3]), same(column, 384, [3, 1])];
    vec![
        chain(&[same("branch1x1", 320, ONE)]),
        forked(&[same("branch3x3_1", 384, ONE)], &ends("branch3x3_2a", "branch3x3_2b")),
        forked(
            &[same("branch3x3dbl_1", 448, ONE), same("branch3x3dbl_2", 384, THREE)],
            &ends("branch3x3dbl_3a", "branch3x3dbl_3b"),
        ),
        pooled(pool, &[same("branch_pool", 192, ONE)]),
    ]
}

/// The whole up to the mean over pixels. It takes 3 channels.
///
/// Its means do not count what lies beyond an edge, and the last block has a maximum where the paper and torchvision have a mean: so the
/// published weights were trained, and so published numbers are computed.
pub(super) fn stages() -> Vec<Stage<Layer>> {
    let mut channels = 3;
    let first = |name: &str, channels: &mut usize, outputs: usize, kernel: [usize; 2], fit: Fit| {
        let inputs = std::mem::replace(channels, outputs);
        Stage::Layer(Layer { name: name.into(), inputs, outputs, kernel, fit })
    };
    let mut stages = vec![
        first("Conv2d_1a_3x3", &mut channels, 32, THREE, Fit::Halve),
        first("Conv2d_2a_3x3", &mut channels, 32, THREE, Fit::Inner),
        first("Conv2d_2b_3x3", &mut channels, 64, THREE, Fit::Same),
        Stage::Halve,
        first("Conv2d_3b_1x1", &mut channels, 80, ONE, Fit::Same),
        first("Conv2d_4a_3x3", &mut channels, 192, THREE, Fit::Inner),
        Stage::Halve,
    ];
    let blocks = [
        ("Mixed_5b", a(32)),
        ("Mixed_5c", a(64)),
        ("Mixed_5d", a(64)),
        ("Mixed_6a", b()),
        ("Mixed_6b", c(128)),
        ("Mixed_6c", c(160)),
        ("Mixed_6d", c(160)),
        ("Mixed_6e", c(192)),
        ("Mixed_7a", d()),
        ("Mixed_7b", e(Pool::Mean)),
        ("Mixed_7c", e(Pool::Max)),
    ];
    for (name, rows) in blocks {
        let (block, outputs) = block(name, channels, rows);
        stages.push(Stage::Block(block));
        channels = outputs;
    }
    stages
}

/// A block of images with so many channels, and how many it makes of them.
fn block(name: &str, inputs: usize, rows: Vec<Rows>) -> (Vec<Branch<Layer>>, usize) {
    let layer = |inputs: usize, (own, outputs, kernel, fit): Within| Layer {
        name: format!("{name}.{own}"),
        inputs,
        outputs,
        kernel,
        fit,
    };
    let mut outputs = 0;
    let branches = rows.into_iter().map(|(pool, chain, ends)| {
        let mut channels = inputs;
        let chain = chain.into_iter().map(|within| layer(std::mem::replace(&mut channels, within.1), within)).collect();
        let ends: Vec<Layer> = ends.into_iter().map(|within| layer(channels, within)).collect();
        outputs += if ends.is_empty() { channels } else { ends.iter().map(|end| end.outputs).sum() };
        Branch { pool, chain, ends }
    });
    (branches.collect(), outputs)
}

/// All layers, in order.
pub(super) fn layers() -> Vec<Layer> {
    let of = |stage| match stage {
        Stage::Layer(layer) => vec![layer],
        Stage::Halve => Vec::new(),
        Stage::Block(branches) => {
            branches.into_iter().flat_map(|branch: Branch<Layer>| branch.chain.into_iter().chain(branch.ends)).collect()
        }
    };
    stages().into_iter().flat_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_has_the_layers_and_numbers_of_the_paper() {
        let layers = layers();
        assert_eq!(layers.len(), 94);
        // torchvision counts 27,161,264 of Inception v3: less its 3,326,696 of the auxiliary classifier and 2,049,000 of the last layer.
        let of = |l: &Layer| l.outputs * (l.inputs * l.kernel[0] * l.kernel[1] + 2);
        assert_eq!(layers.iter().map(of).sum::<usize>(), 27_161_264 - 3_326_696 - 2_049_000);
        let named = |name: &str| layers.iter().find(|layer| layer.name == name).unwrap_or_else(|| panic!("no {name}"));
        assert_eq!((named("Mixed_5c.branch_pool").inputs, named("Mixed_6a.branch3x3").inputs), (256, 288));
        assert_eq!((named("Mixed_7a.branch3x3_1").inputs, named("Mixed_7c.branch1x1").inputs), (768, 2048));
        assert_eq!(named("Mixed_7c.branch3x3dbl_3b").inputs, 384);
        let names: std::collections::BTreeSet<&str> = layers.iter().map(|layer| layer.name.as_str()).collect();
        assert_eq!(names.len(), 94);
    }

    #[test]
    fn the_last_block_has_the_peculiar_pool() {
        let stages = stages();
        let pool = |stage: &Stage<Layer>| match stage {
            Stage::Block(branches) => branches.last().and_then(|branch| branch.pool),
            _ => None,
        };
        let pools: Vec<Pool> = stages.iter().filter_map(pool).collect();
        use Pool::{Halve, Max, Mean};
        assert_eq!(pools, [Mean, Mean, Mean, Halve, Mean, Mean, Mean, Mean, Halve, Mean, Max]);
        let Some(Stage::Block(last)) = stages.last() else { panic!("a block") };
        let outputs = |branch: &Branch<Layer>| match &branch.ends[..] {
            [] => branch.chain.last().map_or(0, |layer| layer.outputs),
            ends => ends.iter().map(|end| end.outputs).sum(),
        };
        assert_eq!(last.iter().map(outputs).collect::<Vec<_>>(), [320, 768, 768, 192]);
    }
}
