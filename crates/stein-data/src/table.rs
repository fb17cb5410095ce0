//! Tables of numbers.

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stein_core::{Component, DataPart, Dataset, Invalid, Streams};
use stein_files::table::{Choice, Table as Read, read};
use stein_record::{Array, Units};

use crate::split::{self, SHARE, split};

/// Rows of a table: NumPy's `.npy` with two dimensions, or text as `.csv`, `.csv.gz`, `.tsv` or `.txt`; `.parquet` where stein is built
/// with it.
///
/// The rows that are held out are drawn by `seed`. Every cell must be a finite number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Table {
    /// The file; from where the program is run, if it is no absolute path.
    pub path: String,
    /// The columns, in this order: by name, or where there are no names by number from 0, "0". All if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub columns: Option<Vec<String>>,
    /// Whether the first line of text has the columns' names.
    pub header: bool,
    /// What is between the cells of text, one character: "," or "\t", say. In a `.tsv` that has tabs, "," means a tab.
    #[schemars(length(min = 1, max = 1))]
    pub delimiter: String,
    /// Whether each column is moved and scaled to mean 0 and variance 1 over the training rows. Samples that `stein sample` writes are
    /// moved and scaled back.
    pub standardize: bool,
    /// Which share of the rows is held out.
    #[schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1))]
    pub held_out_share: f64,
    /// The seed by which they are drawn. Not the run's: runs of several seeds are compared on the same rows.
    pub seed: u64,
}

impl Default for Table {
    fn default() -> Self {
        Self {
            path: "data/table.csv".into(),
            columns: None,
            header: true,
            delimiter: ",".into(),
            standardize: true,
            held_out_share: SHARE,
            seed: 0,
        }
    }
}

impl Component<DataPart> for Table {
    const KIND: &'static str = "table";

    fn check(&self) -> Result<(), Invalid> {
        if !matches!(self.delimiter.as_bytes(), [byte] if byte.is_ascii() && !b"\"\r\n".contains(byte)) {
            let delimiter = &self.delimiter;
            return Err(Invalid::key(
                "delimiter",
                format!("`delimiter` is {delimiter:?}; it must be one character of ASCII, no quote"),
            ));
        }
        if self.columns.as_ref().is_some_and(Vec::is_empty) {
            return Err(Invalid::key("columns", "`columns` is empty; leave it out for all of them"));
        }
        split::check(self.held_out_share)
    }

    fn build(&self, _: Streams) -> Result<Dataset, Invalid> {
        let choice = Choice {
            columns: self.columns.as_deref(),
            header: self.header,
            delimiter: self.delimiter.as_bytes().first().copied().unwrap_or(b','),
        };
        let table = read(Path::new(&self.path), choice).map_err(|e| Invalid::key("path", e.to_string()))?;
        if table.rows() < 2 {
            return Err(Invalid::key("path", format!("{} has one row; at least 2 are needed", self.path)));
        }
        let (train, held_out) = split(table.rows(), self.held_out_share, self.seed);
        let units = if self.standardize { Some(units(&table, &train)?) } else { None };
        let rows = |of: &[usize]| Array::new([of.len(), table.names.len()], values(&table, of, units.as_ref()));
        Ok(Dataset { train: rows(&train), held_out: rows(&held_out), units, ..Dataset::default() })
    }
}

/// Mean and standard deviation of each column over some rows.
fn units(table: &Read, rows: &[usize]) -> Result<Units, Invalid> {
    let (d, n) = (table.names.len(), rows.len() as f64);
    let mut units = Units { names: table.names.clone(), mean: Vec::with_capacity(d), scale: Vec::with_capacity(d) };
    for (column, name) in table.names.iter().enumerate() {
        let values = || rows.iter().map(|row| table.values[row * d + column]);
        let mean = values().map(|x| x / n).sum::<f64>();
        let scale = values().map(|x| (x - mean).powi(2) / n).sum::<f64>().sqrt();
        // What is left of equal numbers is their rounding.
        if !(scale.is_finite() && scale > 1e-12 * mean.abs() && scale > 0.0) {
            let first = values().next().unwrap_or_default();
            let message = format!(
                "the column {name:?} is the same in all training rows ({first}), or too large: it cannot be standardised; name the others \
                 in `columns`, or set standardize = false"
            );
            return Err(Invalid::key("standardize", message));
        }
        units.mean.push(mean);
        units.scale.push(scale);
    }
    Ok(units)
}

fn values(table: &Read, rows: &[usize], units: Option<&Units>) -> Vec<f32> {
    let d = table.names.len();
    let value = |row: usize, column: usize| {
        let x = table.values[row * d + column];
        units.map_or(x, |units| (x - units.mean[column]) / units.scale[column]) as f32
    };
    rows.iter().flat_map(|&row| (0..d).map(move |column| value(row, column))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> (tempfile::TempDir, Table) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        std::fs::write(&path, text).unwrap();
        (folder, Table { path: path.to_str().unwrap().into(), ..Table::default() })
    }

    /// x is large with small differences, y small.
    fn text() -> String {
        (0..40).fold("x,y,c\n".into(), |text, i| {
            format!("{text}{},{},7\n", 1_700_000_000 + i * i, 1e-6 * f64::from(i % 7))
        })
    }

    #[test]
    fn training_rows_have_mean_0_and_variance_1_and_go_back() {
        let (_folder, table) = of(&text());
        let table = Table { columns: Some(vec!["y".into(), "x".into()]), ..table };
        let data = table.build(Streams::new(0)).unwrap();
        assert_eq!((data.train.rows(), data.held_out.rows(), data.dimension()), (36, 4, 2));
        for column in 0..2 {
            let of = |power: i32| (0..36).map(|i| f64::from(data.train.row(i)[column]).powi(power)).sum::<f64>() / 36.0;
            assert!(of(1).abs() < 1e-6 && (of(2) - 1.0).abs() < 1e-6, "column {column}: {} {}", of(1), of(2));
        }
        let plain = Table { standardize: false, ..table }.build(Streams::new(0)).unwrap();
        let units = data.units.as_ref().unwrap();
        assert_eq!(units.names, ["y", "x"]);
        let back = units.restore(&data.held_out);
        for (a, b) in back.data.iter().zip(&plain.held_out.data) {
            assert!((a - b).abs() <= 1e-6 * b.abs().max(1e-6), "{a}, not {b}");
        }
        // Differences of single numbers lie below what single precision has for x as it is.
        let x: Vec<f32> = (0..36).map(|i| data.train.row(i)[1]).collect();
        assert!(x.windows(2).all(|pair| pair[0] < pair[1]) && plain.units.is_none());
    }

    #[test]
    fn what_cannot_be_standardised_or_read_is_told() {
        let (_folder, table) = of(&text());
        let error = table.build(Streams::new(0)).unwrap_err();
        assert!(error.message.contains("the column \"c\" is the same") && error.message.contains("(7)"), "{error}");
        let (_folder, table) = of("x\n1\n2\n?\n");
        let error = table.build(Streams::new(0)).unwrap_err();
        assert!(error.message.contains("line 4 has \"?\"") && error.key.as_deref() == Some("path"), "{error}");
        let (_folder, one) = of("x\n1\n");
        assert!(one.build(Streams::new(0)).unwrap_err().message.contains("one row"));
        for wrong in ["", ",,", "\"", "é"] {
            assert!(Table { delimiter: wrong.into(), ..Table::default() }.check().is_err(), "{wrong:?}");
        }
        assert!(Table { columns: Some(Vec::new()), ..Table::default() }.check().is_err());
    }
}
