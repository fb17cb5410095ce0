//! `stein export` and `stein score`: what a run gives to other programs.

use stein_record::arrays::ArrayFile;
use stein_record::{Array, checkpoint};

use crate::harness::{Folder, SMALL};

/// A finished run of 60 steps, and the path to it.
fn finished() -> (Folder, String) {
    let folder = Folder::with(SMALL);
    folder.stein(&["run", "small.toml", "--quiet", "--set", "training.steps=60"]).exits(0);
    let path = folder.cell().path().strip_prefix(folder.path()).unwrap().to_str().unwrap().to_owned();
    (folder, path)
}

fn weights(folder: &Folder, name: &str) -> ArrayFile {
    ArrayFile::read(&folder.path().join(name)).unwrap().expect("weights")
}

#[test]
fn weights_are_taken_away_with_what_they_mean() {
    let (folder, path) = finished();
    let said = folder.stein(&["export", &path, "--out", "mine.safetensors"]).exits(0);
    assert!(
        said.out().contains("mine.safetensors")
            && said.out().contains("mlp, 1250 numbers in 6 tensors, after 60 steps, averaged"),
        "{}",
        said.out()
    );
    let file = weights(&folder, "mine.safetensors");
    assert_eq!(file.arrays["layers.0.weight"].shape, [32, 3], "out, in");
    let own = ArrayFile::read(&folder.cell().network()).unwrap().unwrap();
    assert_eq!(file.arrays, own.arrays);
    let about: serde_json::Value = serde_json::from_str(&file.metadata["stein"]).unwrap();
    assert_eq!((&about["network"]["hidden"], &about["dimension"]), (&serde_json::json!([32, 32]), &2.into()));
    assert_eq!((&about["parameterization"], &about["weights"]), (&"scaled".into(), &"averaged".into()));
    let sigmas: Vec<f64> = serde_json::from_value(about["sigmas"].clone()).unwrap();
    assert_eq!((sigmas.len(), sigmas[0], about["alphas"][4].as_f64()), (5, 4.0, Some(1.0)));

    let again = folder.stein(&["export", &path, "--out", "mine.safetensors"]).exits(2);
    assert!(again.err().contains("is there already; --force writes over it"), "{}", again.err());
    folder.stein(&["export", &path, "--out", "mine.safetensors", "--force", "--quiet"]).exits(0);
    // Without --out it is called as the run is.
    folder.stein(&["export", &path]).exits(0);
    assert!(folder.path().join(format!("{}.safetensors", folder.cell().name())).is_file());
}

#[test]
fn raw_weights_are_the_last_checkpoints() {
    let (folder, path) = finished();
    let said = folder.stein(&["export", &path, "--raw", "--out", "raw.safetensors", "--json"]).exits(0);
    let said: serde_json::Value = serde_json::from_str(&said.out()).unwrap();
    assert_eq!((&said["tensors"], &said["metadata"]["step"]), (&6.into(), &"60".into()));
    let (raw, averaged) =
        (weights(&folder, "raw.safetensors"), ArrayFile::read(&folder.cell().network()).unwrap().unwrap());
    assert_eq!(raw.arrays.keys().collect::<Vec<_>>(), averaged.arrays.keys().collect::<Vec<_>>());
    assert!(raw.arrays != averaged.arrays && !raw.metadata.contains_key("ema"));
    // The optimiser's own vector has the same numbers, burn's way round.
    let training = folder.training();
    let hash = training.read_record().unwrap().unwrap().hash;
    let set = checkpoint::newest(&training.checkpoints(), &hash, 1 << 20).unwrap().set.unwrap();
    let vector = ArrayFile::from_bytes(&set.files["model.safetensors"]).unwrap().arrays["parameters"].clone();
    let weight = &raw.arrays["layers.0.weight"];
    assert_eq!((weight.data[1], weight.data[3]), (vector.data[32], vector.data[1]));

    // The training lies beside the run, not beside a link to it, nor beside where the user is.
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(&path, folder.path().join("best")).unwrap();
        folder.stein(&["export", "best", "--raw", "--out", "linked.safetensors"]).exits(0);
        let mut here = folder.command(&["export", ".", "--raw", "--out", "here.safetensors"]);
        crate::harness::Said(here.current_dir(folder.cell().path()).output().unwrap()).exits(0);
        assert!(weights(&folder, "linked.safetensors").arrays == raw.arrays);
    }

    std::fs::remove_dir_all(training.checkpoints()).unwrap();
    let none = folder.stein(&["export", &path, "--raw", "--force"]).exits(6);
    assert!(none.err().contains("there is no checkpoint"), "{}", none.err());
}

#[test]
fn what_cannot_be_exported_is_said() {
    let (folder, path) = finished();
    let refused = |arguments: &[&str], words: &str| {
        let said = folder.stein(arguments).exits(2);
        assert!(said.err().contains(words), "{arguments:?}: {}", said.err());
    };
    refused(&["export"], "<RUN>");
    refused(&["export", "runs"], "no run directory");
    refused(&["export", "nowhere", "--csv"], "neither a run directory nor a folder of such");
    refused(&["export", &path, &path], "weights are those of one run");
    refused(&["export", &path, "--csv", "--raw"], "cannot be used with");
    let exact =
        SMALL.replace("kind = \"mlp\"\nhidden = [32, 32]", "kind = \"exact\"").replace("steps = 600", "steps = 0");
    folder.write("exact.toml", &exact);
    folder.stein(&["run", "exact.toml", "--quiet"]).exits(0);
    let runs = stein_record::run_dir::list(&folder.path().join("runs")).unwrap();
    refused(&["export", runs[0].path().to_str().unwrap()], "has no weights: its network is `exact`");
}

