//! `stein compare`: runs held against each other.

use crate::harness::{Folder, SMALL};

fn swept(lines: &str) -> Folder {
    let folder = Folder::with(&format!("[sweep]\n{lines}\n{}", SMALL.replace("steps = 600", "steps = 40")));
    folder.stein(&["run", "small.toml", "--quiet", "--jobs", "2"]).exits(0);
    folder
}

fn json(folder: &Folder, of: &[&str]) -> serde_json::Value {
    let said = folder.stein(&[&["compare"], of, &["--json"]].concat()).exits(0);
    serde_json::from_str(&said.out()).unwrap()
}

fn line<'a>(comparison: &'a serde_json::Value, name: &str) -> &'a serde_json::Value {
    let lines = comparison["lines"].as_array().unwrap();
    lines.iter().find(|line| line["name"] == name).unwrap_or_else(|| panic!("no {name} in {lines:?}"))
}

#[test]
fn seeds_are_repetitions_and_the_rest_is_compared() {
    let folder = swept("training.optimizer.learning-rate = [1e-2, 1e-4]\nseed = [0, 1, 2]");
    let compared = json(&folder, &["runs/small"]);
    let sides = compared["sides"].as_array().unwrap();
    assert_eq!(sides.len(), 2);
    assert_eq!((&sides[0]["side"], &sides[0]["seeds"]), (&"A".into(), &serde_json::json!([0, 1, 2])));
    let differing = compared["differing"].as_array().unwrap();
    assert_eq!(differing.len(), 1, "{differing:?}");
    assert_eq!(differing[0]["key"], "training.optimizer.learning-rate");

    // Means, errors and differences by hand, from the evaluations.
    let value = |run: &serde_json::Value| {
        let path = folder.path().join(run.as_str().unwrap());
        let evaluation = stein_record::RunDir::new(path).read_evaluation().unwrap().unwrap();
        evaluation.metric("energy-distance").unwrap().estimate.value
    };
    let of = |side: usize| sides[side]["runs"].as_array().unwrap().iter().map(value).collect::<Vec<f64>>();
    let (a, b) = (of(0), of(1));
    let mean = |v: &[f64]| v.iter().sum::<f64>() / 3.0;
    let error = |v: &[f64]| (v.iter().map(|x| (x - mean(v)).powi(2)).sum::<f64>() / 6.0).sqrt();
    let line = line(&compared, "energy-distance");
    let close = |found: &serde_json::Value, expected: f64| {
        let found = found.as_f64().unwrap();
        assert!((found - expected).abs() <= 1e-9 * expected.abs().max(1.0), "{found} {expected}");
    };
    close(&line["means"]["A"]["mean"]["value"], mean(&a));
    close(&line["means"]["B"]["mean"]["standard_error"], error(&b));
    let apart: Vec<f64> = b.iter().zip(&a).map(|(b, a)| b - a).collect();
    let found = &line["differences"]["B"];
    close(&found["mean"]["value"], mean(&apart));
    // Student's t with two degrees of freedom.
    close(&found["interval"][1], mean(&apart) + 4.302_652_729_749_464 * error(&apart));
    assert_eq!((&found["n"], line["differences"].get("A")), (&3.into(), None));
    assert_eq!((&line["about"], &line["means"]["A"]["n"]), (&"samples".into(), &3.into()));

    // An experiment file and single runs in any order mean the same.
    assert_eq!(json(&folder, &["small.toml"])["sides"], compared["sides"]);
    let runs: Vec<&str> = sides[1]["runs"].as_array().unwrap().iter().rev().map(|run| run.as_str().unwrap()).collect();
    let reversed = json(&folder, &[runs[0], runs[1], "runs/small"]);
    assert_eq!(reversed["sides"][0]["seeds"], serde_json::json!([2, 1, 0]));
    assert_eq!(reversed["sides"][1]["runs"], sides[0]["runs"]);

    let said = folder.stein(&["compare", "runs/small", "--out", "pages/both.html"]).exits(0);
    for words in [
        "A  learning-rate-1e-2",
        "seeds 0 1 2",
        "told differently",
        "0.01",
        "B − A",
        "quality",
        "cost",
        "NFE a sample",
        "Holm",
    ] {
        assert!(said.out().contains(words), "{words:?} is missing in:\n{}", said.out());
    }
    assert!(said.out().lines().all(|line| line.chars().count() < 160) && !said.out().contains('\u{1b}'));
    let page = std::fs::read_to_string(folder.path().join("pages/both.html")).unwrap().replace("<wbr>", "");
    assert!(
        page.contains("training.optimizer.learning-rate")
            && page.contains("What came of it")
            && !page.contains("<script")
    );
    let links: Vec<&str> = page.split("href=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    let tables = ["configuration", "measured"].map(|table| ["csv", "json"].map(|kind| format!("both.{table}.{kind}")));
    assert_eq!(links, tables.as_flattened(), "the page leads to its tables only");
    let beside = |name: &str| std::fs::read_to_string(folder.path().join("pages").join(name)).unwrap();
    assert!(beside("both.configuration.csv").starts_with("key,A,B\r\ntraining.optimizer.learning-rate,"));
    let measured: serde_json::Value = serde_json::from_str(&beside("both.measured.json")).unwrap();
    let rows = measured["rows"].as_array().unwrap();
    let of_b = rows.iter().find(|row| row["name"] == "energy-distance" && row["side"] == "B").unwrap();
    close(&of_b["difference"], mean(&apart));
}

#[test]
fn cells_of_one_network_are_told() {
    let folder = swept("sampler.steps-per-level = [1, 4]\nseed = [0, 1]");
    let compared = json(&folder, &["runs/small"]);
    let nfe = line(&compared, "nfe");
    assert_eq!((&nfe["about"], nfe["differences"]["B"]["n"].as_u64()), (&"cost".into(), Some(2)));
    let note = compared["notes"]
        .as_array()
        .unwrap()
        .iter()
        .any(|n| n.as_str().unwrap().contains("same trained networks as B"));
    assert!(note, "{}", compared["notes"]);
}

#[test]
fn what_is_missing_is_said_and_data_are_not_mixed() {
    let folder = swept("data.std = [0.5, 0.4]");
    let compared = json(&folder, &["runs/small"]);
    let energy = line(&compared, "energy-distance");
    assert!(energy["differences"].as_object().unwrap().is_empty(), "{energy}");
    assert!(compared["notes"][0].as_str().unwrap().contains("different data"), "{compared}");

    let runs: Vec<String> = (0..2).map(|i| compared["sides"][i]["runs"][0].as_str().unwrap().to_owned()).collect();
    for run in &runs {
        let run = stein_record::RunDir::new(folder.path().join(run));
        let mut record = run.read_record().unwrap().unwrap();
        (record.state, record.reason) = (stein_record::State::Failed, Some("the disk is full".into()));
        run.write_record(&record).unwrap();
    }
    let said = folder.stein(&["compare", &runs[0], &runs[1]]).exits(0);
    assert!(
        said.out().contains("the disk is full") && said.out().contains("no run has finished yet"),
        "{}",
        said.out()
    );
    // A copy elsewhere is another side, though it was told the same.
    let copy = folder.path().join("old/small");
    std::fs::create_dir_all(&copy).unwrap();
    std::fs::rename(folder.path().join(&runs[0]), copy.join("seed-0-x")).unwrap();
    folder.stein(&["run", "small.toml", "--quiet"]).exits(0);
    let compared = json(&folder, &["old/small", &runs[0]]);
    assert_eq!(compared["sides"].as_array().unwrap().len(), 2);
    let differing = compared["differing"].as_array().unwrap();
    assert!(differing.iter().all(|key| key["key"] == "run on"), "{differing:?}");

    let none = folder.stein(&["compare", "nowhere"]).exits(2);
    assert!(none.err().contains("neither a run directory nor a folder of such"), "{}", none.err());
    let none = folder.stein(&["compare", "reports"]).exits(2);
    assert!(none.err().contains("neither"), "{}", none.err());
}
