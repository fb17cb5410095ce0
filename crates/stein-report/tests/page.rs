//! Report pages from run directories, whole and broken. `STEIN_KEEP=DIR` leaves the pages there to be looked at.

mod beside;
mod hostile;
mod synthetic;

use std::path::{Path, PathBuf};

use stein_record::arrays::{Array, ArrayFile};
use stein_record::{AxisRole, Estimate, Evaluation, LevelRecord, RunDir, State, SweepRecord};
use synthetic::{
    Made, axis, cell, curl, digits, exact_sweep, field, finished, mixture_run, numbers_sweep, record, sweep_runs, swept,
};

/// Where runs and reports go: a directory that vanishes, or `STEIN_KEEP`.
struct Place {
    root: PathBuf,
    _held: Option<tempfile::TempDir>,
}

fn place(name: &str) -> Place {
    match std::env::var_os("STEIN_KEEP") {
        Some(keep) => Place { root: PathBuf::from(keep).join(name), _held: None },
        None => {
            let held = tempfile::tempdir().unwrap();
            Place { root: held.path().to_owned(), _held: Some(held) }
        }
    }
}

impl Place {
    fn runs(&self) -> PathBuf {
        self.root.join("runs")
    }

    fn report(&self, experiment: &Path) -> String {
        let index = stein_report::write(experiment, &self.root.join("reports")).unwrap();
        assert!(index.ends_with("index.html"));
        let page = std::fs::read_to_string(index).unwrap();
        check(&page);
        page
    }
}

/// What holds for every page.
fn check(page: &str) {
    assert!(page.starts_with("<!DOCTYPE html>"));
    // Our script, to the letter, where there is something to sort; and no other.
    let script = format!("<script type=\"module\">{}</script>", include_str!("../src/page/script.js"));
    assert_eq!(page.contains(&script), page.contains(" data-sortable"));
    assert_eq!(page.contains("script-src 'sha256-"), page.contains(" data-sortable"));
    let lower = page.replacen(&script, "", 1).to_lowercase();
    assert!(!lower.contains("<script") && !lower.contains("javascript:") && !lower.contains("<iframe"));
    assert!(lower.contains("content-security-policy") && lower.contains("default-src 'none'"));
    let text: String = page
        .split("base64,")
        .enumerate()
        .map(|(i, part)| if i == 0 { part } else { part.split_once('"').map_or("", |p| p.1) })
        .collect();
    assert!(!text.contains("NaN") && !text.contains("inf "), "{}", around(&text, "NaN"));
    for attribute in ["src=\"", "srcset=\"", "href=\""] {
        for value in page.split(attribute).skip(1) {
            let value = value.split('"').next().unwrap();
            let scheme = value.split(['/', '#', '?']).next().unwrap();
            assert!(
                value.starts_with("data:image/") || !scheme.contains(':'),
                "{attribute}{}",
                &value[..value.len().min(80)]
            );
            assert!(!value.starts_with("//"));
        }
    }
    assert!(!page.contains("url(") && !page.contains("@import"));
    for image in tags(page, "<img") {
        assert!(
            image.contains(" alt=\"") && !image.contains(" alt=\"\""),
            "{}",
            &image[image.len().saturating_sub(200)..]
        );
    }
    for drawing in tags(page, "<svg") {
        assert!(
            drawing.contains("role=\"img\"")
                && drawing.contains("aria-label=\"")
                && !drawing.contains("aria-label=\"\""),
            "{drawing}"
        );
    }
    // Every marker colour has become a variable.
    assert!(!page.contains("\"#01"), "{}", around(page, "\"#01"));
    assert!(page.len() < 3_000_000, "{} bytes", page.len());
}

fn tags<'a>(page: &'a str, open: &'a str) -> impl Iterator<Item = &'a str> {
    page.split(open).skip(1).map(|rest| rest.split('>').next().unwrap())
}

fn around<'a>(page: &'a str, needle: &str) -> &'a str {
    page.find(needle).and_then(|at| page.get(at.saturating_sub(120)..(at + 120).min(page.len()))).unwrap_or("")
}

