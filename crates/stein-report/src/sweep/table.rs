//! The comparison: rows, columns and the quantities that they are compared by.

use stein_record::{AxisRole, SweepAxis};

use super::Sweep;
use super::column::{self, Column};
use super::measure::{self, Measure, Measures};
use super::row::{self, Row};
use crate::statistics::badness;

/// A comparison.
#[derive(Debug)]
pub(crate) struct Table<'a> {
    /// The axes that are compared.
    pub(crate) compared: Vec<&'a SweepAxis>,
    /// The axes that are averaged over.
    pub(crate) repeated: Vec<&'a SweepAxis>,
    /// The axes of which only the best value is shown.
    pub(crate) best: Vec<&'a SweepAxis>,
    /// What rows are ranked by.
    pub(crate) primary: Measure,
    /// What else the sweep compares them by.
    pub(crate) further: Vec<Measure>,
    /// Measures that the sweep names, but no finished cell has, and the metrics that there are.
    pub(crate) unknown: (Vec<String>, Vec<&'a str>),
    /// Whether anything was trained; if not, all scores are the targets' own.
    pub(crate) trained: bool,
    pub(crate) rows: Vec<Row<'a>>,
    /// Those of the measures first, as far as any row has them.
    pub(crate) columns: Vec<Column>,
}

impl<'a> Table<'a> {
    /// Compares the cells of a sweep.
    pub(crate) fn of(sweep: &'a Sweep) -> Self {
        let axes = |role| sweep.axes.iter().filter(|a| a.role == role).collect();
        let Measures { primary, further, unknown } = Measures::of(sweep);
        let rows = row::rows(sweep, primary.better(), |n| primary.value(n));
        let trained = sweep.is_trained();
        let measures: Vec<&Measure> = std::iter::once(&primary).chain(&further).collect();
        let columns = column::columns(&rows, &measures, trained);
        let (compared, repeated, best) = (axes(AxisRole::Compare), axes(AxisRole::Repeat), axes(AxisRole::Best));
        let unknown = (unknown, measure::names(sweep));
        Self { compared, repeated, best, primary, further, unknown, trained, rows, columns }
    }

    /// The quantities that rows are compared by, the one that ranks first.
    pub(crate) fn measures(&self) -> impl Iterator<Item = &Measure> {
        std::iter::once(&self.primary).chain(&self.further)
    }

    /// The columns of the measures, as far as any row has them.
    pub(crate) fn measured(&self) -> impl Iterator<Item = &Column> {
        self.measures().filter_map(|m| self.column(m.name()))
    }

    /// The column of that name.
    pub(crate) fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|c| c.name == name)
    }

    /// The primary column.
    pub(crate) fn primary_column(&self) -> Option<&Column> {
        self.column(self.primary.name())
    }

    /// How bad a row is by the primary quantity; infinite if that is unknown.
    pub(crate) fn badness(&self, row: usize) -> f64 {
        let value = self.primary_column().and_then(|c| c.cells.get(row).copied().flatten());
        let score = value.map(|v| badness(self.primary.better(), v.mean.value)).filter(|v| v.is_finite());
        score.unwrap_or(f64::INFINITY)
    }

    /// Repetitions of a row that the primary quantity was measured in.
    pub(crate) fn measured_runs(&self, row: usize) -> usize {
        self.rows[row].numbers().filter(|n| self.primary.value(n).is_some()).count()
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
