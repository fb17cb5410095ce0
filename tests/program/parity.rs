//! Networks' outputs against another implementation's.

use std::path::{Path, PathBuf};

use serde_json::json;
use stein_record::Array;
use stein_record::arrays::ArrayFile;

use crate::harness::Folder;

fn shipped() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/parity");
    let entries = std::fs::read_dir(folder).expect("the files that ship").filter_map(|e| Some(e.ok()?.path()));
    let mut found: Vec<PathBuf> = entries.filter(|p| p.extension().is_some_and(|e| e == "safetensors")).collect();
    found.sort();
    found
}

/// Numbers that are none in particular, between −1 and 1.
fn some(count: usize, seed: f32) -> Vec<f32> {
    (0..count).map(|i| (1.7 * i as f32 + seed).sin()).collect()
}

const LADDER: [f64; 3] = [2.0, 0.5, 0.1];
const LABELS: [usize; 4] = [1, 0, 2, 1];

/// A parity file of an `mlp` 3 → 4 → 3: by the textbook, in double precision.
fn mlp() -> ArrayFile {
    let (x, w0, b0) = (some(12, 0.3), some(16, 0.7), some(4, 1.1));
    let (w1, b1) = (some(12, 2.9), some(3, 3.3));
    let score = |scale: f64| -> Vec<f32> {
        let of = |w: &[f32], b: f32, h: &[f64]| -> f64 {
            scale * (f64::from(b) + w.iter().zip(h).map(|(&w, h)| f64::from(w) * h).sum::<f64>())
        };
        let row = |i: usize| {
            let sigma = f64::from(LADDER[LABELS[i]] as f32);
            let mut h: Vec<f64> = x[3 * i..3 * i + 3].iter().map(|&x| x.into()).collect();
            h.push(sigma.ln());
            let hidden = (0..4).map(|j| of(&w0[4 * j..4 * j + 4], b0[j], &h)).map(|h| h / (1.0 + (-h).exp()));
            let hidden: Vec<f64> = hidden.collect();
            (0..3).map(|j| (of(&w1[4 * j..4 * j + 4], b1[j], &hidden) / sigma) as f32).collect::<Vec<f32>>()
        };
        (0..4).flat_map(row).collect()
    };
    let mut file = ArrayFile::default();
    let mut put =
        |name: &str, shape: &[usize], data: Vec<f32>| file.arrays.insert(name.into(), Array::new(shape, data));
    put("output", &[4, 3], score(1.0));
    put("output.0.1", &[4, 3], score(0.1));
    put("x", &[4, 3], x.clone());
    put("label", &[4], LABELS.map(|l| l as f32).into());
    put("network.layers.0.weight", &[4, 4], w0.clone());
    put("network.layers.0.bias", &[4], b0.clone());
    put("network.layers.1.weight", &[3, 4], w1.clone());
    put("network.layers.1.bias", &[3], b1.clone());
    let table = r#"{"kind": "mlp", "hidden": [4], "activation": "silu", "embedding": "log-sigma"}"#;
    file.metadata.insert("network".into(), table.into());
    file.metadata.insert("sigmas".into(), format!("{LADDER:?}"));
    file
}

fn verified(folder: &Folder, file: &ArrayFile, code: i32) -> String {
    file.write(&folder.path().join("file.safetensors")).expect("written");
    let said = folder.stein(&["verify", "file.safetensors"]).exits(code);
    said.out() + &said.err()
}

