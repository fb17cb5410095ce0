//! Cells in lines of text (RFC 4180), the text compressed by gzip or not.

use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use csv::{ByteRecord, Reader, ReaderBuilder, Trim};
use flate2::read::MultiGzDecoder;
use stein_record::{RecordError, file};

use super::{Choice, MOST, Table, absent, chosen, whole};

/// The most bytes of text.
const MOST_BYTES: u64 = 8 << 30;
/// The most bytes of a line; with line feeds in its cells, of all its lines together.
const MOST_LINE: u64 = 16 << 20;

/// Reads a file.
pub(super) fn read(path: &Path, choice: Choice<'_>) -> Result<Table, RecordError> {
    let (from, _) = file::open_at_most(&file::named(path), MOST_BYTES)?.ok_or_else(|| absent(path))?;
    let compressed = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("gz"));
    let from = BufReader::new(from);
    let from: Box<dyn Read> = if compressed { Box::new(MultiGzDecoder::new(from)) } else { Box::new(from) };
    let mut from = BufReader::new(from);
    let beginning = from.fill_buf().map_err(|e| RecordError::damaged(path, e.to_string()))?;
    let tabs = choice.delimiter == b',' && is_tabbed(path, beginning);
    let choice = Choice { delimiter: if tabs { b'\t' } else { choice.delimiter }, ..choice };
    parse(from, choice).map_err(|problem| RecordError::damaged(path, problem))
}

/// Whether tabs are between the cells of a file that nothing else is said of, by its name and how it begins.
fn is_tabbed(path: &Path, beginning: &[u8]) -> bool {
    let line = beginning.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let (tab, comma) = (line.contains(&b'\t'), line.contains(&b','));
    match path.extension().map(|ending| ending.to_ascii_lowercase()) {
        Some(ending) if ending == "tsv" => tab || !comma,
        Some(ending) if ending == "txt" => tab && !comma,
        _ => false,
    }
}

/// Text that is read no further than is allowed.
struct Text<R> {
    from: R,
    /// How many bytes were read.
    bytes: u64,
    /// How many of them before the line that is being read.
    before: u64,
    /// Those read last.
    last: Vec<u8>,
}

impl<R: Read> Read for Text<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let count = self.from.read(to)?;
        if count > 0 {
            self.last.clear();
            self.last.extend_from_slice(&to[..count]);
        }
        self.bytes += count as u64;
        let refused = |problem: String| Err(io::Error::new(io::ErrorKind::InvalidData, problem));
        if self.bytes > MOST_BYTES {
            return refused(format!("there are more than {MOST_BYTES} bytes of text"));
        }
        if self.bytes - self.before > MOST_LINE {
            return refused(format!("a line is longer than {} MiB", MOST_LINE >> 20));
        }
        Ok(count)
    }
}

/// The line that was read last, from 1. The parser's own count is that of the line feeds which it has taken: the one that ends the line
/// is among them, unless a carriage return comes before it.
fn line<R: Read>(reader: &Reader<Text<R>>) -> u64 {
    let (at, text) = (reader.position(), reader.get_ref());
    let behind = usize::try_from(text.bytes.saturating_sub(at.byte())).unwrap_or(usize::MAX);
    let end = text.last.len().checked_sub(behind.saturating_add(1)).and_then(|i| text.last.get(i));
    at.line().saturating_sub(u64::from(end == Some(&b'\n')))
}

/// Reads text.
pub(super) fn parse(from: impl Read, choice: Choice<'_>) -> Result<Table, String> {
    let mut reader = ReaderBuilder::new();
    reader.has_headers(choice.header).delimiter(choice.delimiter).trim(Trim::All);
    let mut reader = reader.from_reader(Text { from, bytes: 0, before: 0, last: Vec::new() });
    let mut names: Vec<String> = Vec::new();
    if choice.header {
        let header = reader.byte_headers().map_err(|e| e.to_string())?;
        // What some programs begin a file with.
        let text = |cell: &[u8]| String::from_utf8_lossy(cell).trim_start_matches('\u{feff}').to_owned();
        names = header.iter().map(text).collect();
        if are_values(&names) {
            let hint = "if it is a row, set header = false; else give the columns other names";
            return Err(format!("its first line has nothing but numbers: {hint}"));
        }
        reader.get_mut().before = reader.position().byte();
    }
    let (mut table, mut columns, mut record) = (Table::default(), Vec::new(), ByteRecord::new());
    while reader.read_byte_record(&mut record).map_err(|e| told(&e, line(&reader)))? {
        reader.get_mut().before = reader.position().byte();
        if table.names.is_empty() {
            if !choice.header {
                names = (0..record.len()).map(|i| i.to_string()).collect();
            }
            columns = chosen(&names, choice).map_err(|problem| problem + &hint(&names, b"", choice))?;
            table.names = columns.iter().map(|&i| names[i].clone()).collect();
        }
        for &column in &columns {
            let cell = record.get(column).unwrap_or_default();
            let value = std::str::from_utf8(cell).ok().and_then(|cell| cell.parse::<f64>().ok());
            let Some(value) = value.filter(|value| value.is_finite()) else {
                return Err(wrong(line(&reader), cell, &names[column], choice) + &hint(&names, cell, choice));
            };
            table.values.push(value);
        }
        if table.values.len() > MOST {
            break;
        }
    }
    whole(table)
}

