//! `ncsn` and `ncsnv2` against what the authors' own code puts out with the same weights: see `tests/parity/README.md`.

use std::collections::BTreeSet;
use std::path::Path;

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{DType, Tensor, TensorData};
use stein_core::{AnyNetwork, Component, Condition, Dataset, ImageShape, Level, Levels, NetworkContext, ScoreNetwork};
use stein_jet::Activation;
use stein_networks::{NcsnConfig, Ncsnv2Config, Ncsnv2Depth, Parameterization, Parameterized, Pooling};
use stein_record::Array;
use stein_record::arrays::ArrayFile;

use crate::common::{Sigmas, device, noise};

const NCSN: NcsnConfig = NcsnConfig { channels: 4, activation: Activation::Elu, rescale: true, classes: false };
const NCSNV2: Ncsnv2Config = Ncsnv2Config {
    channels: 4,
    depth: Ncsnv2Depth::Auto,
    activation: Activation::Elu,
    pooling: Pooling::Max,
    rescale: true,
    classes: false,
};

/// The networks of the files.
#[derive(Debug, Clone)]
enum Kind {
    Ncsn(NcsnConfig),
    Ncsnv2(Ncsnv2Config),
}

impl Kind {
    /// As an experiment's table has it.
    fn table(&self) -> String {
        match self {
            Self::Ncsn(config) => format!("{{\"kind\": \"ncsn\", \"channels\": {}}}", config.channels),
            Self::Ncsnv2(Ncsnv2Config { channels, depth, .. }) => {
                let depth = match depth {
                    Ncsnv2Depth::Auto => "",
                    Ncsnv2Depth::Deepest => ", \"depth\": \"deepest\"",
                    _ => ", \"depth\": \"deeper\"",
                };
                format!("{{\"kind\": \"ncsnv2\", \"channels\": {channels}{depth}}}")
            }
        }
    }

    fn build(&self, context: NetworkContext<'_>) -> AnyNetwork {
        match self {
            Self::Ncsn(config) => config.build(context),
            Self::Ncsnv2(config) => config.build(context),
        }
        .expect("builds")
    }

    fn parameterization(&self) -> Parameterization {
        Parameterization::default_of(if matches!(self, Self::Ncsn(_)) { "ncsn" } else { "ncsnv2" })
    }
}

fn cases() -> [(&'static str, Kind); 6] {
    let deep = |depth| Kind::Ncsnv2(Ncsnv2Config { channels: 2, depth, ..NCSNV2 });
    [
        ("ncsn-28", Kind::Ncsn(NCSN)),
        ("ncsn-32", Kind::Ncsn(NCSN)),
        ("ncsnv2-28", Kind::Ncsnv2(NCSNV2)),
        ("ncsnv2-32", Kind::Ncsnv2(NCSNV2)),
        ("ncsnv2-deeper", deep(Ncsnv2Depth::Deeper)),
        ("ncsnv2-deepest", deep(Ncsnv2Depth::Deepest)),
    ]
}

fn file(name: &str) -> ArrayFile {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("parity/{name}.safetensors"));
    ArrayFile::read(&path).expect("reads").expect("is there")
}

/// The numbers of a JSON list.
fn list(file: &ArrayFile, key: &str) -> Vec<f64> {
    let text = file.metadata[key].trim_matches(['[', ']']);
    text.split(',').map(|number| number.trim().parse().expect("a number")).collect()
}

/// Puts a state dict, times `scale`, in the place of the parameters, by name.
struct Load<'a> {
    file: &'a ArrayFile,
    scale: f64,
    dtype: DType,
    path: Vec<String>,
    taken: BTreeSet<String>,
}

impl ModuleMapper for Load<'_> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_owned());
    }
    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        // Variants of enums have names in capitals, and are no part of the authors' paths.
        let path = self.path.iter().filter(|part| part.to_lowercase() == **part);
        let name = path.cloned().collect::<Vec<_>>().join(".");
        let array = self.file.arrays.get(&name).unwrap_or_else(|| panic!("the authors have no {name}"));
        assert_eq!(array.shape, param.dims(), "{name}");
        self.taken.insert(name);
        let values: Vec<f64> = array.data.iter().map(|&w| f64::from(w) * self.scale).collect();
        let place = (&param.device(), self.dtype);
        param.map(|_| Tensor::from_data(TensorData::new(values, array.shape.clone()), place))
    }
}

