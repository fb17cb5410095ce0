//! What is not finite is found, kept, done again, or left out.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;
use stein_record::arrays::ArrayFile;
use stein_record::file::ARRAYS;
use stein_record::{
    Array, DivergedRecord, Divergent, Drawing, RunDir, SamplesRecord, State, StepRecord, checkpoint, diverged, hash,
};

use crate::harness::{Folder, SMALL, Said, newest_step};
use crate::resume::LONG;

/// The network grows by a step's size at each step, until a loss overflows: neither at the first step nor at a multiple of ten.
const WILD: &str = "[training]\noptimizer = { learning-rate = 700.0 }\nwarm-up = 0\nema = 0.5";

fn wild() -> String {
    SMALL.replace("[training]", WILD).replace("checkpoint-every = 50", "checkpoint-every = 2")
}

/// Of a training that ended as it should not.
fn kept(training: &RunDir) -> (DivergedRecord, BTreeMap<String, Vec<u8>>) {
    let hash = training.read_record().unwrap().unwrap().hash;
    let (record, set) = diverged::read(training, &hash, ARRAYS).unwrap().expect("something diverged");
    (record, set.files)
}

fn step(record: &DivergedRecord) -> &StepRecord {
    match &record.at {
        Divergent::Step(step) => step,
        Divergent::Samples(_) => panic!("a training step: {record:?}"),
    }
}

fn replayed(folder: &Folder, run: &RunDir, code: i32) -> Value {
    let said = folder.stein(&["replay", run.path().to_str().unwrap(), "--json"]).exits(code);
    serde_json::from_str(&said.out()).unwrap()
}

/// Every file and what is in it.
fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(contents(&path));
        } else {
            all.insert(path.display().to_string(), std::fs::read(path).unwrap());
        }
    }
    all
}

#[test]
fn the_step_is_found_wherever_the_log_looks() {
    let found = [1, 20].map(|every| {
        let folder = Folder::with(&wild());
        let said = folder.stein(&["run", "small.toml", "--set", &format!("training.log-every={every}")]).exits(5);
        let training = folder.training();
        let (record, files) = kept(&training);
        let about = step(&record).clone();
        assert!(said.err().contains(&format!("diverged at step {}: {} is", about.step, about.what)), "{}", said.err());
        assert!(about.repeated && about.step > 1 && !about.step.is_multiple_of(20), "{about:?}");
        assert!(!about.value.is_finite());
        assert_eq!(
            (about.batches.len(), about.batches[0].position, about.batches[0].rows.len()),
            (1, about.step - 1, 64)
        );
        assert_eq!(about.batches[0].streams, ["batch", "levels", "noise", "objective"]);
        let [least, most] = about.sigma.unwrap();
        assert!((least - 0.1).abs() < 1e-6 && (most - 4.0).abs() < 1e-6, "every level is in a batch of 64");
        // The last good checkpoint stays.
        assert!(newest_step(&training.checkpoints()).unwrap() < about.step);
        for run in [folder.cell(), training] {
            let record = run.read_record().unwrap().unwrap();
            assert_eq!(record.state, State::Diverged);
            assert!(record.reason.unwrap().contains("`stein replay` shows where"));
        }
        (about, files["model.safetensors"].clone(), files["batch-0.safetensors"].clone())
    });
    assert!(found[0] == found[1], "{:?} and {:?}", found[0].0, found[1].0);
    // The state is that before the step.
    assert_eq!(serde_json::from_slice::<Value>(&found_state()).unwrap()["step"], found[0].0.step - 1);
}

fn found_state() -> Vec<u8> {
    let folder = Folder::with(&wild());
    folder.stein(&["run", "small.toml"]).exits(5);
    kept(&folder.training()).1.remove("state.json").unwrap()
}

