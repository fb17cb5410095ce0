//! Losses, gradients and samples against an independent implementation's.

use std::path::{Path, PathBuf};

use stein_record::Array;
use stein_record::arrays::ArrayFile;

use crate::harness::Folder;

/// Whether a vector is a sampler's.
fn of_sampler(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("sampler-"))
}

fn shipped() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors");
    let entries = std::fs::read_dir(folder).expect("the vectors that ship").filter_map(|e| Some(e.ok()?.path()));
    let mut found: Vec<PathBuf> = entries.filter(|p| p.extension().is_some_and(|e| e == "safetensors")).collect();
    found.sort();
    assert!(found.len() >= 40, "{}", found.len());
    found
}

fn named(name: &str) -> ArrayFile {
    let path = shipped().into_iter().find(|p| p.file_stem().is_some_and(|stem| stem == name));
    ArrayFile::read(&path.unwrap_or_else(|| panic!("{name}"))).expect("readable").expect("there")
}

/// The vectors with a change, on disk.
fn changed(folder: &Folder, name: &str, change: impl FnOnce(&mut ArrayFile)) {
    let mut file = named(name);
    change(&mut file);
    file.write(&folder.path().join("changed.safetensors")).expect("written");
}

fn experiment(file: &mut ArrayFile, change: impl Fn(&str) -> String) {
    let text = file.metadata.get_mut("experiment").expect("an experiment");
    let new = change(text);
    assert_ne!(*text, new, "the change must change something");
    *text = new;
}

#[test]
fn every_vector_that_ships_is_met_to_single_precision() {
    let folder = Folder::new();
    let files: Vec<String> = shipped().iter().filter(|p| !of_sampler(p)).map(|p| p.display().to_string()).collect();
    assert!(files.len() >= 40, "{}", files.len());
    let mut arguments = vec!["verify", "--tolerance", "1e-6", "--json"];
    arguments.extend(files.iter().map(String::as_str));
    let said = folder.stein(&arguments).exits(0);
    let rows: serde_json::Value = serde_json::from_str(&said.out()).expect("JSON");
    let rows = rows.as_array().expect("an array");
    assert_eq!(rows.len(), files.len());
    for row in rows {
        let keys: Vec<&String> = row.as_object().expect("objects").keys().collect();
        assert_eq!(keys, ["file", "gradient_error", "loss", "loss_error", "pass"]);
        assert_eq!(row["pass"], true, "{row}");
    }
    // In single precision, as training computes, too: the last two numbers of a line.
    let mut plain = vec!["verify"];
    plain.extend(files.iter().map(String::as_str));
    let said = folder.stein(&plain).exits(0);
    let mut lines = 0;
    for line in said.out().lines().filter(|l| l.starts_with("ok")) {
        let (_, single) = line.split_once("in single precision ").expect("single precision");
        for error in single.trim_end_matches(')').split(", ") {
            assert!(error.parse::<f64>().expect("a number") < 1e-5, "{line}");
        }
        lines += 1;
    }
    assert_eq!(lines, files.len());
    for activation in ["softplus", "silu", "tanh", "elu", "gelu"] {
        assert!(files.iter().any(|f| f.contains(activation)), "{activation}");
    }
    for dimension in [2, 3, 8, 16, 64] {
        assert!(files.iter().any(|f| f.ends_with(&format!("-d{dimension}.safetensors"))), "{dimension}");
    }
}

#[test]
fn another_formula_does_not_pass() {
    let folder = Folder::new();
    let cases: [(&str, &str, &str); 7] = [
        ("sliced-vr-softplus-d8", "variance-reduced = true", "variance-reduced = false"),
        ("sliced-softplus-d2", "variance-reduced = false", "variance-reduced = true"),
        ("denoising-scaled-silu-d8", "scaled", "noise"),
        ("denoising-control-noise-elu-d64", "control-variate = true", "control-variate = false"),
        ("denoising-antithetic-score-silu-d2", "antithetic = true", "antithetic = false"),
        ("implicit-exact-tanh-d16", "tanh", "softplus"),
        ("denoising-edm-silu-d2", "sigma-data = ", "sigma-data = 1"),
    ];
    for (name, from, to) in cases {
        changed(&folder, name, |file| experiment(file, |text| text.replace(from, to)));
        let said = folder.stein(&["verify", "changed.safetensors"]).exits(1);
        assert!(said.out().contains("FAILED changed.safetensors"), "{name}: {}", said.out());
    }
    // Both halves of a comparison count.
    changed(&folder, "sliced-softplus-d2", |file| file.arrays.get_mut("loss").expect("a loss").data[0] *= 1.001);
    let said = folder.stein(&["verify", "changed.safetensors"]).exits(1);
    assert!(said.out().contains("0 of 1 within 1e-4"), "{}", said.out());
    folder.stein(&["verify", "--tolerance", "0.01", "changed.safetensors"]).exits(0);
    changed(&folder, "sliced-softplus-d2", |file| {
        file.arrays.get_mut("grad.0.weight").expect("a gradient").data.iter_mut().for_each(|g| *g = -*g);
    });
    folder.stein(&["verify", "--tolerance", "0.01", "changed.safetensors"]).exits(1);
}

