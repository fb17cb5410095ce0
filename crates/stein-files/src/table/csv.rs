//! Cells in lines of text (RFC 4180), the text compressed by gzip or not.

use std::io::{BufReader, Read};
use std::path::Path;

use csv::{ByteRecord, ReaderBuilder, Trim};
use flate2::read::MultiGzDecoder;
use stein_record::{RecordError, file};

use super::{Choice, MOST, Table, absent, chosen, whole};

/// The most bytes of text.
const MOST_BYTES: u64 = 8 << 30;

/// Reads a file.
pub(super) fn read(path: &Path, choice: Choice<'_>) -> Result<Table, RecordError> {
    let (from, _) = file::open_at_most(&file::named(path), MOST_BYTES)?.ok_or_else(|| absent(path))?;
    let compressed = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("gz"));
    let from = BufReader::new(from);
    let table =
        if compressed { parse(MultiGzDecoder::new(from).take(MOST_BYTES), choice) } else { parse(from, choice) };
    table.map_err(|problem| RecordError::damaged(path, problem))
}

/// Reads text.
pub(super) fn parse(from: impl Read, choice: Choice<'_>) -> Result<Table, String> {
    let mut reader = ReaderBuilder::new();
    reader.has_headers(choice.header).delimiter(choice.delimiter).trim(Trim::All);
    let mut reader = reader.from_reader(from);
    let mut names: Vec<String> = Vec::new();
    if choice.header {
        let header = reader.byte_headers().map_err(told)?;
        // What some programs begin a file with.
        let text = |cell: &[u8]| String::from_utf8_lossy(cell).trim_start_matches('\u{feff}').to_owned();
        names = header.iter().map(text).collect();
    }
    let (mut table, mut columns, mut record) = (Table::default(), Vec::new(), ByteRecord::new());
    while reader.read_byte_record(&mut record).map_err(told)? {
        if table.names.is_empty() {
            if !choice.header {
                names = (0..record.len()).map(|i| i.to_string()).collect();
            }
            columns = chosen(&names, choice)?;
            table.names = columns.iter().map(|&i| names[i].clone()).collect();
        }
        for &column in &columns {
            let cell = record.get(column).unwrap_or_default();
            let value = std::str::from_utf8(cell).ok().and_then(|cell| cell.parse::<f64>().ok());
            let Some(value) = value.filter(|value| value.is_finite()) else {
                return Err(wrong(&record, cell, &names[column], choice));
            };
            table.values.push(value);
        }
        if table.values.len() > MOST {
            break;
        }
    }
    whole(table)
}

fn wrong(record: &ByteRecord, cell: &[u8], column: &str, choice: Choice<'_>) -> String {
    let line = record.position().map_or(0, csv::Position::line);
    let cell: String = String::from_utf8_lossy(cell).chars().take(40).collect();
    let hint = match line {
        1 if !choice.header => "; if the first line has names, set header = true",
        _ => "",
    };
    format!("line {line} has {cell:?} in the column {column:?}; a finite number is wanted{hint}")
}

fn told(error: csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::UnequalLengths { pos, expected_len, len } => {
            let line = pos.as_ref().map_or(0, csv::Position::line);
            format!("line {line} has {len} cells, those before have {expected_len}")
        }
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::ALL;
    use super::*;
    use crate::test::gzip;

    fn of(text: &str, choice: Choice<'_>) -> Result<Table, String> {
        parse(text.as_bytes(), choice)
    }

    #[test]
    fn cells_are_numbers_of_columns_with_names() {
        let table = of("\u{feff}a, b,\"c,d\"\r\n1,2.5,-3e2\r\n4 ,5,6\r\n", ALL).unwrap();
        assert_eq!(
            (&table.names[..], &table.values[..]),
            (&["a".to_owned(), "b".into(), "c,d".into()][..], &[1.0, 2.5, -300.0, 4.0, 5.0, 6.0][..])
        );
        let some = ["c,d".to_owned()];
        assert_eq!(of("a,\"c,d\"\nx,2\ny,3\n", Choice { columns: Some(&some), ..ALL }).unwrap().values, [2.0, 3.0]);
        let bare = Choice { header: false, delimiter: b'\t', ..ALL };
        let table = of("1\t2\n3\t4\n", bare).unwrap();
        assert_eq!((table.names.join(" "), table.rows()), ("0 1".into(), 2));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv.gz");
        std::fs::write(&path, gzip(b"a\n1\n2\n")).unwrap();
        assert_eq!(super::super::read(&path, ALL).unwrap().values, [1.0, 2.0]);
    }

    #[test]
    fn what_is_no_number_is_told_with_its_place() {
        for (text, problem) in [
            ("a,b\n1,2\n3,x\n", "line 3 has \"x\" in the column \"b\""),
            ("a,b\n1,2\n,4\n", "line 3 has \"\" in the column \"a\""),
            ("a,b\n1,NaN\n", "line 2 has \"NaN\""),
            ("a,b\n1,1e999\n", "line 2 has \"1e999\""),
            ("a,b\n1,2\n3\n", "line 3 has 1 cells, those before have 2"),
            ("a,b\n", "no rows"),
            ("", "no rows"),
            ("a;b\n1;2\n", "line 2 has \"1;2\""),
        ] {
            let said = of(text, ALL).unwrap_err();
            assert!(said.contains(problem), "{said}, not {problem}");
        }
        let said = of("a,b\n1,2\n", Choice { header: false, ..ALL }).unwrap_err();
        assert!(said.contains("header = true"), "{said}");
    }
}
