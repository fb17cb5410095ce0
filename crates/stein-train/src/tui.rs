//! burn-train's terminal interface, made to end like SIGINT.
//!
//! Its kill key panics in whatever thread reports next. Here that panic stops at the report and becomes a request to stop.

use std::panic::{AssertUnwindSafe, catch_unwind};

use burn_train::logger::{EvaluationProgressLogger, TrainingProgressLogger};
use burn_train::metric::MetricDefinition;
use burn_train::renderer::tui::TuiMetricsRendererWrapper;
use burn_train::renderer::{
    EvaluationName, MetricState, MetricsRenderer, MetricsRendererEvaluation, MetricsRendererTraining,
};
use burn_train::{Interrupter, LearnerSummary};

/// The interface behind a guard.
pub(crate) struct Guarded {
    inner: Option<TuiMetricsRendererWrapper>,
    interrupter: Interrupter,
}

impl Drop for Guarded {
    /// The interface says goodbye when it is dropped, and that report panics like any other.
    fn drop(&mut self) {
        let inner = self.inner.take();
        let _ = catch_unwind(AssertUnwindSafe(|| drop(inner)));
    }
}

impl Guarded {
    pub(crate) fn new(interrupter: Interrupter) -> Self {
        Self { inner: Some(TuiMetricsRendererWrapper::new(interrupter.clone(), None)), interrupter }
    }

    fn guard(&mut self, report: impl FnOnce(&mut TuiMetricsRendererWrapper)) {
        let Some(inner) = &mut self.inner else { return };
        if catch_unwind(AssertUnwindSafe(|| report(inner))).is_err() {
            self.interrupter.stop(Some("killed from the terminal interface"));
        }
    }
}

impl MetricsRendererTraining for Guarded {
    fn update_train(&mut self, state: MetricState) {
        self.guard(|tui| tui.update_train(state));
    }
    fn update_valid(&mut self, state: MetricState) {
        self.guard(|tui| tui.update_valid(state));
    }
    fn on_train_end(&mut self, summary: Option<LearnerSummary>) -> Result<(), Box<dyn core::error::Error>> {
        self.guard(|tui| {
            let _ = tui.on_train_end(summary);
        });
        Ok(())
    }
}

impl TrainingProgressLogger for Guarded {
    fn start(&mut self, epochs: usize, first: usize, items: Option<usize>, label: Option<&str>) {
        self.guard(|tui| TrainingProgressLogger::start(tui, epochs, first, items, label));
    }
    fn update_epoch(&mut self, epoch: usize) {
        self.guard(|tui| tui.update_epoch(epoch));
    }
    fn start_split(&mut self, split: &str, items: usize) {
        self.guard(|tui| tui.start_split(split, items));
    }
    fn update_split(&mut self, items: usize) {
        self.guard(|tui| tui.update_split(items));
    }
    fn end_split(&mut self) {
        self.guard(TrainingProgressLogger::end_split);
    }
    fn end(&mut self) {
        self.guard(TrainingProgressLogger::end);
    }
    fn log_event_training(&mut self, event: String) {
        self.guard(|tui| tui.log_event_training(event));
    }
}

impl MetricsRendererEvaluation for Guarded {
    fn update_test(&mut self, name: EvaluationName, state: MetricState) {
        self.guard(|tui| tui.update_test(name, state));
    }
}

impl EvaluationProgressLogger for Guarded {
    fn start_global_progress(&mut self, tests: usize) {
        self.guard(|tui| tui.start_global_progress(tests));
    }
    fn start_test(&mut self, name: &str, items: usize) {
        self.guard(|tui| tui.start_test(name, items));
    }
    fn update_test_progress(&mut self, items: usize) {
        self.guard(|tui| tui.update_test_progress(items));
    }
    fn end_test(&mut self) {
        self.guard(EvaluationProgressLogger::end_test);
    }
    fn end_global_progress(&mut self) {
        self.guard(EvaluationProgressLogger::end_global_progress);
    }
    fn log_event_evaluation(&mut self, event: String) {
        self.guard(|tui| tui.log_event_evaluation(event));
    }
}

impl MetricsRenderer for Guarded {
    fn manual_close(&mut self) {
        // It waits for a key; a run goes on to sampling.
    }
    fn register_metric(&mut self, definition: MetricDefinition) {
        self.guard(|tui| tui.register_metric(definition));
    }
}
