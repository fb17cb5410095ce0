//! `stein import`: weights from elsewhere.

use std::collections::BTreeMap;
use std::path::Path;

use stein_record::arrays::ArrayFile;
use stein_record::{Array, RunDir, State};

use crate::harness::{Folder, SMALL};

/// A finished run of 60 steps, its weights exported, averaged and raw.
fn exported() -> Folder {
    let folder = Folder::with(SMALL);
    folder.stein(&["run", "small.toml", "--quiet", "--set", "training.steps=60"]).exits(0);
    let path = folder.cell().path().display().to_string();
    folder.stein(&["export", &path, "--out", "averaged.safetensors"]).exits(0);
    folder.stein(&["export", &path, "--raw", "--out", "last.safetensors"]).exits(0);
    folder
}

fn read(path: &Path) -> ArrayFile {
    ArrayFile::read(path).expect("readable").expect("there")
}

fn arrays(folder: &Folder, name: &str) -> BTreeMap<String, Array> {
    read(&folder.path().join(name)).arrays
}

/// A list as NCSNv2 saves it: the weights of a module within `DataParallel`, an optimiser's state, epoch, step, the average.
fn states(folder: &Folder, name: &str) {
    let (last, averaged) = (arrays(folder, "last.safetensors"), arrays(folder, "averaged.safetensors"));
    let mut pickle = Pickle::default();
    pickle.bytes.extend(b"\x80\x02](");
    pickle.state_dict("module.", &last);
    // The optimiser's is an object of a class that is not made.
    pickle.bytes.extend(b"cargparse\nNamespace\n)\x81}bK\x03K\x28");
    pickle.state_dict("", &averaged);
    pickle.bytes.extend(b"e.");
    std::fs::write(folder.path().join(name), pickle.into_zip()).expect("written");
}

/// A pickle of state dicts, and the storages of its tensors.
#[derive(Default)]
struct Pickle {
    bytes: Vec<u8>,
    storages: Vec<Vec<u8>>,
}

impl Pickle {
    fn text(&mut self, text: &str) {
        self.bytes.push(b'X');
        self.bytes.extend((text.len() as u32).to_le_bytes());
        self.bytes.extend(text.as_bytes());
    }

    fn integer(&mut self, n: usize) {
        self.bytes.push(b'J');
        self.bytes.extend((n as u32).to_le_bytes());
    }

    fn state_dict(&mut self, prefix: &str, arrays: &BTreeMap<String, Array>) {
        self.bytes.extend(b"ccollections\nOrderedDict\n)R(");
        for (name, array) in arrays {
            self.text(&format!("{prefix}{name}"));
            self.tensor(array);
        }
        self.bytes.push(b'u');
    }

    fn list(&mut self, arrays: &[Array]) {
        self.bytes.extend(b"](");
        arrays.iter().for_each(|array| self.tensor(array));
        self.bytes.push(b'e');
    }

    fn tensor(&mut self, array: &Array) {
        self.bytes.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
        self.text("storage");
        self.bytes.extend(b"ctorch\nFloatStorage\n");
        self.text(&self.storages.len().to_string());
        self.text("cuda:0");
        self.integer(array.data.len());
        self.bytes.extend(b"tQK\x00(");
        array.shape.iter().for_each(|&extent| self.integer(extent));
        self.bytes.extend(b"t(");
        (0..array.shape.len()).for_each(|i| self.integer(array.shape[i + 1..].iter().product()));
        self.bytes.extend(b"t\x89NtR");
        self.storages.push(array.data.iter().flat_map(|x| x.to_le_bytes()).collect());
    }

    /// As PyTorch lays it out, nothing compressed.
    fn into_zip(self) -> Vec<u8> {
        let storages = self.storages.into_iter().enumerate().map(|(i, bytes)| (format!("archive/data/{i}"), bytes));
        let entries: Vec<_> = std::iter::once(("archive/data.pkl".to_owned(), self.bytes)).chain(storages).collect();
        let (mut out, mut list) = (Vec::new(), Vec::new());
        for (name, bytes) in &entries {
            let (length, at) = ((bytes.len() as u32).to_le_bytes(), (out.len() as u32).to_le_bytes());
            let common = [&[20, 0, 0, 0, 0, 0, 0, 0, 0, 0][..], &crc(bytes).to_le_bytes(), &length, &length].concat();
            let common = [&common[..], &(name.len() as u16).to_le_bytes(), &[0, 0]].concat();
            out.extend([b"PK\x03\x04", &common[..], name.as_bytes(), bytes].concat());
            list.extend([b"PK\x01\x02\x14\0", &common[..], &[0; 10], &at, name.as_bytes()].concat());
        }
        let (at, length, count) = (out.len() as u32, list.len() as u32, (entries.len() as u16).to_le_bytes());
        let end =
            [&b"PK\x05\x06\0\0\0\0"[..], &count, &count, &length.to_le_bytes(), &at.to_le_bytes(), &[0, 0]].concat();
        [out, list, end].concat()
    }
}