#[test]
fn an_image_run_has_every_section() {
    let place = place("digits");
    let page = place.report(&digits(&place.runs(), "digits", "digits-1a2b3c4d"));
    for text in [
        "Samples",
        "Held-out data",
        "Nearest training images",
        "Metrics",
        "k-NN precision",
        "Training",
        "moving average",
        "Noise levels",
        "memorises the training set: not a goal",
        "Wiener",
        "Sampling",
        "data:image/gif;base64,",
        "What was run",
        "sigma-max = 4.0",
        "4be1c0de",
        "with uncommitted changes",
        "22.6",
        "612 MB",
        "burn 0.22.1",
        "paper: x + (α/2) s + √α z",
        "0.881 ±\u{a0}0.017",
        "as real data",
        "prefers-reduced-motion",
    ] {
        assert!(page.contains(text), "{text:?} is missing");
    }
    assert!(!page.contains("Score field"));
    let gif = std::fs::metadata(place.runs().join("digits/digits-1a2b3c4d/samples/trajectory.gif")).unwrap().len();
    assert!(gif < 1_500_000, "{gif}");
}

#[test]
fn a_plane_run_shows_its_field() {
    let place = place("mixture");
    let page = place.report(&mixture_run(&place.runs(), "mixture", "mixture-1a2b3c4d", 3));
    for text in [
        "Score field",
        "True, σ = 8.00",
        "Learned, σ = 0.050",
        "Where the score is wrong",
        "Mode weights",
        "mode 3 0.19 (truth 0.20)",
        "Fisher divergence",
        "<h3>Curl of the score</h3>",
        "Line chart of the curl of the score at 20 noise levels; the largest value is 0.029 at σ = 0.050.",
        "no network does better in expectation",
        "from noise to the data",
    ] {
        assert!(page.contains(text), "{text:?} is missing");
    }
    let gif = std::fs::metadata(place.runs().join("mixture/mixture-1a2b3c4d/samples/trajectory.gif")).unwrap().len();
    assert!(gif < 1_500_000, "{gif}");
}

#[test]
fn a_run_without_noise_or_curl_has_captions_of_its_own() {
    let place = place("noiseless");
    let folder = mixture_run(&place.runs(), "noiseless", "noiseless-1a2b3c4d", 3);
    let dir = RunDir::new(folder.join("noiseless-1a2b3c4d"));
    let mut evaluation = dir.read_evaluation().unwrap().unwrap();
    evaluation.trajectory_sigmas.fill(0.0);
    evaluation.metrics.retain(|m| m.name != "curl");
    evaluation.metrics.push(curl(&[4.0, 1.0, 0.2], 3e-8));
    let log_z = |name: &str, value: f64| {
        let mut metric = curl(&[1.0], 1.0);
        (metric.name, metric.estimate, metric.by_level) = (name.into(), Estimate::new(value, 0.01), Vec::new());
        metric
    };
    evaluation.metrics.extend([log_z("log-z", 1.0), log_z("log-z-quadrature", 1.03)]);
    dir.write_evaluation(&evaluation).unwrap();
    let page = place.report(&folder);
    for told in ["None, to rounding", "From the start to samples", "particles move over the data"] {
        assert!(page.contains(told), "{told:?} is missing");
    }
    for untold in ["From noise", "from noise to the data", "Line chart of the curl", "two values of log Z"] {
        assert!(!page.contains(untold), "{untold:?} is there");
    }
    // The two values of log Z differ by seven errors of their difference.
    evaluation.metrics.last_mut().unwrap().estimate.value = 1.1;
    dir.write_evaluation(&evaluation).unwrap();
    assert!(place.report(&folder).contains("two values of log Z"));
}

#[test]
fn several_cells_have_a_table_and_a_page_each() {
    let place = place("sweep");
    let hostile = "b <b> & \"c\"-00000000";
    mixture_run(&place.runs(), "sweep", "seed-1-11111111", 1);
    mixture_run(&place.runs(), "sweep", hostile, 2);
    let (folder, dir) = cell(&place.runs(), "sweep", "seed-3-33333333");
    let mut unfinished = record("sweep", "seed-3-33333333");
    unfinished.state = State::Diverged;
    unfinished.reason = Some("the loss was NaN at step 412".replace("NaN", "not a number"));
    dir.write_record(&unfinished).unwrap();
    std::fs::create_dir_all(folder.join("trained/abcdef")).unwrap();
    let page = place.report(&folder);
    assert!(page.contains("3 cells") && page.contains("diverged") && page.contains("href=\"seed-1-11111111.html\""));
    assert!(page.contains("href=\"b%20%3Cb%3E%20%26%20%22c%22-00000000.html\"") && page.contains("b &lt;b&gt; &amp;"));
    for name in ["seed-1-11111111", hostile, "seed-3-33333333"] {
        let page = std::fs::read_to_string(place.root.join("reports/sweep").join(format!("{name}.html"))).unwrap();
        check(&page);
        assert!(page.contains("href=\"index.html\""));
    }
}

