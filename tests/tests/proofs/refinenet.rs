//! `ncsn` and `ncsnv2`: derivatives in x and in the parameters, the number of a level, what is refused.

use burn::tensor::{DType, Device, Tensor, TensorData};
use stein_core::{Condition, Level, Levels, ScoreNetwork, class_tensor, matrix, to_host};
use stein_jet::Jet;
use stein_networks::Parameterized;
use stein_train::Layout;

use crate::common::{device, noise};
use crate::networks::{plan, planned, shaken};

const SCHEDULE: &str = "[schedule]\nkind = \"geometric\"\nsigma-max = 1.0\nsigma-min = 0.01\nlevels = 10\n";
const DIGITS: &str = "[data]\nkind = \"digits\"\n";

fn experiment(network: &str) -> String {
    format!("{DIGITS}{SCHEDULE}[network]\n{network}\n")
}

fn wide<const N: usize>(values: Vec<f32>, shape: [usize; N]) -> Tensor<N> {
    let values: Vec<f64> = values.into_iter().map(f64::from).collect();
    Tensor::from_data(TensorData::new(values, shape), (&Device::flex().autodiff(), DType::F64))
}

fn host<const N: usize>(tensor: Tensor<N>) -> Vec<f64> {
    tensor.into_data().convert::<f64>().try_into_vec().expect("converted")
}

/// max |a − b| over max |b|.
fn worst(a: &[f64], b: &[f64]) -> f64 {
    let size = b.iter().fold(0.0, |m: f64, x| m.max(x.abs()));
    a.iter().zip(b).fold(0.0, |m: f64, (a, b)| if (a - b).is_nan() { f64::INFINITY } else { m.max((a - b).abs()) })
        / size
}

/// J v of a network of 8×8 pixels against the difference of scores, and through `backward()` the gradient of sliced score matching's loss
/// against the difference along itself, in f64.
pub(crate) fn derivatives_are_exact(network: &str, experiment: &str, step: f64) {
    let network_at = plan(experiment).network(&Device::flex().autodiff()).expect("builds");
    let layout = Layout::of(&network_at);
    // The initial ones, shaken: a β of zero would hide mistakes.
    let start = to_host(layout.flatten(&network_at));
    let shifts = noise("refinenet").normals(start.len());
    let values = wide(start.iter().zip(shifts).map(|(w, z)| w + 0.05 * z).collect(), [start.len()]);
    let values = values.without_autodiff();
    let at = |values: Tensor<1>| layout.unflatten(network_at.clone(), values);
    let (n, d) = (3, 64);
    let mut noise = noise("points");
    let x = wide(noise.normals(n * d), [n, d]);
    let v = wide(noise.normals(n * d), [n, d]);
    let condition = Condition::new(Levels { alpha: wide(vec![1.0; n], [n]), sigma: wide(vec![0.02, 0.9, 0.2], [n]) });

    let network_at = at(values.clone());
    let h = 1e-6;
    let score = |x: Tensor<2>| network_at.score(x, &condition);
    let difference = host((score(x.clone() + v.clone() * h) - score(x.clone() - v.clone() * h)) / (2.0 * h));
    let jet = || network_at.jet(Jet::seed(x.clone(), vec![v.clone()]), &condition);
    let tangent = host(jet().tangents());
    for i in 0..n {
        let [got, expected] = [&tangent, &difference].map(|all| &all[i * d..][..d]);
        assert!(worst(got, expected) < 1e-6, "{network}: example {i}: {}", worst(got, expected));
        let twin: Vec<f64> = got.iter().map(|t| 1.01 * t).collect();
        assert!(worst(&twin, expected) > 5e-3);
    }

    let loss = |network: &Parameterized| {
        let jet = network.jet(Jet::seed(x.clone(), vec![v.clone()]), &condition);
        // λ = σ²: else the lowest level is all there is.
        let sigma = condition.levels.as_ref().expect("noisy").sigma.clone().unsqueeze_dim::<2>(1);
        let each = jet.tangents() * v.clone() + jet.value().square() * 0.5;
        (each.sum_dim(1) * sigma.square()).sum()
    };
    let gradients = burn::optim::GradientsParams::from_grads(loss(&network_at).backward(), &network_at);
    let gradient = layout.gradients(&network_at, &gradients);
    let norm = gradient.clone().square().sum().into_scalar::<f64>().sqrt();
    let unit = gradient / norm;
    let shifted = |t: f64| host(loss(&at(values.clone() + unit.clone() * t)))[0];
    let slope = (shifted(step) - shifted(-step)) / (2.0 * step);
    assert!((slope / norm - 1.0).abs() < 1e-5, "{network}: {slope} along the gradient, whose length is {norm}");
}

