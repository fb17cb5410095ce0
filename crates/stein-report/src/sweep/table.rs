//! The comparison: rows, columns and the quantity that ranks them.

use stein_record::{AxisRole, Better, Estimate, SweepAxis};

use super::column::{self, Column, Draft};
use super::row::{self, Row};
use super::{Numbers, Sweep};
use crate::statistics::badness;

/// The quantity that rows are ranked by.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Primary {
    /// The mean of σ²·F over the levels, where the density is known.
    Levels,
    /// A metric of the samples: its name, its label and which values are good.
    Metric(String, String, Better),
}

/// A comparison.
#[derive(Debug)]
pub(crate) struct Table<'a> {
    /// The axes that are compared.
    pub(crate) compared: Vec<&'a SweepAxis>,
    /// The axes that are averaged over.
    pub(crate) repeated: Vec<&'a SweepAxis>,
    /// The axes of which only the best value is shown.
    pub(crate) best: Vec<&'a SweepAxis>,
    pub(crate) primary: Primary,
    pub(crate) rows: Vec<Row<'a>>,
    /// The primary one first, if any row has it.
    pub(crate) columns: Vec<Column>,
}

impl Primary {
    fn of(sweep: &Sweep) -> Self {
        let numbers = || sweep.cells.iter().filter_map(|c| c.numbers());
        let first = numbers().find_map(|n| n.metrics.first());
        match first {
            Some(metric) if !numbers().any(|n| n.scaled().is_some()) => {
                Self::Metric(metric.name.clone(), metric.label.clone(), metric.better)
            }
            _ => Self::Levels,
        }
    }

    /// What it is called.
    pub(crate) fn label(&self) -> &str {
        match self {
            Self::Levels => "mean σ²·Fisher divergence",
            Self::Metric(_, label, _) => label,
        }
    }

    /// Which values are good.
    pub(crate) fn better(&self) -> Better {
        match self {
            Self::Levels => Better::Lower,
            Self::Metric(_, _, better) => *better,
        }
    }

    /// Whether it is measured level by level.
    pub(crate) fn is_levels(&self) -> bool {
        matches!(self, Self::Levels)
    }

    pub(super) fn is_metric(&self, name: &str) -> bool {
        matches!(self, Self::Metric(own, ..) if own == name)
    }

    fn value(&self, numbers: &Numbers) -> Option<Estimate> {
        match self {
            Self::Levels => numbers.scaled(),
            Self::Metric(name, ..) => numbers.metric(name).map(|m| m.estimate),
        }
    }

    /// Its column.
    pub(super) fn column(&self, draft: Draft<'_, '_>) -> Option<Column> {
        let rows = draft.rows();
        let draft = draft.named(self.label().to_owned());
        match self {
            Self::Levels => draft.by_levels().of(|n| self.value(n)),
            Self::Metric(name, ..) => Some(column::with_references(draft.of(|n| self.value(n))?, rows, name)),
        }
    }
}

impl<'a> Table<'a> {
    /// Compares the cells of a sweep.
    pub(crate) fn of(sweep: &'a Sweep) -> Self {
        let axes = |role| sweep.axes.iter().filter(|a| a.role == role).collect();
        let primary = Primary::of(sweep);
        let rows = row::rows(sweep, primary.better(), |n| primary.value(n));
        let columns = column::columns(&rows, &primary);
        let (compared, repeated, best) = (axes(AxisRole::Compare), axes(AxisRole::Repeat), axes(AxisRole::Best));
        Self { compared, repeated, best, primary, rows, columns }
    }

    /// The column of that label.
    pub(crate) fn column(&self, label: &str) -> Option<&Column> {
        self.columns.iter().find(|c| c.label == label)
    }

    /// The primary column.
    pub(crate) fn primary_column(&self) -> Option<&Column> {
        self.column(self.primary.label())
    }

    /// How bad a row is by the primary quantity; infinite if that is unknown.
    pub(crate) fn badness(&self, row: usize) -> f64 {
        let value = self.primary_column().and_then(|c| c.cells.get(row).copied().flatten());
        let score = value.map(|v| badness(self.primary.better(), v.mean.value)).filter(|v| v.is_finite());
        score.unwrap_or(f64::INFINITY)
    }

    /// Whether rows are about different data.
    pub(crate) fn is_over_data(&self) -> bool {
        self.rows.iter().any(|r| r.data != 0)
    }

    /// Whether rows were measured over different ranges of noise levels.
    pub(crate) fn is_mixed(&self) -> bool {
        let mut families = self.rows.iter().map(|r| r.family).filter(|f| *f != usize::MAX);
        let first = families.next();
        families.any(|f| Some(f) != first)
    }
}