#[test]
fn hostile_text_is_shown_as_text() {
    let place = place("hostile");
    let (folder, dir) = cell(&place.runs(), "hostile", "cell-00000000");
    let mut about = record("<script>alert(1)</script>", "cell-00000000");
    about.data.kind = "\u{202e}\"><img src=x onerror=alert(1)>".into();
    about.argv = vec!["</style><script>".into()];
    about.conventions.insert("<b>".into(), "<i>".into());
    about.reason = Some("line\u{0}\u{1b}[31m".into());
    dir.write_record(&about).unwrap();
    std::fs::write(dir.experiment(), "name = \"</pre><script>\u{200f}\"\n").unwrap();
    let page = place.report(&folder);
    assert!(
        page.contains("&lt;script&gt;alert(1)&lt;/script&gt;")
            && page.contains("\\u{202e}")
            && page.contains("\\u{200f}")
    );
    assert!(!page.contains('\u{202e}') && !page.contains("<img src=x") && page.contains("\\u{1b}[31m"));
}

#[test]
fn a_record_alone_makes_a_page() {
    let place = place("bare");
    let (folder, dir) = cell(&place.runs(), "bare", "cell-00000000");
    let mut about = record("bare", "cell-00000000");
    about.state = State::Running;
    about.progress.step = 0;
    about.git = None;
    about.ended = None;
    about.peak_memory = None;
    dir.write_record(&about).unwrap();
    let page = place.report(&folder);
    for text in [
        "No samples have been drawn yet.",
        "No losses have been recorded yet.",
        "have not been evaluated yet",
        "still running",
    ] {
        assert!(page.contains(text), "{text:?} is missing");
    }
    assert!(stein_report::page_of(&RunDir::new(place.root.join("nothing-here"))).contains("no readable run record"));
    assert!(stein_report::write(&place.root.join("nothing-here"), &place.root).is_err());
    std::fs::create_dir_all(place.runs().join("empty")).unwrap();
    assert!(place.report(&place.runs().join("empty")).contains("no runs of this experiment yet"));
}

#[test]
fn half_written_files_are_named_and_left_out() {
    let place = place("torn");
    let folder = mixture_run(&place.runs(), "torn", "cell-00000000", 5);
    let dir = RunDir::new(folder.join("cell-00000000"));
    let cut = |path: PathBuf, keep: f64| {
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..(bytes.len() as f64 * keep) as usize]).unwrap();
    };
    cut(dir.evaluation(), 0.6);
    cut(dir.sample("final.npy"), 0.5);
    cut(dir.sample("trajectory.gif"), 0.0001);
    cut(dir.field(), 0.7);
    let mut log = std::fs::read_to_string(dir.metrics()).unwrap();
    log.insert_str(0, "{\"step\": 1, \"spl\n\u{fffd}\n");
    log.push_str("{\"step\":3005,\"split\":\"train\",\"name\":\"loss\",\"val");
    std::fs::write(dir.metrics(), log).unwrap();
    let page = place.report(&folder);
    for text in
        ["evaluation.json:", "final.npy:", "field.safetensors:", "2 of", "training loss ends at", "cannot be read"]
    {
        assert!(page.contains(text), "{text:?} is missing");
    }
    std::fs::write(dir.record(), "{").unwrap();
    assert!(place.report(&folder).contains("no readable run record"));
}