#[test]
fn a_step_is_taken_again_and_nothing_is_written() {
    let objective = "[objective]\nkind = \"sliced\"\nprojections = 2\n[training]";
    for (text, parts) in
        [(wild(), 1), (wild().replace("[training]", objective).replace("\nema = 0.5", "\naccumulate = 2"), 2)]
    {
        let folder = Folder::with(&text);
        folder.stein(&["run", "small.toml"]).exits(5);
        let before = contents(folder.path());
        let (cell, training) = (folder.cell(), folder.training());
        let from_cell = replayed(&folder, &cell, 0);
        assert_eq!(from_cell, replayed(&folder, &training, 0));
        let about = step(&kept(&training).0).clone();
        assert_eq!((&from_cell["step"], &from_cell["reproduced"]), (&about.step.into(), &true.into()));
        assert_eq!(from_cell["what"], about.what);
        let tallies = from_cell["tallies"].as_array().unwrap();
        let stages: Vec<&str> = tallies.iter().map(|tally| tally["stage"].as_str().unwrap()).collect();
        let mut order = stages.clone();
        order.dedup();
        let once = ["batch", "state", "forward", "score", "losses", "loss", "gradient", "gradient norm", "update"];
        let expected: Vec<&str> =
            once.into_iter().take(2).chain(once[2..5].repeat(parts)).chain(once.into_iter().skip(5)).collect();
        assert_eq!(order, expected);
        // Three layers, each with what it gave; two parameters each.
        let names = |stage: &str| -> Vec<&str> {
            tallies.iter().filter(|t| t["stage"] == stage).map(|t| t["name"].as_str().unwrap()).collect()
        };
        assert!(names("forward").iter().any(|name| name.contains("layers.1 (linear)")), "{:?}", names("forward"));
        assert_eq!(names("gradient")[..2], ["layers.0.weight", "layers.0.bias"]);
        assert_eq!(names("batch").contains(&"direction 2 of batch 1"), parts == 2);
        let first = &from_cell["first"];
        assert!(first["not_finite"].as_u64().unwrap() > 0 && !first["first"].is_null(), "{first}");
        let finite_before = tallies.iter().take_while(|tally| *tally != first).all(|tally| tally["not_finite"] == 0);
        assert!(finite_before, "{first} is not the first");
        let said = folder.stein(&["replay", cell.path().to_str().unwrap()]).exits(0);
        let first = format!("first   {}: {}", first["stage"].as_str().unwrap(), first["name"].as_str().unwrap());
        assert!(said.out().contains(&first), "{}", said.out());
        let all = folder.stein(&["replay", cell.path().to_str().unwrap(), "--all"]).exits(0);
        assert!(all.out().lines().count() >= tallies.len(), "{}", all.out());
        assert!(contents(folder.path()) == before, "a replay writes nothing");
    }
}

#[test]
fn an_update_that_leaves_the_numbers_is_found_before_any_loss_is() {
    for every in [1, 20] {
        let folder = Folder::with(&wild().replace("700.0", "1e39"));
        let said = folder.stein(&["run", "small.toml", "--set", &format!("training.log-every={every}")]).exits(5);
        assert!(said.err().contains("diverged at step 1: a parameter is"), "{}", said.err());
        let found = replayed(&folder, &folder.cell(), 0);
        assert_eq!((&found["first"]["stage"], &found["first"]["name"]), (&"update".into(), &"layers.0.weight".into()));
        assert!(!folder.training().checkpoints().exists(), "no such state is saved");
    }
}

#[test]
fn where_nothing_diverged_there_is_nothing_to_replay() {
    let folder = Folder::with(SMALL);
    folder.stein(&["run", "small.toml", "--set", "training.steps=20"]).exits(0);
    let said = folder.stein(&["replay", folder.cell().path().to_str().unwrap()]).exits(2);
    assert!(said.err().contains("nothing that diverged"), "{}", said.err());
    let said = folder.stein(&["replay", "runs/nowhere"]).exits(2);
    assert!(said.err().contains("no run directory"), "{}", said.err());
}

#[test]
fn a_session_that_passes_removes_what_diverged_before() {
    let folder = Folder::with(SMALL);
    let mut child = folder.start(LONG);
    folder.wait_for_checkpoint(50);
    child.kill().unwrap();
    child.wait().unwrap();
    let (cell, training) = (folder.cell(), folder.training());
    for run in [&cell, &training] {
        checkpoint::save(&run.diverged(), 7, "an earlier one", &BTreeMap::new(), 1).unwrap();
    }
    folder.stein(LONG).exits(0);
    assert!(!cell.diverged().exists() && !training.diverged().exists());
}

