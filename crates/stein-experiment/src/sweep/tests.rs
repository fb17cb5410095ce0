use serde_json::json;
use stein_record::source::{Diagnostic, Source};
use stein_record::{AxisRole, SweepRecord};

use super::Sweep;
use crate::{Experiment, builtin};

const BASE: &str = r#"
[data]
kind = "digits"
[network]
kind = "unet"
[objective]
kind = "sliced"
projections = 3
weighting = "none"
"#;

fn source(sweep: &str) -> Source {
    Source::new("a.toml", format!("[sweep]\n{sweep}\n{BASE}").as_bytes()).unwrap()
}

/// The cells' names without their hashes.
fn slugs(sweep: &str) -> Vec<String> {
    let source = source(sweep);
    let sweep = Sweep::read(&source).unwrap_or_else(|d| panic!("{}", source.render(&d, false)));
    (0..sweep.count()).map(|cell| sweep.slug(cell).unwrap()).collect()
}

/// Name and hash of each cell.
fn cells(source: &Source) -> Vec<(String, String)> {
    let cells = Sweep::read(source).and_then(|sweep| sweep.cells(&builtin()));
    let cells = cells.unwrap_or_else(|d| panic!("{}", source.render(&d, false)));
    cells.into_iter().map(|plan| (plan.cell.name, plan.cell.hash)).collect()
}

fn hash(source: &Source) -> String {
    Experiment::read(source, &builtin()).unwrap_or_else(|d| panic!("{}", source.render(&d, false))).cell().hash
}

/// What is said of the first problem, and where.
fn refused(sweep: &str) -> (String, String) {
    let source = source(sweep);
    let problems: Vec<Diagnostic> =
        Sweep::read(&source).and_then(|sweep| sweep.cells(&builtin())).expect_err("it must be refused");
    let place = problems[0].span.as_ref().map(|span| source.place(span)).unwrap_or_default();
    (source.render(&problems, false), place)
}

#[track_caller]
fn refuses(sweep: &str, place: &str, words: &[&str]) {
    let (said, at) = refused(sweep);
    assert_eq!(at, place, "{said}");
    for words in words {
        assert!(said.contains(words), "{words:?} is missing in:\n{said}");
    }
}

#[test]
fn the_last_axis_changes_fastest() {
    let expected = ["levels-10-seed-0", "levels-10-seed-1", "levels-20-seed-0", "levels-20-seed-1"];
    assert_eq!(slugs("\"schedule.levels\" = [10, 20]\nseed = [0, 1]"), expected);
    assert_eq!(slugs("schedule.levels = [10, 20]\nseed = [0, 1]"), expected, "nested or quoted");
    assert_eq!(slugs("seed = [0, 1]\nschedule.levels = [10]"), ["seed-0-levels-10", "seed-1-levels-10"]);
    // Keys of one table that others stand between keep their own places.
    let apart = "schedule.levels = [10]\nseed = [0]\nschedule.sigma-max = [4, 5]";
    assert_eq!(slugs(apart), ["levels-10-seed-0-sigma-max-4", "levels-10-seed-0-sigma-max-5"]);
}

#[test]
fn axes_that_are_zipped_step_together() {
    let text =
        "seed = [0, 1]\ntraining.steps = [5, 6]\nschedule.levels = [10, 20]\nzip = [[\"schedule.levels\", \"seed\"]]";
    assert_eq!(
        slugs(text),
        [
            "seed-0-steps-5-levels-10",
            "seed-0-steps-6-levels-10",
            "seed-1-steps-5-levels-20",
            "seed-1-steps-6-levels-20"
        ]
    );
    refuses(
        "seed = [0, 1]\nschedule.levels = [10]\nzip = [[\"seed\", \"schedule.levels\"]]",
        "a.toml:4:17",
        &["`seed` has 2", "`schedule.levels` has 1"],
    );
    refuses("seed = [0, 1]\nzip = [[\"seed\", \"sede\"]]", "a.toml:3:17", &["no axis `sede`", "did you mean `seed`?"]);
    refuses("seed = [0, 1]\nzip = [[\"seed\", \"seed\"]]", "a.toml:3:17", &["twice"]);
    refuses("seed = [0, 1]\nzip = [[\"seed\"]]", "a.toml:3:8", &["at least two"]);
    refuses("seed = [0, 1]\nzip = [\"seed\"]", "a.toml:3:8", &["must be a list of axes"]);
}

