//! `[inverse]`, and `stein sample --interpolate`.

use stein_record::Array;

use crate::harness::{Folder, SMALL};

/// Two modes on a diagonal, of which the first coordinate is seen; the exact score. A linear guess errs between the modes.
const SEEN: &str = r#"
[data]
kind = "gaussian-mixture"
means = [[-2.0, -2.0], [2.0, 2.0]]
std = 0.5
train = 2000
held-out = 200

[network]
kind = "exact"

[schedule]
sigma-max = 8.0
sigma-min = 0.05
levels = 40

[sampler]
kind = "edm"

[inverse]
kind = "inpainting"
known = { coordinates = [0] }
conditioning = "moment-matching"
sigma-y = 0.05
observed = 100
repeats = 10

[evaluation]
samples = 50
level-rows = 50
trajectories = 10
frames = 5
"#;

#[test]
fn completions_are_drawn_measured_and_shown() {
    let folder = Folder::with(SEEN);
    folder.stein(&["run", "small.toml", "--quiet"]).exits(0);
    let run = folder.cell();
    let evaluation = run.read_evaluation().unwrap().unwrap();
    let record = evaluation.inverse.clone().expect("recorded");
    assert_eq!((record.kind.as_str(), record.method.as_str()), ("inpainting", "moment-matching"));
    assert_eq!((record.observed, record.repeats, record.measurements), (100, 10, 1));
    // Of 40 steps of two evaluations but for the last, each has three derivatives beside it, which count two: a value and it.
    assert_eq!((evaluation.nfe, record.nfe), (79, 79.0 * 7.0));
    let shape = |name: &str| Array::read_npy(&run.sample(name)).unwrap().unwrap().shape;
    assert_eq!((shape("completions.npy"), shape("measured.npy")), (vec![1000, 2], vec![100, 2]));
    let metric = |name: &str| evaluation.metric(name).unwrap_or_else(|| panic!("{name}")).clone();
    // The other coordinate has its mode's std of 0.5 left (some completions, in the other mode, add to it), a linear guess 0.7,
    // and who knows of nothing 2.
    let error = metric("completion-error");
    assert!((0.45..0.8).contains(&error.estimate.value), "{error:?}");
    assert!(error.estimate.value < error.baseline.unwrap().value - 0.05, "{error:?}");
    let calibration = metric("completion-calibration").estimate.value;
    assert!((calibration - 1.0).abs() < 0.2, "{calibration}");
    let residual = metric("completion-residual");
    assert!(residual.estimate.value < 0.1 && (residual.floor.unwrap().value - 0.05).abs() < 0.02, "{residual:?}");
    let page = std::fs::read_to_string(folder.path().join("reports/small/index.html")).unwrap();
    assert!(page.contains("Completions") && page.contains("error of the mean completion"));

    // What is measured changes nothing of the free samples, and a file without the table is the cell that it was.
    let free = SEEN.split("[inverse]").next().unwrap().to_owned()
        + "[evaluation]"
        + SEEN.split("[evaluation]").nth(1).unwrap();
    let other = Folder::with(&free);
    other.stein(&["run", "small.toml", "--quiet"]).exits(0);
    let bytes = |folder: &Folder| std::fs::read(folder.cell().sample("final.npy")).unwrap();
    assert_eq!(bytes(&folder), bytes(&other));
    assert!(other.cell().read_evaluation().unwrap().unwrap().inverse.is_none());
    assert_ne!(folder.cell().name(), other.cell().name());
}

#[test]
fn problems_that_cannot_be_posed_are_refused() {
    let folder = Folder::with(SEEN);
    let refused = |set: &[&str], words: &str| {
        let mut arguments = vec!["check", "small.toml"];
        arguments.extend(set.iter().flat_map(|s| ["--set", s]));
        let said = folder.stein(&arguments).exits(2);
        assert!(said.err().contains(words), "{set:?}: {}", said.err());
    };
    refused(&["inverse.observed=201"], "only 200 rows are held out");
    refused(&["inverse.repeats=1"], "`repeats` is 1; it must be at least 2");
    refused(&["inverse.sigma-y=-1"], "`sigma-y` is -1");
    refused(&["inverse.iterations=0"], "`iterations` is 0");
    refused(&["inverse.known=left-half"], "these data are none");
    refused(&["inverse.known={coordinates=[2]}"], "no coordinate 2; a row has 2");
    refused(&["inverse.kind=blurr"], "did you mean `blur`?");
    refused(&["inverse.conditioning=projecting"], "projecting");
    refused(&["sampler.kind=mala"], "`mala` as it is set cannot draw given a measurement");
    refused(&["sampler.kind=probability-flow", "sampler.method=dormand-prince"], "at its own pace");

    let levels = "[schedule]\nsigma-max = 8.0\nsigma-min = 0.05\nlevels = 40\n";
    let clean = SEEN
        .replace(levels, "[schedule]\nkind = \"none\"\n")
        .replace("kind = \"edm\"", "kind = \"langevin\"\nstep-size = 0.01")
        .replace("sigma-y = 0.05", "sigma-y = 0.0");
    let said = Folder::with(&clean).stein(&["check", "small.toml"]).exits(2);
    assert!(said.err().contains("`sigma-y` above 0") && said.err().contains("small.toml:23:"), "{}", said.err());
}

#[test]
fn interpolations_end_where_the_samples_are() {
    let folder = Folder::with(SMALL);
    folder
        .stein(&["run", "small.toml", "--quiet", "--set", "training.steps=60", "--set", "sampler.kind=ddim"])
        .exits(0);
    let run = folder.cell();
    let path = run.path().to_str().unwrap();
    folder.stein(&["sample", path, "-n", "3", "--seed", "5", "--interpolate", "6", "--quiet"]).exits(0);
    folder.stein(&["sample", path, "-n", "6", "--seed", "5", "--quiet"]).exits(0);
    let read = |name: &str| Array::read_npy(&run.path().join("drawn").join(name).join("samples.npy")).unwrap().unwrap();
    let (way, plain) = (read("seed-5-interpolated"), read("seed-5"));
    assert_eq!((way.shape.clone(), plain.shape.clone()), (vec![18, 2], vec![6, 2]));
    for pair in 0..3 {
        assert_eq!(way.row(6 * pair), plain.row(2 * pair), "to the bit");
        assert_eq!(way.row(6 * pair + 5), plain.row(2 * pair + 1), "to the bit");
        assert_ne!(way.row(6 * pair + 1), way.row(6 * pair));
    }
    let refused = |arguments: &[&str], words: &str| {
        let said = folder.stein(&[&["sample", path, "--quiet"], arguments].concat()).exits(2);
        assert!(said.err().contains(words), "{}", said.err());
    };
    refused(&["--interpolate", "1"], "from 2 to 64");
    refused(&["--interpolate", "4", "--set", "sampler.kind=euler-maruyama"], "draws noise on its way");
    refused(&["--interpolate", "4", "--set", "sampler.start=data"], "great circles");
}