#[test]
fn what_a_vector_leaves_out_is_the_plainest() {
    let folder = Folder::new();
    // A gradient that is not there counts as zeros, so it differs here.
    changed(&folder, "sliced-softplus-d2", |file| drop(file.arrays.remove("grad.0.bias")));
    folder.stein(&["verify", "changed.safetensors"]).exits(1);
    // All directions are taken where the objective does not say how many.
    for name in ["sliced-vr-tanh-d64", "implicit-hutchinson-rademacher-softplus-d8"] {
        changed(&folder, name, |file| {
            experiment(file, |text| {
                let kept = text.lines().filter(|l| !l.starts_with("projections") && !l.starts_with("probes"));
                kept.collect::<Vec<_>>().join("\n")
            });
        });
        folder.stein(&["verify", "changed.safetensors"]).exits(0);
    }
    // Directions that nothing takes are named, and do no harm; a preset is applied.
    changed(&folder, "denoising-edm-silu-d2", |file| {
        let x = file.arrays["x"].clone();
        file.arrays.insert("probes".into(), Array::new([1, x.shape[0], x.shape[1]], x.data));
        experiment(file, |text| {
            let kept = text.lines().filter(|l| !l.starts_with("weighting") && !l.starts_with("parameterization"));
            format!("preset = \"edm\"\n{}", kept.collect::<Vec<_>>().join("\n"))
        });
    });
    let said = folder.stein(&["verify", "changed.safetensors"]).exits(0);
    assert!(said.err().contains("nothing reads the tensor `probes`"), "{}", said.err());
    // No weighting, no embedding, s = F.
    changed(&folder, "implicit-exact-softplus-d2", |file| {
        experiment(file, |text| {
            let kept = text
                .lines()
                .filter(|l| !["weighting", "embedding", "parameterization"].iter().any(|k| l.starts_with(k)));
            kept.collect::<Vec<_>>().join("\n")
        });
    });
    folder.stein(&["verify", "changed.safetensors"]).exits(0);
}