#[test]
fn combinations_can_be_left_out_by_label_or_value() {
    let axes =
        "objective = [{ kind = \"sliced\", name = \"SSM\" }, { kind = \"denoising\" }]\nschedule.levels = [10, 20]\n";
    let left = |exclude: &str| slugs(&format!("{axes}exclude = {exclude}"));
    assert_eq!(left("[{ objective = \"SSM\" }]"), ["denoising-levels-10", "denoising-levels-20"]);
    assert_eq!(
        left("[{ objective = \"denoising\", schedule.levels = 10 }, { \"schedule.levels\" = \"20\" }]"),
        ["ssm-levels-10"]
    );
    // A learning rate may be written in another way.
    let rates =
        "training.optimizer.learning-rate = [1e-3, 2e-3]\nexclude = [{ training.optimizer.learning-rate = 0.001 }]";
    assert_eq!(slugs(rates), ["learning-rate-2e-3"]);
    let refuses =
        |exclude: &str, place: &str, words: &[&str]| refuses(&format!("{axes}exclude = {exclude}"), place, words);
    refuses("[{ objective = \"SMM\" }]", "a.toml:4:26", &["no such value", "did you mean `SSM`?"]);
    refuses("[{ objectiv = \"SSM\" }]", "a.toml:4:14", &["did you mean `objective`?"]);
    refuses("[{}]", "a.toml:4:12", &["names no axis"]);
    refuses("[1]", "a.toml:4:12", &["must be a table"]);
    refuses("[{ schedule.levels = 10 }, { schedule.levels = 20 }]", "a.toml:4:11", &["leaves no cell"]);
}

#[test]
fn a_table_with_a_kind_replaces_and_one_without_is_merged() {
    let source = source(
        "objective = [{ kind = \"sliced\", name = \"SSM\" }, { projections = 1 }, { weighting = \"sigma2\" }, { name = \"as is\" }]",
    );
    let sweep = Sweep::read(&source).unwrap();
    let objective = |cell: usize| {
        let resolved = sweep.experiment(cell, &builtin()).unwrap().resolved();
        let table = resolved["objective"].as_table().unwrap().clone();
        (table["projections"].as_integer().unwrap(), table["weighting"].as_str().unwrap().to_owned())
    };
    let expected = [(1, "sigma2"), (1, "none"), (3, "sigma2"), (3, "none")];
    for (cell, (projections, weighting)) in expected.into_iter().enumerate() {
        assert_eq!(objective(cell), (projections, weighting.to_owned()), "cell {cell}");
    }
    let labels: Vec<&str> = sweep.axes()[0].labels().collect();
    assert_eq!(labels, ["SSM", "projections 1", "weighting sigma2", "as is"]);
}

#[test]
fn an_axis_of_its_own_name_changes_several_tables() {
    let source = source(
        "noise = [\n\
         { name = \"σ = 0.3\", schedule = { kind = \"geometric\", levels = 1, sigma-max = 0.3 }, network = { channels = 8 } },\n\
         { schedule.levels = 10, training.optimizer.learning-rate = 1e-4 },\n]\n\"schedule.sigma-min\" = [0.01]",
    );
    let sweep = Sweep::read(&source).unwrap();
    let resolved = sweep.experiment(0, &builtin()).unwrap().resolved();
    assert_eq!(resolved["network"]["kind"].as_str(), Some("unet"), "merged");
    assert_eq!(resolved["network"]["channels"].as_integer(), Some(8));
    assert_eq!(resolved["schedule"]["sigma-min"].as_float(), Some(0.01), "set in the table that another axis replaces");
    assert_eq!(
        [sweep.slug(0).unwrap(), sweep.slug(1).unwrap()],
        ["sigma-0.3-sigma-min-0.01", "levels-10-learning-rate-1e-4-sigma-min-0.01"]
    );
    let overrides = sweep.overrides(1);
    let expected =
        json!({ "schedule.levels": 10, "training.optimizer.learning-rate": 1e-4, "schedule.sigma-min": 0.01 });
    assert_eq!(serde_json::Value::from(overrides), expected);
}