/// Few rows of a normal mixture lie where no loss is finite: some steps have one, most have none.
fn outliers() -> String {
    let text = SMALL
        .replace("means = [[-2.0, 0.0], [2.0, 0.0]]", "means = [[-2.0, 0.0], [2e30, 0.0]]\nweights = [0.996, 0.004]")
        .replace("batch-size = 64", "batch-size = 8\nskip-non-finite = 100000")
        .replace("steps-per-level = 3", "steps-per-level = 3\nstart = { normal = { std = 4.0 } }")
        .replace("[evaluation]", "[evaluation]\nmetrics = []");
    assert!(text.contains("weights") && text.contains("skip-non-finite") && text.contains("metrics = []"));
    text
}

fn left_out(folder: &Folder) -> u64 {
    folder.training().read_record().unwrap().unwrap().progress.skipped
}

/// What training leaves.
fn trained(folder: &Folder) -> (Vec<u8>, String) {
    let training = folder.training();
    (std::fs::read(training.network()).unwrap(), std::fs::read_to_string(training.metrics()).unwrap())
}

#[test]
fn steps_are_left_out_the_same_ones_over_kills_and_no_more_than_may_be() {
    let whole = Folder::with(&outliers());
    whole.stein(LONG).exits(0);
    let skipped = left_out(&whole);
    assert!((5..1000).contains(&skipped), "{skipped}");
    let lines = whole.training().read_metrics().unwrap();
    let series: Vec<f64> = lines.iter().filter(|line| line.name == "skipped").map(|line| line.value).collect();
    assert_eq!((series.len(), series.last()), (150, Some(&(skipped as f64))));
    assert!(series.windows(2).all(|pair| pair[0] <= pair[1]));

    let folder = Folder::with(&outliers());
    for step in [400, 1200] {
        let mut child = folder.start(LONG);
        folder.wait_for_checkpoint(step);
        child.kill().unwrap();
        child.wait().unwrap();
    }
    folder.stein(LONG).exits(0);
    assert_eq!(left_out(&folder), skipped);
    let (ours, theirs) = (trained(&folder), trained(&whole));
    assert!(ours.0 == theirs.0, "the weights differ");
    assert!(ours.1 == theirs.1, "the metrics differ");

    // Exactly as many may be left out; one less ends the run, at the step that was the last to be left out.
    let most = |count: u64| format!("training.skip-non-finite={count}");
    let exactly = Folder::with(&outliers());
    exactly.stein(&[LONG, &["--set", &most(skipped)]].concat()).exits(0);
    assert!(trained(&exactly) == trained(&whole));
    let less = Folder::with(&outliers());
    let said = less.stein(&[LONG, &["--set", &most(skipped - 1)]].concat()).exits(5);
    let record = kept(&less.training()).0;
    let at = step(&record);
    assert!(said.err().contains(&format!("diverged at step {}:", at.step)), "{}", said.err());
    assert_eq!(left_out(&less), skipped - 1);
    let last = lines.iter().find(|line| line.name == "skipped" && line.value == skipped as f64).unwrap().step;
    assert!((last - 20..=last).contains(&at.step), "{} and {last}", at.step);
    // What is wrong with it is seen where it comes from.
    let replayed = replayed(&less, &less.training(), 0);
    assert_eq!(replayed["reproduced"], true);
    let data = replayed["tallies"].as_array().unwrap().iter().find(|tally| tally["name"] == "data").unwrap();
    assert!(data["largest"].as_f64().unwrap() > 1e30, "{data}");
}