#[test]
fn files_that_are_no_vectors_are_told_apart() {
    let folder = Folder::new();
    type Change = fn(&mut ArrayFile);
    let wide = |f: &mut ArrayFile, m: usize| {
        let x = f.arrays["x"].clone();
        let data = x.data.repeat(m);
        f.arrays.insert("probes".into(), Array::new([m, x.shape[0], x.shape[1]], data));
    };
    for (count, message) in [(2, "`probes` has 2 directions; the objective takes 1"), (0, "`probes` has no directions")]
    {
        changed(&folder, "sliced-softplus-d2", |f| wide(f, count));
        let said = folder.stein(&["verify", "changed.safetensors"]).exits(3);
        assert!(said.err().contains(message), "{}", said.err());
    }
    let cases: [(&str, Change, &str); 18] = [
        (
            "sliced-softplus-d2",
            |f| experiment(f, |t| t.replace("[16, 16]", "[32000, 32000]")),
            "the network has at least 1024192002 parameters; the file has",
        ),
        ("sliced-softplus-d2", |f| drop(f.arrays.remove("x")), "there is no tensor `x`"),
        ("sliced-softplus-d2", |f| drop(f.arrays.remove("loss")), "there is no tensor `loss`"),
        ("sliced-softplus-d2", |f| drop(f.arrays.remove("network.1.bias")), "there is no tensor `network.1.bias`"),
        ("sliced-softplus-d2", |f| drop(f.arrays.remove("probes")), "needs `probes`"),
        ("sliced-softplus-d2", |f| drop(f.metadata.remove("experiment")), "no `experiment` in its metadata"),
        ("denoising-edm-silu-d2", |f| drop(f.arrays.remove("sigma")), "`noise` and `sigma` go together"),
        ("denoising-edm-silu-d2", |f| f.arrays.get_mut("sigma").unwrap().data[0] = 0.0, "a `sigma` is 0"),
        ("denoising-edm-silu-d2", |f| f.arrays.get_mut("sigma").unwrap().data[0] = f32::NAN, "a `sigma` is NaN"),
        ("sliced-softplus-d2", |f| f.arrays.get_mut("x").unwrap().shape = vec![0, 2], "no safetensors"),
        ("sliced-softplus-d2", |f| drop(f.arrays.insert("x".into(), Array::new([0, 2], vec![]))), "nothing in it"),
        ("sliced-softplus-d2", |f| drop(f.arrays.insert("x".into(), Array::new([6], vec![0.0; 6]))), "must be [B, D]"),
        (
            "sliced-softplus-d2",
            |f| drop(f.arrays.insert("network.0.bias".into(), Array::new([1], vec![0.0]))),
            "`network.0.bias` has the shape [1]",
        ),
        ("sliced-softplus-d2", |f| experiment(f, |t| t.replace("softplus", "softpluss")), "did you mean \"softplus\"?"),
        (
            "sliced-softplus-d2",
            |f| experiment(f, |t| t.replace("[objective]", "[objectives]")),
            "did you mean `objective`?",
        ),
        ("sliced-softplus-d2", |f| experiment(f, |t| t.replace("sliced", "denoising")), "has no key"),
        ("sliced-softplus-d2", |f| experiment(f, |t| t.replace("sliced", "explicit")), "has no key"),
        ("sliced-softplus-d2", |f| experiment(f, |_| "hidden = [".into()), "TOML syntax"),
    ];
    for (name, change, message) in cases {
        let mut file = named(name);
        change(&mut file);
        // A shape that its data do not have is a broken file.
        let bytes = file.to_bytes();
        std::fs::write(folder.path().join("changed.safetensors"), bytes).expect("written");
        let said = folder.stein(&["verify", "changed.safetensors"]).exits(3);
        let expected = if message == "no safetensors" { "not a safetensors file" } else { message };
        assert!(said.err().contains(expected), "{message}:\n{}", said.err());
    }
    folder.write("text.safetensors", "this is no safetensors file at all");
    let said = folder.stein(&["verify", "--json", "text.safetensors", "absent.safetensors"]).exits(3);
    assert!(
        said.err().contains("not a safetensors file of floats") && said.err().contains("no such file"),
        "{}",
        said.err()
    );
    let rows: serde_json::Value = serde_json::from_str(&said.out()).expect("JSON");
    assert_eq!(rows.as_array().map(Vec::len), Some(2));
    assert_eq!(rows[0]["pass"], false);
    folder.stein(&["verify"]).exits(2);
    folder.stein(&["verify", "--tolerance", "-1", "x"]).exits(2);
}

#[test]
fn every_sampler_ends_where_its_vector_says() {
    let folder = Folder::new();
    let files: Vec<String> = shipped().iter().filter(|p| of_sampler(p)).map(|p| p.display().to_string()).collect();
    let mut arguments = vec!["verify", "--tolerance", "1e-5", "--json"];
    arguments.extend(files.iter().map(String::as_str));
    let said = folder.stein(&arguments).exits(0);
    let rows: serde_json::Value = serde_json::from_str(&said.out()).expect("JSON");
    let rows = rows.as_array().expect("an array");
    assert_eq!(rows.len(), files.len());
    for row in rows {
        let keys: Vec<&String> = row.as_object().expect("objects").keys().collect();
        assert_eq!(keys, ["file", "pass", "sample_error"]);
        assert_eq!(row["pass"], true, "{row}");
    }
    let texts: Vec<String> = shipped()
        .iter()
        .filter(|p| of_sampler(p))
        .map(|p| ArrayFile::read(p).expect("readable").expect("there").metadata["experiment"].clone())
        .collect();
    for kind in [
        "langevin",
        "annealed-langevin",
        "consistent-annealed",
        "predictor-corrector",
        "euler-maruyama",
        "ddim",
        "dpm-solver-pp-2m",
        "edm",
        "probability-flow",
    ] {
        assert!(texts.iter().any(|t| t.contains(&format!("[sampler]\nkind = \"{kind}\""))), "{kind}");
    }
    // Beside losses, each kind of vector has its own tolerance.
    let loss = shipped().into_iter().find(|p| !of_sampler(p)).expect("a loss").display().to_string();
    let said = folder.stein(&["verify", &loss, &files[0]]).exits(0);
    assert!(
        said.out().contains("error: samples") && said.out().contains("2 of 2 within 1e-4 or 1e-3"),
        "{}",
        said.out()
    );
}