#[test]
fn the_same_cell_alone_has_the_same_hash() {
    let swept = cells(&source("objective.kind = [\"sliced\", \"denoising\"]\nseed = [0, 7]"));
    for (cell, sets) in swept.iter().zip([["sliced", "0"], ["sliced", "7"], ["denoising", "0"], ["denoising", "7"]]) {
        let mut alone = Source::new("a.toml", BASE.as_bytes()).unwrap();
        alone.set(&format!("objective.kind={}", sets[0])).unwrap();
        alone.set(&format!("seed={}", sets[1])).unwrap();
        assert_eq!(cell.1, hash(&alone), "{sets:?}");
        assert_eq!(cell.0, format!("{}-seed-{}-{}", sets[0], sets[1], &cell.1[..8]));
    }
}

#[test]
fn more_values_rename_no_cell() {
    let fewer = cells(&source("objective = [{ kind = \"sliced\", projections = 2 }]\nseed = [1]"));
    let more = "objective = [{ kind = \"denoising\" }, { kind = \"sliced\" }, { kind = \"sliced\", projections = 2 }]\nseed = [0, 1, 2]";
    let more = cells(&source(more));
    assert_eq!(more.len(), 9);
    assert!(more.contains(&fewer[0]), "{fewer:?} in {more:?}");
}

#[test]
fn names_are_folders_of_bounded_length() {
    let name = "Σ ~ “Ünïcode”/../..\\ CON".to_owned() + &"x".repeat(30);
    let text = format!(
        "seed = [0]\nobjective = [{{ kind = \"sliced\", name = {name:?} }}, {{ kind = \"denoising\", name = \"con.1\" }}]\n"
    );
    for (name, _) in cells(&source(&text)) {
        assert!(crate::checked_name(&name).is_ok() && name.len() <= 89, "{name}");
    }
    assert_eq!(slugs("objective = [{ kind = \"sliced\", name = \"con.1\" }]"), ["cell-con.1"]);
    assert_eq!(slugs("objective = [{ kind = \"sliced\", name = \"√\" }]"), ["cell"]);
    assert_eq!(slugs("schedule.sigma-max = [-1.5]"), ["sigma-max-minus-1.5"]);
    assert_eq!(slugs("network.hidden = [[64, 64]]"), ["hidden-64-64"]);
}

#[test]
fn assignments_change_the_base_and_the_axes() {
    let with = |sets: &[&str]| {
        let mut source = source("seed = [0, 1]\n\"schedule.levels\" = [10, 20]");
        sets.iter().for_each(|set| source.set(set).unwrap());
        let sweep = Sweep::read(&source).map_err(|d| source.render(&d, false))?;
        Ok((0..sweep.count()).map(|cell| sweep.slug(cell).unwrap()).collect::<Vec<String>>())
    };
    assert_eq!(
        with(&["sweep.seed=[5]", "objective.projections=1"]),
        Ok(vec!["seed-5-levels-10".into(), "seed-5-levels-20".into()])
    );
    // The quoted path of the file is the dotted one of the command line.
    assert_eq!(with(&["sweep.schedule.levels=[7]"]), Ok(vec!["seed-0-levels-7".into(), "seed-1-levels-7".into()]));
    for set in ["seed=3", "schedule={ levels = 3 }", "schedule.levels=3"] {
        let said: Result<_, String> = with(&[set]);
        let said = said.expect_err("the axis would win");
        assert!(said.contains("--set gives a value that the axis") && said.contains(set), "{said}");
    }
}

