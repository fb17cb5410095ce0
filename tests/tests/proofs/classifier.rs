//! The classifier that metrics see images by.

use std::ops::ControlFlow;

use stein_core::{Component, Dataset, Metric, MetricContext, MetricPart, Streams, Watch};
use stein_metrics::{ClassifierMetrics, FEATURES};
use stein_record::{Array, MetricRecord};

use crate::common::{Sigmas, device};
use crate::networks::plan;

fn digits() -> Dataset {
    (*plan("[data]\nkind = \"digits\"\n[network]\nkind = \"mlp\"\n").dataset).clone()
}

struct Rows {
    samples: Array,
    held_out: Array,
    train: Array,
    /// Of no digit.
    noise: Array,
}

impl Rows {
    fn of(dataset: &Dataset) -> Self {
        let dequantized = |rows: &Array, name| dataset.dequantized(rows, &mut Streams::new(1).at(name, 0));
        let held_out = dequantized(&dataset.held_out, "held out");
        let uniform = Streams::new(1).at("uniform", 0).uniforms(360 * 64);
        Self {
            samples: held_out.slice(0..180),
            held_out: held_out.clone(),
            train: dequantized(&dataset.train, "train"),
            noise: Array::new([360, 64], uniform),
        }
    }
}

fn evaluated(
    dataset: &Dataset,
    rows: &Rows,
    samples: &Array,
    cache: &std::path::Path,
    watch: &Watch<'_>,
) -> Result<Vec<MetricRecord>, String> {
    let (schedule, device) = (Sigmas(vec![stein_core::Level::exploding(1.0)]), device());
    let network = plan("[data]\nkind = \"digits\"\n[network]\nkind = \"mlp\"\n").network(&device).expect("builds");
    let context = MetricContext::new(
        samples,
        &rows.held_out,
        &rows.train,
        &rows.noise,
        dataset,
        &network,
        &[],
        &schedule,
        &device,
        Streams::new(0),
    );
    let metric: Box<dyn Metric> = Component::<MetricPart>::build(&ClassifierMetrics {}, ()).expect("builds");
    metric.evaluate(&context.with(cache, watch)).map_err(|e| e.to_string())
}

fn value(records: &[MetricRecord], name: &str) -> f64 {
    records.iter().find(|r| r.name == name).unwrap_or_else(|| panic!("no {name}")).estimate.value
}

#[test]
fn it_tells_digits_from_noise_and_from_one_digit_alone() {
    let (dataset, folder) = (digits(), tempfile::tempdir().expect("a folder"));
    let rows = Rows::of(&dataset);
    let steps = std::cell::Cell::new(0);
    let count = |_: &'static str, done: usize, of: usize| {
        assert!(done < of);
        steps.set(steps.get() + 1);
        ControlFlow::Continue(())
    };
    let of = |samples: &Array| evaluated(&dataset, &rows, samples, folder.path(), &count).expect("measured");
    let real = of(&rows.samples);
    let trained = steps.get();
    assert!(trained > 10, "progress is told");
    let about = &real.iter().find(|r| r.name == "classifier-confidence").expect("there").about;
    let percent: f64 =
        about.split("names ").nth(1).and_then(|t| t.split(' ').next()).and_then(|t| t.parse().ok()).expect("a number");
    assert!(percent > 96.0, "{about}");
    assert!(value(&real, "classifier-confidence") > 0.95);
    assert!(value(&real, "smallest-class") > 0.04 && value(&real, "largest-class") < 0.2);
    assert!((value(&real, "density-classifier") - 1.0).abs() < 0.3 && value(&real, "coverage-classifier") > 0.9);

    // The second time it is read, to the same bits.
    let again = of(&rows.samples);
    assert_eq!(steps.get(), trained, "it was trained but once");
    assert_eq!(real, again);

    let noise = of(&rows.noise.slice(0..180));
    assert_eq!(steps.get(), trained);
    for (name, better) in [
        ("frechet-classifier", -1.0),
        ("kernel-classifier", -1.0),
        ("recall-classifier", 1.0),
        ("coverage-classifier", 1.0),
        ("classifier-confidence", 1.0),
    ] {
        let (real, noise) = (value(&real, name), value(&noise, name));
        assert!(better * real > better * noise, "{name}: {real} {noise}");
    }
    // One digit alone: sure, but unbalanced, and without the others' coverage.
    let labels = &dataset.labels.as_ref().expect("labels").held_out;
    let zeros: Vec<f32> = (0..360).filter(|&i| labels[i] == 0).flat_map(|i| rows.held_out.row(i).to_vec()).collect();
    let zeros = of(&Array::new([zeros.len() / 64, 64], zeros));
    assert!(value(&zeros, "classifier-confidence") > 0.95 && value(&zeros, "precision-classifier") > 0.8);
    assert!(value(&zeros, "largest-class") > 0.95 && value(&zeros, "smallest-class") == 0.0);
    assert!(value(&zeros, "class-imbalance") > 0.8);
    assert!(value(&zeros, "coverage-classifier") < value(&real, "coverage-classifier"));
}

#[test]
fn its_training_can_be_stopped_and_a_damaged_file_is_made_again() {
    let (dataset, folder) = (digits(), tempfile::tempdir().expect("a folder"));
    let rows = Rows::of(&dataset);
    let stop = |_: &'static str, done: usize, _: usize| {
        if done > 20 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let stopped = evaluated(&dataset, &rows, &rows.samples, folder.path(), &stop);
    assert!(stopped.is_err_and(|e| e.contains("stopped")));
    assert_eq!(std::fs::read_dir(folder.path()).expect("listed").count(), 0, "half a training is not kept");

    let go_on = |_: &'static str, _: usize, _: usize| ControlFlow::Continue(());
    let first = evaluated(&dataset, &rows, &rows.samples, folder.path(), &go_on).expect("measured");
    let file = std::fs::read_dir(folder.path()).expect("listed").next().expect("one file").expect("read").path();
    let whole = std::fs::read(&file).expect("read");
    std::fs::write(&file, &whole[..whole.len() / 2]).expect("written");
    let again = evaluated(&dataset, &rows, &rows.samples, folder.path(), &go_on).expect("measured");
    assert_eq!(first, again);
    assert_eq!(std::fs::read(&file).expect("read"), whole);
    // What networks see is not what it sees: with logits it is the same classifier, by the same file.
    let logits = Dataset { logit: true, ..dataset.clone() };
    let same = evaluated(&logits, &rows, &rows.samples, folder.path(), &go_on).expect("measured");
    assert_eq!(first, same);
    // Fewer rows are other data.
    let fewer = plan("[data]\nkind = \"digits\"\ntrain = 700\n[network]\nkind = \"mlp\"\n").dataset;
    assert_eq!(fewer.train.rows(), 700);
    evaluated(&fewer, &Rows::of(&fewer), &rows.samples, folder.path(), &go_on).expect("measured");
    assert_eq!(std::fs::read_dir(folder.path()).expect("listed").count(), 2);
    assert_eq!(FEATURES, 128);
}
