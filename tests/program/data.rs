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
    assert!(said.err().contains("it is not what train-images-idx3-ubyte.gz holds"), "{}", said.err());
    let said = folder.stein(&["data", "fetch", "mnist", "--from", "nowhere"]).exits(3);
    let wanted = "wanted are `train-images-idx3-ubyte.gz`";
    assert!(said.err().contains(wanted) && said.err().contains("compressed or not"), "{}", said.err());
    let said = folder.stein(&["data", "fetch", "cifar10", "--from", "nowhere"]).exits(3);
    assert!(said.err().contains("data_batch_1.bin and so on, can be put into data/cifar10"), "{}", said.err());
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

/// The same experiment about other data.
fn about(data: &str) -> String {
    let rest = MNIST.find("[network]").expect("a network");
    format!("[data]\n{data}\n{}", &MNIST[rest..])
}

fn samples(folder: &Folder) -> Array {
    Array::read_npy(&folder.cell().sample("final.npy")).unwrap().expect("samples")
}

#[test]
fn colour_pictures_of_cifar_are_learned() {
    let folder = Folder::with(&about("kind = \"cifar10\"\nsize = 8\ntrain = 16\nheld-out = 8\nflip = true"));
    let data = folder.path().join("data/cifar10");
    let said = folder.stein(&["check", "small.toml"]).exits(2);
    assert!(said.err().contains("stein data fetch cifar10"), "{}", said.err());
    std::fs::create_dir_all(&data).unwrap();
    for name in ["data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch"] {
        let record = |i: usize| [vec![i as u8], (0..3072).map(|j| (i * 31 + j * 7) as u8).collect()].concat();
        std::fs::write(data.join(format!("{name}.bin")), (0..8).flat_map(record).collect::<Vec<_>>()).unwrap();
    }
    folder.stein(&["run", "small.toml"]).exits(0);
    assert_eq!(samples(&folder).shape, [8, 192]);
}

/// A bitmap of 4×4 pixels of one colour.
fn bitmap(colour: [u8; 3]) -> Vec<u8> {
    let head = [
        &b"BM"[..],
        &[102, 0, 0, 0],
        &[0; 4],
        &[54, 0, 0, 0, 40, 0, 0, 0],
        &[4, 0, 0, 0, 4, 0, 0, 0, 1, 0, 24, 0],
        &[0; 24],
    ];
    [head.concat(), colour.repeat(16)].concat()
}

#[test]
fn pictures_of_ones_own_are_learned_and_kept() {
    let folder = Folder::with(&about(
        "kind = \"images\"\npath = \"mine\"\nheight = 2\nwidth = 2\nclasses = true\nheld-out-share = 0.4",
    ));
    for class in ["a", "b"] {
        std::fs::create_dir_all(folder.path().join("mine").join(class)).unwrap();
        for i in 0..12 {
            std::fs::write(folder.path().join(format!("mine/{class}/{i}.bmp")), bitmap([20 * i, 90, 7])).unwrap();
        }
    }
    folder.stein(&["run", "small.toml"]).exits(0);
    assert_eq!(samples(&folder).shape, [8, 12]);
    let kept = || std::fs::read_dir(folder.path().join(".stein-pictures")).unwrap().map(|entry| entry.unwrap().path());
    assert_eq!(kept().count(), 1);
    std::fs::write(kept().next().unwrap(), "spoilt").unwrap();
    let said = folder.stein(&["check", "small.toml"]).exits(0);
    assert!(said.out().contains("it holds no pictures; the pictures are read again"), "{}", said.out());
    // A file that is no picture is named, or left out where it is to be.
    folder.write("mine/a/x.png", "<html>");
    let said = folder.stein(&["check", "small.toml"]).exits(2);
    assert!(said.err().contains("mine/a/x.png: it is no picture") && said.err().contains("web page"), "{}", said.err());
    let said = folder.stein(&["check", "small.toml", "--set", "data.skip-damaged=true"]).exits(0);
    assert!(said.out().contains("1 files are left out: a/x.png"), "{}", said.out());
}