#[test]
fn what_is_wrong_with_a_cell_is_shown_in_the_sweep() {
    refuses("schedule.level = [10, 20]", "a.toml:2:10", &["has no key `level`", "did you mean `levels`?"]);
    refuses("\"schedule.level\" = [10, 20]", "a.toml:2:1", &["did you mean `levels`?"]);
    refuses("schedule.levels = [10, 0]", "a.toml:2:24", &["`levels` is 0", "in the cell `levels-0`"]);
    refuses("seed = [0, \"one\"]", "a.toml:2:12", &["`seed` must be a whole number", "in the cell `seed-one`"]);
    refuses("objective = [{ kind = \"slided\" }]", "a.toml:2:23", &["did you mean `sliced`?"]);
    refuses("training = [{ step = 3 }]", "a.toml:2:15", &["did you mean `steps`?"]);
    refuses("noise = [{ name = \"a\", schedule = { level = 3 } }]", "a.toml:2:37", &["has no key `level`"]);
    // One mistake of the file is one message, however many cells there are.
    let (said, _) = refused("seed = [0, 1, 2]\n[training]\nstep = 3");
    assert_eq!(said.matches("error:").count(), 1, "{said}");
    assert!(!said.contains("in the cell"), "{said}");
}

#[test]
fn axes_that_cannot_be_are_refused() {
    refuses("seed = 3", "a.toml:2:8", &["must be a list of values", "write `seed = [3]`"]);
    refuses("seed = []", "a.toml:2:8", &["has no values"]);
    refuses("", "a.toml:1:1", &["varies nothing"]);
    refuses("sede = [1, 2]", "a.toml:2:1", &["no such table or key", "did you mean `seed`?"]);
    refuses("trainig.steps = [1, 2]", "a.toml:2:9", &["did you mean `training`?"]);
    refuses("noise = [{ name = \"a\", schedul = { levels = 3 } }]", "a.toml:2:24", &["did you mean `schedule`?"]);
    refuses("name = [\"a\", \"b\"]", "a.toml:2:1", &["cannot be varied"]);
    refuses("seed = [0, 1, 0]", "a.toml:2:15", &["two values", "are called `0`"]);
    refuses("objective = [{ kind = \"sliced\", name = 3 }]", "a.toml:2:40", &["must be a string"]);
    refuses("objective = [{ kind = \"sliced\", name = \"\" }]", "a.toml:2:40", &["1 to 60 characters"]);
    refuses("seed = [0]\nbest-of = [\"seed\"]", "a.toml:3:12", &["best of several seeds"]);
    refuses("seed = [0]\nbest-of = \"seed\"", "a.toml:3:11", &["must be a list of axes"]);
    refuses("seed = [0]\nmeasure = 3", "a.toml:3:11", &["must be a metric's name, found an integer"]);
    refuses("seed = [0]\nmeasure = [\"a\", {}]", "a.toml:3:17", &["found a table"]);
    refuses("seed = [0]\nmeasure = [\"a\", \"a\"]", "a.toml:3:17", &["names `a` twice"]);
    refuses("seed = [0]\nmeasure = []", "a.toml:3:11", &["names 0 metrics; 1 to 8 are allowed"]);
    refuses("seed = [0]\nmeasure = \"\"", "a.toml:3:11", &["has an empty name"]);
    refuses("seed = [0]\nmax-cells = 0", "a.toml:3:13", &["from 1 to 10000"]);
    refuses("\"schedule.levels\" = [3]\nschedule.levels = [4]", "a.toml:3:10", &["twice"]);
    refuses(
        "schedule.levels = [3, 4]\nnoise = [{ name = \"a\", schedule = { levels = 5 } }]",
        "a.toml:3:37",
        &["`schedule.levels` and `noise` both set `schedule.levels`"],
    );
    refuses(
        "objective = [{ kind = \"sliced\", name = \"a\" }, { kind = \"sliced\", projections = 1, name = \"b\" }]",
        "a.toml:2:47",
        &["the cells `a` and `b` of [sweep] are the same experiment"],
    );
    let list = Source::new("a.toml", b"[[sweep]]\nseed = [0]\n").unwrap();
    assert!(Sweep::read(&list).unwrap_err()[0].message.contains("must be a table"));
    let whole = source("seed = [0, 1]");
    assert!(Experiment::read(&whole, &builtin()).unwrap_err()[0].message.contains("[sweep]"));
}

