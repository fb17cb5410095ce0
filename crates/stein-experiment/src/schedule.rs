//! A noise schedule alone: one table of an experiment.

use std::sync::Arc;

use stein_core::{Dataset, NoiseSchedule, Registry};
use stein_record::Array;
use stein_record::source::{Diagnostic, Source};

use crate::experiment::take_schedule;
use crate::section::{Places, unknown_key};

/// Reads and builds a schedule from a source that has a table `schedule` and nothing else.
///
/// # Errors
/// Everything that is wrong with it.
pub fn schedule(source: &Source, registry: &Registry) -> Result<Arc<dyn NoiseSchedule>, Vec<Diagnostic>> {
    let mut root = source.parse(&[])?.into_inner();
    let mut places = Places::default();
    let (schedule, density) = take_schedule(&mut root, registry, &mut places)?;
    let unknown: Vec<Diagnostic> = root.keys().map(|key| unknown_key(key, &["schedule"])).collect();
    if !unknown.is_empty() {
        return Err(unknown);
    }
    let built = schedule.build(&stand_in(1)).and_then(|schedule| density.over(schedule));
    built.map_err(|invalid| vec![places.diagnostic(&invalid)])
}

/// Stands for data that nobody named: one row of zeros.
pub(crate) fn stand_in(dimension: usize) -> Dataset {
    let row = Array::new([1, dimension], vec![0.0; dimension]);
    Dataset { train: row.clone(), held_out: row, ..Dataset::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<(f64, f64)>, Vec<Diagnostic>> {
        let source = Source::new("test", text.as_bytes()).unwrap();
        let schedule = schedule(&source, &crate::builtin())?;
        Ok(schedule.levels().iter().map(|l| (l.sigma, l.alpha)).collect())
    }

    fn problem(text: &str) -> String {
        read(text).unwrap_err().remove(0).message
    }

    #[test]
    fn any_schedule_is_read_and_built() {
        let explicit = read("schedule = { kind = \"explicit\", values = [3, 1, 0.5] }").unwrap();
        assert_eq!(explicit, [(3.0, 1.0), (1.0, 1.0), (0.5, 1.0)]);
        assert_eq!(read("schedule = { kind = \"none\" }").unwrap(), [(0.0, 1.0)]);
        // A geometric one is the default, as in an experiment.
        let geometric = read("schedule = { sigma-max = 4, sigma-min = 1, levels = 3 }").unwrap();
        assert_eq!(geometric, [(4.0, 1.0), (2.0, 1.0), (1.0, 1.0)]);
        let shrinking = read("schedule = { kind = \"variance-preserving\", levels = 7 }").unwrap();
        assert!(shrinking.iter().all(|(sigma, alpha)| (sigma * sigma + alpha * alpha - 1.0).abs() < 1e-12));
    }

    #[test]
    fn what_is_wrong_is_told() {
        assert!(problem("schedule = { kind = \"karas\" }").contains("no schedule is called `karas`"));
        assert!(problem("schedule = { kind = \"karras\", rh = 7 }").contains("has no key `rh`"));
        assert!(problem("schedule = { kind = \"explicit\", values = [1, 2] }").contains("follows 1"));
        assert!(problem("schedule = { kind = \"explicit\" }").contains("needs the key `values`"));
        assert!(problem("schedule = { kind = \"karras\" }\ndata = 1").contains("no table or key `data`"));
        assert!(problem("schedule = 3").contains("must be a table"));
    }
}