fn crc(bytes: &[u8]) -> u32 {
    let shift = |sum: u32| if sum & 1 == 1 { sum >> 1 ^ 0xedb8_8320 } else { sum >> 1 };
    !bytes.iter().fold(!0, |sum, &byte| (0..8).fold(sum ^ u32::from(byte), |sum, _| shift(sum)))
}

/// Imports into a run directory of its own, and gives that.
fn imported(folder: &Folder, file: &str, out: &str, more: &[&str]) -> RunDir {
    let arguments = ["import", "small.toml", file, "--out", out, "--set", "training.steps=60"];
    folder.stein(&[&arguments, more].concat()).exits(0);
    RunDir::new(folder.path().join(out))
}

#[test]
fn what_was_exported_comes_back_to_the_last_bit() {
    let folder = exported();
    for (file, weights) in [("averaged.safetensors", "averaged"), ("last.safetensors", "last")] {
        let run = imported(&folder, file, weights, &[]);
        assert_eq!(read(&run.network()).arrays, arrays(&folder, file));
        let record = run.read_record().unwrap().unwrap();
        let import = record.imported.expect("where it is from");
        assert_eq!(
            (record.state, import.table.as_str(), import.weights.as_deref()),
            (State::Imported, ".", Some(weights))
        );
        let bytes = std::fs::read(folder.path().join(file)).unwrap();
        assert_eq!(import.sha256, stein_record::hash::sha256(&bytes));
        assert!(import.file.ends_with(file) && record.progress.step == 60, "{import:?}");
        let again = format!("{weights}-again.safetensors");
        let said = folder.stein(&["export", weights, "--out", &again]).exits(0);
        assert_eq!(arrays(&folder, &again), arrays(&folder, file));
        // They are what they were, whatever is usual.
        assert_eq!(said.out().contains(", averaged"), weights == "averaged", "{}", said.out());
        let about = read(&folder.path().join(&again)).metadata.remove("stein").expect("told");
        assert!(about.contains(&format!("\"weights\":\"{weights}\"")), "{about}");
        let raw = folder.stein(&["export", weights, "--raw", "--out", "raw.safetensors", "--force"]);
        if weights == "last" {
            raw.exits(0);
            assert_eq!(arrays(&folder, "raw.safetensors"), arrays(&folder, file));
        } else {
            assert!(raw.exits(3).err().contains("averaged weights were imported"));
        }
        // An import that was killed before it had a record is done again.
        std::fs::remove_file(run.record()).unwrap();
        imported(&folder, file, weights, &[]);
        assert_eq!(read(&run.network()).arrays, arrays(&folder, file));
    }
    assert!(arrays(&folder, "averaged.safetensors") != arrays(&folder, "last.safetensors"));
    // It is sampled as the run is that it came from.
    let own = folder.cell().path().display().to_string();
    for (run, out) in [(own.as_str(), "of-run"), ("averaged", "of-import")] {
        folder.stein(&["sample", run, "-n", "20", "--seed", "3", "--out", out, "--quiet"]).exits(0);
    }
    let drawn = |out: &str| Array::read_npy(&folder.path().join(out).join("samples.npy")).unwrap().unwrap();
    assert_eq!(drawn("of-run"), drawn("of-import"));
}