#[test]
fn hostile_sizes_are_refused_before_anything_is_made() {
    let axis = |name: &str, n: usize| format!("{name} = {:?}\n", (0..n).collect::<Vec<_>>());
    let many = ["seed", "schedule.levels", "training.steps", "training.warm-up", "evaluation.samples"];
    let text: String = many.iter().map(|name| axis(name, 10_000)).collect();
    refuses(&text, "a.toml:1:1", &["countless", "10000 × 10000"]);
    refuses(&axis("seed", 120_000), "a.toml:1:1", &["makes 120000 cells; at most 1000"]);
    refuses(&axis("seed", 1001), "a.toml:1:1", &["makes 1001 cells; at most 1000", "raised to 10000"]);
    assert_eq!(slugs(&format!("{}max-cells = 1001", axis("seed", 1001))).len(), 1001);
    refuses(&format!("{}max-cells = 3", axis("seed", 4)), "a.toml:3:13", &["at most 3"]);
    let axes: String = (0..40).map(|i| format!("a{i} = [{{ seed = {i} }}]\n")).collect();
    refuses(&axes, "a.toml:1:1", &["has 40 axes"]);
    refuses(&format!("\"{}\" = [1]", "a.".repeat(100_000)), "a.toml:2:1", &["too deep"]);
    refuses(&format!("{} = [1]", "a".repeat(100_000)), "a.toml:2:1", &["a key of 100000 bytes"]);
    let deep = "seed = [".to_owned() + &"{ a = ".repeat(20) + "1" + &" }".repeat(20) + "]";
    let (said, _) = refused(&deep);
    assert!(said.contains("too deep"), "{said}");
}

#[test]
fn the_record_says_what_each_axis_is() {
    let source = source(
        "seed = [0, 1]\ntraining.optimizer.learning-rate = [1e-3, 2e-3]\nobjective.kind = [\"sliced\", \"denoising\"]\nbest-of = [\"training.optimizer.learning-rate\"]",
    );
    let sweep = Sweep::read(&source).unwrap();
    let names: Vec<String> = (0..sweep.count()).map(|i| format!("cell-{i}")).collect();
    let record: SweepRecord = sweep.record("a", &names);
    let roles: Vec<AxisRole> = record.axes.iter().map(|axis| axis.role).collect();
    assert_eq!(roles, [AxisRole::Repeat, AxisRole::Best, AxisRole::Compare]);
    assert_eq!(record.axes[1].numbers, Some(vec![1e-3, 2e-3]));
    assert_eq!(record.axes[1].values, ["1e-3", "2e-3"]);
    assert_eq!(record.axes[2].numbers, None);
    assert_eq!(record.cells.len(), 8);
    assert_eq!(
        (record.cells[5].cell.as_str(), record.cells[5].values["objective.kind"].as_str()),
        ("cell-5", "denoising")
    );
}

#[test]
fn measures_are_recorded_and_change_no_cell() {
    let recorded = |text: &str| {
        let source = source(text);
        let sweep = Sweep::read(&source).unwrap();
        let names: Vec<String> = sweep.cells(&builtin()).unwrap().into_iter().map(|c| c.cell.name).collect();
        let record = sweep.record("a", &names);
        (names, record)
    };
    let (names, none) = recorded("seed = [0, 1]");
    assert!(none.measures.is_empty() && !serde_json::to_string(&none).unwrap().contains("measures"));
    let (same, one) = recorded("seed = [0, 1]\nmeasure = \"variance\"");
    assert_eq!((same, one.measures), (names, vec!["variance".to_owned()]));
    let (_, two) = recorded("seed = [0, 1]\nmeasure = [\"variance\", \"mean\"]");
    assert_eq!(two.measures, ["variance", "mean"]);
}

