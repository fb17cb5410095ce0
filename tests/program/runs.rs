//! From a file to a page.

use stein_record::{Array, State};

use crate::harness::{Folder, SMALL, hide_drivers};

#[test]
fn a_run_leaves_everything_and_is_not_done_twice() {
    let folder = Folder::with(SMALL);
    let said = folder.stein(&["run", "small.toml"]).exits(0);
    assert!(said.out().contains("reports/small/index.html"), "{}", said.out());
    assert!(said.out().contains("mode weights"), "{}", said.out());
    let run = folder.cell();
    let record = run.read_record().unwrap().unwrap();
    assert_eq!((record.state, record.progress.step, record.sessions), (State::Finished, 600, 1));
    assert!(record.peak_memory.is_none_or(|bytes| bytes < 1_500_000_000), "{:?}", record.peak_memory);
    let samples = Array::read_npy(&run.sample("final.npy")).unwrap().unwrap();
    assert_eq!(samples.shape, [100, 2]);
    for file in [
        "samples/final.png",
        "samples/trajectory.gif",
        "samples/held-out.npy",
        "network.safetensors",
        "experiment.toml",
    ] {
        assert!(run.path().join(file).is_file(), "{file}");
    }
    let evaluation = run.read_evaluation().unwrap().unwrap();
    assert_eq!(evaluation.levels.len(), 5);
    assert!(evaluation.metric("sigma2-fisher").is_some() && evaluation.mode_weights.is_some());
    let metrics = run.read_metrics().unwrap();
    let keys: std::collections::BTreeSet<_> = metrics.iter().map(|m| (m.step, m.split, m.name.clone())).collect();
    assert_eq!(keys.len(), metrics.len(), "nothing is logged twice");
    assert!(metrics.iter().any(|m| m.name == "gradient-norm"));
    assert_eq!(metrics.iter().filter(|m| m.name == "loss" && m.split == stein_record::Split::Train).count(), 30);

    let page = std::fs::read_to_string(folder.path().join("reports/small/index.html")).unwrap();
    assert!(page.contains("<svg") && !page.contains("<script"));

    let before = std::fs::metadata(run.network()).unwrap().modified().unwrap();
    let again = folder.stein(&["run", "small.toml"]).exits(0);
    assert!(again.err().contains("is finished; nothing to train"), "{}", again.err());
    assert_eq!(std::fs::metadata(run.network()).unwrap().modified().unwrap(), before);
}

#[test]
fn without_metrics_there_is_no_table() {
    let said = |set: &[&str]| {
        let folder = Folder::with(SMALL);
        let mut arguments = vec!["run", "small.toml"];
        arguments.extend(set);
        let said = folder.stein(&arguments).exits(0);
        said.out() + &said.err()
    };
    assert!(said(&[]).contains("fitted Gaussian"));
    let without = said(&["--set", "evaluation.metrics=[]"]);
    assert!(!without.contains("fitted Gaussian") && without.contains("report  reports/small/index.html"), "{without}");
}

/// What one loss and gradient of a U-Net hold, and their numbers: what is computed again is the same.
#[test]
fn gradient_checkpointing_holds_less_and_changes_nothing() {
    let text = "name = \"small\"\n[data]\nkind = \"digits\"\n[network]\nkind = \"unet\"\n[schedule]\nlevels = 3\n[sampler]\n\
                steps-per-level = 1\n[training]\nsteps = 2\nbatch-size = 128\n[evaluation]\nsamples = 20\nlevel-rows = 20\n\
                metrics = []\nestimators = [{ name = \"denoising\", kind = \"denoising\" }]\nestimator-batches = 2\n";
    let estimators = |set: &str| {
        let folder = Folder::with(text);
        folder.stein(&["run", "small.toml", "--quiet", "--set", set]).exits(0);
        folder.cell().read_evaluation().unwrap().unwrap().estimators
    };
    let [kept, again] = ["false", "true"].map(|is| estimators(&format!("runtime.gradient-checkpointing={is}")));
    for (kept, again) in kept.iter().zip(&again) {
        assert_eq!((kept.loss, kept.gradient_square), (again.loss, again.gradient_square));
        let (kept, again) = (kept.memory.expect("counted") as f64, again.memory.expect("counted") as f64);
        assert!(again < 0.75 * kept, "{again} of {kept} bytes");
    }
}

