//! The loss per noise level beside what bounds it.

use stein_record::{Estimate, LevelRecord};

use super::axis::Axis;
use super::chart::{Chart, Series};
use super::{Drawn, Figure};
use crate::palette::Tone;

/// The curves of λ(σ) times the loss, and what their axis is to hold.
pub(super) struct Curves {
    memory_train: Series,
    memory_held_out: Series,
    gaussian: Series,
    train: Series,
    held_out: Series,
    floor: Series,
}

impl Curves {
    pub(super) fn of(levels: &[LevelRecord]) -> Self {
        let curve = |label: &str, tone, pick: &dyn Fn(&LevelRecord) -> Option<Estimate>| {
            let mut points: Vec<_> = levels
                .iter()
                .filter_map(|l| pick(l).map(|e| (l.sigma, l.weight * e.value, l.weight * e.standard_error)))
                .filter(|p| p.0.is_finite() && p.0 > 0.0)
                .collect();
            points.sort_by(|a, b| a.0.total_cmp(&b.0));
            Series::measured(label, tone, points)
        };
        // Of a curve's name only a few words fit beside it; the caption says the rest.
        let bare = |series: Series| Series { dots: false, ..series };
        Self {
            gaussian: bare(curve("Gaussian", Tone::Gaussian, &|l| l.gaussian_held_out)),
            memory_train: bare(curve("memorised, train", Tone::Memory, &|l| l.memorising_train)),
            memory_held_out: bare(curve("memorised, held-out", Tone::Memory, &|l| l.memorising_held_out)).dashed(),
            floor: bare(curve("floor", Tone::Truth, &|l| l.floor)).dashed(),
            train: curve("train", Tone::Train, &|l| Some(l.train)),
            held_out: curve("held-out", Tone::HeldOut, &|l| Some(l.held_out)),
        }
    }

    /// What the axis has to hold: what is compared sets it; memorising curves run to 0 and to huge values, and may leave it. Empty if
    /// nothing is.
    pub(super) fn reach(&self) -> Vec<f64> {
        let compared = [&self.train, &self.held_out, &self.floor, &self.gaussian].into_iter();
        let main: Vec<f64> = compared.flat_map(|s| s.values()).collect();
        let Some(largest) = main.iter().copied().reduce(f64::max) else { return Vec::new() };
        let smallest = main.iter().copied().fold(f64::INFINITY, f64::min);
        let memory = [&self.memory_train, &self.memory_held_out].into_iter().flat_map(|s| s.values());
        let near = memory.map(|v| if smallest > 0.0 { v.clamp(smallest / 8.0, largest * 8.0) } else { v.min(largest) });
        main.iter().copied().chain(near).collect()
    }

    fn has(series: &Series) -> bool {
        series.values().next().is_some()
    }

    /// The chart on the given axes.
    pub(super) fn chart(self, levels: &[LevelRecord], y: Axis) -> Chart {
        let Self { memory_train, memory_held_out, gaussian, train, held_out, floor } = self;
        let series = [memory_train, memory_held_out, gaussian, train, held_out, floor];
        Chart {
            x: Axis::log(levels.iter().map(|l| l.sigma)),
            y,
            x_label: "noise level σ".into(),
            y_label: "λ(σ) × loss".into(),
            series: series.into_iter().filter(Self::has).collect(),
            broken: levels.iter().filter(|l| !l.held_out.value.is_finite()).map(|l| l.sigma).collect(),
        }
    }
}

/// λ(σ) times the loss, per level, with floors.
pub(crate) fn figure(levels: &[LevelRecord]) -> Drawn {
    let curves = Curves::of(levels);
    let reach = curves.reach();
    if reach.is_empty() {
        return Ok(None);
    }
    let known_floor = Curves::has(&curves.floor);
    let memorising = Curves::has(&curves.memory_train) || Curves::has(&curves.memory_held_out);
    let known_gaussian = Curves::has(&curves.gaussian);

    let mut caption = String::from(
        "The loss at each noise level, times its training weight λ(σ), which makes levels comparable; bars are ±1 standard error. Where held-out rises above train, the network has learned its training rows rather than their distribution.",
    );
    if known_floor {
        caption.push_str(
            " Floor: the loss of the true score, which is known here; no network does better in expectation.",
        );
    }
    if known_gaussian {
        caption.push_str(" Gaussian: the best linear (Wiener) score, on held-out rows; a network should be below it.");
    }
    if memorising {
        caption.push_str(
            " Memorised: the smoothed training set's own score, which memorises the training set: not a goal. It is low on training rows and high on held-out ones; the line may leave the axis.",
        );
    }
    let alt = format!(
        "Line chart of the weighted loss at {} noise levels for training and held-out rows{}{}{}.",
        levels.len(),
        if known_floor { ", with the known floor" } else { "" },
        if known_gaussian { ", with the loss of a Gaussian score" } else { "" },
        if memorising { ", with the curves of a score that memorises the training set: not a goal" } else { "" },
    );
    let chart = curves.chart(levels, Axis::auto(reach));
    Ok(Some(Figure::single(chart.draw()?, alt, caption)))
}
