//! Energies against a free network that is the same gradient, written out, and against differences of the energy.

use burn::module::{Module, Param};
use burn::optim::GradientsParams;
use burn::tensor::{DType, Device, Tensor, TensorData};
use stein_core::{AnyNetwork, Condition, Level, Levels, Network, Noise, Objective, Perturbed, ScoreNetwork, matrix};
use stein_jet::{Jet, square, tanh};
use stein_networks::{Parameterization, Parameterized};
use stein_objectives::{Along, Denoising, Derivative, Explicit, Implicit, Probe, Sliced, Trace, slopes};
use stein_train::Layout;

use crate::common::{at, noise};
use crate::networks::{plan, planned};

const D: usize = 3;
const HIDDEN: usize = 7;
const ALL: [Parameterization; 5] = [
    Parameterization::Score,
    Parameterization::Scaled,
    Parameterization::Noise,
    Parameterization::Denoiser,
    Parameterization::Edm,
];

fn taped() -> Device {
    Device::flex().autodiff()
}

fn wide<const N: usize>(values: Vec<f64>, shape: [usize; N]) -> Tensor<N> {
    Tensor::from_data(TensorData::new(values, shape), (&taped(), DType::F64))
}

fn normals<const N: usize>(noise: &mut Noise, shape: [usize; N]) -> Tensor<N> {
    wide(noise.normals(shape.iter().product()).into_iter().map(f64::from).collect(), shape)
}

fn host<const N: usize>(tensor: Tensor<N>) -> Vec<f64> {
    tensor.into_data().convert::<f64>().try_into_vec().expect("converted to f64")
}

/// max |a − b| over max |b|.
fn worst(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    let size = b.iter().fold(1e-12, |m: f64, x| m.max(x.abs()));
    a.iter().zip(b).fold(0.0, |m: f64, (a, b)| if (a - b).is_nan() { f64::INFINITY } else { m.max((a - b).abs()) })
        / size
}

/// −∇Φ of Φ(x) = wᵀ tanh(W x + b), written out: −Wᵀ((1 − tanh²) w). A free network, which jets and `backward()` take as any other.
#[derive(Module, Debug)]
struct Gradient {
    weight: Param<Tensor<2>>,
    bias: Param<Tensor<1>>,
    out: Param<Tensor<2>>,
    /// 1, or what a wrong twin multiplies the slope by.
    #[module(skip)]
    slip: f64,
}

impl Network for Gradient {
    fn forward(&self, x: Jet<2>, _: &Condition) -> Jet<2> {
        let hidden = tanh(x.affine(|rows| rows.matmul(self.weight.val()), self.bias.val().unsqueeze()));
        let slope = (-square(hidden.clone())).add_constant(hidden.value().ones_like()).scale_by(self.slip);
        -slope.scale(self.out.val().transpose()).linear_map(|rows| rows.matmul(self.weight.val().transpose()))
    }
}

/// A network's parameters replaced by random ones in f64, of standard deviation `size`.
fn shaken<M: Module>(network: M, size: f64) -> (M, Layout, Tensor<1>) {
    let layout = Layout::of(&network);
    let values = normals(&mut noise("shaken energy"), [layout.length()]).without_autodiff() * size;
    (layout.unflatten(network, values.clone()), layout, values)
}

/// `energy-mlp` as it is built.
fn energy_mlp(parameterization: Parameterization) -> Parameterized {
    let name = format!("{parameterization:?}").to_lowercase();
    let text = format!(
        "[data]\nkind = \"gaussian-mixture\"\nmeans = [[0.0, 1.0, 2.0]]\n\
         [network]\nkind = \"energy-mlp\"\nhidden = [{HIDDEN}]\nactivation = \"tanh\"\nembedding = \"none\"\nparameterization = \"{name}\"\n"
    );
    plan(&text).network(&taped()).expect("builds")
}