/// The network's own density is written and drawn beside the true one; an exact network's is the true one.
#[test]
fn the_density_of_an_energy_is_shown() {
    let densities = |set: &[&str]| {
        let folder = Folder::with(SMALL);
        let mut arguments = vec!["run", "small.toml", "--quiet", "--set", "evaluation.log-z.chains=64"];
        arguments.extend(set.iter().flat_map(|s| ["--set", s]));
        folder.stein(&arguments).exits(0);
        let page = std::fs::read_to_string(folder.path().join("reports/small/index.html")).unwrap();
        let field = stein_record::arrays::ArrayFile::read(&folder.cell().field()).unwrap().unwrap();
        let evaluation = folder.cell().read_evaluation().unwrap().unwrap();
        let log_z = ["log-z", "log-z-quadrature"].map(|name| evaluation.metric(name).unwrap().estimate);
        (field, page.contains("The density that was learned"), log_z)
    };
    let (field, shown, [annealed, quadrature]) = densities(&["network.kind=energy-mlp"]);
    let axis = |name: &str| f64::from(field.arrays[name].data[1] - field.arrays[name].data[0]);
    let cell = axis("x") * axis("y");
    let of = |name: &str| field.arrays[name].data.rchunks(41 * 41).next().unwrap().iter().map(|&p| f64::from(p));
    // At the smallest level the picture holds nearly all of both, and they are alike.
    for name in ["density", "learned_density"] {
        let mass = of(name).sum::<f64>() * cell;
        assert!((0.9..1.02).contains(&mass), "{name}: {mass}");
    }
    let apart = 0.5 * cell * of("density").zip(of("learned_density")).map(|(a, b)| (a - b).abs()).sum::<f64>();
    assert!(shown && apart < 0.6, "{apart}");
    let off = (annealed.value - quadrature.value).abs();
    assert!(off < 4.0 * annealed.standard_error && annealed.standard_error < 0.3, "{annealed:?} {quadrature:?}");
    let (field, shown, _) = densities(&["network.kind=exact", "training.steps=0"]);
    assert!(!shown && !field.arrays.contains_key("learned_density"));
}

#[test]
fn every_objective_trains_towards_the_same_score() {
    let fisher = |set: &[&str]| {
        let folder = Folder::with(SMALL);
        let mut arguments = vec!["run", "small.toml", "--quiet", "--set", "training.steps=1000"];
        arguments.extend(set.iter().flat_map(|s| ["--set", s]));
        folder.stein(&arguments).exits(0);
        let evaluation = folder.cell().read_evaluation().unwrap().unwrap();
        assert!(evaluation.levels.iter().all(|l| l.floor.is_some()), "{set:?}");
        evaluation.metric("sigma2-fisher").unwrap().estimate.value
    };
    for set in [
        &["objective.kind=denoising"][..],
        &["objective.kind=explicit"],
        &["objective.kind=implicit"],
        &["objective.kind=implicit", "objective.trace=hutchinson", "objective.probe=sphere"],
        &["objective.kind=sliced", "objective.projections=2"],
        &["objective.kind=sliced", "objective.derivative=finite-difference", "objective.epsilon=0.02"],
    ] {
        // An untrained network's is near D/2 = 1.
        let value = fisher(set);
        assert!(value < 0.12, "{set:?}: mean σ²F {value}");
    }
}

#[test]
fn the_resolved_file_is_the_same_cell() {
    let folder = Folder::with(SMALL);
    let resolved = folder.stein(&["check", "small.toml", "--json"]).exits(0);
    let value: serde_json::Value = serde_json::from_str(&resolved.out()).unwrap();
    let table: toml::Table = serde_json::from_value(value["resolved"].clone()).unwrap();
    folder.write("again.toml", &toml::to_string(&table).unwrap());
    let again = folder.stein(&["check", "again.toml", "--json"]).exits(0);
    let again: serde_json::Value = serde_json::from_str(&again.out()).unwrap();
    assert_eq!(value["hash"], again["hash"]);
    let other = folder.stein(&["check", "small.toml", "--json", "--set", "schedule.levels=6"]).exits(0);
    let other: serde_json::Value = serde_json::from_str(&other.out()).unwrap();
    assert_ne!(value["hash"], other["hash"]);
}

#[test]
fn results_do_not_depend_on_threads_or_place() {
    let digest = |threads: &str| {
        let folder = Folder::with(SMALL);
        let mut command = folder.command(&["run", "small.toml", "--quiet", "--set", "training.steps=60"]);
        assert!(command.env("RAYON_NUM_THREADS", threads).output().unwrap().status.success());
        let run = folder.cell();
        (std::fs::read(run.network()).unwrap(), std::fs::read(run.sample("final.npy")).unwrap())
    };
    let one = digest("1");
    assert!(one == digest("2"), "one thread and two must give the same bits");
}

