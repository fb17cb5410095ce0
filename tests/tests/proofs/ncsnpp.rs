//! `ncsnpp`: derivatives, sizes, initial weights, its own coordinates under any schedule, what is refused. What it puts out is held against
//! the authors' code by `tests/parity/`.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use stein_core::{
    Component, Condition, Dataset, ImageShape, Level, NetworkContext, ScoreNetwork, class_tensor, matrix, to_host,
};
use stein_networks::{BlockKind, NcsnppConfig, NoiseEmbedding, ProgressiveInput, ProgressiveOutput, Resampler, Sde};
use stein_record::Array;
use stein_train::Layout;

use crate::common::{Sigmas, device, noise};
use crate::networks::{plan, planned, shaken};
use crate::refinenet::derivatives_are_exact;

const SCHEDULE: &str = "[schedule]\nkind = \"geometric\"\nsigma-max = 1.0\nsigma-min = 0.01\nlevels = 10\n";
const SMALL: &str = "[network]\nkind = \"ncsnpp\"\nchannels = 8\nmultipliers = [1, 2]\nblocks = 1\nattention = [4]\n";
const VP: &str = "sde = \"vp\"\nembedding = \"positional\"\nparameterization = \"noise\"\n";

fn experiment(keys: &str) -> String {
    format!("[data]\nkind = \"digits\"\n{SCHEDULE}{SMALL}{keys}")
}

#[test]
fn derivatives_are_exact_in_x_and_in_the_parameters_too() {
    for keys in [
        String::new(),
        format!("{VP}resampling = \"naive\"\nprogressive-input = \"none\"\nclasses = true"),
        format!("{VP}progressive = \"output-skip\"\nprogressive-input = \"input-skip\"").replace("vp", "sub-vp"),
        "block = \"ddpm\"\nprogressive = \"residual\"\nprogressive-input = \"input-skip\"\ncombine = \"cat\"".into(),
        "block = \"ddpm\"\nresampling = \"naive\"\nscale-skips = false\nembedding = \"positional\"\ncontinuous = false"
            .into(),
        "block = \"ddpm\"\nresample-convolution = false".into(),
    ] {
        derivatives_are_exact(&keys, &experiment(&keys), 1e-6);
    }
}

/// The score of α x₀ + σ z is 1/α times that of x₀ + (σ/α) z at x/α.
#[test]
fn scores_are_those_of_the_ratio_of_noise_to_signal() {
    for keys in [String::new(), VP.into(), VP.replace("vp", "sub-vp"), format!("{VP}rescale = false")] {
        let plan = plan(&experiment(&keys));
        let network = shaken(&plan, &device());
        let d = plan.dataset.dimension();
        let x = matrix(noise("ratio").normals(d), d, &device());
        let (alpha, ratio) = (0.25, 0.6);
        let score = |x: Tensor<2>, level| to_host(network.score(x, &Condition::at(&[level], &device())));
        let here = score(x.clone(), Level { alpha, sigma: alpha * ratio });
        let there = score(x.clone() / alpha, Level::exploding(ratio));
        let size = here.iter().fold(0.0f32, |m, s| m.max(s.abs()));
        let apart =
            |factor: f32| here.iter().zip(&there).map(|(a, b)| (a - b * factor).abs()).fold(0.0, f32::max) / size;
        assert!(apart(4.0) < 1e-4, "{keys}: {}", apart(4.0));
        assert!(apart(1.0) > 0.1 && size > 1e-2, "{keys}");
        let other = score(x, Level::exploding(ratio));
        assert!(here.iter().zip(&other).any(|(a, b)| (a - b).abs() > 0.1 * size), "{keys}");
    }
}