#[test]
fn another_algorithm_ends_elsewhere() {
    let folder = Folder::new();
    let cases: [(&str, &str, &str); 13] = [
        ("langevin-paper", "\"paper\"", "\"repository\""),
        ("langevin-repository", "denoise = true", "denoise = false"),
        ("annealed-repository", "\"repository\"", "\"paper\""),
        ("annealed-paper", "sigma-min = 0.25", "sigma-min = 0.26"),
        ("consistent-denoised", "step-size = 0.004", "step-size = 0.0041"),
        ("pc-reverse-batch", "\"batch\"", "\"chain\""),
        ("pc-ancestral-paper-order", "\"ancestral\"", "\"reverse-diffusion\""),
        ("pc-euler-two-corrections", "snr = 0.12", "snr = 0.13"),
        ("euler-maruyama", "denoise = true", "denoise = false"),
        ("ddim-variance-preserving", "variance-preserving", "sub-vp"),
        ("dpm-solver-pp-2m", "dpm-solver-pp-2m", "ddim"),
        ("edm-churn", "churn-max = 10.0", "churn-max = 1.0"),
        ("heun", "probability-flow", "ddim"),
    ];
    for (name, from, to) in cases {
        changed(&folder, &format!("sampler-{name}"), |file| experiment(file, |text| text.replacen(from, to, 1)));
        let said = folder.stein(&["verify", "changed.safetensors"]).exits(1);
        assert!(said.out().contains("FAILED changed.safetensors"), "{name}: {}", said.out());
    }
    // Normals count in their order: corrector and predictor draw in turn, and edm's last step draws too.
    for name in ["pc-reverse-batch", "annealed-paper", "edm-churn-throughout"] {
        changed(&folder, &format!("sampler-{name}"), |file| {
            let noise = file.arrays.get_mut("noise").expect("noise");
            let row = noise.row_length();
            noise.data.rotate_left(row);
        });
        folder.stein(&["verify", "changed.safetensors"]).exits(1);
    }
    // A start that is a little off.
    changed(&folder, "sampler-edm", |file| {
        file.arrays.get_mut("x").expect("x").data.iter_mut().for_each(|x| *x *= 1.05)
    });
    folder.stein(&["verify", "changed.safetensors"]).exits(1);
    folder.stein(&["verify", "--tolerance", "10", "changed.safetensors"]).exits(0);
}

/// Langevin dynamics on N(0, s² I) without noise levels, with some factor of the drift: two for the repository's step is wrong.
fn langevin(factor: f64) -> ArrayFile {
    let (steps, batch, d, step, s) = (6usize, 5usize, 3usize, 0.2f64, 1.5f64);
    let number = |i: usize| ((i as f64 * 0.754_877_666).fract() - 0.5) * 4.0;
    let values = |n: usize, from: usize| -> Vec<f32> { (from..from + n).map(|i| number(i) as f32).collect() };
    let (x, noise) = (values(batch * d, 0), values(steps * batch * d, 100));
    let mut end: Vec<f64> = x.iter().map(|&x| f64::from(x)).collect();
    for z in noise.chunks(batch * d) {
        for (x, &z) in end.iter_mut().zip(z) {
            *x += -factor * step / 2.0 * *x / (s * s) + step.sqrt() * f64::from(z);
        }
    }
    let expected = end.into_iter().map(|x| x as f32).collect();
    let text = format!(
        "[data]\nkind = \"gaussian\"\ndimension = {d}\nstd = {s}\n[network]\nkind = \"exact\"\n[schedule]\nkind = \"none\"\n\
         [sampler]\nkind = \"langevin\"\nsteps = {steps}\nstep-size = {step}\n"
    );
    let mut file = ArrayFile::default();
    file.arrays.insert("x".into(), Array::new([batch, d], x));
    file.arrays.insert("noise".into(), Array::new([steps, batch, d], noise));
    file.arrays.insert("expected".into(), Array::new([batch, d], expected));
    file.metadata.insert("experiment".into(), text);
    file
}

#[test]
fn a_missing_factor_fails() {
    let folder = Folder::new();
    let path = folder.path().join("mine.safetensors");
    langevin(1.0).write(&path).expect("written");
    folder.stein(&["verify", "mine.safetensors"]).exits(0);
    for factor in [0.5, 2.0, 0.99] {
        langevin(factor).write(&path).expect("written");
        folder.stein(&["verify", "mine.safetensors"]).exits(1);
    }
}