/// The largest error of an example, relative to its largest number: of our output with the weights times `scale`.
fn error(name: &str, kind: &Kind, scale: &str, dtype: DType) -> f64 {
    let file = file(name);
    let image = list(&file, "image").into_iter().map(|n| n as usize).collect::<Vec<_>>();
    let image = ImageShape { channels: image[0], height: image[1], width: image[2] };
    let rows = Array::new([1, image.dimension()], vec![0.0; image.dimension()]);
    let dataset = Dataset { train: rows.clone(), held_out: rows, image: Some(image), ..Dataset::default() };
    let (schedule, device) = (Sigmas::new(&list(&file, "sigmas")), device());
    let mut noise = noise("parity");
    let context = NetworkContext {
        dataset: &dataset,
        schedule: &schedule,
        device: &device,
        noise: &mut noise,
        conservative: false,
    };
    let network = Parameterized::new(kind.build(context), kind.parameterization());
    let scale_of = scale.parse().expect("a number");
    let mut load = Load { file: &file, scale: scale_of, dtype, path: Vec::new(), taken: BTreeSet::new() };
    let network = network.map(&mut load);
    let of_file = file.arrays.keys().filter(|key| key.starts_with("network.")).cloned();
    let left: Vec<String> = of_file.filter(|name| !load.taken.contains(name)).collect();
    let unused: &[&str] = if matches!(kind, Kind::Ncsn(_)) { &[] } else { &["network.sigmas"] };
    assert_eq!(left, unused, "{name}: what of the authors' is not ours");

    let n = file.arrays["x"].rows();
    let tensor = |key: &str| {
        let array = &file.arrays[key];
        Tensor::<1>::from_data(TensorData::new(array.data.clone(), [array.data.len()]), (&device, dtype))
    };
    let sigma = tensor("sigma");
    let condition = Condition::new(Levels { alpha: sigma.ones_like(), sigma });
    let output = network.score(tensor("x").reshape([n, image.dimension()]), &condition);
    let got: Vec<f64> = output.into_data().convert::<f64>().try_into_vec().expect("converted");
    let expected = &file.arrays[&if scale == "1" { "output".to_owned() } else { format!("output.{scale}") }];
    let of_example = |i: usize| {
        let (row, d) = (expected.row(i), image.dimension());
        let size = row.iter().fold(0.0, |m: f64, &e| m.max(f64::from(e).abs()));
        let apart = row.iter().zip(&got[i * d..]).map(|(&e, g)| (f64::from(e) - g).abs());
        apart.fold(0.0, |m: f64, a| if a.is_nan() { f64::INFINITY } else { m.max(a) }) / size
    };
    (0..n).map(of_example).fold(0.0, f64::max)
}

#[test]
fn outputs_are_the_authors() {
    for (name, kind) in cases() {
        assert_eq!(file(name).metadata["network"], kind.table(), "{name}");
        for scale in ["1", "10", "3", "0.1"] {
            let double = error(name, &kind, scale, DType::F64);
            // The files are rounded to f32.
            assert!(double < 1e-6, "{name} times {scale} in f64: {double:e}");
            let single = error(name, &kind, scale, DType::F32);
            let overflows = matches!(kind, Kind::Ncsnv2(_)) && scale == "10";
            println!("{name} times {scale}: {single:.1e} in f32, {double:.1e} in f64");
            assert_eq!(single < 1e-4, !overflows, "{name} times {scale} in f32: {single:e}");
        }
    }
}

#[test]
fn other_networks_are_told_apart() {
    let ncsnv2 = |config| error("ncsnv2-32", &Kind::Ncsnv2(config), "1", DType::F32);
    assert!(ncsnv2(NCSNV2) < 1e-4);
    for (what, config) in [
        ("pooling", Ncsnv2Config { pooling: Pooling::Average, ..NCSNV2 }),
        ("activation", Ncsnv2Config { activation: Activation::Silu, ..NCSNV2 }),
        ("rescale", Ncsnv2Config { rescale: false, ..NCSNV2 }),
    ] {
        assert!(ncsnv2(config) > 1e-2, "another {what}");
    }
    let ncsn = |config| error("ncsn-32", &Kind::Ncsn(config), "1", DType::F32);
    assert!(ncsn(NcsnConfig { activation: Activation::Softplus, ..NCSN }) > 1e-2, "another activation");
    assert!(ncsn(NcsnConfig { rescale: false, ..NCSN }) > 1e-2, "not rescaled");
}

#[test]
fn the_ladders_are_the_files() {
    for (name, kind) in cases() {
        let file = file(name);
        let sigmas = list(&file, "sigmas");
        let labels = &file.arrays["label"].data;
        for (&label, &sigma) in labels.iter().zip(&file.arrays["sigma"].data) {
            assert!((f64::from(sigma) / sigmas[label as usize] - 1.0).abs() < 1e-6, "{name}");
        }
        let ends = [sigmas[0], sigmas[sigmas.len() - 1]];
        let expected =
            if matches!(kind, Kind::Ncsn(_)) { 1.0 } else { [50.0, 90.0][usize::from(name.contains("deep"))] };
        assert!((ends[0] / expected - 1.0).abs() < 1e-9 && (ends[1] / 0.01 - 1.0).abs() < 1e-9, "{name}: {ends:?}");
        let ratios: Vec<f64> = sigmas.windows(2).map(|w| w[0] / w[1]).collect();
        assert!(ratios.iter().all(|r| (r / ratios[0] - 1.0).abs() < 1e-9), "{name} is geometric");
        assert!(Level::exploding(sigmas[0]).log_ratio() > Level::exploding(sigmas[1]).log_ratio());
    }
}