/// `energy-mlp` and its twin, as they are parameterised.
fn pair(parameterization: Parameterization, slip: f64) -> (Parameterized, Parameterized, Layout, Layout) {
    let (energy, layout, values) = shaken(energy_mlp(parameterization), 0.6);
    let zeros = || Param::from_tensor(Tensor::<2>::zeros([D, HIDDEN], &taped()));
    let twin = Gradient {
        weight: zeros(),
        bias: Param::from_tensor(Tensor::zeros([HIDDEN], &taped())),
        out: Param::from_tensor(Tensor::zeros([HIDDEN, 1], &taped())),
        slip,
    };
    let twin = Parameterized::new(AnyNetwork::new(twin), parameterization);
    let own = Layout::of(&twin);
    // All but the last bias, which no gradient of E knows.
    assert_eq!(own.length() + 1, layout.length());
    let twin = own.unflatten(twin, values.narrow(0, 0, own.length()));
    (energy, twin, layout, own)
}

fn levels(n: usize) -> Condition {
    let of = |f: fn(f64) -> f64| wide((0..n).map(|i| f(i as f64)).collect(), [n]);
    Condition::new(Levels { alpha: of(|i| 1.0 - 0.1 * i), sigma: of(|i| 0.4 + 0.3 * i) })
}

fn batch(d: usize, probes: usize) -> Perturbed {
    let n = 5;
    let mut noise = noise("energies");
    let (clean, z) = (normals(&mut noise, [n, d]), normals(&mut noise, [n, d]));
    let exact = normals(&mut noise, [n, d]);
    let directions = (0..probes).map(|_| normals(&mut noise, [n, d])).collect();
    Perturbed::new(clean, z, levels(n)).with_exact_score(exact).with_probes(directions)
}

fn loss_and_gradient(
    objective: &dyn Objective,
    network: &Parameterized,
    layout: &Layout,
    batch: &Perturbed,
) -> (Vec<f64>, Vec<f64>) {
    let losses = objective.loss(network, batch, &mut noise("objective"));
    let gradients = GradientsParams::from_grads(losses.clone().sum().backward(), network);
    (host(losses), host(layout.gradients(network, &gradients)))
}

fn objectives() -> Vec<(&'static str, Box<dyn Objective>)> {
    let denoising = Denoising::default();
    let sliced = |variance_reduced, projections| Sliced { variance_reduced, projections, ..Sliced::default() };
    vec![
        ("denoising", Box::new(denoising.clone())),
        ("denoising, control variate", Box::new(Denoising { control_variate: true, ..denoising.clone() })),
        ("denoising, antithetic", Box::new(Denoising { antithetic: true, ..denoising.clone() })),
        ("denoising, sliced", Box::new(Denoising { projections: Some(3), ..denoising.clone() })),
        (
            "denoising, all",
            Box::new(Denoising { projections: Some(2), antithetic: true, control_variate: true, ..denoising }),
        ),
        ("explicit", Box::new(Explicit {})),
        ("sliced", Box::new(sliced(false, 3))),
        ("sliced, variance-reduced", Box::new(sliced(true, 2))),
        ("implicit", Box::new(Implicit::default())),
        ("implicit, Hutchinson", Box::new(Implicit { trace: Trace::Hutchinson, probe: Probe::Gaussian, probes: 2 })),
        ("implicit, Hutch++", Box::new(Implicit { trace: Trace::HutchPlusPlus, probe: Probe::Gaussian, probes: 6 })),
    ]
}

#[test]
fn every_objective_is_that_of_the_gradient_written_out() {
    for parameterization in ALL {
        let (energy, twin, layout, own) = pair(parameterization, 1.0);
        let (_, wrong, _, _) = pair(parameterization, 1.01);
        for (name, objective) in objectives() {
            assert!(objective.takes_energies(), "{name}");
            let batch = batch(D, objective.probes());
            let (losses, mut gradient) = loss_and_gradient(&*objective, &energy, &layout, &batch);
            let (expected, its) = loss_and_gradient(&*objective, &twin, &own, &batch);
            let bias = gradient.pop().expect("there are parameters");
            let errors = [worst(&losses, &expected), worst(&gradient, &its), bias.abs()];
            assert!(errors.iter().all(|&e| e < 1e-11), "{name}, {parameterization:?}: {errors:?}");
            let (expected, its) = loss_and_gradient(&*objective, &wrong, &own, &batch);
            let noticed = [worst(&losses, &expected), worst(&gradient, &its)];
            assert!(
                noticed.iter().all(|&e| e > 1e-4),
                "{name}, {parameterization:?}: a percent must be seen: {noticed:?}"
            );
        }
    }
}

