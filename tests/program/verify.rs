//! Losses and gradients against an independent implementation's.

use std::path::{Path, PathBuf};

use stein_record::Array;
use stein_record::arrays::ArrayFile;

use crate::harness::Folder;

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
    let files: Vec<String> = shipped().iter().map(|p| p.display().to_string()).collect();
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
        said.err().contains("not a safetensors file of f32") && said.err().contains("no such file"),
        "{}",
        said.err()
    );
    let rows: serde_json::Value = serde_json::from_str(&said.out()).expect("JSON");
    assert_eq!(rows.as_array().map(Vec::len), Some(2));
    assert_eq!(rows[0]["pass"], false);
    folder.stein(&["verify"]).exits(2);
    folder.stein(&["verify", "--tolerance", "-1", "x"]).exits(2);
}
