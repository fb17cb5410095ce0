//! What other programs make of exported runs.

use std::path::Path;
use std::process::Command;

use stein_record::{Array, RunDir, series::Series};

use crate::python;

const MIXTURE: &str = r#"
name = "mixture"
[data]
kind = "gaussian-mixture"
means = [[-2.0, 0.0], [2.0, 0.0]]
std = 0.5
train = 400
held-out = 200
[network]
kind = "mlp"
hidden = [32, 24]
[schedule]
levels = 5
[training]
steps = 200
batch-size = 64
log-every = 20
ema = 0.9
[evaluation]
samples = 50
level-rows = 50
"#;

const DIGITS: &str = r#"
name = "digits"
[data]
kind = "digits"
[network]
kind = "unet"
channels = 8
groups = 4
multipliers = [1, 2, 3]
classes = true
[schedule]
sigma-max = 4.0
sigma-min = 0.1
levels = 4
[training]
steps = 30
batch-size = 32
ema = 0.5
[sampler]
kind = "dpm-solver-pp-2m"
[evaluation]
samples = 60
level-rows = 40
metrics = []
"#;

pub(crate) fn stein(folder: &Path, arguments: &[&str]) {
    let output = crate::stein(folder, arguments).output().expect("stein starts");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

#[track_caller]
pub(crate) fn succeeds(command: &mut Command, folder: &Path) -> String {
    let output = command.current_dir(folder).output().expect("Python starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Trains an experiment and exports its weights to `NAME.safetensors`.
fn trained(text: &str, name: &str) -> (tempfile::TempDir, RunDir) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join("small.toml"), text).expect("written");
    stein(folder.path(), &["run", "small.toml", "--quiet", "--set", "device=cpu"]);
    let runs = stein_record::run_dir::list(&folder.path().join("runs")).expect("runs");
    let [run]: [RunDir; 1] = runs.try_into().expect("one run");
    let path = run.path().to_str().expect("UTF-8").to_owned();
    stein(folder.path(), &["export", &path, "--out", &format!("{name}.safetensors")]);
    (folder, run)
}

/// Points at which scores are compared, and stein's scores there.
fn stein_scores(folder: &Path, run: &RunDir, dimension: usize, sigma: &str, more: &[&str]) -> Array {
    let points = (0..40 * dimension).map(|i| 3.0 * (1.7 * i as f32).sin()).collect();
    Array::new([40, dimension], points).write_npy(&folder.join("points.npy")).expect("written");
    let path = run.path().to_str().expect("UTF-8");
    let arguments = ["score", path, "--at", "points.npy", "--sigma", sigma, "--out", "ours.npy", "--quiet"];
    stein(folder, &[&arguments, more].concat());
    read(&folder.join("ours.npy"))
}

pub(crate) fn read(path: &Path) -> Array {
    Array::read_npy(path).expect("readable").expect("there")
}

/// Equal to 1e-5 of the largest; and not all the same, as an untrained network's would be.
#[track_caller]
fn agree(ours: &Array, theirs: &Array) {
    assert_eq!(ours.shape, theirs.shape);
    let largest = ours.data.iter().fold(0.0f32, |m, x| m.max(x.abs()));
    let error = ours.data.iter().zip(&theirs.data).fold(0.0f32, |m, (a, b)| m.max((a - b).abs()));
    assert!(largest > 1e-2 && error <= 1e-5 * largest, "the largest is {largest}, the largest error {error}");
}

/// The Python in the README of the crate `stein`.
fn loader() -> String {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).expect("a README");
    let (_, code) = page.split_once("```python\n").expect("Python");
    code.split_once("```").expect("an end").0.to_owned()
}

#[test]
fn an_mlp_has_the_same_score_in_numpy() {
    let Some(numpy) = python::or_skip(&["numpy"]) else { return };
    let (folder, run) = trained(MIXTURE, "mixture");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/accept/numpy_score.py");
    for sigma in ["1.5", "0.05"] {
        let ours = stein_scores(folder.path(), &run, 2, sigma, &[]);
        let files = ["mixture.safetensors", "points.npy", sigma, "theirs.npy"];
        succeeds(numpy.command().arg(&script).args(files), folder.path());
        agree(&ours, &read(&folder.path().join("theirs.npy")));
    }
}