#[test]
fn of_a_checkpoint_the_average_is_taken_unless_it_is_asked_otherwise() {
    let folder = exported();
    states(&folder, "states.pth");
    let (averaged, last) = (arrays(&folder, "averaged.safetensors"), arrays(&folder, "last.safetensors"));
    for (out, more, expected, table) in [
        ("a", &[][..], &averaged, "4"),
        ("b", &["--ema"], &averaged, "4"),
        ("c", &["--raw"], &last, "0"),
        ("d", &["--key", "0"], &last, "0"),
    ] {
        let run = imported(&folder, "states.pth", out, more);
        assert!(read(&run.network()).arrays == *expected, "{out}");
        let record = run.read_record().unwrap().unwrap();
        assert_eq!((record.imported.unwrap().table.as_str(), record.progress.step), (table, 40));
    }
    let arguments = ["import", "small.toml", "states.pth", "--out", "e", "--json"];
    let said: serde_json::Value = serde_json::from_str(&folder.stein(&arguments).exits(0).out()).expect("JSON");
    assert_eq!((&said["weights"], &said["tensors"], &said["step"]), (&"averaged".into(), &6.into(), &40.into()));
}

#[test]
fn an_average_without_names_has_those_of_the_weights() {
    let folder = exported();
    let (last, averaged) = (arrays(&folder, "last.safetensors"), arrays(&folder, "averaged.safetensors"));
    // As score_sde saves it; beside the parameters a module has buffers, of which there is no average.
    let with_buffer = last.clone().into_iter().chain([("layers.1.count".to_owned(), Array::new([32], vec![0.0; 32]))]);
    let mut pickle = Pickle::default();
    pickle.bytes.extend(b"\x80\x02}(");
    pickle.text("model");
    pickle.state_dict("module.", &with_buffer.collect());
    pickle.text("ema");
    pickle.bytes.extend(b"}(");
    pickle.text("shadow_params");
    pickle.list(&averaged.values().cloned().collect::<Vec<_>>());
    pickle.bytes.push(b'u');
    pickle.text("step");
    pickle.bytes.extend(b"K\x28u.");
    std::fs::write(folder.path().join("sde.pth"), pickle.into_zip()).expect("written");
    let run = imported(&folder, "sde.pth", "a", &[]);
    assert!(read(&run.network()).arrays == averaged);
    assert_eq!(run.read_record().unwrap().unwrap().imported.unwrap().table, "ema/shadow_params");
    // The weights themselves have a tensor too many.
    let said = folder.stein(&["import", "small.toml", "sde.pth", "--raw", "--out", "b"]).exits(3);
    assert!(said.err().contains("the network has no `layers.1.count` [32]"), "{}", said.err());
}

/// A network of the score SDE that was trained a little; its checkpoint as its authors save one, where averages know nothing of what is not
/// trained.
#[test]
fn frequencies_that_have_no_average_come_from_beside_it() {
    let network = "kind = \"ncsnpp\"\nchannels = 4\nmultipliers = [1, 1]\nblocks = 1\nattention = [4]";
    let schedule = "sigma-max = 50.0\nsigma-min = 0.01\nlevels = 10";
    let folder = Folder::with(&format!(
        "[data]\nkind = \"digits\"\ntrain = 40\n[network]\n{network}\n[schedule]\n{schedule}\n[training]\nsteps = 4\nbatch-size = 4\n\
         ema = 0.9\noptimizer = {{ kind = \"adam\", learning-rate = 1e-2 }}\n[sampler]\nkind = \"annealed-langevin\"\nsteps-per-level = 1\n\
         [evaluation]\nsamples = 20\nmetrics = []\n"
    ));
    folder.stein(&["run", "small.toml", "--quiet"]).exits(0);
    let cell = folder.cell().path().display().to_string();
    folder.stein(&["export", &cell, "--out", "averaged.safetensors"]).exits(0);
    folder.stein(&["export", &cell, "--raw", "--out", "last.safetensors"]).exits(0);
    let (averaged, last) = (arrays(&folder, "averaged.safetensors"), arrays(&folder, "last.safetensors"));
    let fixed = "all_modules.0.W";
    assert_eq!(averaged[fixed], last[fixed], "what is not trained stays as it is");
    assert!(averaged["all_modules.1.weight"] != last["all_modules.1.weight"]);
    assert_eq!(averaged["sigmas"].shape, [10]);

    let is_averaged = |name: &str| name != fixed && name != "sigmas";
    let shadow: Vec<Array> = averaged.iter().filter(|(name, _)| is_averaged(name)).map(|(_, a)| a.clone()).collect();
    let mut pickle = Pickle::default();
    pickle.bytes.extend(b"\x80\x02}(");
    pickle.text("model");
    pickle.state_dict("module.", &last);
    pickle.text("ema");
    pickle.bytes.extend(b"}(");
    pickle.text("shadow_params");
    pickle.list(&shadow);
    pickle.bytes.push(b'u');
    pickle.text("step");
    pickle.bytes.extend(b"K\x04u.");
    std::fs::write(folder.path().join("sde.pth"), pickle.into_zip()).expect("written");
    // Its σ are in the weights' unit, and its ladder is only sampling's: another will do.
    for (out, more, expected) in
        [("a", &[][..], &averaged), ("b", &["--raw"], &last), ("c", &["--set", "schedule.levels=7"], &averaged)]
    {
        folder.stein(&[&["import", "small.toml", "sde.pth", "--out", out], more].concat()).exits(0);
        let mut own = read(&RunDir::new(folder.path().join(out)).network()).arrays;
        own.insert("sigmas".into(), expected["sigmas"].clone());
        assert!(own == *expected, "{out}");
    }
    folder.stein(&["sample", "a", "-n", "2", "--quiet"]).exits(0);
    // As a score they would be σ times too large; a file of stein's own says nothing of that.
    let score = ["--set", "network.parameterization=score"];
    let said = folder.stein(&[&["import", "small.toml", "sde.pth", "--out", "d"], &score[..]].concat()).exits(3);
    assert!(said.err().contains("`parameterization` must be \"scaled\""), "{}", said.err());
    folder.stein(&[&["import", "small.toml", "last.safetensors", "--out", "d"], &score[..]].concat()).exits(0);
}