#[test]
fn every_parity_file_that_ships_is_met() {
    let folder = Folder::new();
    let files: Vec<String> = shipped().iter().map(|p| p.display().to_string()).collect();
    assert!(files.len() >= 12, "{files:?}");
    let mut arguments = vec!["verify", "--json"];
    arguments.extend(files.iter().map(String::as_str));
    let said = folder.stein(&arguments).exits(0);
    let rows: serde_json::Value = serde_json::from_str(&said.out()).expect("JSON");
    for row in rows.as_array().expect("an array") {
        let keys: Vec<&String> = row.as_object().expect("objects").keys().collect();
        assert_eq!(keys, ["errors", "file", "output_error", "pass"]);
        assert!(row["output_error"].as_f64().is_some_and(|e| e <= 1e-6), "{row}");
        let errors = row["errors"].as_array().expect("errors");
        for scale in [0.1, 1.0, 10.0] {
            assert!(errors.iter().any(|e| e["scale"] == scale), "{row}");
        }
        // In single precision too. There, ten times the weights of an `ncsnv2` overflow, the authors' as well.
        let v2 = row["file"].as_str().is_some_and(|file| file.contains("ncsnv2"));
        let beyond = |scale: f64| scale == 10.0 && v2;
        for error in errors.iter().filter(|e| !beyond(e["scale"].as_f64().expect("a number"))) {
            assert!(error["single"].as_f64().is_some_and(|e| e <= 1e-4), "{row}");
        }
    }
    // A level further is another network.
    let mut file = ArrayFile::read(&shipped()[0]).expect("readable").expect("there");
    file.arrays.remove("sigma");
    let labels = file.arrays.get_mut("label").expect("labels");
    labels.data.iter_mut().for_each(|label| *label = (*label - 1.0).abs());
    assert!(verified(&folder, &file, 1).contains("FAILED"));
}

#[test]
fn other_networks_of_the_score_sde_are_told_apart() {
    let folder = Folder::new();
    for (name, key, value) in [
        ("ve", "scale-skips", json!(false)),
        ("ve", "rescale", json!(false)),
        ("ve", "parameterization", json!("noise")),
        ("vp", "rescale", json!(false)),
        ("vp", "sde", json!("sub-vp")),
        ("vp", "resampling", json!("fir")),
        ("vp", "continuous", json!(false)),
        ("sub-vp", "sde", json!("vp")),
        ("skips", "resampling", json!("naive")),
        ("fir", "scale-skips", json!(false)),
        ("ddpm", "scale-skips", json!(true)),
        ("ddpm", "rescale", json!(false)),
    ] {
        let of_name = |path: &&PathBuf| path.ends_with(format!("ncsnpp-{name}.safetensors"));
        let path = shipped().iter().find(of_name).expect("it ships").clone();
        let mut file = ArrayFile::read(&path).expect("readable").expect("there");
        let mut table: serde_json::Value = serde_json::from_str(&file.metadata["network"]).expect("JSON");
        table[key] = value;
        file.metadata.insert("network".into(), table.to_string());
        file.write(&folder.path().join("file.safetensors")).expect("written");
        let said = folder.stein(&["verify", "--json", "file.safetensors"]).exits(1);
        let rows: serde_json::Value = serde_json::from_str(&said.out()).expect("JSON");
        let error = rows[0]["output_error"].as_f64().unwrap_or(f64::INFINITY);
        // Numbers of levels are those of the time to about one in a thousand.
        assert!(error > if key == "continuous" { 1e-4 } else { 1e-2 }, "{name} with {table}: {error}");
    }
}

