//! FID and KID against pytorch-fid's.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;

use burn::tensor::Device;
use stein_core::{Dataset, ImageShape};
use stein_metrics::stats::{Rows, frechet_distance};
use stein_metrics::{INCEPTION_FEATURES, Inception, InceptionWeights, Pictures};
use stein_record::Array;

use crate::exports::{read, stein, succeeds};
use crate::python::{self, Python};

fn pytorch_fid() -> Option<Python> {
    python::or_skip(&["torch", "torchvision", "pytorch_fid", "scipy", "numpy", "safetensors"])
}

fn script(python: &Python, folder: &Path, arguments: &[&str]) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/accept/inception.py");
    succeeds(python.command().arg(&script).args(arguments), folder)
}

/// The root mean square of the differences over that of what is different between theirs.
fn error(ours: &Array, theirs: &Array) -> f64 {
    assert_eq!(ours.shape, theirs.shape);
    let n = theirs.rows() as f64;
    let columns = theirs.row_length();
    let mut mean = vec![0.0; columns];
    theirs.data.iter().enumerate().for_each(|(i, &x)| mean[i % columns] += f64::from(x) / n);
    let difference: f64 = ours.data.iter().zip(&theirs.data).map(|(a, b)| f64::from(a - b).powi(2)).sum();
    let spread: f64 = theirs.data.iter().enumerate().map(|(i, &x)| (f64::from(x) - mean[i % columns]).powi(2)).sum();
    (difference / spread).sqrt()
}

const EXPERIMENT: &str = r#"
name = "pictures"
[data]
kind = "images"
path = "pictures"
height = 12
width = 10
held-out-share = 0.25
[network]
kind = "mlp"
hidden = [16]
[schedule]
levels = 4
[training]
steps = 20
batch-size = 16
[sampler]
kind = "dpm-solver-pp-2m"
[evaluation]
samples = 40
level-rows = 20
metrics = ["inception", "fid-training"]
inception = "weights.pth"
"#;

#[test]
fn features_are_pytorch_fids() {
    let Some(python) = pytorch_fid() else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let folder = folder.path();
    script(&python, folder, &["make"]);
    let device = Device::flex();
    let weights = |name: &str| InceptionWeights::open(&folder.join(name)).unwrap_or_else(|problem| panic!("{problem}"));
    let network = Inception::new(&weights("weights.pth"), &device).expect("readable");
    let features = |network: &Inception, name: &str| {
        let array = read(&folder.join(format!("{name}.npy")));
        let [_, channels, height, width] = array.shape[..] else { panic!("pictures") };
        let image = Some(ImageShape { height, width, channels });
        let data = Dataset { image, range: Some([0.0, 1.0]), ..Dataset::default() };
        let pictures = Pictures::of(&array, &data).expect("pictures");
        network.features(&pictures, |_| ControlFlow::Continue(())).expect("not stopped")
    };
    for name in ["colour", "grey", "large"] {
        let ours = features(&network, name);
        assert_eq!(ours.row_length(), INCEPTION_FEATURES);
        let error_of = |variant: &str| error(&ours, &read(&folder.join(format!("{name}-{variant}.npy"))));
        let right = error_of("right");
        println!("{name}: {right:.1e}");
        assert!(right <= 1e-4, "{name}: off by {right}");
        for variant in ["counted", "mean", "cut", "unrounded", "smoothed"] {
            let wrong = error_of(variant);
            println!("{name}, {variant}: {wrong:.1e}");
            // A small picture is only made larger, where nothing is to be smoothed.
            let alike = variant == "smoothed" && name != "large";
            assert!(alike || wrong > 10.0 * right.max(1e-5), "{name}: {variant} is {wrong} off, and right {right}");
        }
    }
    // Whatever the file's format.
    let grey = features(&network, "grey");
    for name in ["legacy.pth", "weights.safetensors"] {
        let other = Inception::new(&weights(name), &device).expect("readable");
        assert_eq!(features(&other, "grey"), grey, "{name}");
    }
    fids_of_a_run(&python, folder);
}

/// Those of a whole run, of the pictures that its samples and held-out rows are.
fn fids_of_a_run(python: &Python, folder: &Path) {
    std::fs::write(folder.join("pictures.toml"), EXPERIMENT).expect("written");
    stein(folder, &["run", "pictures.toml", "--quiet", "--set", "device=cpu"]);
    let [run] = &stein_record::run_dir::list(&folder.join("runs")).expect("runs")[..] else { panic!("one run") };
    let evaluation = run.read_evaluation().expect("readable").expect("there");
    let [samples, held_out] = ["final.npy", "held-out.npy"].map(|name| run.sample(name));
    assert_eq!(read(&held_out).rows(), 40);
    let theirs = script(python, folder, &["fid", samples.to_str().expect("UTF-8"), held_out.to_str().expect("UTF-8")]);
    // pytorch-fid says more.
    let theirs = theirs.lines().last().expect("a line");
    let theirs: BTreeMap<String, f64> = serde_json::from_str(theirs).expect("numbers");
    for name in ["fid", "kid", "fid-training"] {
        let ours = evaluation.metric(name).unwrap_or_else(|| panic!("no {name}"));
        println!("{name}: {} and pytorch-fid's {}", ours.estimate.value, theirs[name]);
        let off = ours.estimate.value / theirs[name] - 1.0;
        assert!(off.abs() < 1e-3, "{name}: {} and {}", ours.estimate.value, theirs[name]);
        let floor = ours.floor.expect("a floor").value;
        assert!(floor < 0.9 * ours.estimate.value, "{name}: the floor is {floor}");
    }
    // The reference is another one, and larger.
    assert!((theirs["fid-training"] / theirs["fid"] - 1.0).abs() > 0.01, "{theirs:?}");
    let fid = evaluation.metric("fid").expect("measured");
    assert!(
        fid.about.contains("Between 40 samples") && fid.about.contains("published numbers are by"),
        "{}",
        fid.about
    );
    let about = &evaluation.metric("fid-training").expect("measured").about;
    assert!(about.contains("Of 40 samples and 120 training rows, as"), "{about}");
    let record = run.read_record().expect("readable").expect("there");
    assert!(record.conventions["inception"].contains("sha256"), "{:?}", record.conventions);
    // What is of the data is there for the next run.
    let kept = std::fs::read_dir(run.features().expect("a folder")).expect("listed");
    let kept = kept.filter(|e| e.as_ref().is_ok_and(|e| e.file_name().to_string_lossy().starts_with("inception-")));
    // As many training rows as samples, all of them, and held-out rows.
    assert_eq!(kept.count(), 3);
}

#[test]
fn frechet_distances_are_pytorch_fids() {
    let Some(python) = pytorch_fid() else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let said = script(&python, folder.path(), &["frechet"]);
    let theirs: Vec<f64> = serde_json::from_str(said.lines().last().expect("a line")).expect("numbers");
    for (i, theirs) in theirs.into_iter().enumerate() {
        let [x, y] = ["x", "y"].map(|set| read(&folder.path().join(format!("{set}-{i}.npy"))));
        let dim = x.row_length();
        let [a, b] = [&x, &y].map(|array| Rows::new(&array.data, dim).expect("rows"));
        let ours = frechet_distance(a, b).expect("measured").value;
        println!("{i}: {ours} and pytorch-fid's {theirs}");
        // Of fewer rows than numbers, the root of a singular product is no more exact than this there.
        let tolerance = if x.rows().min(y.rows()) < dim { 1e-4 } else { 1e-6 };
        assert!((ours / theirs - 1.0).abs() < tolerance, "{i}: {ours} and {theirs}");
    }
}
