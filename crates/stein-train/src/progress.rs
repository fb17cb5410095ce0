//! Progress on stderr: a one-line bar on a terminal, a plain line every few seconds elsewhere.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use burn_train::LearnerSummary;
use burn_train::logger::{EvaluationProgressLogger, TrainingProgressLogger};
use burn_train::metric::{MetricDefinition, MetricId};
use burn_train::renderer::{
    EvaluationName, MetricState, MetricsRenderer, MetricsRendererEvaluation, MetricsRendererTraining,
};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Between plain lines.
const EVERY: Duration = Duration::from_secs(5);

/// Shows how far something is.
pub(crate) struct Bar {
    bar: ProgressBar,
    what: &'static str,
    unit: &'static str,
    plain: bool,
    started: Instant,
    first: u64,
    said: Instant,
    /// The newest line, until it is said.
    unsaid: Option<String>,
}

impl Bar {
    /// Progress of `what` from `first` to `total`; silent if `quiet`.
    pub(crate) fn new(what: &'static str, unit: &'static str, first: u64, total: u64, quiet: bool) -> Self {
        let terminal = std::io::stderr().is_terminal() && !quiet;
        let target = if terminal { ProgressDrawTarget::stderr_with_hz(10) } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(total), target);
        let template = format!("{{prefix:>12}} [{{bar:28}}] {{pos}}/{{len}} {unit}  {{msg}}");
        let style = ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar());
        bar.set_style(style.progress_chars("=> "));
        bar.set_prefix(what);
        bar.set_position(first);
        let now = Instant::now();
        Self { bar, what, unit, plain: !terminal && !quiet, started: now, first, said: now, unsaid: None }
    }

    /// Moves to `position` with some words beside.
    pub(crate) fn update(&mut self, position: u64, words: &str) {
        let total = self.bar.length().unwrap_or(position);
        let (rate, left) = self.pace(position, total);
        let words = [words.to_owned(), rate, left].into_iter().filter(|w| !w.is_empty()).collect::<Vec<_>>().join(", ");
        self.bar.set_position(position);
        self.bar.set_message(words.clone());
        if self.plain {
            self.unsaid = Some(format!("{:>12} {position}/{total} {}  {words}", self.what, self.unit));
            if self.said.elapsed() >= EVERY && position < total {
                self.say();
            }
        }
    }

    fn pace(&self, position: u64, total: u64) -> (String, String) {
        let seconds = self.started.elapsed().as_secs_f64();
        let done = position.saturating_sub(self.first) as f64;
        if done == 0.0 || seconds < 0.5 {
            return (String::new(), String::new());
        }
        let rate = done / seconds;
        let unit = self.unit.trim_end_matches('s');
        let speed =
            if rate >= 1.0 { format!("{rate:.1} {}/s", self.unit) } else { format!("{:.1} s/{unit}", 1.0 / rate) };
        let left = total.saturating_sub(position) as f64 / rate;
        let left = if position < total { format!("{} left", clock(left)) } else { format!("took {}", clock(seconds)) };
        (speed, left)
    }

    /// Removes the bar; a plain last line stays.
    pub(crate) fn finish(&mut self) {
        self.bar.finish_and_clear();
        self.say();
    }

    fn say(&mut self) {
        if let Some(line) = self.unsaid.take() {
            say(&line);
            self.said = Instant::now();
        }
    }
}

/// Writes a line to stderr. One that cannot be written, to a log on a full disk say, is no reason to end.
pub(crate) fn say(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

fn clock(seconds: f64) -> String {
    let s = seconds.round().min(1e9) as u64;
    match s {
        0..60 => format!("{s} s"),
        60..3600 => format!("{}:{:02} min", s / 60, s % 60),
        _ => format!("{}:{:02} h", s / 3600, s / 60 % 60),
    }
}

/// burn-train's renderer, on one line.
pub(crate) struct OneLine {
    bar: Bar,
    names: Vec<(MetricId, String)>,
    loss: Option<f64>,
    held_out: Option<f64>,
    position: u64,
}

impl OneLine {
    pub(crate) fn new(first: u64, total: u64, quiet: bool) -> Self {
        let bar = Bar::new("training", "steps", first, total, quiet);
        Self { bar, names: Vec::new(), loss: None, held_out: None, position: first }
    }

    fn loss_of(&self, state: &MetricState) -> Option<f64> {
        let MetricState::Numeric(entry, Some(value)) = state else { return None };
        let is_loss = self.names.iter().any(|(id, name)| *id == entry.metric_id && name == "loss");
        is_loss.then(|| value.current())
    }

    fn show(&mut self) {
        let mut words = Vec::new();
        words.extend(self.loss.map(|x| format!("loss {x:.4}")));
        words.extend(self.held_out.map(|x| format!("held-out {x:.4}")));
        self.bar.update(self.position, &words.join(", "));
    }
}

impl Drop for OneLine {
    fn drop(&mut self) {
        self.bar.finish();
    }
}

impl MetricsRendererTraining for OneLine {
    fn update_train(&mut self, state: MetricState) {
        if let Some(loss) = self.loss_of(&state) {
            self.loss = Some(loss);
        }
    }

    fn update_valid(&mut self, state: MetricState) {
        if let Some(loss) = self.loss_of(&state) {
            self.held_out = Some(loss);
        }
    }

    fn on_train_end(&mut self, _: Option<LearnerSummary>) -> Result<(), Box<dyn core::error::Error>> {
        // The default would print a summary on stdout; the last events may still come.
        Ok(())
    }
}

impl TrainingProgressLogger for OneLine {
    fn start(&mut self, _: usize, _: usize, _: Option<usize>, _: Option<&str>) {}
    fn update_epoch(&mut self, _: usize) {}
    fn start_split(&mut self, _: &str, _: usize) {}
    fn update_split(&mut self, items: usize) {
        self.position = items as u64;
        self.show();
    }
    fn end_split(&mut self) {}
    fn end(&mut self) {}
    fn log_event_training(&mut self, _: String) {}
}

impl MetricsRendererEvaluation for OneLine {
    fn update_test(&mut self, _: EvaluationName, _: MetricState) {}
}

impl EvaluationProgressLogger for OneLine {
    fn start_global_progress(&mut self, _: usize) {}
    fn start_test(&mut self, _: &str, _: usize) {}
    fn update_test_progress(&mut self, _: usize) {}
    fn end_test(&mut self) {}
    fn end_global_progress(&mut self) {}
    fn log_event_evaluation(&mut self, _: String) {}
}

impl MetricsRenderer for OneLine {
    fn manual_close(&mut self) {}
    fn register_metric(&mut self, definition: MetricDefinition) {
        self.names.push((definition.metric_id, definition.name.to_string()));
    }
}
