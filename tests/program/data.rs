//! Data that come as files: brought whole or not at all, and read as what they are.

use std::path::Path;

use stein_record::{Array, Idx};

use crate::harness::Folder;

const MNIST: &str = r#"
[data]
kind = "mnist"
size = 7
train = 16
held-out = 8

[network]
kind = "mlp"
hidden = [16]

[schedule]
sigma-max = 2.0
sigma-min = 0.1
levels = 3

[training]
steps = 20
batch-size = 8

[sampler]
kind = "annealed-langevin"
steps-per-level = 2

[evaluation]
samples = 8
level-rows = 8
trajectories = 2
frames = 2
"#;

fn idx(shape: &[usize], value: impl Fn(usize) -> u8) -> Vec<u8> {
    Idx { shape: shape.into(), data: (0..shape.iter().product()).map(value).collect() }.to_bytes()
}

/// A set of twenty pictures a part.
fn set(folder: &Path) {
    std::fs::create_dir_all(folder).unwrap();
    for part in ["train", "t10k"] {
        let write =
            |name: &str, bytes: Vec<u8>| std::fs::write(folder.join(format!("{part}-{name}-ubyte")), bytes).unwrap();
        write("images-idx3", idx(&[20, 28, 28], |i| (i * 37 % 251) as u8));
        write("labels-idx1", idx(&[20], |i| (i % 10) as u8));
    }
}

#[test]
fn pictures_in_idx_files_are_learned() {
    let folder = Folder::with(MNIST);
    set(&folder.path().join("data/mnist"));
    folder.stein(&["run", "small.toml"]).exits(0);
    let samples = Array::read_npy(&folder.cell().sample("final.npy")).unwrap().expect("samples");
    assert_eq!((samples.rows(), samples.row_length()), (8, 49));
}

#[test]
fn files_that_are_no_set_are_told_apart() {
    let refused = |spoil: &dyn Fn(&Path), says: &str| {
        let folder = Folder::with(MNIST);
        let data = folder.path().join("data/mnist");
        set(&data);
        spoil(&data);
        for command in ["check", "run"] {
            let said = folder.stein(&[command, "small.toml"]).exits(2);
            assert!(said.err().contains(says) && said.err().contains("[data]"), "{says}: {}", said.err());
        }
        assert!(!folder.path().join("runs").exists(), "nothing was begun");
    };
    let images = "train-images-idx3-ubyte";
    refused(&|data| std::fs::remove_dir_all(data).unwrap(), "stein data fetch mnist");
    refused(&|data| std::fs::write(data.join(images), "<!DOCTYPE html>").unwrap(), "web page");
    refused(&|data| std::fs::write(data.join(images), idx(&[20, 28], |_| 0)).unwrap(), "28×28");
    refused(
        &|data| std::fs::write(data.join(images), &idx(&[20, 28, 28], |_| 0)[..5000]).unwrap(),
        "behind it are 4984 bytes",
    );
    refused(
        &|data| std::fs::write(data.join("t10k-labels-idx1-ubyte"), idx(&[20], |_| 10)).unwrap(),
        "a label of t10k is 10",
    );
    refused(
        &|data| drop(std::fs::remove_file(data.join(images)).and_then(|()| std::fs::create_dir(data.join(images)))),
        "a folder",
    );
}

#[test]
fn a_set_that_nobody_knows_is_told() {
    let said = Folder::new().stein(&["data", "fetch", "imagenet"]).exits(2);
    assert!(said.err().contains("`mnist`, `fashion-mnist`, `cifar10` and `cifar100`"), "{}", said.err());
}

#[test]
fn what_is_brought_by_hand_is_checked() {
    let folder = Folder::new();
    set(&folder.path().join("mine"));
    let said = folder.stein(&["data", "fetch", "mnist", "--from", "mine"]).exits(3);
    assert!(said.err().contains("train-images-idx3-ubyte.gz"), "{}", said.err());
    folder.write("mine/train-images-idx3-ubyte.gz", "<html>");
    let said = folder.stein(&["data", "fetch", "mnist", "--from", "mine"]).exits(3);
    assert!(said.err().contains("web page") && said.err().contains("440fcabf"), "{}", said.err());
    assert!(!folder.path().join("data").exists(), "nothing was taken");
}

#[cfg(unix)]
#[test]
fn mirrors_that_fail_leave_nothing_behind() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new();
    let tools = folder.path().join("tools");
    std::fs::create_dir(&tools).unwrap();
    // In place of curl: what `$CURL` says.
    let script = "#!/bin/sh\neval \"$CURL\"\n";
    std::fs::write(tools.join("curl"), script).unwrap();
    std::fs::set_permissions(tools.join("curl"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let fetch = |curl: &str| {
        let mut command = folder.command(&["data", "fetch", "mnist"]);
        command.env("PATH", &tools).env("CURL", curl);
        crate::harness::Said(command.output().unwrap()).exits(3)
    };
    let left = || -> Vec<String> {
        let entries = std::fs::read_dir(folder.path().join("data/mnist")).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name != ".lock").collect()
    };
    let said = fetch("echo '<!DOCTYPE html>'");
    assert_eq!(said.err().matches("web page").count(), 2, "each mirror is asked: {}", said.err());
    assert!(said.err().contains("--from FOLDER") && left().is_empty(), "{}", said.err());
    let said = fetch("echo 'curl: (22) The requested URL returned error: 404' >&2; exit 22");
    assert!(said.err().contains("error: 404") && left().is_empty(), "{}", said.err());
    // What was begun stays for the next attempt.
    let said = fetch("printf begun; echo 'curl: (56) Recv failure' >&2; exit 56");
    assert!(said.err().contains("Recv failure"), "{}", said.err());
    assert_eq!(left(), [".train-images-idx3-ubyte.gz.partial"]);
    let partial = folder.path().join("data/mnist/.train-images-idx3-ubyte.gz.partial");
    assert_eq!(std::fs::read(partial).unwrap(), b"begunbegun");
    std::fs::remove_file(tools.join("curl")).unwrap();
    assert!(fetch("").err().contains("cannot start curl"));
}
