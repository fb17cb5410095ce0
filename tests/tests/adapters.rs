//! wgpu, on whatever adapter there is, against the CPU backend: the same noise, losses and gradients.
//!
//! Without an adapter the tests are left out, unless `STEIN_REQUIRE` names `adapter`, as `cargo xtask test` does where there is one.

use std::io::Write;

use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::{Device, FloatDType};
use stein_core::{Streams, matrix, to_host};
use stein_device::{AdapterKind, DeviceRequest, Selector, adapters, choose};
use stein_experiment::{Experiment, Plan, builtin};
use stein_record::source::Source;
use stein_train::{Batches, Layout, Trainee};

#[path = "../needs.rs"]
mod needs;

/// Largest difference over largest value.
const TOLERANCE: f32 = 1e-4;

/// Says something that the test runner does not hold back.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "wgpu against flex: {text}");
}

/// A hardware adapter if there is one, else a software one.
fn adapter() -> Option<Device> {
    let found = adapters();
    let best = found.iter().find(|a| !a.is_software()).or_else(|| found.first());
    let request = match best {
        Some(adapter) => adapter.request(),
        None => {
            let selector = Selector { kind: AdapterKind::Software, index: 0 };
            let none = choose(&DeviceRequest::Wgpu(Some(selector))).expect_err("there is none");
            needs::leave_out("adapter", &none.to_string());
            return None;
        }
    };
    let chosen = choose(&request).expect("an adapter that is listed can be opened");
    say(&format!("on {}", chosen.description));
    Some(chosen.device)
}

fn plan(text: &str) -> Plan {
    let registry = builtin();
    let source = Source::new("test.toml", text.as_bytes()).expect("text");
    Experiment::read(&source, &registry)
        .and_then(|experiment| Plan::build(experiment, &registry))
        .unwrap_or_else(|problems| panic!("{}", source.render(&problems, false)))
}

/// Weights away from zero: a zero-initialised layer would hide the layers before it.
fn weights(layout: &Layout) -> Vec<f32> {
    Streams::new(1).at("weights", 0).normals(layout.length()).into_iter().map(|z| 0.2 * z).collect()
}

/// The loss of the first training batch and its gradient.
fn loss_and_gradient(plan: &Plan, device: &Device) -> (f32, Vec<f32>) {
    let on_tape = device.clone().autodiff();
    let trainee = Trainee::new(plan.network(&on_tape).expect("builds"), plan.objective.clone());
    let layout = Layout::of(&trainee).for_training(&plan.experiment.training);
    let trainee = layout.unflatten(trainee, stein_core::vector(weights(&layout), device));
    let mut batch = Batches::new(plan, &on_tape).training(0);
    let losses = plan.objective.loss(&trainee.network, &batch.perturbed, &mut batch.noise);
    let loss = (losses * batch.weights).mean();
    let gradients = GradientsParams::from_grads(loss.backward(), &trainee);
    (to_host(loss.inner())[0], to_host(layout.gradients(&trainee, &gradients)))
}

fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    let size = b.iter().fold(0.0f32, |m, x| m.max(x.abs()));
    a.iter().zip(b).fold(0.0f32, |m, (a, b)| m.max((a - b).abs())) / size
}

#[test]
fn losses_gradients_and_noise_are_those_of_the_cpu() {
    let Some(device) = adapter() else { return };
    let cpu = Device::flex();

    let noise = |device: &Device| to_host(matrix(Streams::new(3).at("noise", 7).normals(64), 8, device));
    assert_eq!(noise(&device), noise(&cpu), "noise must be the same to the last bit");

    for (name, text) in [
        (
            "mlp",
            "[data]\nkind = \"gaussian-mixture\"\nmeans = [[-1.0, 0.5], [1.0, -0.5]]\n[network]\nkind = \"mlp\"\nhidden = [16, 16]\n\
             [training]\nbatch-size = 8\n",
        ),
        (
            "unet",
            "[data]\nkind = \"digits\"\n[network]\nkind = \"unet\"\nchannels = 4\ngroups = 2\nblocks = 1\n\
             [training]\nbatch-size = 2\n",
        ),
    ] {
        let plan = plan(text);
        let initial = |device: &Device| {
            let network = plan.network(device).expect("builds");
            to_host(Layout::of(&network).flatten(&network))
        };
        assert_eq!(initial(&device), initial(&cpu), "{name}: initial weights must be the same to the last bit");
        same(name, &plan, &device, TOLERANCE);
        assert!(plan.network(&cpu).expect("builds").num_params() > 0);
    }
}