#[test]
fn nothing_is_left_out_unless_it_may_be() {
    let folder = Folder::with(&outliers());
    let said = folder.stein(&["run", "small.toml", "--set", "training.skip-non-finite=0"]).exits(5);
    assert!(said.err().contains("diverged at step"), "{}", said.err());
    assert_eq!(left_out(&folder), 0);
    // Left at its default a key is no other run.
    let hash = |set: &[&str]| {
        let said = Folder::with(SMALL).stein(&[&["check", "small.toml", "--json"], set].concat()).exits(0);
        serde_json::from_str::<Value>(&said.out()).unwrap()["hash"].clone()
    };
    assert_eq!(hash(&[]), hash(&["--set", "training.skip-non-finite=0"]));
    assert_ne!(hash(&[]), hash(&["--set", "training.skip-non-finite=1"]));
}

/// A network whose scores are finite, and throw chains out of all numbers.
fn far() -> String {
    SMALL.replace(
        "[training]",
        "[training]\noptimizer = { learning-rate = 30.0 }\nlearning-rate-schedule = \"constant\"",
    )
}

#[test]
fn chains_that_diverge_are_drawn_again() {
    let folder = Folder::with(&far());
    let run: &[&str] = &["run", "small.toml", "--set", "training.steps=20", "--set", "evaluation.chunk=60"];
    let said = folder.stein(run).exits(5);
    assert!(said.err().contains("draws these chains again"), "{}", said.err());
    let cell = folder.cell();
    let about = cell.read_record().unwrap().unwrap();
    assert_eq!(about.state, State::Diverged);
    assert!(about.reason.as_ref().unwrap().ends_with("`stein replay` shows where"), "{:?}", about.reason);
    let (record, set) = diverged::read(&cell, &about.hash, ARRAYS).unwrap().unwrap();
    let Divergent::Samples(samples) = &record.at else { panic!("{record:?}") };
    assert_eq!((samples.drawing, samples.first, samples.chains, set.step), (Drawing::Samples, 0, 60, 20));
    let before = contents(folder.path());
    let found = replayed(&folder, &cell, 0);
    let steps = found["steps"].as_array().unwrap();
    assert!(!steps.is_empty() && steps.len() <= samples.step.unwrap(), "{steps:?}");
    let largest = |step: &Value| step["x"]["largest"].as_f64().unwrap();
    assert!(largest(&steps[steps.len() - 1]) > largest(&steps[0]), "chains run away: {steps:?}");
    let text = folder.stein(&["replay", cell.path().to_str().unwrap()]).exits(0);
    assert!(text.out().contains("chains  0 to 59") && text.out().contains("now     "), "{}", text.out());
    assert!(contents(folder.path()) == before, "a replay writes nothing");
    // After another step it is not what was seen then.
    let later = SamplesRecord { step: samples.step.map(|step| step + 1), ..samples.clone() };
    let later = DivergedRecord { at: Divergent::Samples(later), ..record.clone() };
    diverged::write(&cell, 20, &later, BTreeMap::new()).unwrap();
    let found = replayed(&folder, &cell, 1);
    assert!(found["reproduced"] == false && found["ended"].is_string(), "{found}");
    let said = folder.stein(&["replay", cell.path().to_str().unwrap()]).exits(1);
    assert!(said.out().contains("not seen again"), "{}", said.out());
    // Other weights are not theirs.
    let network = std::fs::read(cell.network()).unwrap();
    std::fs::remove_file(cell.network()).unwrap();
    std::fs::write(cell.network(), &network[1..]).unwrap();
    let said = folder.stein(&["replay", cell.path().to_str().unwrap()]).exits(6);
    assert!(said.err().contains("not the weights"), "{}", said.err());
    std::fs::remove_file(cell.network()).unwrap();
    folder.stein(&["replay", cell.path().to_str().unwrap()]).exits(6);
}

/// Puts a set in place of what was kept, with checksums that hold.
fn forge(run: &RunDir, step: u64, configuration: &str, files: &BTreeMap<String, Vec<u8>>) {
    checkpoint::save(&run.diverged(), step, configuration, files, 1).unwrap();
}

#[track_caller]
fn damaged(folder: &Folder, run: &RunDir, words: &str) {
    let said: Said = folder.stein(&["replay", run.path().to_str().unwrap()]).exits(6);
    assert!(said.err().contains(words), "{words:?} is missing in:\n{}", said.err());
}