#[test]
fn files_that_are_no_samplers_vectors_are_told_apart() {
    let folder = Folder::new();
    type Change = fn(&mut ArrayFile);
    let cases: [(&str, Change, &str); 19] = [
        (
            "langevin-paper",
            |f| experiment(f, |t| t.replace("kind = \"langevin\"", "kind = \"mala\"")),
            "the sampler accepts and rejects: no vector can follow it",
        ),
        (
            "heun",
            |f| {
                experiment(f, |t| {
                    t.replace("kind = \"probability-flow\"", "kind = \"probability-flow\"\nmethod = \"dormand-prince\"")
                })
            },
            "the sampler chooses its own steps as it goes: no vector can follow it",
        ),
        ("langevin-paper", |f| drop(f.arrays.remove("x")), "there is no tensor `x`"),
        ("langevin-paper", |f| drop(f.arrays.remove("noise")), "draws 30 rows of noise; `noise` has 0"),
        (
            "edm",
            |f| *f.arrays.get_mut("noise").unwrap() = f.arrays["noise"].slice(0..17),
            "draws 18 rows of noise; `noise` has 17, and needs [18, B, D]",
        ),
        (
            "edm",
            |f| f.arrays.get_mut("noise").unwrap().shape = vec![20, 2, 16],
            "`noise` has the shape [20, 2, 16]; with this `x` it must be [K, B, D]",
        ),
        ("edm", |f| f.arrays.get_mut("expected").unwrap().shape = vec![2, 16], "it must be that of `x`, [16, 2]"),
        ("edm", |f| f.arrays.get_mut("expected").unwrap().data[0] = f32::NAN, "a number in `expected` is NaN"),
        ("edm", |f| f.arrays.get_mut("x").unwrap().data[3] = f32::INFINITY, "a number in `x` is inf"),
        ("edm", |f| drop(f.metadata.remove("experiment")), "no `experiment` in its metadata"),
        ("edm", |f| experiment(f, |t| t.replace("[schedule]", "[schedules]")), "did you mean `schedule`?"),
        ("edm", |f| experiment(f, |t| t.replace("[network]\nkind = \"exact\"\n", "")), "there is no [network] table"),
        (
            "edm",
            |f| experiment(f, |t| t.replace("\"exact\"", "\"mlp\"")),
            "the network is `mlp`; a sampler's vector is of an `exact` one",
        ),
        ("edm", |f| experiment(f, |t| t.replace("churn-min", "churn-least")), "has no key `churn-least`"),
        ("edm", |f| experiment(f, |t| t.replace("\"edm\"", "\"edn\"")), "no sampler is called `edn`"),
        ("edm", |f| experiment(f, |t| t.replace("levels = 18", "levels = 1")), "it needs at least 2"),
        (
            "heun-plain",
            |f| experiment(f, |t| t.replace("[[0.5, ", "[[")),
            "`x` has rows of 8 numbers, and its [data] rows of 7",
        ),
        (
            "consistent-plain",
            |f| experiment(f, |t| t.replace("step-size = 0.012", "step-size = 3.0")),
            "it must be from",
        ),
        (
            "ddim",
            |f| {
                experiment(f, |_| {
                    "[data]\nkind = \"digits\"\n[network]\nkind = \"exact\"\n[schedule]\n[sampler]\nkind = \"ddim\"\n"
                        .into()
                })
            },
            "kind = \"exact\"",
        ),
    ];
    for (name, change, message) in cases {
        let mut file = named(&format!("sampler-{name}"));
        change(&mut file);
        file.write(&folder.path().join("changed.safetensors")).expect("written");
        let said = folder.stein(&["verify", "changed.safetensors"]).exits(3);
        assert!(said.err().contains(message), "{message}:\n{}", said.err());
    }
    // Rows beyond those that are drawn, and tensors that nothing reads, do no harm.
    changed(&folder, "sampler-heun", |f| {
        let x = f.arrays["x"].clone();
        f.arrays.insert("noise".into(), Array::new([1, 16, 2], x.data.clone()));
        f.arrays.insert("sigma".into(), x);
    });
    let said = folder.stein(&["verify", "changed.safetensors"]).exits(0);
    assert!(said.err().contains("nothing reads the tensor `sigma`"), "{}", said.err());
}