#[test]
fn an_imported_run_is_drawn_and_measured_and_not_trained() {
    let folder = exported();
    states(&folder, "states.pth");
    std::fs::remove_dir_all(folder.path().join("runs")).unwrap();
    let said = folder.stein(&["import", "small.toml", "states.pth"]).exits(0);
    assert!(said.out().contains("table 4 of") && said.out().contains("averaged, after 40 steps"), "{}", said.out());
    let cell = folder.cell();
    let before = std::fs::read(cell.network()).unwrap();
    let status = folder.stein(&["status", "small.toml"]).exits(4);
    assert!(status.out().contains("imported"), "{}", status.out());
    let plan = folder.stein(&["plan", "small.toml"]).exits(0);
    assert!(!plan.out().contains("1 to train"), "{}", plan.out());
    folder.stein(&["report", "runs/small"]).exits(0);
    let page = || std::fs::read_to_string(folder.path().join("reports/small/index.html")).unwrap();
    assert!(page().contains("imported from") && page().contains("samples are not drawn yet"));
    // Nothing is imported over it.
    let again = folder.stein(&["import", "small.toml", "states.pth", "--raw"]).exits(2);
    assert!(again.err().contains("run.json is there already"), "{}", again.err());

    let said = folder.stein(&["run", "small.toml"]).exits(0);
    assert!(said.err().contains("nothing is trained") && said.err().contains("states.pth"), "{}", said.err());
    let record = cell.read_record().unwrap().unwrap();
    assert_eq!((record.state, record.progress.step, record.timings.training), (State::Finished, 40, 0.0));
    assert!(record.imported.is_some() && cell.read_evaluation().unwrap().is_some() && folder.trainings().is_empty());
    assert_eq!(std::fs::read(cell.network()).unwrap(), before);
    assert!(cell.sample("final.npy").is_file() && page().contains("imported from"));
    let said = folder.stein(&["run", "small.toml"]).exits(0);
    assert!(said.err().contains("is finished"), "{}", said.err());
    // The last step's weights are not here, not even where a training is that this cell would share.
    folder.stein(&["run", "small.toml", "--quiet", "--set", "seed=0", "--set", "evaluation.samples=33"]).exits(0);
    assert_eq!(folder.trainings().len(), 1);
    folder.stein(&["export", cell.path().to_str().unwrap(), "--raw", "--out", "x.safetensors"]).exits(3);
}