#[test]
fn derivatives_are_exact_in_x_and_in_the_parameters() {
    for network in [
        "kind = \"ncsn\"\nchannels = 3",
        "kind = \"ncsn\"\nchannels = 2\nactivation = \"silu\"\nclasses = true",
        "kind = \"ncsnv2\"\nchannels = 3",
        "kind = \"ncsnv2\"\nchannels = 2\npooling = \"average\"",
        "kind = \"ncsnv2\"\nchannels = 2\ndepth = \"deeper\"",
        "kind = \"ncsnv2\"\nchannels = 2\ndepth = \"deepest\"",
    ] {
        // A step so short that hardly any ELU passes its kink.
        derivatives_are_exact(network, &experiment(network), 1e-8);
    }
}

#[test]
fn a_level_is_known_by_its_number() {
    let plan = plan(&experiment("kind = \"ncsn\"\nchannels = 4"));
    let levels = plan.schedule.levels().to_vec();
    let network = shaken(&plan, &device());
    let d = plan.dataset.dimension();
    let x = matrix(noise("levels").normals(d), d, &device());
    let score = |levels: &[Level]| {
        let rows = x.clone().repeat_dim(0, levels.len());
        to_host(network.score(rows, &Condition::at(levels, &device())))
    };
    let alone: Vec<Vec<f32>> = levels.iter().map(|&level| score(&[level])).collect();
    for (i, j) in (0..10).flat_map(|i| (0..i).map(move |j| (i, j))) {
        let apart = alone[i].iter().zip(&alone[j]).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(apart > 1e-3, "levels {j} and {i} are told apart");
    }
    // In any order, near enough, and by the ratio of noise to signal: γ is 1.67, and so σ may be off by its root, 1.29.
    let order = [7, 0, 9, 3, 3, 8, 1, 6, 2, 5, 4];
    let about = [1.0, 1.2, 0.8, 1.25, 0.79, 1.1, 0.9, 1.0, 1.0, 1.0, 1.0];
    let reordered: Vec<Level> = order
        .iter()
        .zip(about)
        .enumerate()
        .map(|(k, (&i, about))| {
            let alpha = if k % 2 == 0 { 1.0 } else { 0.5 };
            Level { alpha, sigma: alpha * about * levels[i].sigma }
        })
        .collect();
    let together = score(&reordered);
    for (k, &i) in order.iter().enumerate() {
        let apart = together[k * d..][..d].iter().zip(&alone[i]).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(apart < 1e-4, "place {k} is level {i}: {apart}");
    }
    let farther = Level::exploding(levels[4].sigma * 1.31);
    assert_ne!(score(&[farther]), alone[4], "half way to the next one it is the next one");
}

#[test]
fn ncsnv2_is_not_told_sigma_and_divides_by_it() {
    let plan = plan(&experiment("kind = \"ncsnv2\"\nchannels = 4"));
    let network = shaken(&plan, &device());
    let d = plan.dataset.dimension();
    let x = matrix(noise("sigma").normals(d), d, &device());
    let times_sigma = |sigma: f64| {
        let score = network.score(x.clone(), &Condition::at(&[Level::exploding(sigma)], &device()));
        to_host(score * sigma)
    };
    let (one, other) = (times_sigma(1.0), times_sigma(0.125));
    assert_eq!(one, other);
    assert!(one.iter().any(|s| s.abs() > 1e-3));
}

#[test]
fn classes_are_told_from_where_the_network_begins() {
    for kind in ["ncsn", "ncsnv2"] {
        let plan = plan(&experiment(&format!("kind = \"{kind}\"\nchannels = 4\nclasses = true")));
        assert_eq!(plan.classes, Some(10));
        let d = plan.dataset.dimension();
        let x = matrix(noise("classes").normals(2 * d), d, &device());
        let condition = Condition::at(&[Level::exploding(0.1), Level::exploding(0.5)], &device());
        let of = |network: &Parameterized, classes: Option<[u32; 2]>| {
            let class = classes.map(|classes| class_tensor(&classes, &device()));
            to_host(network.score(x.clone(), &condition.with_class(class)))
        };
        let fresh = plan.network(&device()).expect("builds");
        assert_eq!(of(&fresh, Some([1, 2])), of(&fresh, None), "nothing is known at the start");
        let network = shaken(&plan, &device());
        assert_eq!(of(&network, Some([10, 10])), of(&network, None), "the null token");
        let (one, other) = (of(&network, Some([1, 2])), of(&network, Some([1, 3])));
        assert_eq!(one[..d], other[..d]);
        assert_ne!(one[d..], other[d..]);
    }
}