#[test]
fn the_score_and_its_derivatives_are_the_gradient_written_out() {
    for parameterization in ALL {
        let (energy, twin, ..) = pair(parameterization, 1.0);
        let batch = batch(D, 2);
        let jet = || Jet::seed(batch.noisy.clone(), batch.probes.clone().expect("given"));
        let (own, its) = (energy.jet(jet(), &batch.condition), twin.jet(jet(), &batch.condition));
        assert!(worst(&host(own.value()), &host(its.value())) < 1e-12, "{parameterization:?}");
        assert!(worst(&host(own.tangents()), &host(its.tangents())) < 1e-12, "{parameterization:?}");
        // Off the tape, where samples are drawn, it is the same.
        let inner = |x: &Tensor<2>| x.clone().without_autodiff();
        let plain = energy.valid().score(inner(&batch.noisy), &batch.condition);
        assert!(!plain.is_autodiff());
        assert_eq!(host(plain), host(own.value()));
    }
}

/// One of several kinds whose energy has no other form here: differences of E are the reference.
fn by_differences(text: &str, size: f64) {
    let plan = plan(text);
    let (network, layout, values) = shaken(plan.network(&taped()).expect("builds"), size);
    let d = plan.dataset.dimension();
    let batch = batch(d, 1);
    let v = batch.probes.clone().expect("given").remove(0);
    let energy = ScoreNetwork::energy(&network).expect("is one");
    let energy_at = |t: f64| {
        let x = batch.noisy.clone() + v.clone() * t;
        host(energy.evaluate(Jet::plain(x), &batch.condition).into_value())
    };
    let h = 1e-4;
    let (minus, here, plus) = (energy_at(-h), energy_at(0.0), energy_at(h));
    let slope: Vec<f64> = plus.iter().zip(&minus).map(|(p, m)| -(p - m) / (2.0 * h)).collect();
    let curve = plus.iter().zip(&minus).zip(&here).map(|((p, m), e)| -(p - 2.0 * e + m) / (h * h));
    let curve: Vec<f64> = curve.collect();

    let density = host(ScoreNetwork::log_density(&network, batch.noisy.clone(), &batch.condition).expect("has one"));
    let minus_energy: Vec<f64> = here.iter().map(|e| -e).collect();
    assert_eq!(density, minus_energy, "{text}");
    let along = [v.clone()];
    let slopes = host(slopes(&network, batch.noisy.clone(), &along, &batch.condition));
    assert!(worst(&slopes, &slope) < 1e-6, "{text}: {slopes:?} {slope:?}");
    let jet = network.jet(Jet::seed(batch.noisy.clone(), along.to_vec()), &batch.condition);
    assert!(worst(&host((jet.value() * v.clone()).sum_dim(1)), &slope) < 1e-6, "{text}");
    let curvature = host(Along::directions(&network, &batch, &along).curvature());
    assert!(worst(&curvature, &curve) < 1e-4, "{text}: {curvature:?} {curve:?}");
    assert!(worst(&host((jet.tangents() * v).sum_dim(1)), &curve) < 1e-4, "{text}");
    let wrong: Vec<f64> = curve.iter().map(|c| 1.01 * c).collect();
    assert!(worst(&curvature, &wrong) > 5e-3);

    // The gradient in the parameters, along itself.
    for (name, objective) in objectives().into_iter().filter(|(name, _)| d < 10 || !name.starts_with("implicit")) {
        let batch = self::batch(d, objective.probes());
        let (_, gradient) = loss_and_gradient(&*objective, &network, &layout, &batch);
        let norm = gradient.iter().map(|g| g * g).sum::<f64>().sqrt();
        let n = gradient.len();
        let unit = wide(gradient.iter().map(|g| g / norm).collect(), [n]).without_autodiff();
        let shifted = |t: f64| {
            let network = layout.unflatten(network.clone(), values.clone() + unit.clone() * t);
            host(objective.loss(&network, &batch, &mut noise("objective")).sum())[0]
        };
        let h = 1e-5;
        let slope = (shifted(h) - shifted(-h)) / (2.0 * h);
        // What Hutch++ holds constant moves with the parameters.
        let allowed = if name.ends_with("Hutch++") { f64::INFINITY } else { 1e-6 };
        assert!((slope / norm - 1.0).abs() < allowed, "{text}: {name}: {slope} {norm}");
    }
}

