//! Networks: derivatives, parameterisations, a forward that is written once.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use stein_core::{AnyNetwork, Condition, Level, Network, ScoreNetwork, class_tensor, matrix, to_host};
use stein_experiment::{Experiment, Plan, builtin};
use stein_jet::Jet;
use stein_networks::{Parameterization, Parameterized};
use stein_record::source::Source;
use stein_train::Layout;

use crate::common::{device, noise};

pub(crate) fn plan(text: &str) -> Plan {
    planned(text).unwrap_or_else(|said| panic!("{said}"))
}

/// The plan, or what is said of its mistakes.
pub(crate) fn planned(text: &str) -> Result<Plan, String> {
    let registry = builtin();
    let source = Source::new("test.toml", text.as_bytes()).expect("text");
    Experiment::read(&source, &registry)
        .and_then(|experiment| Plan::build(experiment, &registry))
        .map_err(|problems| source.render(&problems, false))
}

const MLP: &str = "[data]\nkind = \"gaussian-mixture\"\nmeans = [[0.0, 1.0, 2.0]]\n[network]\nkind = \"mlp\"\n";
const UNET: &str = "[data]\nkind = \"digits\"\n[network]\nkind = \"unet\"\nchannels = 8\ngroups = 4\nblocks = 1\n";

/// All that a U-Net can have: DDPM++ in small, and pixels as channels.
pub(crate) const LARGE_UNET: &str = "[data]\nkind = \"digits\"\n[network]\nkind = \"unet\"\nchannels = 8\ngroups = 4\nblocks = 1\n\
    multipliers = [1, 2]\npatch = 2\nattention = [2]\nheads = 2\nskips = \"block\"\nresampling = \"convolution\"\nscale-skips = true\n\
    embedding = \"fourier\"\n";

/// The network with random numbers in place of its parameters: zero-initialised layers would hide wrong derivatives.
pub(crate) fn shaken(plan: &Plan, device: &Device) -> Parameterized {
    let network = plan.network(device).expect("builds");
    let layout = Layout::of(&network);
    let values: Vec<f32> = noise("shaken").normals(layout.length()).into_iter().map(|z| 0.25 * z).collect();
    layout.unflatten(network, stein_core::vector(values, device))
}

fn batch(plan: &Plan, n: usize) -> (Tensor<2>, Tensor<2>, Condition) {
    let d = plan.dataset.dimension();
    let mut noise = noise("network");
    let x = matrix(noise.normals(n * d), d, &device());
    let v = matrix(noise.normals(n * d), d, &device());
    let sigmas = [0.05, 0.4, 1.0, 3.0, 0.7].map(Level::exploding);
    (x, v, Condition::at(&sigmas[..n], &device()))
}

fn worst(a: &[f32], b: &[f32]) -> f32 {
    let size = b.iter().fold(1e-6f32, |m, x| m.max(x.abs()));
    a.iter().zip(b).fold(0.0f32, |m, (a, b)| m.max((a - b).abs())) / size
}

#[test]
fn jets_of_networks_are_their_directional_derivatives() {
    for text in [MLP, UNET, LARGE_UNET] {
        let plan = plan(text);
        let network = shaken(&plan, &device());
        let n = 4;
        let (x, v, condition) = batch(&plan, n);
        let jet = network.jet(Jet::seed(x.clone(), vec![v.clone()]), &condition);
        let plain = network.score(x.clone(), &condition);
        assert!(worst(&to_host(jet.value()), &to_host(plain)) < 1e-5, "the value does not depend on the order");
        let h = 5e-3;
        let forward = network.score(x.clone() + v.clone() * h, &condition);
        let backward = network.score(x - v * h, &condition);
        let difference = to_host((forward - backward) / (2.0 * h));
        let tangent = to_host(jet.tangents());
        // Scores at small σ dwarf the others, so compare example by example.
        let d = plan.dataset.dimension();
        for i in 0..n {
            let error = worst(&tangent[i * d..][..d], &difference[i * d..][..d]);
            assert!(error < 2e-2, "{text}: example {i}: {error}");
            let twin: Vec<f32> = tangent[i * d..][..d].iter().map(|t| t * 1.1).collect();
            assert!(worst(&twin, &difference[i * d..][..d]) > 5e-2, "10 % must be seen");
        }
    }
}