#[test]
fn the_loader_in_the_readme_has_the_same_score() {
    let Some(torch) = python::or_skip(&["torch", "numpy", "safetensors"]) else { return };
    let (folder, run) = trained(MIXTURE, "mixture");
    let ours = stein_scores(folder.path(), &run, 2, "0.5", &[]);
    let ask = "
import numpy
x = torch.from_numpy(numpy.load('points.npy'))
numpy.save('theirs.npy', score(x, torch.full([len(x), 1], 0.5)).detach().numpy())
";
    succeeds(torch.command().args(["-c", &(loader() + ask)]), folder.path());
    agree(&ours, &read(&folder.path().join("theirs.npy")));
}

/// DDPM++ in small: whatever a U-Net can have.
const LARGE: &str = r#"
attention = [8, 4]
heads = 2
skips = "block"
resampling = "convolution"
scale-skips = true
embedding = "fourier"
parameterization = "edm"
"#;

#[test]
fn the_unet_of_the_examples_has_the_same_score() {
    let Some(torch) = python::or_skip(&["torch", "numpy", "safetensors"]) else { return };
    let large = DIGITS.replace("classes = true\n", &format!("classes = true{LARGE}"));
    let patched = large.replace("[8, 4]", "[4]").replace("\"block\"", "\"resolution\"").replace("3]", "3]\npatch = 2");
    for text in [DIGITS, &large, &patched] {
        let (folder, run) = trained(text, "digits");
        let module = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/unet.py");
        std::fs::copy(module, folder.path().join("unet.py")).expect("copied");
        let whole = stein_scores(folder.path(), &run, 64, "0.3", &[]);
        let of_class = stein_scores(folder.path(), &run, 64, "0.3", &["--class", "3"]);
        let ask = "
import sys
sys.path.insert(0, '.')
import numpy, torch, unet
x, network = torch.from_numpy(numpy.load('points.npy')), unet.Unet.load('digits.safetensors')
sigma = torch.full([len(x), 1], 0.3)
numpy.save('whole.npy', network(x, sigma).detach().numpy())
numpy.save('class.npy', network(x, sigma, classes=torch.full([len(x)], 3)).detach().numpy())
";
        succeeds(torch.command().args(["-c", ask]), folder.path());
        agree(&whole, &read(&folder.path().join("whole.npy")));
        agree(&of_class, &read(&folder.path().join("class.npy")));
        assert!(whole.data != of_class.data, "the class is told");
    }
}

#[test]
fn tensorboard_reads_event_files() {
    let Some(tensorboard) = python::or_skip(&["tensorboard"]) else { return };
    let (folder, run) = trained(MIXTURE, "mixture");
    stein(folder.path(), &["export", "runs/mixture", "--tensorboard", "events"]);
    let ask = "
import json, sys
from tensorboard.backend.event_processing import event_accumulator, plugin_event_accumulator
events = event_accumulator.EventAccumulator(sys.argv[1])
events.Reload()
# What the server reads, where every value belongs to a plugin.
told = plugin_event_accumulator.EventAccumulator(sys.argv[1])
told.Reload()
for tag in events.Tags()['scalars']:
    about = told.SummaryMetadata(tag)
    assert about.plugin_data.plugin_name == 'scalars', about
    assert tag.split('/')[0] not in ('metrics', 'cost') or about.summary_description, tag
scalars = {tag: [[e.step, e.value, e.wall_time] for e in events.Scalars(tag)] for tag in events.Tags()['scalars']}
print(json.dumps(scalars))
";
    let events = format!("events/mixture/{}", run.name());
    let read = succeeds(tensorboard.command().args(["-c", ask, &events]), folder.path());
    let read: std::collections::BTreeMap<String, Vec<(u64, f64, f64)>> = serde_json::from_str(&read).expect("JSON");
    let series = Series::of(&run.read_metrics().expect("readable"));
    for name in &series.names {
        let steps = series.steps.keys().filter_map(|&step| Some((step, series.at(step, name)? as f32)));
        let theirs = read[name].iter().map(|&(step, value, _)| (step, value as f32));
        assert!(steps.eq(theirs), "{name}: {:?}", read[name]);
    }
    let evaluation = run.read_evaluation().expect("readable").expect("there");
    for metric in &evaluation.metrics {
        let theirs = &read[&format!("metrics/{}", metric.name)];
        assert_eq!((theirs[0].0, theirs[0].1 as f32), (200, metric.estimate.value as f32), "{}", metric.name);
    }
    let times: Vec<f64> = read["loss/train"].iter().map(|e| e.2).collect();
    assert!(times.is_sorted() && times[0] > 1.7e9, "{times:?}");
}