#[test]
fn numbers_that_are_not_finite_do_no_harm() {
    let place = place("not-finite");
    let (folder, dir) = cell(&place.runs(), "not-finite", "cell-00000000");
    let mut about = record("not-finite", "cell-00000000");
    about.data.range = Some([1.0, 1.0]);
    about.timings.training = -1.0;
    dir.write_record(&about).unwrap();
    let mut log = String::new();
    for step in 1..300 {
        let value = match step % 50 {
            7 => "\"NaN\"".to_owned(),
            9 => "\"inf\"".to_owned(),
            _ => format!("{}", 5.0 / f64::from(step)),
        };
        log.push_str(&format!("{{\"step\":{step},\"split\":\"train\",\"name\":\"loss\",\"value\":{value}}}\n"));
    }
    std::fs::write(dir.metrics(), log).unwrap();
    let wild = [f64::NAN, f64::INFINITY, -1.0, 0.0, 1e308, 1e-308];
    let level = |i: usize| LevelRecord {
        sigma: wild[(i + 4) % 6],
        weight: if i == 3 { 1e300 } else { 1.0 },
        train: Estimate::new(wild[i % 6], wild[(i + 1) % 6]),
        held_out: Estimate::new(wild[(i + 2) % 6], 0.1),
        floor: Some(Estimate::new(wild[(i + 3) % 6], f64::NAN)),
        memorising_train: Some(Estimate::new(wild[(i + 4) % 6], 1.0)),
        memorising_held_out: None,
        gaussian_held_out: None,
        fisher: Some(Estimate::new(wild[(i + 5) % 6], 1.0)),
        relative_fisher: None,
        clean_fisher: None,
    };
    let evaluation = Evaluation {
        samples: 0,
        nfe: 0,
        acceptance: None,
        classes: None,
        inverse: None,
        sampling_seconds: 0.0,
        step: 0,
        metrics: Vec::new(),
        levels: (2..5).map(level).filter(|l| l.sigma.is_finite()).collect(),
        mode_weights: Some(vec![1e308, -3.0]),
        modes: Some(stein_record::Modes {
            truth: vec![],
            standard_error: vec![f64::NAN],
            stray: Estimate::new(f64::NAN, f64::NAN),
            stray_truth: Estimate::new(0.0, 0.0),
        }),
        estimators: Vec::new(),
        trajectory_sigmas: vec![1.0],
        nearest_distances: vec![1e300],
        nearest_classifier_distances: Vec::new(),
    };
    dir.write_evaluation(&evaluation).unwrap();
    let hostile = |n: usize| (0..n).map(|i| wild[i % 6] as f32).collect::<Vec<f32>>();
    Array::new([3, 64], hostile(192)).write_npy(&dir.sample("final.npy")).unwrap();
    Array::new([0, 64], vec![]).write_npy(&dir.sample("held-out.npy")).unwrap();
    Array::new([2, 63], hostile(126)).write_npy(&dir.sample("nearest.npy")).unwrap();
    Array::new([2, 3, 64], hostile(384)).write_npy(&dir.sample("trajectory.npy")).unwrap();
    let page = place.report(&folder);
    assert!(page.contains("the first is at step 7") && page.contains("rows of different lengths"));

    // The same in the plane, with a field full of holes.
    about.data.image = None;
    about.data.dimension = 2;
    dir.write_record(&about).unwrap();
    for (name, shape) in [("final.npy", vec![6, 2]), ("held-out.npy", vec![1, 2]), ("trajectory.npy", vec![2, 3, 2])] {
        let n = shape.iter().product();
        Array::new(shape, hostile(n)).write_npy(&dir.sample(name)).unwrap();
    }
    let mut fields = field(&[1.0, 0.1], 9);
    for name in ["density", "learned_score", "learned_density"] {
        let array = fields.arrays.get_mut(name).unwrap();
        array.data = hostile(array.data.len());
    }
    fields.write(&dir.field()).unwrap();
    assert!(place.report(&folder).contains("Where the score is wrong"));
    for name in ["density", "true_score"] {
        fields.arrays.remove(name);
    }
    fields.write(&dir.field()).unwrap();
    let page = place.report(&folder);
    assert!(page.contains("The true score is not known") && page.contains("Learned, σ = 1.00"));
    assert!(page.contains("The true density is not known."));
    ArrayFile::default().write(&dir.field()).unwrap();
    assert!(place.report(&folder).contains("there is no tensor"));
}