#[test]
fn what_was_kept_and_is_damaged_is_named() {
    let folder = Folder::with(&wild());
    folder.stein(&["run", "small.toml"]).exits(5);
    let (cell, training) = (folder.cell(), folder.training());
    let (record, files) = kept(&training);
    let (before, hash) = (step(&record).step - 1, record.configuration.clone());
    let batch = training.diverged().join(format!("step-{before}/batch-0.safetensors"));
    let mut bytes = std::fs::read(&batch).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    std::fs::write(&batch, bytes).unwrap();
    damaged(&folder, &cell, "checksum");
    std::fs::remove_file(&batch).unwrap();
    damaged(&folder, &training, "is not there");

    // Somebody may have made all of it, checksums too.
    let with_batch = |change: &dyn Fn(&mut ArrayFile)| {
        let mut file = ArrayFile::from_bytes(&files["batch-0.safetensors"]).unwrap();
        change(&mut file);
        let mut files = files.clone();
        files.insert("batch-0.safetensors".into(), file.to_bytes());
        files
    };
    let array = |shape: &[usize]| Array::new(shape, vec![0.5; shape.iter().product()]);
    for (name, other, words) in [
        ("clean", None, "it has no examples"),
        ("clean", Some(array(&[0, 2])), "it has no examples"),
        ("clean", Some(array(&[64, 3])), "\"clean\" has the shape [64, 3], not [64, 2]"),
        ("clean", Some(array(&[])), "\"clean\" has the shape"),
        ("noise", None, "it has no \"noise\""),
        ("sigma", Some(array(&[63])), "\"sigma\" has the shape [63]"),
        ("weights", Some(array(&[64, 1])), "\"weights\" has the shape"),
        ("direction.0", Some(array(&[64, 2])), "1 directions"),
    ] {
        forge(
            &training,
            before,
            &hash,
            &with_batch(&|file| {
                match &other {
                    Some(array) => file.arrays.insert(name.into(), array.clone()),
                    None => file.arrays.remove(name),
                };
            }),
        );
        damaged(&folder, &cell, words);
    }
    for name in ["model.safetensors", "state.json", "batch-0.safetensors", "diverged.json"] {
        for bytes in [None, Some(Vec::new()), Some(b"{".to_vec()), Some(vec![0xff; 40])] {
            let mut files = files.clone();
            match bytes {
                Some(bytes) => files.insert(name.into(), bytes),
                None => files.remove(name),
            };
            forge(&training, before, &hash, &files);
            damaged(&folder, &training, "step-");
        }
    }
    let text = String::from_utf8(files["diverged.json"].clone()).unwrap();
    let at = format!("\"step\": {}", before + 1);
    for (from, to) in [
        ("\"batches\": [", "\"batches\": [], \"others\": ["),
        (&*at, "\"step\": 0"),
        ("\"kind\": \"step\"", "\"kind\": \"samples\""),
    ] {
        assert!(text.contains(from), "{from} in {text}");
        let mut files = files.clone();
        files.insert("diverged.json".into(), text.replace(from, to).into_bytes());
        forge(&training, before, &hash, &files);
        damaged(&folder, &training, "step-");
    }
    // Whole, but about something that does not happen.
    for (from, to, words) in [
        (
            "\"what\": \"the gradient norm\"",
            "\"what\": \"the loss\"",
            "the loss is finite: what was seen then is not seen again",
        ),
        ("\"repeated\": true", "\"repeated\": false", "there is no step to take"),
    ] {
        assert!(text.contains(from), "{from} in {text}");
        let mut files = files.clone();
        files.insert("diverged.json".into(), text.replace(from, to).into_bytes());
        forge(&training, before, &hash, &files);
        assert_eq!(replayed(&folder, &cell, 1)["reproduced"], false);
        let said = folder.stein(&["replay", cell.path().to_str().unwrap()]).exits(1);
        assert!(said.out().contains(words), "{}", said.out());
    }
    forge(&training, before, "of another", &files);
    damaged(&folder, &training, "another configuration");
    // It is in nobody's way.
    folder.stein(&["report"]).exits(0);
    folder.stein(&["run", "small.toml"]).exits(5);
    replayed(&folder, &cell, 0);
}