#[test]
fn a_file_without_a_sweep_is_one_cell() {
    let source = Source::new("a.toml", BASE.as_bytes()).unwrap();
    let sweep = Sweep::read(&source).unwrap();
    assert!(!sweep.is_swept() && sweep.count() == 1 && sweep.overrides(0).is_empty());
    let cells = sweep.checked_cells(&builtin()).unwrap();
    assert_eq!(cells[0].cell, Experiment::read(&source, &builtin()).unwrap().cell());
    assert!(cells[0].cell.name.starts_with("seed-0-"));
}

#[test]
fn an_axis_that_changes_seeds_alone_is_of_repetitions() {
    let roles = |text: &str| -> Vec<AxisRole> {
        let source = source(text);
        let sweep = Sweep::read(&source).unwrap_or_else(|d| panic!("{}", source.render(&d, false)));
        let names: Vec<String> = (0..sweep.count()).map(|i| format!("cell-{i}")).collect();
        sweep.record("a", &names).axes.iter().map(|axis| axis.role).collect()
    };
    let replicas = "replica = [{ name = \"a\", seed = 0 }, { name = \"b\", seed = 1 }]";
    assert_eq!(roles(replicas), [AxisRole::Repeat]);
    let more = "replica = [{ name = \"a\", seed = 0 }, { name = \"b\", seed = 1, training = { steps = 3 } }]";
    assert_eq!(roles(more), [AxisRole::Compare]);
    refuses(&format!("{replicas}\nbest-of = [\"replica\"]"), "a.toml:3:12", &["the best of several seeds"]);
}

#[test]
fn the_command_line_may_set_what_only_some_cells_set() {
    let with = |sweep: &str, set: &str| {
        let mut source = source(sweep);
        source.set(set).unwrap();
        let result = Sweep::read(&source).and_then(|sweep| sweep.cells(&builtin())).map(|cells| cells.len());
        result.map_err(|d| source.render(&d, false))
    };
    let some = "noise = [{ name = \"a\", schedule = { levels = 3 } }, { name = \"b\", training = { steps = 7 } }]";
    assert_eq!(with(some, "schedule.levels=5"), Ok(2));
    let all = "\"schedule.levels\" = [3, 4]";
    assert!(with(all, "schedule.levels=5").unwrap_err().contains("this would change nothing"));
}

#[test]
fn a_training_is_of_what_training_reads() {
    let training = |change: &str| {
        let source = Source::new("a.toml", BASE.as_bytes()).unwrap();
        let source = if change.is_empty() { source } else { set(source, change) };
        Experiment::read(&source, &builtin()).unwrap_or_else(|d| panic!("{}", source.render(&d, false))).training_id()
    };
    let own = training("").expect("a training");
    assert!(own.hash.starts_with(&own.name) && own.name.len() == 16);
    for same in ["name=b", "sampler.steps-per-level=7", "sampler.kind=edm", "evaluation.samples=50"] {
        assert_eq!(training(same).as_ref(), Some(&own), "{same}");
    }
    for other in [
        "seed=1",
        "device=cpu",
        "data.kind=eight-gaussians",
        "network.channels=16",
        "objective.projections=4",
        "objective.weighting=sigma2",
        "schedule.levels=7",
        "training.steps=7",
        "runtime.fusion=false",
    ] {
        assert_ne!(training(other).expect("a training"), own, "{other}");
    }
    assert_eq!(training("training.steps=0"), None);
}

fn set(mut source: Source, change: &str) -> Source {
    source.set(change).unwrap_or_else(|d| panic!("{}", source.render(&d, false)));
    source
}