/// The text of a page, tags and figures taken out, spaces made one.
fn text(page: &str) -> String {
    let body = page.split("<body>").nth(1).unwrap_or(page);
    let words = body.split('<').map(|part| part.split_once('>').map_or(part, |p| p.1));
    words.collect::<Vec<_>>().join(" ").split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The comparison's row that begins with that text, as text.
fn compared(page: &str, label: &str) -> String {
    let table = page.split("<table class=\"comparison\"").nth(1).unwrap().split("</table>").next().unwrap();
    let rows: Vec<String> = table.split("<tr").map(|row| text(&format!("<tr{row}"))).collect();
    rows.iter().find(|row| row.starts_with(label)).unwrap_or_else(|| panic!("{label:?} among {rows:#?}")).clone()
}

#[test]
fn a_sweep_is_compared() {
    let place = place("objectives");
    let page = place.report(&sweep_runs(&place.runs(), "objectives"));
    let all = text(&page);
    for told in [
        "33 of 36 cells finished; 1 diverged, 1 failed, 1 not begun.",
        "denoising-0-1-seed-0-03030303 : diverged , the loss was not finite at step 412",
        "implicit-1-0-seed-1-1f1f1f1f : failed , the disk is full",
        "sliced-0-1-seed-2-11111111 : not run yet",
        "seed 0 · 1 · 2 (averaged over)",
        "Since that very number chose it, it is slightly optimistic;",
        "σ²F at step 3,000",
        "after 5.9",
        "Holm's correction",
        "are marked apart",
        "At equal time",
        "Quality against cost",
        "real data 0.510 ± 0.018",
        "fitted Gaussian 0.850 ± 0.013",
    ] {
        assert!(all.contains(told), "{told:?} is missing in {all}");
    }
    // The better rate is chosen, though one of its runs failed; one that diverged counts against its rate.
    assert!(compared(&page, "implicit · 8 to 0.05").starts_with("implicit · 8 to 0.05 0.001 of 2 2 of 3 0.0"));
    assert!(compared(&page, "denoising · no noise").starts_with("denoising · no noise 0.001 of 2 1 diverged 3 0.0"));
    assert!(compared(&page, "sliced · no noise").starts_with("sliced · no noise 0.001 of 2 3 0.0"));
    // Seeds scatter more than objectives differ, yet in pairs the best can be told.
    assert!(compared(&page, "denoising · no noise").contains("★") && !compared(&page, "sliced").contains("★"));
    assert!(all.contains("Repetitions are missing of: implicit · 8 to 0.05 (2 of 3)."));
    let drawn = tags(&page, "<svg").filter(|t| t.contains("Line chart of")).count();
    assert_eq!(drawn, 2 + 2 * 3, "two panels for each figure of training, one for each of noise levels");
    assert!(page.contains("Scatter plot of mean σ²·Fisher divergence against ms a step (noise: no noise): denoising"));
    assert!(page.contains("noise: 8 to 0.05") && tags(&page, "<text").count() > 100);
    assert!(page.contains("href=\"denoising-0-0-seed-0-00000000.html\"") && !all.contains("Along an axis"));
}

#[test]
fn a_sweep_along_numbers_has_their_course() {
    let place = place("numbers");
    let page = place.report(&numbers_sweep(&place.runs(), "numbers"));
    let all = text(&page);
    // 14 objectives are more than can be told apart; the worst two have no line, but a row.
    assert!(
        all.contains("Left out, as the worst by mean σ²·Fisher divergence of more than can be told apart: o12, o13.")
    );
    assert!(all.contains("Along an axis network.hidden") && all.contains("peak memory, MB along network.hidden."));
    assert!(compared(&page, "o13 · 32").contains("own s.e."));
    assert!(all.contains("a single repetition") && all.contains("No value is marked as the best"));
    assert!(!all.contains("★ 0") && all.contains("was not measured during training"));
    assert!(all.contains("1 run in this experiment's directory that the sweep does not have"));
}

#[test]
fn a_sweep_that_is_broken_does_no_harm() {
    let place = place("broken-sweep");
    let folder = mixture_run(&place.runs(), "broken-sweep", "a-11111111", 1);
    let write = |text: &str| std::fs::write(folder.join("sweep.json"), text).unwrap();
    write("{\"schema\": 1, \"experi");
    let page = place.report(&folder);
    assert!(page.contains("sweep.json could not be read") && page.contains("href=\"a-11111111.html\""));

    let hostile = "<script>alert(1)</script>\u{202e}";
    let cells = vec![
        swept("passwd of others", &[(hostile, "<i>"), ("seed", "1")]),
        swept("other-11111111", &[(hostile, "not a value"), ("elsewhere", "x")]),
        swept("other-11111111", &[]),
        swept("nothing", &[]),
    ];
    let axes = vec![
        axis(hostile, AxisRole::Compare, &["<i>", "<i>"]),
        axis("seed", AxisRole::Repeat, &[]),
        axis("rate", AxisRole::Best, &["1", "2"]),
    ];
    let record = SweepRecord { schema: 7, experiment: hostile.into(), measures: Vec::new(), axes, cells };
    record.write(&folder).unwrap();
    let page = place.report(&folder);
    let all = text(&page);
    assert!(all.contains("passwd of others : not run yet") && all.contains("2 of 4 cells finished; 2 not begun."));
    assert!(page.contains("&lt;script&gt;alert(1)") && page.contains("\\u{202e}") && !page.contains('\u{202e}'));
    assert!(compared(&page, "not a value").starts_with("not a value – of 1 1 own s.e."));

    // What a run directory is short of is said, and nothing is compared.
    std::fs::remove_file(folder.join("a-11111111/evaluation.json")).unwrap();
    let page = place.report(&folder);
    assert!(
        text(&page).contains("No cell has finished yet") && page.contains("evaluation is missing or cannot be read")
    );
    SweepRecord { axes: Vec::new(), cells: Vec::new(), ..record }.write(&folder).unwrap();
    assert!(text(&place.report(&folder)).contains("0 cells, all finished. Not in the comparison, but below: 1 run"));
}

#[test]
fn values_that_are_not_finite_never_enter_means() {
    let place = place("wild-sweep");
    let folder = place.runs().join("wild-sweep");
    let errors = [("tame", [0.1, 0.2, 0.3]), ("wild", [0.01, f64::NAN, 0.02]), ("lost", [f64::INFINITY; 3])];
    let mut cells = Vec::new();
    for (o, (objective, errors)) in errors.into_iter().enumerate() {
        for (seed, error) in errors.into_iter().enumerate() {
            let name = format!("{objective}-{o}000000{seed}");
            let made = Made { error: 1.0, seconds: 0.001, sigmas: vec![1.0], gradient: 1.0, memory: 1 };
            let dir = finished(&place.runs(), "wild-sweep", &name, seed as u64, &made);
            let mut evaluation = dir.read_evaluation().unwrap().unwrap();
            evaluation.levels[0].fisher = Some(Estimate::new(error, f64::NAN));
            evaluation.estimators[0].gradient_variance = Estimate::new(error - 0.15, error);
            dir.write_evaluation(&evaluation).unwrap();
            let log = std::fs::read_to_string(dir.metrics()).unwrap();
            let wild = "{\"step\":250,\"split\":\"held-out\",\"name\":\"fisher\",\"value\":\"NaN\"}\n";
            std::fs::write(dir.metrics(), log + wild).unwrap();
            cells.push(swept(&name, &[("objective", objective), ("seed", &seed.to_string())]));
        }
    }
    let axes = vec![
        axis("objective", AxisRole::Compare, &["tame", "wild", "lost"]),
        axis("seed", AxisRole::Repeat, &["0", "1", "2"]),
    ];
    SweepRecord { schema: 1, experiment: "wild-sweep".into(), measures: Vec::new(), axes, cells }
        .write(&folder)
        .unwrap();
    let page = place.report(&folder);
    assert!(compared(&page, "tame").starts_with("tame 3 0.200 ± 0.058"), "{}", compared(&page, "tame"));
    assert!(compared(&page, "wild").starts_with("wild 3 0.0150 ± 0.0050 1 not finite"), "{}", compared(&page, "wild"));
    assert!(compared(&page, "lost").starts_with("lost 3 not finite 3 not finite"), "{}", compared(&page, "lost"));
    assert!(
        text(&page).contains("a row that has one is never marked") && page.contains("mark values that are not finite")
    );
}

#[test]
fn curls_are_compared_level_by_level() {
    let place = place("curls");
    let folder = place.runs().join("curls");
    let sigmas = [4.0, 1.0, 0.2];
    let mut cells = Vec::new();
    for (o, (network, size)) in [("free", 0.2), ("wild", f64::NAN), ("energy", 3e-8)].into_iter().enumerate() {
        for seed in 0..3u32 {
            let name = format!("{network}-{o}000000{seed}");
            let made = Made { error: 1.0, seconds: 0.001, sigmas: sigmas.into(), gradient: 1.0, memory: 1 };
            let dir = finished(&place.runs(), "curls", &name, seed.into(), &made);
            let mut evaluation = dir.read_evaluation().unwrap().unwrap();
            evaluation.metrics.push(curl(&sigmas, size * (1.0 + 0.01 * f64::from(seed))));
            dir.write_evaluation(&evaluation).unwrap();
            cells.push(swept(&name, &[("network", network), ("seed", &seed.to_string())]));
        }
    }
    let axes = vec![
        axis("network", AxisRole::Compare, &["free", "wild", "energy"]),
        axis("seed", AxisRole::Repeat, &["0", "1", "2"]),
    ];
    let measures = vec!["curl".into()];
    SweepRecord { schema: 1, experiment: "curls".into(), measures, axes, cells }.write(&folder).unwrap();
    let page = place.report(&folder);
    assert!(text(&page).contains("√2 where as much of J turns as does not") && !page.contains("have no curl"));
    let drawn: Vec<&str> = tags(&page, "<svg").filter(|t| t.contains("Line chart of curl of the score")).collect();
    // What is rounding has no line, or the axis would be about it.
    assert!(drawn.len() == 1 && drawn[0].contains("free") && !drawn[0].contains("energy"), "{drawn:?}");
    assert!(text(&page).contains("None, to rounding, and so not drawn: energy."));
    // (1/5 + 1/2 + 1/1.2)/3 of each size, of which the mean over seeds is 1.01 times the first.
    assert!(compared(&page, "free").starts_with("free 3 0.1032"), "{}", compared(&page, "free"));
    assert!(compared(&page, "wild").starts_with("wild 3 not finite"), "{}", compared(&page, "wild"));
}

#[test]
fn where_the_density_is_not_known_the_first_metric_ranks() {
    let place = place("unknown-density");
    let folder = place.runs().join("unknown-density");
    let mut cells = Vec::new();
    for (o, objective) in ["near", "far", "lost"].into_iter().enumerate() {
        for seed in 0..3u32 {
            let name = format!("{objective}-{o}000000{seed}");
            cells.push(swept(&name, &[("objective", objective), ("seed", &seed.to_string())]));
            if objective == "lost" {
                continue;
            }
            let made = Made { error: 1.0, seconds: 0.001, sigmas: vec![], gradient: 1.0, memory: 1 };
            let dir = finished(&place.runs(), "unknown-density", &name, seed.into(), &made);
            let mut evaluation = dir.read_evaluation().unwrap().unwrap();
            // One half is the goal: the larger value is not the better one.
            evaluation.metrics[0].estimate.value = [0.47, 0.71][o] + 0.01 * f64::from(seed);
            dir.write_evaluation(&evaluation).unwrap();
            std::fs::remove_file(dir.metrics()).unwrap();
        }
    }
    let axes = vec![
        axis("objective", AxisRole::Compare, &["near", "far", "lost"]),
        axis("seed", AxisRole::Repeat, &["0", "1", "2"]),
    ];
    SweepRecord { schema: 1, experiment: "unknown-density".into(), measures: Vec::new(), axes, cells }
        .write(&folder)
        .unwrap();
    let page = place.report(&folder);
    let all = text(&page);
    assert!(all.contains("What it buys What it costs Samples objective runs 1-NN two-sample accuracy"), "{all}");
    assert!(compared(&page, "near").starts_with("near 3 0.4800 ★ ± 0.0058"), "{}", compared(&page, "near"));
    assert!(compared(&page, "far").starts_with("far 3 0.7200 ± 0.0058"), "{}", compared(&page, "far"));
    assert!(compared(&page, "lost").starts_with("lost 0 of 3 – –"), "{}", compared(&page, "lost"));
    for told in ["is not known level by level", "No losses on held-out rows", "Nothing is known here of: lost."] {
        assert!(all.contains(told), "{told:?} is missing in {all}");
    }
}

#[test]
fn a_sweep_without_training_is_about_its_samplers() {
    let place = place("exact");
    let page = place.report(&exact_sweep(&place.runs(), "exact", &["bias"]));
    let all = text(&page);
    for told in [
        "What it buys What it costs Samples sampler · step-size · steps runs bias of the variance",
        "sampling, ms a sample",
        "proposals accepted",
        "Nothing was trained",
        "ula-0.4-10-seed-1-0000000a : diverged , while samples were drawn or measured",
        "bias of the variance against what a sample takes. Lines join rows that differ in steps only.",
        "Real data in place of samples get 0.00100 ± 0.00020.",
        "bias of the variance over step-size and steps, mean over repetitions",
        "The table for other programs: CSV , JSON .",
    ] {
        assert!(all.contains(told), "{told:?} is missing in {all}");
    }
    for untold in ["Noise levels", "ms a step", "training, s", "Fisher", "At equal steps", "F to the clean"] {
        assert!(!all.contains(untold), "{untold:?} is in {all}");
    }
    // Errors fall like 1/steps and 1/steps²: ula lacks a repetition of one row, whose mean is off by a twentieth at most.
    let slopes = all.split("slope of ln y on ln steps").nth(1).unwrap();
    let order =
        |line: &str| slopes.split(line).nth(1).unwrap().trim_start().split(' ').next().unwrap().replace('−', "-");
    assert_eq!(order("mala, step-size: 0.1").parse::<f64>().unwrap(), -2.0);
    assert!((order("ula, step-size: 0.4").parse::<f64>().unwrap() + 1.0).abs() < 0.08);
    // The map: in a panel for each sampler, from the left the step sizes, from below the steps.
    assert!(page.contains("Heat map of bias of the variance over step-size and steps (sampler: mala): 0.0010 at 0.1, 10; 0.00025 at 0.1, 20"));
    assert!(page.contains("href=\"comparison.csv\"") && page.contains("href=\"comparison.json\""));

    let csv = std::fs::read_to_string(place.root.join("reports/exact/comparison.csv")).unwrap();
    let rows: Vec<Vec<&str>> = csv.lines().map(|line| line.split(',').collect()).collect();
    let column = |name: &str| rows[0].iter().position(|head| *head == name).unwrap();
    assert!(rows.iter().all(|row| row.len() == rows[0].len()) && rows.len() == 13);
    let number = |row: usize, name: &str| rows[row][column(name)].parse::<f64>().unwrap();
    assert_eq!(rows[7][..5], ["mala", "0.1", "10", "3", "3"]);
    assert!(
        (number(7, "bias") - 1e-3).abs() < 1e-9 && (number(7, "bias.standard-error") - 1e-4 / 3f64.sqrt()).abs() < 1e-9
    );
    assert!((number(7, "bias.floor") - 1e-3).abs() < 1e-9);
    assert_eq!((number(7, "nfe"), number(7, "acceptance")), (10.0, 0.6));
    assert_eq!((rows[4][..5].to_vec(), rows[4][column("acceptance")]), (vec!["ula", "0.4", "10", "2", "3"], ""));

    let json = std::fs::read_to_string(place.root.join("reports/exact/comparison.json")).unwrap();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json["measures"][0], &json["columns"][0]["name"]), (&"bias".into(), &"bias".into()));
    assert_eq!(json["rows"][6]["values"]["bias"]["n"], 3);
    assert_eq!(json["slopes"].as_array().unwrap().iter().filter(|s| s["column"] == "bias").count(), 4);
}