#[test]
fn without_any_driver_it_runs_on_the_cpu() {
    let folder = Folder::with(SMALL);
    let mut command = folder.command(&["run", "small.toml", "--set", "training.steps=60"]);
    hide_drivers(&mut command);
    let said = crate::harness::Said(command.output().unwrap()).exits(0);
    assert!(said.err().contains("burn flex"), "{}", said.err());
    let mut command = folder.command(&["devices"]);
    hide_drivers(&mut command);
    let said = crate::harness::Said(command.output().unwrap()).exits(0);
    assert!(said.out().contains("there is no wgpu adapter") && said.out().contains("auto takes cpu"), "{}", said.out());
    let mut command = folder.command(&["run", "small.toml", "--set", "device=wgpu:discrete:1"]);
    hide_drivers(&mut command);
    let said = crate::harness::Said(command.output().unwrap()).exits(2);
    assert!(said.err().contains("wgpu:discrete:1"), "{}", said.err());
}

#[test]
fn more_samples_and_pages_of_a_finished_run() {
    let folder = Folder::with(SMALL);
    folder.stein(&["run", "small.toml", "--quiet", "--set", "training.steps=60"]).exits(0);
    let run = folder.cell();
    let path = run.path().to_str().unwrap();
    let said = folder.stein(&["sample", path, "-n", "7", "--seed", "5", "--json"]).exits(0);
    let value: serde_json::Value = serde_json::from_str(&said.out()).unwrap();
    let samples = Array::read_npy(value["samples"].as_str().unwrap().as_ref()).unwrap().unwrap();
    assert_eq!(samples.shape, [7, 2]);
    // The run's own seed gives the run's own samples: chains do not depend on how many there are.
    folder.stein(&["sample", path, "-n", "7", "--seed", "0", "--quiet"]).exits(0);
    let again = Array::read_npy(&run.path().join("drawn/seed-0/samples.npy")).unwrap().unwrap();
    let first = Array::read_npy(&run.sample("final.npy")).unwrap().unwrap();
    assert_eq!(again.data, first.data[..14]);

    std::fs::remove_dir_all(folder.path().join("reports")).unwrap();
    folder.stein(&["report"]).exits(0);
    assert!(folder.path().join("reports/small/index.html").is_file());
    let said = folder.stein(&["list", "runs", "--json"]).exits(0);
    let list: serde_json::Value = serde_json::from_str(&said.out()).unwrap();
    assert_eq!(list[0]["record"]["state"], "finished");
}

#[test]
fn what_is_listed_is_what_there_is() {
    let folder = Folder::new();
    let all = folder.stein(&["list", "--json"]).exits(0);
    let all: serde_json::Value = serde_json::from_str(&all.out()).unwrap();
    for (what, kind) in
        [("objectives", "denoising"), ("samplers", "annealed-langevin"), ("data", "digits"), ("networks", "unet")]
    {
        assert!(all[what].as_array().unwrap().iter().any(|c| c["kind"] == kind), "{kind}");
        let one = folder.stein(&["list", what, kind]).exits(0);
        assert!(one.out().starts_with(kind), "{}", one.out());
    }
    let sizes = folder.stein(&["list", "data"]).exits(0).out();
    assert!(sizes.contains("size: 7 | 14 | 28 | 32 = 28"), "{sizes}");
    let near = folder.stein(&["list", "samplers", "langevim"]).exits(2);
    assert!(near.err().contains("did you mean `langevin`?"), "{}", near.err());
}

/// Kinds of data that are not here: that they are not is all that is wrong with experiments about them.
const FETCHED: [&str; 5] = ["mnist", "fashion-mnist", "cifar10", "cifar100", "images"];

/// A black picture, as a Windows bitmap of 24 bits a pixel.
fn black(width: u32, height: u32) -> Vec<u8> {
    let size = 3 * width * height;
    let header = [54 + size, 0, 54, 40, width, height, 1 | 24 << 16, 0, size, 0, 0, 0, 0].map(u32::to_le_bytes);
    [b"BM".as_slice(), header.as_flattened(), &vec![0; size as usize]].concat()
}