#[test]
fn energies_of_every_kind_agree_with_their_differences() {
    let data = "[data]\nkind = \"gaussian-mixture\"\nmeans = [[0.0, 1.0, 2.0]]\n[network]\n";
    for network in [
        "kind = \"energy-mlp\"\nhidden = [5, 6]\nactivation = \"silu\"\n",
        "kind = \"energy-mlp\"\nhidden = [6]\nactivation = \"gelu\"\nembedding = \"sine-cosine\"\nparameterization = \"edm\"\n",
        "kind = \"mlp\"\nhidden = [5, 4]\nconservative = true\nparameterization = \"denoiser\"\n",
        "kind = \"mlp\"\nhidden = [5, 4]\nactivation = \"softplus\"\nconservative = true\nparameterization = \"noise\"\n",
    ] {
        by_differences(&format!("{data}{network}"), 0.6);
    }
    // The deeper ones bend more: too much for differences, if their weights are large.
    for (network, size) in [
        ("kind = \"unet\"\nchannels = 4\ngroups = 2\nblocks = 1\n", 0.6),
        ("kind = \"ncsn\"\nchannels = 4\nactivation = \"silu\"\n", 0.2),
        ("kind = \"ncsnv2\"\nchannels = 4\nactivation = \"silu\"\npooling = \"average\"\n", 0.2),
    ] {
        by_differences(&format!("[data]\nkind = \"digits\"\n[network]\n{network}conservative = true\n"), size);
    }
}

/// Φ = −½xᵀF(x) is F's own potential where F is linear and symmetric, and takes the symmetric half where it is only linear.
#[test]
fn a_linear_network_made_conservative_is_its_symmetric_part() {
    #[derive(Module, Debug)]
    struct Matrix {
        of: Param<Tensor<2>>,
    }
    impl Network for Matrix {
        fn forward(&self, x: Jet<2>, _: &Condition) -> Jet<2> {
            x.linear_map(|rows| rows.matmul(self.of.val()))
        }
    }
    let a = normals(&mut noise("matrix"), [D, D]);
    let symmetric = (a.clone() + a.clone().transpose()) * 0.5;
    for parameterization in ALL {
        let network = |of: &Tensor<2>, conservative| {
            let network = AnyNetwork::new(Matrix { of: Param::from_tensor(of.clone().without_autodiff()) });
            Parameterized::new(network, parameterization).conservative(conservative).expect("free")
        };
        let batch = batch(D, 0);
        let score = |network: Parameterized| host(network.score(batch.noisy.clone(), &batch.condition));
        let (free, made) = (score(network(&symmetric, false)), score(network(&a, true)));
        assert!(worst(&made, &free) < 1e-12, "{parameterization:?}");
        assert!(worst(&made, &score(network(&a, false))) > 1e-2, "the other half is gone");
        assert!(worst(&made, &free.iter().map(|s| 2.0 * s).collect::<Vec<_>>()) > 1e-2, "½ is there");
    }
}

#[test]
fn finite_differences_of_the_energy_tend_to_the_derivative() {
    let (energy, _, layout, _) = pair(Parameterization::Denoiser, 1.0);
    let batch = batch(D, 1);
    for variance_reduced in [false, true] {
        let of = |derivative, epsilon| {
            let sliced = Sliced { variance_reduced, derivative, epsilon, ..Sliced::default() };
            loss_and_gradient(&sliced, &energy, &layout, &batch)
        };
        let (exact, gradient) = of(Derivative::Forward, 1.0);
        let errors = [0.1, 0.05].map(|epsilon| {
            let (near, its) = of(Derivative::FiniteDifference, epsilon);
            [worst(&near, &exact), worst(&its, &gradient)]
        });
        for i in 0..2 {
            assert!(errors[1][i] < 5e-3, "{errors:?}");
            // Of second order in ε.
            assert!((3.5..4.5).contains(&(errors[0][i] / errors[1][i])), "{errors:?}");
        }
    }
}