#[test]
fn curves_are_a_table_and_event_files() {
    let (folder, path) = finished();
    let table = folder.stein(&["export", &path, "--csv"]).exits(0).out();
    let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split(',').collect()).collect();
    let column =
        |name: &str| lines[0].iter().position(|n| *n == name).unwrap_or_else(|| panic!("no {name} in {table}"));
    assert!(lines.iter().all(|line| line.len() == lines[0].len()), "{table}");
    for measured in folder.cell().read_metrics().unwrap() {
        let name = format!("{}/{}", measured.name, measured.split);
        let line = lines.iter().find(|line| line[0] == measured.step.to_string()).expect("a line for each step");
        assert_eq!(line[column(&name)].parse(), Ok(measured.value), "{name}");
    }
    // Another run has a place of its own beside it.
    folder.stein(&["run", "small.toml", "--quiet", "--set", "training.steps=60", "--set", "seed=1"]).exits(0);
    let both = folder.stein(&["export", "runs/small", "--csv", "--out", "both.csv", "--json"]).exits(0);
    assert!(both.out().contains("both.csv"), "{}", both.out());
    let both = std::fs::read_to_string(folder.path().join("both.csv")).unwrap();
    assert!(
        both.starts_with("run,step,") && both.contains("small/seed-1-") && both.contains("small/seed-0-"),
        "{both}"
    );

    let said = folder.stein(&["export", "runs/small", "--tensorboard", "events"]).exits(0);
    let said = said.out();
    let files: Vec<&str> = said.lines().filter_map(|line| line.split_whitespace().nth(1)).collect();
    assert_eq!(files.len(), 2, "{said}");
    for file in files {
        assert!(file.starts_with("events/small/seed-") && file.contains("tfevents"), "{file}");
        let bytes = std::fs::read(folder.path().join(file)).unwrap();
        assert!(bytes[12..].starts_with(&[9]) && bytes.windows(10).any(|w| w == b"loss/train"));
        assert!(bytes.windows(21).any(|w| w == b"metrics/sigma2-fisher"));
    }
    let again = folder.stein(&["export", "runs/small", "--tensorboard", "events"]).exits(2);
    assert!(again.err().contains("is there already"), "{}", again.err());
    folder.stein(&["export", "runs/small", "--tensorboard", "events", "--force"]).exits(0);
}

#[test]
fn scores_are_given_where_they_are_asked_for() {
    let (folder, path) = finished();
    let path = path.as_str();
    // The evaluation has scores on a grid of its own.
    let field = ArrayFile::read(&folder.cell().field()).unwrap().unwrap();
    let (x, y, sigmas) = (&field.arrays["x"], &field.arrays["y"], &field.arrays["sigma"].data);
    let grid = y.data.iter().flat_map(|&y| x.data.iter().flat_map(move |&x| [x, y])).collect();
    let points = Array::new([y.rows(), x.rows(), 2], grid);
    points.write_npy(&folder.path().join("grid.npy")).unwrap();
    let rows = Array::new([y.rows() * x.rows(), 2], points.data);
    rows.write_npy(&folder.path().join("points.npy")).unwrap();
    for (i, level) in [(0, "4.0"), (4, "0.1")] {
        let sigma = ["score", path, "--at", "points.npy", "--sigma", level, "--json", "--quiet"];
        let said: serde_json::Value = serde_json::from_str(&folder.stein(&sigma).exits(0).out()).unwrap();
        assert_eq!((&said["shape"], &said["alpha"]), (&serde_json::json!(rows.shape), &1.0.into()));
        assert!((f64::from(sigmas[i]) - said["sigma"].as_f64().unwrap()).abs() < 1e-6);
        let scores = Array::read_npy(&folder.path().join("scores.npy")).unwrap().unwrap();
        let learned = &field.arrays["learned_score"];
        let own = &learned.data[i * scores.data.len()..(i + 1) * scores.data.len()];
        let largest = own.iter().fold(0.0f32, |m, s| m.max(s.abs()));
        let error = scores.data.iter().zip(own).fold(0.0f32, |m, (a, b)| m.max((a - b).abs()));
        assert!(scores.shape == rows.shape && error <= 1e-5 * largest, "{error} of {largest}");
    }
    let refused = |more: &[&str], words: &str| {
        let said = folder.stein(&[&["score", path, "--at"], more].concat()).exits(2);
        assert!(said.err().contains(words), "{more:?}: {}", said.err());
    };
    refused(&["grid.npy", "--sigma", "1"], "has the shape [41, 41, 2]; it must be [N, 2]");
    refused(&["points.npy"], "--sigma is missing; this run's levels have σ from 4 to 0.1");
    refused(&["nowhere.npy", "--sigma", "1"], "there is no file nowhere.npy");
    refused(&["small.toml", "--sigma", "1"], "not a version 1.0 .npy file");
    refused(&["points.npy", "--sigma", "0"], "a number above 0");
    refused(&["points.npy", "--sigma", "1", "--class", "0"], "knows no classes");
    Array::new([2, 3], vec![0.0; 6]).write_npy(&folder.path().join("wide.npy")).unwrap();
    refused(&["wide.npy", "--sigma", "1"], "has the shape [2, 3]; it must be [N, 2]");
}