#[test]
fn traces_in_closed_form_are_the_sums_of_derivatives() {
    let on_tape = device().autodiff();
    let kinds = ["score", "scaled", "noise", "denoiser", "edm"];
    for (hidden, embedding) in
        [("[20]", "none"), ("[20]", "log-sigma"), ("[20, 30]", "sine-cosine"), ("[20, 30]", "none")]
    {
        for (activation, kind) in ["silu", "softplus", "tanh", "gelu", "elu"].into_iter().zip(kinds) {
            let text = format!(
                "{MLP}hidden = {hidden}\nembedding = \"{embedding}\"\nactivation = \"{activation}\"\n\
                 parameterization = \"{kind}\"\n"
            );
            let network = shaken(&plan(&text), &on_tape);
            let layout = Layout::of(&network);
            let d = 3;
            let x = matrix(noise("trace").normals(5 * d), d, &on_tape);
            let levels =
                [0.05, 0.4, 1.0, 3.0, 0.7].map(|sigma: f64| Level { alpha: 1.0 - 0.2 * sigma.min(1.0), sigma });
            let condition = Condition::at(&levels, &on_tape);
            let derived = || {
                let jet = network.jet(Jet::basis(x.clone()), &condition);
                let eye = Tensor::<2>::eye(d, &on_tape).unsqueeze_dim::<3>(1);
                let trace = (jet.tangents().reshape([d, 5, d]) * eye).sum_dim(2).sum_dim(0).reshape([5]);
                (jet.into_value(), trace)
            };
            let known = || ScoreNetwork::divergence(&network, x.clone(), &condition).expect("one or two hidden layers");
            let [right, found] = [derived(), known()].map(|(s, trace)| (to_host(s.inner()), to_host(trace.inner())));
            let apart = worst(&found.0, &right.0);
            assert!(apart < 1e-5, "{text}: scores {apart}");
            let (right, found) = (right.1, found.1);
            assert!(
                (0..5).all(|i| worst(&found[i..][..1], &right[i..][..1]) < 1e-4),
                "{text}: {found:?}, not {right:?}"
            );
            let gradient = |(_, trace): (Tensor<2>, Tensor<1>), factor: f64| {
                let loss = trace.sum() * factor;
                let gradients = burn::optim::GradientsParams::from_grads(loss.backward(), &network);
                to_host(layout.gradients(&network, &gradients))
            };
            let (right, found) = (gradient(derived(), 1.0), gradient(known(), 1.0));
            assert!(worst(&found, &right) < 1e-4, "{text}: gradients {}", worst(&found, &right));
            let twin = gradient(derived(), 1.01);
            assert!(worst(&found, &twin) > 5e-4, "{text}: 1 % must be seen");
        }
    }
}

#[test]
fn traces_in_closed_form_know_classes() {
    let text = MLP.replace("[[0.0, 1.0, 2.0]]", "[[0.0, 1.0, 2.0], [1.0, 0.0, -1.0]]") + "classes = true\n";
    for hidden in ["[20]", "[20, 30]"] {
        let network = shaken(&plan(&format!("{text}hidden = {hidden}\n")), &device());
        let (x, _, condition) = batch(&plan(MLP), 4);
        let of = |classes: &[u32]| {
            let condition = condition.with_class(Some(class_tensor(classes, &device())));
            let derived = network.jet(Jet::basis(x.clone()), &condition);
            let eye = Tensor::<2>::eye(3, &device()).unsqueeze_dim::<3>(1);
            let right = (derived.tangents().reshape([3, 4, 3]) * eye).sum_dim(2).sum_dim(0).reshape([4]);
            let (score, found) = ScoreNetwork::divergence(&network, x.clone(), &condition).expect("a closed form");
            assert!(worst(&to_host(score), &to_host(derived.into_value())) < 1e-5, "{hidden}");
            let (found, right) = (to_host(found), to_host::<1>(right));
            assert!((0..4).all(|i| worst(&found[i..][..1], &right[i..][..1]) < 1e-4), "{found:?}, not {right:?}");
            found
        };
        // The last is the null token.
        let (one, other) = (of(&[0, 1, 2, 0]), of(&[1, 2, 0, 1]));
        assert!(
            (0..4).all(|i| worst(&one[i..][..1], &other[i..][..1]) > 1e-3),
            "the class matters: {one:?}, {other:?}"
        );
    }
}

