//! Tables of numbers: `.npy`, comma-separated values, Parquet.

mod csv;
#[cfg(feature = "parquet")]
mod parquet;

use std::path::Path;

use stein_record::RecordError;
use stein_record::arrays::read_npy_f64;

/// The most numbers of a table.
pub const MOST: usize = 1 << 28;

/// Rows of numbers.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Table {
    /// The columns' names: in a file that gives none, their numbers from 0.
    pub names: Vec<String>,
    /// The values, row major; a multiple of the number of columns, all finite.
    pub values: Vec<f64>,
}

/// What of a table is read, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Choice<'a> {
    /// The columns by name, in this order; all if left out.
    pub columns: Option<&'a [String]>,
    /// Whether the first line of a `.csv` has the columns' names.
    pub header: bool,
    /// What is between the cells of a `.csv`.
    pub delimiter: u8,
}

impl Table {
    /// N.
    pub fn rows(&self) -> usize {
        self.values.len() / self.names.len().max(1)
    }
}

/// Reads a table; how its name ends says what it is.
///
/// # Errors
/// If it cannot be read, a column is not there, or a cell is no finite number: the error names row (or line) and column.
pub fn read(path: &Path, choice: Choice<'_>) -> Result<Table, RecordError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let ends = |ending: &str| name.ends_with(ending);
    if ends(".npy") {
        return npy(path, choice);
    }
    if [".csv", ".csv.gz", ".tsv", ".txt"].into_iter().any(ends) {
        return csv::read(path, choice);
    }
    if ends(".parquet") {
        return parquet(path, choice);
    }
    Err(RecordError::damaged(
        path,
        "its name says of no table that is read: .npy, .csv, .csv.gz, .tsv, .txt or .parquet",
    ))
}

/// Reads a table out of text.
///
/// # Errors
/// As [`read`].
pub fn from_csv(text: impl std::io::Read, choice: Choice<'_>) -> Result<Table, String> {
    csv::parse(text, choice)
}

#[cfg(feature = "parquet")]
fn parquet(path: &Path, choice: Choice<'_>) -> Result<Table, RecordError> {
    parquet::read(path, choice)
}

#[cfg(not(feature = "parquet"))]
fn parquet(path: &Path, _: Choice<'_>) -> Result<Table, RecordError> {
    let how =
        "this stein was built without Parquet: build it with `--features parquet`, or write the table as .csv or .npy";
    Err(RecordError::damaged(path, how))
}

fn absent(path: &Path) -> RecordError {
    RecordError::damaged(path, "there is no such file")
}

fn npy(path: &Path, choice: Choice<'_>) -> Result<Table, RecordError> {
    let (shape, values) = read_npy_f64(&stein_record::file::named(path))?.ok_or_else(|| absent(path))?;
    let damaged = |problem: String| RecordError::damaged(path, problem);
    let &[rows, columns] = &shape[..] else {
        return Err(damaged(format!("it has the shape {shape:?}; a table has rows and columns")));
    };
    let names: Vec<String> = (0..columns).map(|i| i.to_string()).collect();
    let chosen = chosen(&names, choice).map_err(damaged)?;
    let mut table = Table { names: chosen.iter().map(|&i| names[i].clone()).collect(), values: Vec::new() };
    for row in 0..if chosen.is_empty() { 0 } else { rows } {
        for &column in &chosen {
            let value = values[row * columns + column];
            if !value.is_finite() {
                return Err(damaged(format!("row {row} has {value} in column {column}; a finite number is wanted")));
            }
            table.values.push(value);
        }
    }
    whole(table).map_err(damaged)
}

/// Which columns of those that there are.
fn chosen(names: &[String], choice: Choice<'_>) -> Result<Vec<usize>, String> {
    let Some(wanted) = choice.columns else { return Ok((0..names.len()).collect()) };
    let find = |name: &String| {
        names.iter().position(|known| known == name).ok_or_else(|| {
            let known: Vec<String> = names.iter().take(20).map(|name| format!("{name:?}")).collect();
            let more = if names.len() > 20 { ", …" } else { "" };
            format!("there is no column {name:?}; there are {}{more}", known.join(", "))
        })
    };
    wanted.iter().map(find).collect()
}

fn whole(table: Table) -> Result<Table, String> {
    match table.rows() {
        0 => Err("it has no rows of numbers".into()),
        rows if rows * table.names.len() > MOST => Err(format!("it has more than {MOST} numbers")),
        _ => Ok(table),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stein_record::Array;

    pub(super) const ALL: Choice<'static> = Choice { columns: None, header: true, delimiter: b',' };

    #[test]
    fn arrays_are_tables_whose_columns_have_numbers() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npy");
        let write = |shape: &[usize], data: &[f32]| Array::new(shape, data.to_vec()).write_npy(&path).unwrap();
        write(&[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let table = read(&path, ALL).unwrap();
        assert_eq!(
            (table.rows(), table.names.join(" "), &table.values[3..]),
            (2, "0 1 2".into(), &[4.0, 5.0, 6.0][..])
        );
        let two = ["2".to_owned(), "0".into()];
        let table = read(&path, Choice { columns: Some(&two), ..ALL }).unwrap();
        assert_eq!((table.names.join(" "), &table.values[..]), ("2 0".into(), &[3.0, 1.0, 6.0, 4.0][..]));
        let none = ["x".to_owned()];
        let said = read(&path, Choice { columns: Some(&none), ..ALL }).unwrap_err().to_string();
        assert!(said.contains("a.npy: there is no column \"x\"; there are \"0\", \"1\", \"2\""), "{said}");
        write(&[2, 2], &[1.0, 2.0, 3.0, f32::NAN]);
        assert!(read(&path, ALL).unwrap_err().to_string().contains("row 1 has NaN in column 1"));
        write(&[4], &[0.0; 4]);
        assert!(read(&path, ALL).unwrap_err().to_string().contains("[4]"));
        write(&[0, 3], &[]);
        assert!(read(&path, ALL).unwrap_err().to_string().contains("no rows"));
        assert!(read(&folder.path().join("b.npy"), ALL).is_err());
        assert!(read(&folder.path().join("b.xls"), ALL).unwrap_err().to_string().contains(".parquet"));
    }

    #[cfg(not(feature = "parquet"))]
    #[test]
    fn without_parquet_it_is_said_how_to_have_it() {
        let said = read(Path::new("a.parquet"), ALL).unwrap_err().to_string();
        assert!(said.contains("--features parquet"), "{said}");
    }
}