#[test]
fn the_measures_of_a_sweep_are_named_or_chosen() {
    let place = place("measures");
    let chosen = text(&place.report(&exact_sweep(&place.runs(), "chosen", &[])));
    assert!(chosen.contains("sampler · step-size · steps runs share of stray samples"), "{chosen}");
    let two = text(&place.report(&exact_sweep(&place.runs(), "two", &["bias", "stray"])));
    assert!(two.contains("steps runs bias of the variance ↓ share of stray samples ↓ peak memory"), "{two}");
    assert!(
        two.contains("share of stray samples over step-size and steps")
            && two.contains("share of stray samples along steps.")
    );
    let wrong = text(&place.report(&exact_sweep(&place.runs(), "wrong", &["bais"])));
    let notice = "No finished cell has the measure bais that [sweep] names. There are: sigma2-fisher , stray , bias , acceptance . Cells are ranked by “share of stray samples”.";
    assert!(wrong.contains(notice), "{wrong}");
}

#[test]
fn a_run_that_was_not_trained_says_nothing_of_training() {
    let place = place("untrained");
    let folder = exact_sweep(&place.runs(), "untrained", &[]);
    let page = stein_report::page_of(&RunDir::new(folder.join("mala-0.1-10-seed-0-00000012")));
    check(&page);
    let all = text(&page);
    assert!(all.contains("nothing was trained") && all.contains("bias of the variance"), "{all}");
    for untold in ["Noise levels", "No losses", "steps a second", "Fisher", "Where the score is wrong", "Learned"] {
        assert!(!all.contains(untold), "{untold:?} is in {all}");
    }
}

#[test]
fn estimators_have_a_section() {
    let place = place("estimators");
    let folder = sweep_runs(&place.runs(), "estimators");
    let page = |cell: &str| stein_report::page_of(&RunDir::new(folder.join(cell)));
    let many = page("sliced-1-0-seed-0-12121212");
    check(&many);
    let all = text(&many);
    for told in ["gradient variance, σ = 0.050", "agrees", "differs at 10 of 10 levels"] {
        assert!(all.contains(told), "{told:?} is missing in {all}");
    }
    assert!(many.contains("Line chart of the gradient variance at 10 noise levels"));
    assert!(many.contains("Line chart of the σ² × difference at 10 noise levels"));
    // A single level is a table.
    let one = page("sliced-0-0-seed-0-0c0c0c0c");
    check(&one);
    assert!(text(&one).contains("gradient variance, no noise") && !one.contains("Line chart of the gradient variance"));
}