#[test]
fn what_has_no_closed_form_says_so() {
    let known = |network: &str| {
        let network = shaken(&plan(&format!("{}{network}\n", MLP.replace("kind = \"mlp\"\n", ""))), &device());
        let (x, _, condition) = batch(&plan(MLP), 2);
        ScoreNetwork::divergence(&network, x, &condition).is_some()
    };
    assert!(known("kind = \"mlp\"\nhidden = [5, 5]"));
    assert!(!known("kind = \"mlp\"\nhidden = [5, 5, 5]"), "three hidden layers");
    // Of an energy the network's own divergence is of Φ, and would be wrong.
    assert!(!known("kind = \"energy-mlp\"\nhidden = [5, 5]"));
    for parameterization in ["score", "edm"] {
        let text =
            format!("kind = \"mlp\"\nhidden = [5, 5]\nconservative = true\nparameterization = \"{parameterization}\"");
        assert!(!known(&text), "{parameterization}");
    }
}

/// F(x) = 0.7 x + 0.2.
#[derive(Module, Debug)]
struct Affine {}

impl Network for Affine {
    fn forward(&self, x: Jet<2>, _: &Condition) -> Jet<2> {
        let shift = x.value().zeros_like() + 0.2;
        x.scale_by(0.7).add_constant(shift)
    }
}

#[test]
fn parameterisations_are_what_their_papers_say() {
    let (n, d, data) = (4, 2, 0.8f32);
    let x = matrix(noise("parameterisation").normals(n * d), d, &device());
    let tiny = Level { alpha: 0.9, sigma: 1e-3 };
    let all = [Level { alpha: 0.9, sigma: 0.3 }, Level::exploding(2.0), Level { alpha: 0.5, sigma: 0.8 }, tiny];
    let condition = Condition::at(&all, &device());
    let score = |p: Parameterization| {
        let network = Parameterized::new(AnyNetwork::new(Affine {}), p).with_sigma_data(f64::from(data));
        to_host(network.score(x.clone(), &condition))
    };
    let x = to_host(x.clone());
    for i in 0..n * d {
        let (a, s, x, data) = (all[i / d].alpha, all[i / d].sigma, f64::from(x[i]), f64::from(data));
        let f = |x: f64| 0.7 * x + 0.2;
        // Table 1 of EDM, at y = x/α and noise σ/α, in double precision.
        let (y, total) = (x / a, (s / a).powi(2) + data * data);
        let denoised = data * data / total * y + s / a * data / total.sqrt() * f(y / total.sqrt());
        for (p, expected) in [
            (Parameterization::Score, f(x)),
            (Parameterization::Scaled, f(x) / s),
            (Parameterization::Noise, -f(x) / s),
            (Parameterization::Denoiser, (a * f(x) - x) / (s * s)),
            (Parameterization::Edm, (a * denoised - x) / (s * s)),
        ] {
            let got = f64::from(score(p)[i]);
            assert!((got - expected).abs() < 1e-4 * expected.abs().max(1.0), "{p:?}: {got}, not {expected}");
        }
    }
}

#[test]
fn networks_see_the_noise_to_signal_ratio() {
    // Twice the signal and twice the noise are the same ratio: a raw network must not tell them apart.
    for text in [MLP, UNET] {
        let plan = plan(&format!("{text}parameterization = \"score\"\n"));
        let network = shaken(&plan, &device());
        let (x, ..) = batch(&plan, 2);
        let at = |alpha: f64, sigma: f64| {
            to_host(network.score(x.clone(), &Condition::uniform(Level { alpha, sigma }, 2, &device())))
        };
        assert!(worst(&at(0.5, 0.4), &at(1.0, 0.8)) < 1e-4);
        assert!(worst(&at(1.0, 0.4), &at(1.0, 0.8)) > 1e-3, "and σ itself must matter");
    }
}

#[test]
fn an_erased_network_is_a_module_like_the_one_inside() {
    let plan = plan(UNET);
    let network = plan.network(&device().autodiff()).expect("builds");
    let layout = Layout::of(&network);
    assert_eq!(layout.length(), network.num_params());
    let values = layout.flatten(&network);
    let shifted = layout.unflatten(network.clone(), values.clone() + 1.0);
    assert_eq!(to_host(layout.flatten(&shifted) - 1.0), to_host(values.clone() + 1.0 - 1.0));
    let (x, _, condition) = batch(&plan, 2);
    let inner = network.valid();
    let erased = Network::forward(&inner, Jet::plain(x.clone()), &condition).value();
    assert_eq!(to_host(erased), to_host(inner.score(x, &condition)));
}

#[test]
fn the_same_seed_gives_the_same_network_and_another_seed_another() {
    let flat = |text: &str| {
        let network = plan(text).network(&device()).expect("builds");
        to_host(Layout::of(&network).flatten(&network))
    };
    let other = format!("seed = 1\n{UNET}");
    assert_eq!(flat(UNET), flat(UNET));
    assert_ne!(flat(UNET), flat(&other));
}