#[test]
fn a_sliced_denoising_loss_is_unbiased_with_the_variance_of_its_directions() {
    let energy = energy_mlp(Parameterization::Scaled).valid();
    let n = 40_000;
    let mut normals = noise("one example");
    let mut one = || matrix(normals.normals(D), D, &Device::flex()).repeat_dim(0, n);
    let batch = Perturbed::new(one(), one(), at(Level::exploding(0.6), n));
    let losses = |objective: Denoising| host(objective.loss(&energy, &batch, &mut noise("sliced denoising")));
    let whole = losses(Denoising::default())[0];
    for probe in [Probe::Rademacher, Probe::Gaussian, Probe::Sphere] {
        let sliced = losses(Denoising { projections: Some(1), probe, ..Denoising::default() });
        let mean = sliced.iter().sum::<f64>() / n as f64;
        let variance = sliced.iter().map(|l| (l - mean).powi(2)).sum::<f64>() / n as f64;
        let error = (variance / n as f64).sqrt();
        assert!((mean - whole).abs() < 4.0 * error, "{probe:?}: {mean} ± {error}, whole {whole}");
        assert!((mean - 2.0 * whole).abs() > 20.0 * error, "{probe:?}: ½ must be seen");
        // ½(vᵀr)² of a Gaussian v is ½‖r‖² χ²₁, whose variance is 2(½‖r‖²)².
        if probe == Probe::Gaussian {
            assert!((variance / (2.0 * whole * whole) - 1.0).abs() < 0.1, "{variance} {whole}");
        }
    }
}

/// With EDM's preconditioning nothing large is taken from something large and divided by σ²: what accepts and rejects at small σ, and
/// log Z, hang on it.
#[test]
fn a_preconditioned_energy_keeps_its_digits_at_small_sigma() {
    let dimension = 400;
    let text = format!(
        "[data]\nkind = \"gaussian-mixture\"\nmeans = [{:?}]\n[network]\nkind = \"energy-mlp\"\nhidden = [8]\n\
         parameterization = \"edm\"\nsigma-data = 1.0\n",
        vec![0.0; dimension]
    );
    let plan = plan(&text);
    let network = plan.network(&Device::flex()).expect("builds");
    let layout = Layout::of(&network);
    let double = layout.unflatten(network.clone(), layout.flatten(&network).cast(DType::F64));
    let x = matrix(noise("far").normals(8 * dimension), dimension, &Device::flex());
    let Levels { alpha, sigma } = at(Level::exploding(0.002), 8).levels.expect("noisy");
    let wide = Condition::new(Levels { alpha: alpha.clone().cast(DType::F64), sigma: sigma.clone().cast(DType::F64) });
    let single = ScoreNetwork::log_density(&network, x.clone(), &Condition::new(Levels { alpha, sigma }));
    let exact = ScoreNetwork::log_density(&double, x.cast(DType::F64), &wide);
    let (single, exact) = (host(single.expect("has one")), host(exact.expect("has one")));
    for (single, exact) in single.iter().zip(&exact) {
        assert!((single - exact).abs() < 0.01, "{single} {exact}");
    }
}

#[test]
fn what_is_no_energy_or_must_not_be_one_is_refused() {
    let data = "[data]\nkind = \"gaussian-mixture\"\nmeans = [[0.0, 1.0]]\n";
    for (network, said) in [
        ("kind = \"energy-mlp\"\nactivation = \"elu\"", "`elu` is not smooth enough"),
        ("kind = \"mlp\"\nconservative = true\nactivation = \"elu\"", "`elu` is not smooth enough"),
        ("kind = \"energy-mlp\"\nconservative = true", "is an energy already"),
        ("kind = \"exact\"\nconservative = true\n[training]\nsteps = 0", "is a gradient already"),
    ] {
        let problem = planned(&format!("{data}[network]\n{network}\n")).expect_err("must be refused");
        assert!(problem.contains(said), "{problem}");
    }
}