/// The loss and gradient of a plan's first batch on an adapter are those on the CPU.
fn same(name: &str, plan: &Plan, device: &Device, tolerance: f32) {
    let (loss, gradient) = loss_and_gradient(plan, device);
    let (expected, expected_gradient) = loss_and_gradient(plan, &Device::flex());
    let of_loss = (loss - expected).abs() / expected.abs();
    let of_gradient = largest_difference(&gradient, &expected_gradient);
    say(&format!("{name}: loss {expected}, difference {of_loss:.1e}; gradient, largest difference {of_gradient:.1e}"));
    assert!(of_loss < tolerance && of_gradient < tolerance, "{name}: {of_loss:.1e} {of_gradient:.1e}");
    let twin: Vec<f32> = gradient.iter().map(|g| g * (1.0 + 10.0 * tolerance)).collect();
    assert!(largest_difference(&twin, &expected_gradient) > tolerance, "ten times that must be seen");
}

/// Products of fewer bits, where an adapter has them: the same number type on both sides, rounded in another order.
#[test]
fn products_in_half_precision_are_those_of_the_cpu() {
    let Some(device) = adapter() else { return };
    for (precision, float, tolerance) in [("f16", FloatDType::F16, 5e-3), ("bf16", FloatDType::BF16, 4e-2)] {
        if !device.supports_dtype(float) {
            say(&format!("the adapter has no {precision}"));
            continue;
        }
        let text = format!(
            "[data]\nkind = \"digits\"\n[network]\nkind = \"unet\"\nchannels = 4\ngroups = 2\nblocks = 1\n\
             [training]\nbatch-size = 2\nprecision = \"{precision}\"\n"
        );
        same(precision, &plan(&text), &device, tolerance);
    }
}

/// Few, tiny shapes: a software adapter compiles a kernel for each.
#[test]
fn every_objective_is_that_of_the_cpu() {
    let Some(device) = adapter() else { return };
    let data = "[data]\nkind = \"gaussian-mixture\"\nmeans = [[-1.0, 0.5, 0.2], [1.0, -0.5, 0.1]]\n[training]\nbatch-size = 4\n";
    let clean = "[schedule]\nkind = \"none\"\n[sampler]\nkind = \"langevin\"\nstep-size = 0.1\n\
                 [network]\nhidden = [8]\nactivation = \"softplus\"\nembedding = \"none\"\nparameterization = \"score\"\n";
    let noisy = "[network]\nhidden = [8]\nactivation = \"softplus\"\nparameterization = \"edm\"\n";
    let energy =
        "[network]\nkind = \"energy-mlp\"\nhidden = [8]\nactivation = \"softplus\"\nparameterization = \"edm\"\n";
    for (name, setting, objective) in [
        ("explicit", clean, "kind = \"explicit\""),
        ("implicit, exact", clean, "kind = \"implicit\""),
        ("implicit, basis", clean, "kind = \"implicit\"\ntrace = \"basis\""),
        ("implicit, Hutchinson", clean, "kind = \"implicit\"\ntrace = \"hutchinson\""),
        ("implicit, Hutch++", clean, "kind = \"implicit\"\ntrace = \"hutch++\"\nprobes = 3"),
        ("sliced", noisy, "kind = \"sliced\"\nvariance-reduced = false"),
        ("sliced, variance-reduced", noisy, "kind = \"sliced\""),
        ("sliced, finite differences", noisy, "kind = \"sliced\"\nderivative = \"finite-difference\"\nepsilon = 0.5"),
        ("denoising, control variate", noisy, "kind = \"denoising\"\ncontrol-variate = true\nweighting = \"edm\""),
        ("denoising, antithetic", noisy, "kind = \"denoising\"\nantithetic = true\nweighting = \"likelihood\""),
        ("energy, sliced, variance-reduced", energy, "kind = \"sliced\""),
        ("energy, denoising", energy, "kind = \"denoising\""),
    ] {
        same(name, &plan(&format!("{data}{setting}[objective]\n{objective}\n")), &device, TOLERANCE);
    }
}
