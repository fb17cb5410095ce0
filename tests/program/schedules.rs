//! `stein sigmas` and `stein suggest`: numbers that other people published.

use crate::harness::Folder;

fn json(arguments: &[&str]) -> serde_json::Value {
    let said = Folder::new().stein(arguments).exits(0);
    serde_json::from_str(&said.out()).expect("JSON")
}

fn numbers(value: &serde_json::Value) -> Vec<f64> {
    value.as_array().expect("a list").iter().map(|x| x.as_f64().expect("a number")).collect()
}

#[test]
fn sigmas_of_a_schedule_are_told() {
    let table = "{ kind = \"karras\", sigma-max = 80, sigma-min = 0.002, levels = 18 }";
    let told = json(&["sigmas", "--schedule", table, "--json"]);
    let sigmas = numbers(&told["sigmas"]);
    // EDM's levels for images, without the final 0.
    for (ours, expected) in sigmas.iter().zip([80.0, 57.585_985, 40.785_574]) {
        assert!((ours / expected - 1.0).abs() < 1e-7, "{ours}, not {expected}");
    }
    assert_eq!((sigmas.len(), sigmas[17]), (18, 0.002));
    assert!(numbers(&told["alphas"]).iter().all(|a| *a == 1.0));
    let told = json(&["sigmas", "--schedule", "{ kind = \"variance-preserving\", levels = 5 }", "--json"]);
    for (alpha, sigma) in numbers(&told["alphas"]).iter().zip(numbers(&told["sigmas"])) {
        assert!((alpha * alpha + sigma * sigma - 1.0).abs() < 1e-12);
    }
    let wrong = Folder::new().stein(&["sigmas", "--schedule", "{ kind = \"karas\" }"]).exits(2);
    assert!(wrong.err().contains("did you mean `karras`?"), "{}", wrong.err());
}

#[test]
fn suggestions_are_those_of_ncsnv2() {
    let common = ["suggest", "--dim", "3072", "--sigma-max", "50", "--sigma-min", "0.01", "--json"];
    let told = json(&[&common[..], &["--levels", "232", "--steps-per-level", "5"]].concat());
    let number = |key: &str| told[key].as_f64().unwrap_or_else(|| panic!("{key} in {told}"));
    for (key, expected, tolerance) in [
        ("overlap", 0.5670, 1e-4),
        ("levels_exact", 219.2, 0.1),
        ("step_size", 6.184e-6, 1e-9),
        ("variance_ratio", 1.05547, 1e-4),
        ("step_size_accumulated", 1.149e-5, 1e-8),
    ] {
        assert!((number(key) - expected).abs() <= tolerance, "{key} is {}, not {expected}", number(key));
    }
    assert_eq!(told["convention"], "repository");
    let levels = numbers(&told["per_level"]);
    assert_eq!(levels.len(), 232);
    assert!((levels[231] - 1.1286).abs() < 2e-4, "the last level's variance: {}", levels[231]);
    let free = json(&common);
    assert_eq!(free["levels"], 220, "solved for an overlap of one half, and rounded up");
    Folder::new().stein(&["suggest", "--dim", "10", "--sigma-max", "1", "--sigma-min", "2"]).exits(2);
}
