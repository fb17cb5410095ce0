//! Cells keep their names.

use crate::networks::plan;

fn cell(text: &str) -> String {
    plan(text).experiment.cell().name
}

const DIGITS: &str = "[data]\nkind = \"digits\"\n";

/// A changed name would make every finished run be done again. Computed independently: SHA-256 of the JSON of what differs from
/// the defaults, `{"data":{"kind":"digits"},…,"training":{"optimizer":{"learning-rate":0.002}}}`.
#[test]
fn names_are_pinned() {
    assert_eq!(cell(DIGITS), "seed-0-af618715");
    assert_eq!(cell(&format!("{DIGITS}[training.optimizer]\nlearning-rate = 2e-3\n")), "seed-0-53c29e6f");
}

#[test]
fn only_what_is_meant_counts() {
    let same = [
        "seed = 0\n[data]\nkind = \"digits\"\n[schedule]\nlevels = 20\nkind = \"geometric\"\nsigma-max = 4\n",
        "[training]\noptimizer = { learning-rate = 0.001, kind = \"adam\" }\n[data]\nkind = \"digits\"\n",
        "name = \"other\"\n[data]\nkind = \"digits\"\n[network]\nparameterization = \"scaled\"\n",
    ];
    for text in same {
        assert_eq!(cell(text), cell(DIGITS), "{text}");
    }
    for text in ["seed = 1\n", "[schedule]\nlevels = 21\n", "[objective]\nweighting = { power = 2.0 }\n"] {
        let other = format!("{text}{DIGITS}");
        assert_ne!(cell(&other), cell(DIGITS), "{text}");
    }
}