#[test]
fn what_does_not_fit_is_told() {
    let folder = exported();
    states(&folder, "states.pth");
    let whole = read(&folder.path().join("averaged.safetensors"));
    let changed = |name: &str, change: &dyn Fn(&mut ArrayFile)| {
        let mut file = whole.clone();
        change(&mut file);
        file.write(&folder.path().join(name)).unwrap();
    };
    changed("renamed.safetensors", &|file| {
        let array = file.arrays.remove("layers.2.weight").unwrap();
        file.arrays.insert("layer.2.weight".into(), array);
    });
    changed("nan.safetensors", &|file| file.arrays.get_mut("layers.0.bias").unwrap().data[3] = f32::NAN);
    changed("sigmas.safetensors", &|file| {
        file.arrays.insert("sigmas".into(), Array::new([3], vec![1.0, 0.1, 0.01]));
    });
    changed("sigma.safetensors", &|file| {
        let levels: Vec<f32> = (0..5).map(|i| 4.0 * 40f32.powf(-(i as f32) / 4.0)).collect();
        let off = levels.iter().enumerate().map(|(i, sigma)| if i == 2 { sigma * 1.001 } else { *sigma });
        file.arrays.insert("sigmas".into(), Array::new([5], off.collect()));
    });
    changed("named.safetensors", &|file| drop(file.metadata.remove("stein")));
    std::fs::write(folder.path().join("list.pth"), b"\x80\x02]q\x00.").unwrap();
    std::fs::write(folder.path().join("text.pth"), b"<!DOCTYPE html><html></html>").unwrap();
    let evil = b"\x80\x02cos\nsystem\nX\x0b\x00\x00\x00touch pwned\x85R.".to_vec();
    let evil = Pickle { bytes: evil, storages: Vec::new() };
    std::fs::write(folder.path().join("evil.pth"), evil.into_zip()).unwrap();

    let refused = |arguments: &[&str], code: i32, words: &[&str]| {
        let said = folder.stein(&[&["import"], arguments, &["--out", "new"]].concat()).exits(code);
        for word in words {
            assert!(said.err().contains(word), "{arguments:?}: {}, not {word}", said.err());
        }
        assert!(!folder.path().join("new").exists(), "{arguments:?} left something");
    };
    let small = "small.toml";
    refused(&[small, "nowhere.pth"], 2, &["there is no file nowhere.pth"]);
    refused(&[small, "text.pth"], 3, &["neither a checkpoint of PyTorch nor a safetensors file"]);
    refused(&[small, "list.pth"], 3, &["magic number"]);
    refused(&[small, "evil.pth"], 3, &["no state dict in it", "os.system", "not made"]);
    assert!(!folder.path().join("pwned").exists());
    let renamed =
        ["there is no `layers.2.weight` [2, 32]; is `layer.2.weight` meant?", "the network has no `layer.2.weight`"];
    refused(&[small, "renamed.safetensors"], 3, &renamed);
    let wider = [small, "averaged.safetensors", "--set", "network.hidden=[32, 48]"];
    refused(
        &wider,
        3,
        &["does not hold the network `mlp` of small", "`layers.1.weight` has the shape [32, 32], not [48, 32]"],
    );
    refused(&[small, "nan.safetensors"], 3, &["`layers.0.bias`: a number in it is NaN"]);
    refused(
        &[small, "sigmas.safetensors"],
        3,
        &["trained on 3 levels, σ from 1 to 0.01", "has 5 levels, σ from 4 to 0.1"],
    );
    refused(&[small, "sigma.safetensors"], 3, &["level 2 has σ = 0.633", "0.632"]);
    refused(&[small, "last.safetensors", "--ema"], 3, &["the last ones, not the averaged"]);
    refused(&[small, "last.safetensors", "--key", "model"], 3, &["one table, `.`"]);
    refused(&[small, "states.pth", "--key", "5"], 3, &["no such table", "0  6 tensors", "4  6 tensors"]);
    refused(&[small, "states.pth", "--ema", "--raw"], 2, &["cannot be used with"]);
    folder.write("swept.toml", &format!("{SMALL}\n[sweep]\nseed = [0, 1]\n"));
    refused(&["swept.toml", "states.pth"], 2, &["several experiments", "--cell"]);
    folder.stein(&["import", "swept.toml", "states.pth", "--cell", "seed-1"]).exits(0);
    let exact =
        SMALL.replace("kind = \"mlp\"\nhidden = [32, 32]", "kind = \"exact\"").replace("steps = 600", "steps = 0");
    folder.write("exact.toml", &exact);
    refused(&["exact.toml", "states.pth"], 2, &["`exact`, has no weights"]);
    // What is there stays.
    std::fs::create_dir(folder.path().join("kept")).unwrap();
    folder.write("kept/experiment.toml", "");
    let said = folder.stein(&["import", "small.toml", "states.pth", "--out", "kept"]).exits(2);
    assert!(said.err().contains("experiment.toml is there already"), "{}", said.err());
    assert_eq!(std::fs::read(folder.path().join("kept/experiment.toml")).unwrap(), b"");
}