#[test]
fn classes_are_told_with_the_noise() {
    let plan = plan(&experiment("classes = true"));
    assert_eq!(plan.classes, Some(10));
    let d = plan.dataset.dimension();
    let x = matrix(noise("classes").normals(2 * d), d, &device());
    let condition = Condition::at(&[Level::exploding(0.1), Level::exploding(0.5)], &device());
    let network = shaken(&plan, &device());
    let of = |classes: Option<[u32; 2]>| {
        let class = classes.map(|classes| class_tensor(&classes, &device()));
        to_host(network.score(x.clone(), &condition.with_class(class)))
    };
    assert_eq!(of(Some([10, 10])), of(None), "the null token");
    let (one, other) = (of(Some([1, 2])), of(Some([1, 3])));
    assert_eq!(one[..d], other[..d]);
    assert_ne!(one[d..], other[d..]);
}

/// Numbers of parameters of the authors' modules, by their configurations.
#[test]
fn the_papers_networks_are_as_large_as_the_authors() {
    let ddpmpp = NcsnppConfig {
        resampling: Resampler::Naive,
        progressive_input: ProgressiveInput::None,
        embedding: NoiseEmbedding::Positional,
        sde: Sde::Vp,
        ..NcsnppConfig::default()
    };
    let ddpm = NcsnppConfig { block: BlockKind::Ddpm, blocks: 2, scale_skips: false, ..ddpmpp.clone() };
    let large = NcsnppConfig {
        multipliers: vec![1, 1, 2, 2, 2, 2, 2],
        blocks: 2,
        progressive: ProgressiveOutput::OutputSkip,
        progressive_input: ProgressiveInput::InputSkip,
        ..NcsnppConfig::default()
    };
    for (what, config, side, parameters) in [
        ("NCSN++", NcsnppConfig::default(), 32, 62_758_915),
        ("DDPM++", ddpmpp, 32, 61_804_419),
        ("DDPM", ddpm, 32, 35_218_947),
        ("NCSN++ of 256 pixels", large, 256, 65_574_549),
    ] {
        let image = ImageShape { channels: 3, height: side, width: side };
        let rows = Array::new([1, image.dimension()], vec![0.0; image.dimension()]);
        let dataset = Dataset { train: rows.clone(), held_out: rows, image: Some(image), ..Dataset::default() };
        let (schedule, device, mut noise) = (Sigmas::new(&[50.0, 0.01]), device(), noise("sizes"));
        let context = NetworkContext {
            dataset: &dataset,
            schedule: &schedule,
            device: &device,
            noise: &mut noise,
            conservative: false,
        };
        assert_eq!(config.build(context).expect("builds").num_params(), parameters, "{what}");
    }
}

/// Uniform with variance 1/fan (the mean of fan-in and fan-out), 0.1/fan where channels are mixed pixel by pixel, as good as zero at the
/// end of a branch; biases 0; frequencies normal.
#[test]
fn initial_weights_are_the_authors() {
    let network = plan(&experiment("channels = 32\nfourier-scale = 4.0").replace("channels = 8\n", ""))
        .network(&device())
        .expect("builds");
    let layout = Layout::of(&network);
    let values = to_host(layout.flatten(&network));
    let (mut from, mut seen) = (0, [0; 5]);
    let last = layout.parameters().filter(|(name, _)| name.ends_with("weight")).count();
    let mut weights = 0;
    for (name, shape) in layout.parameters() {
        let own = &values[from..from + shape.iter().product::<usize>()];
        from += own.len();
        let most = own.iter().fold(0.0f64, |m, w| m.max(f64::from(*w).abs()));
        let receptive: usize = shape.iter().skip(2).product();
        let fan = |scale: f64| (3.0 * scale / ((shape[0] + shape[1]) as f64 / 2.0 * receptive as f64)).sqrt();
        let leaf = name.rsplit('.').next().expect("a name");
        weights += usize::from(leaf == "weight");
        let ends = name.contains("Conv_1") || name.contains("NIN_3") || (leaf == "weight" && weights == last);
        let bound = match (leaf, shape.len()) {
            ("W", 1) => {
                seen[0] += 1;
                let variance = own.iter().map(|w| f64::from(*w).powi(2)).sum::<f64>() / own.len() as f64;
                assert!((variance.sqrt() - 4.0).abs() < 1.5, "{name}: {variance}");
                continue;
            }
            ("W", _) => {
                seen[1] += 1;
                fan(if ends { 1e-10 } else { 0.1 })
            }
            ("weight", _) => {
                seen[2] += 1;
                fan(if ends { 1e-10 } else { 1.0 })
            }
            ("gamma", _) => {
                seen[3] += 1;
                assert!(own.iter().all(|&g| g == 1.0), "{name}");
                continue;
            }
            _ => {
                seen[4] += 1;
                assert_eq!(most, 0.0, "{name}");
                continue;
            }
        };
        assert!(most <= bound * 1.0001 && (own.len() < 500 || most > 0.98 * bound), "{name}: {most}, {bound}");
    }
    // Frequencies; q, k, v and what follows in two attentions on the way down and in the middle, and one on the way up.
    assert_eq!(seen[..2], [1, 12]);
    assert!(seen[2..].iter().all(|&n| n > 10), "{seen:?}");
}

