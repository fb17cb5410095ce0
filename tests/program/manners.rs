//! Help, schema, templates, completions, man pages.

use crate::harness::{Folder, SMALL};

#[test]
fn a_file_to_start_from_is_a_valid_experiment() {
    let folder = Folder::new();
    for (i, arguments) in [
        &["--data", "digits"][..],
        &["--data", "gaussian-mixture"],
        &["--data", "gaussian-mixture", "--sampler", "langevin", "--network", "mlp"],
        &["--data", "digits", "--network", "mlp"],
    ]
    .iter()
    .enumerate()
    {
        let name = format!("mine{i}.toml");
        let mut all = vec!["init", name.as_str()];
        all.extend(*arguments);
        folder.stein(&all).exits(0);
        let checked = folder.stein(&["check", &name, "--json"]).exits(0);
        let checked: serde_json::Value = serde_json::from_str(&checked.out()).unwrap();
        assert_eq!(checked["resolved"]["data"]["kind"], arguments[1]);
        let again = folder.stein(&["init", &name]).exits(2);
        assert!(again.err().contains("is there already"), "{}", again.err());
    }
    let near = folder.stein(&["init", "--sampler", "langevim"]).exits(2);
    assert!(near.err().contains("did you mean `langevin`?"), "{}", near.err());
    // Written out in full, defaults are still the default cell.
    folder.write("bare.toml", "name = \"mine0\"\n[data]\nkind = \"digits\"\n[network]\nkind = \"unet\"\n");
    let hash = |file: &str| {
        let said = folder.stein(&["check", file, "--json"]).exits(0);
        serde_json::from_str::<serde_json::Value>(&said.out()).unwrap()["hash"].clone()
    };
    assert_eq!(hash("mine0.toml"), hash("bare.toml"));
}

#[test]
fn the_schema_in_the_repository_is_the_programs() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../experiments/schema.json");
    let ours = Folder::new().stein(&["schema"]).exits(0).out();
    if std::env::var_os("STEIN_BLESS").is_some() {
        std::fs::write(&path, &ours).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap();
    assert!(kept == ours, "experiments/schema.json is old; write it again with: STEIN_BLESS=1 cargo xtask test");
}

#[test]
fn shells_and_man_are_served() {
    let folder = Folder::new();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        assert!(folder.stein(&["completions", shell]).exits(0).out().contains("stein"), "{shell}");
    }
    folder.stein(&["man", "pages", "--quiet"]).exits(0);
    for page in ["stein.1", "stein-run.1", "stein-check.1"] {
        let text = std::fs::read_to_string(folder.path().join("pages").join(page)).unwrap();
        assert!(text.contains(".TH") && text.contains("Examples"), "{page}");
    }
}

#[test]
fn results_go_to_stdout_and_the_rest_to_stderr() {
    let folder = Folder::with(SMALL);
    let quiet = folder.stein(&["run", "small.toml", "--quiet", "--set", "training.steps=60"]).exits(0);
    assert!(quiet.err().lines().all(|l| l.contains("XDG_RUNTIME_DIR")), "{}", quiet.err());
    assert!(quiet.out().contains("report  reports/small/index.html"), "{}", quiet.out());
    let more = folder.stein(&["run", "small.toml", "--verbose", "--set", "training.steps=80"]).exits(0);
    assert!(more.err().contains("hash    ") && more.err().contains("parameters"), "{}", more.err());
    // Nothing is coloured that is no terminal, nor if NO_COLOR is set.
    let wrong = folder.stein(&["check", "small.toml", "--set", "schedule.levels=0"]).exits(2);
    assert!(!wrong.err().contains('\u{1b}'));
    let help = folder.stein(&["help", "run"]).exits(0);
    assert!(help.out().contains("Examples:"), "{}", help.out());
}

#[test]
fn check_says_what_a_run_will_cost() {
    let folder = Folder::with(SMALL);
    let said = folder.stein(&["check", "small.toml", "--json"]).exits(0);
    let value: serde_json::Value = serde_json::from_str(&said.out()).unwrap();
    assert!(value["seconds_per_step"].as_f64().unwrap() > 0.0);
    assert_eq!(value["parameters"], 3 * 32 + 32 + 32 * 32 + 32 + 32 * 2 + 2);
    let text = folder.stein(&["check", "small.toml"]).exits(0);
    assert!(text.out().contains("ms a step") && text.out().contains("not begun"), "{}", text.out());
    assert!(!folder.path().join("runs").exists(), "checking leaves nothing behind");
}

#[test]
fn a_step_is_taken_apart() {
    let folder = Folder::with(SMALL);
    let said = folder.stein(&["profile", "small.toml", "--set", "device=cpu", "--seconds", "0.2", "--json"]).exits(0);
    let said: serde_json::Value = serde_json::from_str(&said.out()).unwrap();
    let parts = said["parts"].as_array().unwrap();
    let names: Vec<&str> = parts.iter().map(|part| part["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["data", "noise", "forward", "backward", "optimiser", "held-out loss", "checkpoint"]);
    let number = |value: &serde_json::Value| value.as_f64().unwrap();
    assert!(parts.iter().all(|part| number(&part["seconds"]) > 0.0));
    assert!((parts.iter().map(|part| number(&part["share"])).sum::<f64>() - 1.0).abs() < 1e-9);
    assert_eq!((&parts[5]["every"], &parts[6]["every"]), (&30.into(), &50.into()));
    let (step, held_out) = (number(&said["step"]), &parts[5]);
    assert!(
        step > 0.0 && (number(&held_out["seconds_per_step"]) * 30.0 / number(&held_out["seconds"]) - 1.0).abs() < 1e-9
    );
    let text = folder.stein(&["profile", "small.toml", "--set", "device=cpu", "--seconds", "0.1"]).exits(0);
    assert!(text.out().contains("ms every 30 steps") && text.out().contains("a second"), "{}", text.out());
    assert!(!folder.path().join("runs").exists(), "nothing is left behind");
    let exact = folder
        .stein(&["profile", "small.toml", "--set", "network={ kind = \"exact\" }", "--set", "training.steps=0"])
        .exits(2);
    assert!(exact.err().contains("trains nothing"), "{}", exact.err());
}