#[test]
fn samples_of_a_table_come_in_its_own_units() {
    let folder =
        Folder::with(&about("kind = \"table\"\npath = \"mine.csv\"\ncolumns = [\"y\", \"x\"]\nheld-out-share = 0.3"));
    let lines = (0..30).fold("x,name,y\n".to_owned(), |text, i| format!("{text}{},n,{}\n", 1000 + i, i * i % 7));
    folder.write("mine.csv", &lines);
    folder.stein(&["run", "small.toml"]).exits(0);
    let said = folder.stein(&["sample", folder.cell().path().to_str().unwrap(), "--count", "4", "--json"]).exits(0);
    let said: serde_json::Value = serde_json::from_str(&said.out()).unwrap();
    assert_eq!(said["units"]["names"], serde_json::json!(["y", "x"]));
    let drawn = Array::read_npy(said["samples"].as_str().unwrap().as_ref()).unwrap().unwrap();
    // Standardised, x would lie about 0.
    assert!((0..4).all(|i| drawn.row(i)[1] > 500.0), "{drawn:?}");
    assert!(samples(&folder).data.iter().all(|x| x.abs() < 100.0));
    let record = folder.cell().read_record().unwrap().unwrap();
    assert!(record.data.units.is_some_and(|units| (units.mean[1] - 1014.5).abs() < 5.0));
    // Its score is asked for in these units too.
    let (cell, at) = (folder.cell(), said["samples"].as_str().unwrap());
    let arguments = ["score", cell.path().to_str().unwrap(), "--at", at, "--sigma", "0.5", "--out", "s.npy"];
    let told = folder.stein(&arguments).exits(0);
    assert!(told.out().contains("own units"), "{}", told.out());
    let scores = Array::read_npy(&folder.path().join("s.npy")).unwrap().unwrap();
    assert!(scores.data.iter().all(|s| s.abs() < 50.0), "points far off would have scores of thousands: {scores:?}");
    // With other data units would be others.
    folder.write("mine.csv", &lines.replace("1003", "9003"));
    assert!(folder.stein(&["sample", arguments[1], "--out", "o"]).exits(3).err().contains("the data have changed"));
    folder.stein(&arguments).exits(3);
    folder.write("mine.csv", &lines.replace("1003", "?"));
    let said = folder.stein(&["check", "small.toml"]).exits(2);
    assert!(said.err().contains("line 5 has \"?\" in the column \"x\""), "{}", said.err());
}

#[test]
fn logits_are_mapped_back() {
    let folder = Folder::with(&MNIST.replace("size = 7", "size = 7\nlogit = true"));
    set(&folder.path().join("data/mnist"));
    folder.stein(&["run", "small.toml"]).exits(0);
    for array in [samples(&folder), Array::read_npy(&folder.cell().sample("held-out.npy")).unwrap().unwrap()] {
        let mean = array.data.iter().sum::<f32>() / array.data.len() as f32;
        assert!(array.data.iter().all(|x| (-1e-5..=1.0 + 1e-5).contains(x)) && (0.2..0.8).contains(&mean), "{mean}");
    }
    let cell = folder.cell().path().display().to_string();
    let at = format!("{cell}/samples/final.npy");
    let said = folder.stein(&["score", &cell, "--at", &at, "--sigma", "0.5", "--out", "s.npy"]).exits(2);
    assert!(said.err().contains("sees logits"), "{}", said.err());
    let likelihood = "evaluation.likelihood={ rows = 8 }";
    let said = folder.stein(&["check", "small.toml", "--set", likelihood]).exits(2);
    assert!(said.err().contains("with `logit` the network sees logits"), "{}", said.err());
    let said = folder.stein(&["check", "small.toml", "--set", "data.dequantize=false"]).exits(2);
    assert!(said.err().contains("`logit` is of dequantised values"), "{}", said.err());
}
