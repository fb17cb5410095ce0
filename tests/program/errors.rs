//! What is wrong is said, with its place.

use crate::harness::{Folder, SMALL};

#[track_caller]
fn refused(text: &str, expected: &[&str]) {
    let folder = Folder::with(text);
    let said = folder.stein(&["check", "small.toml"]).exits(2);
    for words in expected {
        assert!(said.err().contains(words), "{words:?} is missing in:\n{}", said.err());
    }
    assert!(said.out().is_empty(), "errors go to stderr");
}

#[test]
fn mistakes_are_shown_with_their_line_and_what_is_allowed() {
    let change = |from: &str, to: &str| {
        assert!(SMALL.contains(from), "{from}");
        SMALL.replacen(from, to, 1)
    };
    refused(
        &change("kind = \"mlp\"", "kind = \"mpl\""),
        &["no network is called `mpl`", "small.toml:10:8", "did you mean `mlp`?", "`unet`"],
    );
    refused(&change("levels = 5", "level = 5"), &["has no key `level`", "did you mean `levels`?"]);
    refused(&change("levels = 5", "levels = 0"), &["`levels` is 0", "small.toml:16:10"]);
    refused(&change("levels = 5", "levels = \"many\""), &["`levels` in [schedule]", "small.toml:16:10"]);
    refused(&change("sigma-max = 4.0", "sigma-max = -4.0"), &["`sigma-max` is -4", "above 0"]);
    refused(&change("sigma-max = 4.0", "sigma-max = nan"), &["`sigma-max` is NaN"]);
    refused(&change("sigma-min = 0.1", "sigma-min = 10.0"), &["below `sigma-max`"]);
    refused(&change("means = [[-2.0, 0.0], [2.0, 0.0]]", ""), &["needs the key `means`"]);
    refused(&change("batch-size = 64", "batch-size = 640"), &["only 400 training rows", "[data]"]);
    refused(&change("kind = \"mlp\"\nhidden = [32, 32]", "kind = \"unet\""), &["`unet` is for images"]);
    refused(&change("[training]", "[traning]"), &["no table or key `traning`", "did you mean `training`?"]);
    refused(&change("steps-per-level = 3", "steps-per-level = 3\nstep-size = 1.0"), &["overshoot"]);
    refused("", &["there is no [data] table"]);
    refused("name = \"../up\"\n[data]\nkind = \"digits\"\n", &["becomes a folder"]);
    refused("a = \nb = [1,\n", &["small.toml:1:5"]);
    refused(&format!("{SMALL}\n[schedule]\n"), &["duplicate"]);
}

#[test]
fn every_table_has_its_say_at_once() {
    let text = SMALL.replace("kind = \"mlp\"", "kind = \"mpl\"").replace("levels = 5", "levels = 0");
    refused(&text, &["no network is called `mpl`", "`levels` is 0"]);
}

#[test]
fn assignments_are_checked_like_files() {
    let folder = Folder::with(SMALL);
    let said = folder.stein(&["check", "small.toml", "--set", "schedule.levels=0"]).exits(2);
    assert!(said.err().contains("--set schedule.levels=0:1:17"), "{}", said.err());
    let said = folder.stein(&["check", "small.toml", "--set", "seed"]).exits(2);
    assert!(said.err().contains("key.path=value"), "{}", said.err());
    let said = folder.stein(&["run", "nowhere.toml"]).exits(2);
    assert!(said.err().contains("cannot read nowhere.toml"), "{}", said.err());
    let said = folder.stein(&["sample", "runs/nowhere"]).exits(2);
    assert!(said.err().contains("no run directory"), "{}", said.err());
}

#[test]
fn a_diverging_run_says_so() {
    let folder = Folder::with(SMALL);
    let said = folder
        .stein(&["run", "small.toml", "--set", "training.optimizer.learning-rate=1e30", "--set", "training.clip=0.0"])
        .exits(5);
    assert!(said.err().contains("diverged at step"), "{}", said.err());
    let record = folder.cell().read_record().unwrap().unwrap();
    assert_eq!(record.state, stein_record::State::Diverged);
}