/// γ and α are normal(1, 0.02), β is 0, convolutions are uniform in ±1/√fan-in: PyTorch's defaults and the authors' own.
#[test]
fn initial_weights_are_pytorchs() {
    for kind in ["ncsn", "ncsnv2"] {
        let network =
            plan(&experiment(&format!("kind = \"{kind}\"\nchannels = 32"))).network(&device()).expect("builds");
        let layout = Layout::of(&network);
        let values = to_host(layout.flatten(&network));
        let mut from = 0;
        let (mut scales, mut seen) = (Vec::<f32>::new(), [0; 3]);
        for (name, shape) in layout.parameters() {
            let own = &values[from..from + shape.iter().product::<usize>()];
            from += own.len();
            let leaf = name.rsplit('.').next().expect("a name");
            match (leaf, shape) {
                ("gamma" | "alpha", _) => scales.extend(own),
                ("beta", _) => {
                    seen[0] += 1;
                    assert!(own.iter().all(|&b| b == 0.0), "{name}");
                }
                ("weight", &[levels, columns]) => {
                    seen[0] += 1;
                    assert_eq!(levels, 10, "{name}");
                    for row in own.chunks(columns) {
                        scales.extend(&row[..2 * columns / 3]);
                        assert!(row[2 * columns / 3..].iter().all(|&b| b == 0.0), "{name}");
                    }
                }
                ("weight", &[_, inputs, height, wide]) => {
                    seen[1] += 1;
                    let bound = 1.0 / ((inputs * height * wide) as f32).sqrt();
                    let most = own.iter().fold(0.0f32, |m, w| m.max(w.abs()));
                    assert!(most <= bound && (own.len() < 1000 || most > 0.99 * bound), "{name}: {most}, {bound}");
                }
                ("bias", _) => seen[2] += 1,
                other => panic!("{name}: {other:?}"),
            }
        }
        let n = scales.len() as f64;
        let mean = scales.iter().map(|&s| f64::from(s)).sum::<f64>() / n;
        let std = (scales.iter().map(|&s| (f64::from(s) - mean).powi(2)).sum::<f64>() / n).sqrt();
        assert!((mean - 1.0).abs() < 5.0 * 0.02 / n.sqrt(), "{kind}: {mean}");
        assert!((std - 0.02).abs() < 5.0 * 0.02 / (2.0 * n).sqrt(), "{kind}: {std}");
        // Convolutions with and without a bias, as many as the authors' modules have.
        assert_eq!(seen, if kind == "ncsn" { [71, 75, 27] } else { [17, 75, 27] }, "{kind}");
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let refused = |text: String, said: &str| {
        let message = planned(&text).map(|plan| plan.network(&device()).err().map(|e| e.to_string()));
        let message = match message {
            Ok(built) => built.unwrap_or_else(|| panic!("{text} was built")),
            Err(message) => message,
        };
        assert!(message.contains(said), "{text}: {message}");
    };
    let ncsn = "[network]\nkind = \"ncsn\"\nchannels = 2\n";
    let continuous = "[schedule]\nkind = \"geometric\"\nsigma-max = 1.0\nsigma-min = 0.01\ndensity = \"log-uniform\"\n";
    refused(format!("{DIGITS}{continuous}{ncsn}"), "trains at σ between its levels");
    refused(format!("{DIGITS}[schedule]\nkind = \"none\"\n{ncsn}"), "there is no noise");
    refused("[data]\nkind = \"eight-gaussians\"\n".to_owned() + ncsn, "`ncsn` is for images");
    refused(experiment("kind = \"ncsnv2\"\nchannels = 1"), "from 2 to 4096");
    refused(experiment("kind = \"ncsn\"\nchannels = 4096"), "makes a network of");
    refused(experiment("kind = \"ncsn\"\nchannels = 2\nconservative = true"), "not smooth enough for an energy");
    let max = "kind = \"ncsnv2\"\nchannels = 2\nactivation = \"silu\"\nconservative = true";
    refused(experiment(max), "`max` is not smooth enough for an energy");
    planned(&experiment(&format!("{max}\npooling = \"average\""))).expect("smooth");
}