fn wrong(line: u64, cell: &[u8], column: &str, choice: Choice<'_>) -> String {
    let cell: String = String::from_utf8_lossy(cell).chars().take(40).collect();
    let hint = match line {
        1 if !choice.header => "; if the first line has names, set header = true",
        _ => "",
    };
    format!("line {line} has {cell:?} in the column {column:?}; a finite number is wanted{hint}")
}

fn told(error: &csv::Error, line: u64) -> String {
    match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("line {line} has {len} cells, those before have {expected_len}")
        }
        _ => error.to_string(),
    }
}

/// Whether names are the values of a row instead. Columns that somebody's program counted, 0, 1, 2, …, are not.
fn are_values(names: &[String]) -> bool {
    let number = |name: &String| name.parse::<f64>().is_ok_and(f64::is_finite);
    names.iter().all(number) && !names.iter().enumerate().all(|(i, name)| *name == i.to_string())
}

/// What to say if all cells look like one, as with another delimiter than the file's.
fn hint(names: &[String], cell: &[u8], choice: Choice<'_>) -> String {
    let [name] = names else { return String::new() };
    let other = |byte: &u8| b"\t;".contains(byte) && *byte != choice.delimiter;
    match name.bytes().chain(cell.iter().copied()).any(|byte| other(&byte)) {
        true => format!("; if its cells are not parted by {:?}, set `delimiter`", char::from(choice.delimiter)),
        false => String::new(),
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
            ("a;b\n1;2\n", "line 2 has \"1;2\" in the column \"a;b\"; a finite number is wanted; if its cells are"),
            ("a\tb\n1\t2\n", "set `delimiter`"),
            // Lines are counted alike however they end, and whether or not there are empty ones.
            ("a,b\r\n1,2\r\n3,x\r\n", "line 3 has \"x\""),
            ("a,b\r\n1,2\r\n3,x", "line 3 has \"x\""),
            ("a,b\n1,2\n3,x", "line 3 has \"x\""),
            ("a,b\r\n1,2\r\n3\r\n", "line 3 has 1 cells"),
            ("a,b\n\n1,x\n", "line 3 has \"x\""),
            ("a,b\r\n\r\n1,x\r\n", "line 3 has \"x\""),
            ("5.1,3.5\n4.9,3.0\n", "set header = false"),
        ] {
            let said = of(text, ALL).unwrap_err();
            assert!(said.contains(problem), "{said}, not {problem}");
        }
        let said = of("a,b\n1,2\n", Choice { header: false, ..ALL }).unwrap_err();
        assert!(said.contains("header = true"), "{said}");
        let some = ["a".to_owned()];
        let said = of("a;b\n1;2\n", Choice { columns: Some(&some), ..ALL }).unwrap_err();
        assert!(said.contains("no column \"a\"") && said.contains("set `delimiter`"), "{said}");
        // Columns that were counted have names.
        assert_eq!(of("0,1\n5,6\n", ALL).unwrap().values, [5.0, 6.0]);
    }

    #[test]
    fn lines_without_an_end_are_refused() {
        for (start, byte) in [("", b','), ("a\n", b'1'), ("a\n\"", b'\n')] {
            let text = start.as_bytes().chain(io::repeat(byte));
            assert_eq!(parse(text, ALL).unwrap_err(), "a line is longer than 16 MiB", "{start:?}");
        }
    }

    #[test]
    fn tabs_are_known_by_the_name() {
        let folder = tempfile::tempdir().unwrap();
        let read = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            super::super::read(&path, ALL).map(|table| table.names.join(" "))
        };
        assert_eq!(read("a.tsv", "a, b\tc\n1\t2\n").unwrap(), "a, b c");
        assert_eq!(read("b.tsv", "a,b\n1,2\n").unwrap(), "a b");
        assert_eq!(read("a.txt", "a\tb\n1\t2\n").unwrap(), "a b");
        assert_eq!(read("b.txt", "a,b\n1,2\n").unwrap(), "a b");
        assert!(read("a.csv", "a\tb\n1\t2\n").unwrap_err().to_string().contains("set `delimiter`"));
    }
}
