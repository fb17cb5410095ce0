//! Parquet files, not compressed or by Snappy or gzip.

use std::path::Path;

use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;
use stein_record::{RecordError, file};

use super::{Choice, MOST, Table, absent, chosen, whole};

/// The most bytes of a file.
const MOST_BYTES: u64 = 8 << 30;

/// Reads a file.
pub(super) fn read(path: &Path, choice: Choice<'_>) -> Result<Table, RecordError> {
    let (from, _) = file::open_at_most(&file::named(path), MOST_BYTES)?.ok_or_else(|| absent(path))?;
    parse(from, choice).map_err(|problem| RecordError::damaged(path, problem))
}

fn parse(from: std::fs::File, choice: Choice<'_>) -> Result<Table, String> {
    let reader = SerializedFileReader::new(from).map_err(|e| e.to_string())?;
    let schema = reader.metadata().file_metadata().schema();
    let names: Vec<String> = schema.get_fields().iter().map(|field| field.name().to_owned()).collect();
    let columns = chosen(&names, choice)?;
    let mut table = Table { names: columns.iter().map(|&i| names[i].clone()).collect(), values: Vec::new() };
    for (i, row) in reader.get_row_iter(None).map_err(|e| e.to_string())?.enumerate() {
        let row = row.map_err(|e| e.to_string())?;
        let fields: Vec<&Field> = row.get_column_iter().map(|(_, field)| field).collect();
        for &column in &columns {
            let field = *fields.get(column).ok_or("a row has fewer columns than the schema")?;
            let Some(value) = number(field).filter(|value| value.is_finite()) else {
                let name = &names[column];
                return Err(format!("row {i} has {field} in the column {name:?}; a finite number is wanted"));
            };
            table.values.push(value);
        }
        if table.values.len() > MOST {
            break;
        }
    }
    whole(table)
}

fn number(field: &Field) -> Option<f64> {
    Some(match *field {
        Field::Bool(x) => f64::from(u8::from(x)),
        Field::Byte(x) => x.into(),
        Field::Short(x) => x.into(),
        Field::Int(x) => x.into(),
        Field::Long(x) => x as f64,
        Field::UByte(x) => x.into(),
        Field::UShort(x) => x.into(),
        Field::UInt(x) => x.into(),
        Field::ULong(x) => x as f64,
        Field::Float(x) => x.into(),
        Field::Double(x) => x,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parquet::data_type::{DoubleType, Int64Type};
    use parquet::file::properties::WriterProperties;
    use parquet::file::writer::SerializedFileWriter;
    use parquet::schema::parser::parse_message_type;

    use super::super::tests::ALL;
    use super::*;

    fn written(path: &Path, doubles: &[f64]) {
        let schema = parse_message_type("message t { required int64 n; required double x; }").unwrap();
        let file = std::fs::File::create(path).unwrap();
        let properties =
            Arc::new(WriterProperties::builder().set_compression(parquet::basic::Compression::SNAPPY).build());
        let mut writer = SerializedFileWriter::new(file, Arc::new(schema), properties).unwrap();
        let mut group = writer.next_row_group().unwrap();
        let counts: Vec<i64> = (0..doubles.len() as i64).collect();
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<Int64Type>().write_batch(&counts, None, None).unwrap();
        column.close().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<DoubleType>().write_batch(doubles, None, None).unwrap();
        column.close().unwrap();
        group.close().unwrap();
        writer.close().unwrap();
    }

    #[test]
    fn columns_come_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.parquet");
        written(&path, &[0.5, -2.0]);
        let table = super::super::read(&path, ALL).unwrap();
        assert_eq!((table.names.join(" "), &table.values[..]), ("n x".into(), &[0.0, 0.5, 1.0, -2.0][..]));
        let x = ["x".to_owned()];
        assert_eq!(super::super::read(&path, Choice { columns: Some(&x), ..ALL }).unwrap().values, [0.5, -2.0]);
        written(&path, &[0.5, f64::NAN]);
        assert!(super::super::read(&path, ALL).unwrap_err().to_string().contains("row 1 has NaN in the column \"x\""));
        std::fs::write(&path, "<html>").unwrap();
        assert!(super::super::read(&path, ALL).is_err());
    }
}