#[test]
fn outputs_are_those_of_the_textbook() {
    let folder = Folder::new();
    let said = verified(&folder, &mlp(), 0);
    assert!(said.contains("ok     file.safetensors  error: output") && said.contains("1 of 1 within 1e-4"), "{said}");
    for line in ["σ = 2: ", "σ = 0.5: ", "σ = 0.10000000149011612: ", "σ = 2, weights × 0.1: "] {
        assert!(said.contains(line), "{said}, not {line}");
    }
    // By σ itself, and by an `edm` that would be another network.
    let mut by_sigma = mlp();
    by_sigma.arrays.remove("label");
    by_sigma.arrays.insert("sigma".into(), Array::new([4], LABELS.map(|l| LADDER[l] as f32).into()));
    verified(&folder, &by_sigma, 0);
    by_sigma.metadata.remove("sigmas");
    verified(&folder, &by_sigma, 0);
    for (from, to) in [("silu", "gelu"), ("\"kind\": \"mlp\"", "\"kind\": \"mlp\", \"parameterization\": \"noise\"")] {
        let mut other = mlp();
        let table = other.metadata["network"].replace(from, to);
        other.metadata.insert("network".into(), table);
        assert!(verified(&folder, &other, 1).contains("0 of 1 within"), "{to}");
    }
    // A scale of all, and what it is not.
    let mut scaled = mlp();
    let output = scaled.arrays.remove("output.0.1").unwrap();
    scaled.arrays.insert("output".into(), output);
    verified(&folder, &scaled, 1);
    scaled.metadata.insert("scale".into(), "0.1".into());
    verified(&folder, &scaled, 0);
    let mut off = mlp();
    off.arrays.get_mut("output").unwrap().data[4] *= 1.01;
    assert!(verified(&folder, &off, 1).contains("FAILED"));
    let mut more = mlp();
    more.arrays.insert("extra".into(), Array::new([1], vec![0.0]));
    assert!(verified(&folder, &more, 0).contains("nothing reads the tensor `extra`"));
}

#[test]
fn what_is_no_parity_file_is_told() {
    let folder = Folder::new();
    let put = |name: &'static str, shape: &'static [usize], value: f32| {
        move |file: &mut ArrayFile| {
            let array = Array::new(shape, vec![value; shape.iter().product()]);
            file.arrays.insert(name.into(), array);
        }
    };
    let tell = |name: &'static str, text: &'static str| {
        move |file: &mut ArrayFile| drop(file.metadata.insert(name.into(), text.into()))
    };
    let without = |name: &'static str| move |file: &mut ArrayFile| drop(file.arrays.remove(name));
    type Change = Box<dyn Fn(&mut ArrayFile)>;
    let cases: [(Change, &str); 20] = [
        (Box::new(without("x")), "no tensor `x`"),
        (Box::new(put("x", &[12], 0.0)), "must be [B, C, H, W], or [B, D]"),
        (Box::new(put("x", &[0, 3], 0.0)), "nothing in it"),
        (Box::new(put("x", &[4, 3], f32::NAN)), "must be finite"),
        (Box::new(put("output.0.1", &[3, 4], 0.0)), "`output.0.1` has the shape [3, 4]"),
        (Box::new(without("label")), "neither `sigma` nor `label`"),
        (Box::new(put("label", &[4], 3.0)), "from 0 to 2"),
        (Box::new(put("label", &[4], 0.5)), "from 0 to 2"),
        (Box::new(put("label", &[3], 0.0)), "it must be [4]"),
        (Box::new(put("sigma", &[4], 0.7)), "where its `label` is that of 0.5"),
        (Box::new(put("sigma", &[4], -1.0)), "above 0 and finite"),
        (Box::new(|file| drop(file.metadata.remove("network"))), "no `network` in its metadata"),
        (Box::new(|file| drop(file.metadata.remove("sigmas"))), "no `sigmas` in its metadata"),
        (Box::new(tell("sigmas", "[1, \"a\"]")), "holds no numbers"),
        (Box::new(tell("sigmas", "[0.1, 0.5, 2.0]")), "the ladder `sigmas`"),
        (Box::new(tell("image", "[3, 1]")), "`image` in its metadata is [3.0, 1.0]"),
        (Box::new(tell("network", "{\"kind\": null}")), "no [network] table as JSON"),
        (Box::new(tell("network", "{\"kind\": \"mpl\"}")), "no network is called `mpl`"),
        (Box::new(tell("network", "{\"kind\": \"mlp\", \"hidden\": [4, 100000]}")), "no tensor in it is as wide"),
        (Box::new(without("network.layers.1.bias")), "there is no `layers.1.bias` [3]"),
    ];
    for (change, problem) in cases {
        let mut file = mlp();
        change(&mut file);
        let said = verified(&folder, &file, 3);
        assert!(said.contains(problem), "{said}, not {problem}");
    }
}
