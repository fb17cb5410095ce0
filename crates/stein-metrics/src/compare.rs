//! What two-sample metrics have in common: samples, floor and baseline against the same held-out rows.

use stein_core::{Invalid, MetricContext};
use stein_record::{Array, Better, Estimate, MetricRecord};

use crate::stats::{self, COVERAGE_NEIGHBOURS, NEIGHBOURS, Rows, StatsError, density_coverage, precision_recall};

/// A number that a metric gives: how it is called and read.
pub(crate) struct Reading {
    pub(crate) name: &'static str,
    pub(crate) label: &'static str,
    pub(crate) about: &'static str,
    pub(crate) better: Better,
}

/// Rows of a set at most: these metrics cost the square of it.
const MOST_ROWS: usize = 5000;

/// The three sets that are each held against the held-out rows; all of the same size, since k-NN metrics depend on it.
pub(crate) struct Sets<'a> {
    pub(crate) samples: Rows<'a>,
    /// Training rows in place of samples.
    pub(crate) real: Rows<'a>,
    pub(crate) gaussian: Rows<'a>,
    pub(crate) held_out: Rows<'a>,
    /// Samples before they were cut.
    drawn: usize,
}

impl<'a> Sets<'a> {
    pub(crate) fn of(context: &MetricContext<'a>) -> Result<Self, Invalid> {
        let sets = [context.samples, context.train, context.gaussian, context.held_out];
        let n = sets.map(Array::rows).into_iter().min().unwrap_or(0).min(MOST_ROWS);
        let first =
            |array: &'a Array| Rows::new(&array.data[..n * array.row_length()], array.row_length()).map_err(invalid);
        Ok(Self {
            samples: first(context.samples)?,
            real: first(context.train)?,
            gaussian: first(context.gaussian)?,
            held_out: first(context.held_out)?,
            drawn: context.samples.rows(),
        })
    }

    /// The same sets in other coordinates: samples, training rows, the Gaussian's, held-out rows, as many as here.
    pub(crate) fn with<'b>(&self, arrays: [&'b Array; 4]) -> Result<Sets<'b>, Invalid> {
        let [samples, real, gaussian, held_out] = arrays;
        Ok(Sets {
            samples: rows(samples)?,
            real: rows(real)?,
            gaussian: rows(gaussian)?,
            held_out: rows(held_out)?,
            drawn: self.drawn,
        })
    }

    /// Features of samples, training rows, the Gaussian's and held-out rows, as many of each and however many, of so many samples.
    pub(crate) fn of_features(arrays: &'a [Array; 4], drawn: usize) -> Result<Self, Invalid> {
        let [samples, real, gaussian, held_out] = arrays.each_ref().map(rows);
        Ok(Self { samples: samples?, real: real?, gaussian: gaussian?, held_out: held_out?, drawn })
    }

    /// No more rows of each than a metric may have that costs their square.
    pub(crate) fn first_rows(&self) -> Result<Self, Invalid> {
        let first = |rows: Rows<'a>| Rows::new(&rows.data()[..rows.len().min(MOST_ROWS) * rows.dim()], rows.dim());
        let [samples, real, gaussian, held_out] =
            [self.samples, self.real, self.gaussian, self.held_out].map(|rows| first(rows).map_err(invalid));
        Ok(Self { samples: samples?, real: real?, gaussian: gaussian?, held_out: held_out?, drawn: self.drawn })
    }

    /// Measures all three; `measure` gives an estimate for each of `readings`.
    pub(crate) fn compare(
        &self,
        readings: &[Reading],
        measure: impl Fn(Rows<'a>, Rows<'a>) -> Result<Vec<stats::Estimate>, StatsError>,
    ) -> Result<Vec<MetricRecord>, Invalid> {
        let of = |rows: Rows<'a>| measure(rows, self.held_out).map_err(invalid);
        let (values, floors, baselines) = (of(self.samples)?, of(self.real)?, of(self.gaussian)?);
        Ok(readings
            .iter()
            .zip(values.into_iter().zip(floors.into_iter().zip(baselines)))
            .map(|(reading, (value, (floor, baseline)))| {
                let floor = Some(estimate(floor));
                let mut record = reading.record(estimate(value), floor, Some(estimate(baseline)));
                if self.samples.len() < self.drawn {
                    // All sets are cut to one size; a reader must know.
                    record.about += &format!(" Of the first {} of {} samples.", self.samples.len(), self.drawn);
                }
                record
            })
            .collect())
    }
}

/// Precision and recall, k = 3, and density and coverage, k = 5, by these names.
pub(crate) fn manifolds(sets: &Sets<'_>, readings: &[Reading; 4]) -> Result<Vec<MetricRecord>, Invalid> {
    sets.compare(readings, |x, reference| {
        let manifold = precision_recall(x, reference, NEIGHBOURS)?;
        let balls = density_coverage(x, reference, COVERAGE_NEIGHBOURS)?;
        Ok(vec![manifold.precision, manifold.recall, balls.density, balls.coverage])
    })
}

impl Reading {
    pub(crate) fn record(
        &self,
        estimate: Estimate,
        floor: Option<Estimate>,
        baseline: Option<Estimate>,
    ) -> MetricRecord {
        MetricRecord {
            name: self.name.into(),
            label: self.label.into(),
            about: self.about.into(),
            better: self.better,
            estimate,
            floor,
            by_level: Vec::new(),
            parts: Vec::new(),
            baseline,
        }
    }
}

pub(crate) fn rows(array: &Array) -> Result<Rows<'_>, Invalid> {
    Rows::new(&array.data, array.row_length()).map_err(invalid)
}

pub(crate) fn invalid(error: StatsError) -> Invalid {
    Invalid::new(error.to_string())
}

pub(crate) fn estimate(e: stats::Estimate) -> Estimate {
    Estimate::new(e.value, e.standard_error)
}