#[test]
fn experiments_that_ship_are_valid() {
    let folder = Folder::new();
    let experiments = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../experiments");
    let tables = folder.path().join("experiments/tables");
    std::fs::create_dir_all(&tables).unwrap();
    std::fs::copy(experiments.join("tables/helix.csv"), tables.join("helix.csv")).unwrap();
    std::fs::write(folder.path().join("squares.bmp"), black(32, 200 * 32)).unwrap();
    let squares = "data={ kind = \"images\", path = \"squares.bmp\", cell = 32 }";
    let mut count = 0;
    for entry in std::fs::read_dir(experiments).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "toml") {
            let text = std::fs::read_to_string(&path).unwrap();
            let check = folder.stein(&["check", path.to_str().unwrap()]);
            if FETCHED.iter().any(|kind| text.contains(&format!("kind = \"{kind}\""))) {
                let said = check.exits(2).err();
                assert!(said.matches("error").count() == 1 && said.contains("there is no"), "{said}");
                // All but the data is right.
                let other = if text.contains("kind = \"cifar10") { squares } else { "data={ kind = \"digits\" }" };
                let arguments = ["check", path.to_str().unwrap(), "--set", other, "--set", "training.batch-size=2"];
                folder.stein(&arguments).exits(0);
            } else {
                check.exits(0);
            }
            count += 1;
        }
    }
    assert!(count >= 2);
}

#[test]
fn estimators_are_measured_where_they_are_asked_for() {
    let folder = Folder::with(SMALL);
    let list =
        r#"evaluation.estimators=[{ kind = "explicit" }, { kind = "sliced" }, { name = "plain", kind = "denoising" }]"#;
    let batches = "evaluation.estimator-batches=40";
    folder
        .stein(&["run", "small.toml", "--quiet", "--set", "training.steps=100", "--set", list, "--set", batches])
        .exits(0);
    let evaluation = folder.cell().read_evaluation().unwrap().unwrap();
    let names: Vec<&str> = evaluation.estimators.iter().map(|e| e.name.as_str()).collect();
    assert_eq!(names, ["explicit", "sliced", "plain"].repeat(5));
    for level in evaluation.estimators.chunks(3) {
        assert!(level.iter().all(|e| e.sigma == level[0].sigma && e.gradient_variance.value > 0.0));
        assert!(level.iter().all(|e| e.memory.is_some_and(|bytes| bytes > 10_000)), "{level:?}");
        assert_eq!((level[0].difference.value, level[0].gradient_difference.value), (0.0, 0.0));
    }
    // At the smallest σ plain denoising is the noisiest, and at the largest slices are.
    let noise = |level: &[stein_record::EstimatorRecord], i: usize| level[i].gradient_variance.value;
    let levels: Vec<_> = evaluation.estimators.chunks(3).collect();
    assert!(noise(levels[4], 2) > noise(levels[4], 0) && noise(levels[0], 1) > noise(levels[0], 2));
    let page = std::fs::read_to_string(folder.path().join("reports/small/index.html")).unwrap();
    assert!(page.contains("Estimators") && page.contains("Line chart of the gradient variance"));
    // The resolved file says the same again.
    let resolved = std::fs::read_to_string(folder.cell().experiment()).unwrap();
    folder.write("again.toml", &resolved);
    let again = folder.stein(&["run", "again.toml"]).exits(0);
    assert!(again.err().contains("is finished"), "{}", again.err());
}

#[test]
fn without_noise_there_is_no_sigma_anywhere() {
    let folder = Folder::with(SMALL);
    let sets = [
        "schedule={ kind = \"none\" }",
        "network={ kind = \"mlp\", embedding = \"none\", parameterization = \"score\", hidden = [32, 32] }",
        "objective.kind=implicit",
        "sampler={ kind = \"langevin\", step-size = 0.05, steps = 400 }",
        "training.steps=1500",
        "training.batch-size=256",
    ];
    let text = SMALL.replace("[schedule]\nsigma-max = 4.0\nsigma-min = 0.1\nlevels = 5\n", "");
    let text = text.replace("kind = \"annealed-langevin\"\nsteps-per-level = 3", "");
    folder.write("small.toml", &text);
    let mut arguments = vec!["run", "small.toml", "--quiet"];
    arguments.extend(sets.iter().flat_map(|s| ["--set", s]));
    folder.stein(&arguments).exits(0);
    let evaluation = folder.cell().read_evaluation().unwrap().unwrap();
    let [level] = &evaluation.levels[..] else { panic!("one level: {:?}", evaluation.levels) };
    assert_eq!((level.sigma, level.weight), (0.0, 1.0));
    let (own, clean) = (level.fisher.unwrap(), level.clean_fisher.unwrap());
    // The same divergence from two sets of draws.
    let error = own.standard_error.hypot(clean.standard_error);
    assert!((own.value - clean.value).abs() < 5.0 * error, "{own:?} {clean:?}");
    assert!(own.value < 0.6, "half the Fisher information is 4: {own:?}");
    let metrics = folder.cell().read_metrics().unwrap();
    assert!(metrics.iter().any(|m| m.name == "fisher" && m.split == stein_record::Split::HeldOut));
    assert!(folder.path().join("reports/small/index.html").is_file());
}
