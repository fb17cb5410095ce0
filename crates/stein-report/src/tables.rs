//! Tables as files for other programs.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use stein_record::csv::line;
use stein_record::{Better, Estimate, RecordError};

use crate::files;

/// A table for other programs: the values are numbers, texts or nothing.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Data {
    columns: Vec<String>,
    rows: Vec<Vec<Value>>,
}

/// A row of a table: each value by its column.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Line(Vec<(String, Value)>);

impl Line {
    /// The line with one value more; the first of a column's name counts.
    pub(crate) fn with(mut self, column: impl Into<String>, value: impl Into<Value>) -> Self {
        let column = column.into();
        if !self.0.iter().any(|(known, _)| *known == column) {
            self.0.push((column, value.into()));
        }
        self
    }

    /// The line with a number more, that may be none.
    pub(crate) fn number(self, column: impl Into<String>, value: Option<f64>) -> Self {
        self.with(column, value.map_or(Value::Null, number))
    }

    /// The line with an estimate and its standard error more.
    pub(crate) fn estimate(self, column: &str, value: Option<&Estimate>) -> Self {
        let error = value.map(|e| e.standard_error).filter(|e| !e.is_nan());
        self.number(column, value.map(|e| e.value)).number(format!("{column}.standard-error"), error)
    }

    /// The line with a column more for which values are good.
    pub(crate) fn better(self, better: Better) -> Self {
        let (word, goal) = match better {
            Better::Lower => (json!("lower"), None),
            Better::Higher => (json!("higher"), None),
            Better::Near(goal) => (json!("near"), Some(goal)),
            Better::Neither => (Value::Null, None),
        };
        self.with("better", word).number("goal", goal)
    }
}

/// JSON has no number for what is not finite.
fn number(x: f64) -> Value {
    match x {
        x if x.is_finite() => json!(x),
        x if x.is_nan() => json!("NaN"),
        x => json!(if x > 0.0 { "inf" } else { "-inf" }),
    }
}

impl Data {
    /// A table of lines; it has the columns of all of them.
    pub(crate) fn of(lines: impl IntoIterator<Item = Line>) -> Self {
        let lines: Vec<Line> = lines.into_iter().collect();
        let mut seen = BTreeSet::new();
        let names = lines.iter().flat_map(|l| &l.0).map(|(name, _)| name);
        let columns: Vec<String> = names.filter(|name| seen.insert(*name)).cloned().collect();
        let value = |line: &Line, column: &String| {
            line.0.iter().find(|(name, _)| name == column).map_or(Value::Null, |(_, value)| value.clone())
        };
        let rows = lines.iter().map(|line| columns.iter().map(|column| value(line, column)).collect()).collect();
        Self { columns, rows }
    }

    /// Whether there is nothing in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// A line a row. Empty where there is nothing, `NaN` and `inf` where a number is no number.
    fn csv(&self) -> String {
        let mut out = String::new();
        line(&mut out, self.columns.iter().cloned());
        for row in &self.rows {
            let text = |value: &Value| match value {
                Value::Null => String::new(),
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            line(&mut out, row.iter().map(text));
        }
        out
    }

    /// The same as one JSON object.
    fn json(&self) -> Value {
        let row = |row: &Vec<Value>| -> Map<String, Value> {
            self.columns.iter().cloned().zip(row.iter().cloned()).collect()
        };
        json!({ "schema": 1, "columns": self.columns, "rows": self.rows.iter().map(row).collect::<Vec<_>>() })
    }

    /// Writes it as `<stem>.csv` and `<stem>.json`, if there is anything in it; else removes what an earlier report left there.
    pub(crate) fn write(&self, stem: &Path) -> Result<(), RecordError> {
        let [csv, json] = ["csv", "json"].map(|kind| with_ending(stem, kind));
        if self.is_empty() {
            return files::remove(&csv).and_then(|()| files::remove(&json));
        }
        files::write(&csv, self.csv().as_bytes())?;
        files::write(&json, format!("{:#}\n", self.json()).as_bytes())
    }
}

/// The path with an ending more: a stem may have a dot of its own.
fn with_ending(stem: &Path, ending: &str) -> PathBuf {
    let mut name = stem.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(ending);
    stem.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_the_same_in_both_files() {
        let lines = [
            Line::default()
                .with("row", "a,b")
                .estimate("x", Some(&Estimate::new(1.5, f64::NAN)))
                .better(Better::Near(2.0)),
            Line::default()
                .with("row", "c")
                .with("row", "twice")
                .number("x", Some(f64::INFINITY))
                .number("more", Some(0.0)),
        ];
        let table = Data::of(lines);
        assert_eq!(
            table.csv(),
            "row,x,x.standard-error,better,goal,more\r\n\"a,b\",1.5,,near,2.0,\r\nc,inf,,,,0.0\r\n"
        );
        let json = table.json();
        assert_eq!(json["rows"][0]["goal"], 2.0);
        assert_eq!((&json["rows"][1]["x"], &json["rows"][1]["goal"]), (&json!("inf"), &Value::Null));

        let folder = tempfile::tempdir().unwrap();
        let stem = folder.path().join("v1.5");
        table.write(&stem).unwrap();
        assert_eq!(std::fs::read_to_string(folder.path().join("v1.5.csv")).unwrap(), table.csv());
        Data::default().write(&stem).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "what is no more is not left there");
    }
}