/// That chains diverged which did not.
fn untrue(cell: &RunDir, drawing: Drawing, first: usize, chains: usize) -> DivergedRecord {
    let about = cell.read_record().unwrap().unwrap();
    let weights = hash::sha256(&std::fs::read(cell.network()).unwrap());
    DivergedRecord {
        schema: diverged::SCHEMA,
        configuration: about.hash,
        seed: about.seed,
        reason: "it was said so".into(),
        at: Divergent::Samples(SamplesRecord { drawing, first, chains, step: Some(3), sigma: Some(1.0), weights }),
    }
}

#[test]
fn proposals_that_are_rejected_are_no_divergence() {
    // So far out there is no score.
    for sampler in [
        "kind = \"hmc\"\nleapfrog-steps = 3\nsteps = 4\nstep-size = 1e38",
        "kind = \"mala\"\nsteps = 4\nstep-size = 1e76",
    ] {
        let text = SMALL
            .replace("kind = \"mlp\"", "kind = \"energy-mlp\"")
            .replace("kind = \"annealed-langevin\"\nsteps-per-level = 3", sampler);
        assert!(text.contains("energy-mlp") && text.contains(sampler));
        let folder = Folder::with(&text);
        folder.stein(&["run", "small.toml", "--set", "training.steps=20"]).exits(0);
        let cell = folder.cell();
        assert!(!cell.diverged().exists());
        diverged::write(&cell, 20, &untrue(&cell, Drawing::Samples, 0, 100), BTreeMap::new()).unwrap();
        let found = replayed(&folder, &cell, 1);
        assert_eq!((&found["reproduced"], &found["ended"]), (&false.into(), &Value::Null));
        let steps = found["steps"].as_array().unwrap();
        assert_eq!(steps.len(), 4, "to the end: {steps:?}");
        for step in steps {
            assert!(step["score"]["not_finite"].as_u64().unwrap() > 0 && step["x"]["not_finite"] == 0, "{step}");
        }
        let said = folder.stein(&["replay", cell.path().to_str().unwrap()]).exits(1);
        assert!(said.out().contains("the chains end as samples"), "{}", said.out());
    }
}

#[test]
fn chains_that_do_not_diverge_again_are_said_not_to() {
    let inverse = "[inverse]\nkind = \"inpainting\"\nknown = { coordinates = [0] }\nsigma-y = 0.05\nobserved = 4\nrepeats = 5\n[evaluation]\nchunk = 8";
    let folder = Folder::with(&SMALL.replace("[evaluation]", inverse));
    folder.stein(&["run", "small.toml", "--set", "training.steps=20"]).exits(0);
    let cell = folder.cell();
    let record = |drawing, first, chains| untrue(&cell, drawing, first, chains);
    for (drawing, first, chains) in
        [(Drawing::Samples, 96, 4), (Drawing::Completions, 8, 8), (Drawing::Completions, 16, 4)]
    {
        diverged::write(&cell, 20, &record(drawing, first, chains), BTreeMap::new()).unwrap();
        let found = replayed(&folder, &cell, 1);
        assert_eq!((&found["reproduced"], &found["ended"]), (&false.into(), &Value::Null));
        let steps = found["steps"].as_array().unwrap();
        assert_eq!(steps.last().unwrap()["step"], steps.last().unwrap()["steps"], "to the end");
        assert!(steps.iter().all(|step| step["score"]["largest"].as_f64().unwrap() > 0.0), "{steps:?}");
        let said = folder.stein(&["replay", cell.path().to_str().unwrap(), "--all"]).exits(1);
        assert!(said.out().contains("not seen again") && said.out().lines().count() > steps.len(), "{}", said.out());
    }
    for (drawing, first, chains) in [
        (Drawing::Samples, 0, 0),
        (Drawing::Samples, 96, 5),
        (Drawing::Samples, 0, 9),
        (Drawing::Samples, usize::MAX, 1),
        (Drawing::Completions, 17, 4),
    ] {
        diverged::write(&cell, 20, &record(drawing, first, chains), BTreeMap::new()).unwrap();
        damaged(&folder, &cell, "it is about");
    }
}