#[test]
fn frequencies_are_fixed() {
    let on_tape = Device::flex().autodiff();
    let network = shaken(&plan(&experiment("")), &on_tape);
    let layout = Layout::of(&network);
    let x = matrix(noise("fixed").normals(64), 64, &on_tape);
    let condition = Condition::at(&[Level::exploding(0.3)], &on_tape);
    let loss = network.score(x, &condition).square().sum();
    let gradients = burn::optim::GradientsParams::from_grads(loss.backward(), &network);
    let gradient = to_host(layout.gradients(&network, &gradients));
    let mut from = 0;
    for (name, shape) in layout.parameters() {
        let own = &gradient[from..from + shape.iter().product::<usize>()];
        from += own.len();
        // What is added to all keys alike changes nothing but by rounding.
        if !name.ends_with("NIN_1.b") {
            let moves = own.iter().any(|&g| g != 0.0);
            assert_eq!(moves, !name.ends_with("Fourier.W"), "{name}");
        }
    }
}

#[test]
fn what_does_not_go_together_is_refused() {
    let refused = |text: String, said: &str| {
        let message = planned(&text).err().unwrap_or_else(|| panic!("{text} was built"));
        assert!(message.contains(said), "{text}: {message}");
    };
    planned(&experiment("")).expect("goes together");
    refused(experiment("").replace("channels = 8", "channels = 10"), "a multiple of 4");
    refused(experiment("").replace("channels = 8", "channels = 2"), "from 4 to 4096");
    refused(experiment("").replace("channels = 8", "channels = 44"), "norms of 176 channels");
    refused(experiment("").replace("[4]", "[16]"), "no resolution has a height of 16; they have 8, 4");
    refused(experiment("").replace("[1, 2]", "[1, 1, 1, 1, 1]"), "divisible by 16");
    refused(experiment("fourier-scale = 0.0"), "fourier-scale");
    refused(experiment("continuous = false"), "numbers of levels go with \"positional\"");
    refused(experiment("embedding = \"positional\""), "`ve` tells σ itself");
    refused(experiment(&VP.replace("noise", "scaled")), "`parameterization` must be \"noise\"");
    refused(experiment("sde = \"vp\""), "`parameterization` must be \"noise\"");
    refused(
        experiment(&format!("{}continuous = false", VP.replace("vp", "sub-vp"))),
        "no levels that could be counted",
    );
    let between = "sigma-min = 0.01\ndensity = \"log-uniform\"";
    let counted = experiment("continuous = false\nembedding = \"positional\"");
    planned(&counted).expect("a ladder");
    refused(counted.replace("sigma-min = 0.01", between), "trains at σ between its levels");
    refused(experiment("").replace(SCHEDULE, "[schedule]\nkind = \"none\"\n"), "there is no noise");
    refused(experiment("").replace("kind = \"digits\"", "kind = \"eight-gaussians\""), "`ncsnpp` is for images");
    refused(
        experiment("") + "[training]\noptimizer = { kind = \"adamw\" }\n",
        "weight decay would shrink the frequencies",
    );
    planned(&(experiment(VP) + "[training]\noptimizer = { kind = \"adamw\" }\n")).expect("nothing is fixed");
}
