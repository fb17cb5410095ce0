//! TensorBoard's event files: scalars, written by hand.
//!
//! A file is a row of TFRecords: the length of some bytes (u64), the masked CRC-32C of these eight, the bytes, and their masked
//! CRC-32C; all little-endian. The bytes are a protobuf `Event`: `wall_time = 1` (double), `step = 2` (int64) and either
//! `file_version = 3` (string) or `summary = 5`, with a `value = 1` of `tag = 1` (string), `simple_value = 2` (float) and
//! `metadata = 9`. Metadata is written where there is something to say of a tag: `plugin_data = 1` with `plugin_name = 1`,
//! `summary_description = 3` and `data_class = 4`.

use std::time::UNIX_EPOCH;

use crate::series::Series;
use crate::{Evaluation, MetricLine, RunRecord};

/// TensorBoard's enumeration of what a summary holds.
const DATA_CLASS_SCALAR: u64 = 1;

/// An event file in the making.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventFile {
    bytes: Vec<u8>,
}

impl EventFile {
    /// A file that begins at `wall_time`, seconds since 1970.
    pub fn new(wall_time: f64) -> Self {
        let mut out = Self { bytes: Vec::new() };
        let mut event = Message::default();
        event.double(1, wall_time);
        event.bytes(3, b"brain.Event:2");
        out.record(&event.0);
        out
    }

    /// Appends one value of the scalar `tag`; what it is about is Markdown, and may be empty. Values are stored in single precision.
    pub fn scalar(&mut self, wall_time: f64, step: u64, tag: &str, value: f64, about: &str) {
        let mut one = Message::default();
        one.bytes(1, tag.as_bytes());
        one.float(2, value as f32);
        if !about.is_empty() {
            let mut plugin = Message::default();
            plugin.bytes(1, b"scalars");
            let mut metadata = Message::default();
            metadata.bytes(1, &plugin.0);
            metadata.bytes(3, about.as_bytes());
            metadata.integer(4, DATA_CLASS_SCALAR);
            one.bytes(9, &metadata.0);
        }
        let mut summary = Message::default();
        summary.bytes(1, &one.0);
        let mut event = Message::default();
        event.double(1, wall_time);
        event.integer(2, step);
        event.bytes(5, &summary.0);
        self.record(&event.0);
    }

    /// The file.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    fn record(&mut self, data: &[u8]) {
        let length = (data.len() as u64).to_le_bytes();
        self.bytes.extend(length);
        self.bytes.extend(masked_crc32c(&length).to_le_bytes());
        self.bytes.extend(data);
        self.bytes.extend(masked_crc32c(data).to_le_bytes());
    }
}

/// The event file of a run: all series of `metrics.jsonl`, and at the end every metric of the evaluation and what it cost. No time
/// is recorded with a measurement, so steps are spread evenly over the time that training took.
pub fn event_file(record: &RunRecord, metrics: &[MetricLine], evaluation: Option<&Evaluation>) -> Vec<u8> {
    let begun = started(record);
    let per_step = record.timings.training / record.progress.step.max(1) as f64;
    let at = |step: u64| begun + per_step * step as f64;
    let mut out = EventFile::new(begun);
    let series = Series::of(metrics);
    for (&step, values) in &series.steps {
        for (name, value) in series.names.iter().zip(values) {
            if let Some(value) = value {
                out.scalar(at(step), step, name, *value, "");
            }
        }
    }
    if let Some(evaluation) = evaluation {
        let (step, end) = (evaluation.step, at(evaluation.step) + evaluation.sampling_seconds);
        for metric in &evaluation.metrics {
            let about = format!("{}. {}", metric.label, metric.about);
            out.scalar(end, step, &format!("metrics/{}", metric.name), metric.estimate.value, &about);
        }
        let seconds = evaluation.sampling_seconds;
        out.scalar(end, step, "cost/nfe", evaluation.nfe as f64, "Evaluations of the score a sample.");
        out.scalar(end, step, "cost/sampling-seconds", seconds, "Seconds that sampling took.");
        out.scalar(end, step, "cost/training-seconds", record.timings.training, "Seconds that training took.");
    }
    out.into_bytes()
}

/// What a run's event file is called: TensorBoard wants `tfevents` in it and reads the files of a folder in the order of their
/// names. A run that is exported again has the same file.
pub fn file_name(record: &RunRecord) -> String {
    format!("events.out.tfevents.{:010}.stein", started(record) as u64)
}

/// Seconds since 1970; 0 if the record does not say.
fn started(record: &RunRecord) -> f64 {
    let time = humantime::parse_rfc3339(&record.started).ok();
    time.and_then(|t| t.duration_since(UNIX_EPOCH).ok()).map_or(0.0, |d| d.as_secs_f64())
}

/// Fields of a protobuf message.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn integer(&mut self, field: u8, value: u64) {
        self.0.push(field << 3);
        self.varint(value);
    }

    fn double(&mut self, field: u8, value: f64) {
        self.0.push(field << 3 | 1);
        self.0.extend(value.to_le_bytes());
    }

    fn bytes(&mut self, field: u8, value: &[u8]) {
        self.0.push(field << 3 | 2);
        self.varint(value.len() as u64);
        self.0.extend(value);
    }

    fn float(&mut self, field: u8, value: f32) {
        self.0.push(field << 3 | 5);
        self.0.extend(value.to_le_bytes());
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

/// The CRC as TFRecords have it: rotated and shifted, so that the CRC of data that hold their own CRC is no constant.
fn masked_crc32c(data: &[u8]) -> u32 {
    crc32c(data).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// CRC-32C (Castagnoli), reflected.
fn crc32c(data: &[u8]) -> u32 {
    let of = |crc: u32, byte: &u8| (crc >> 8) ^ CRC_TABLE[usize::from((crc as u8) ^ byte)];
    !data.iter().fold(!0, of)
}

const CRC_TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut i = 0;
    while i < 256 {
        let (mut crc, mut bit) = (i as u32, 0);
        while bit < 8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
            bit += 1;
        }
        table[i] = crc;
        i += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_crc_is_castagnolis() {
        // RFC 3720, B.4, and the check value of the catalogue of CRCs.
        let ascending: Vec<u8> = (0..32).collect();
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
        assert_eq!(crc32c(&ascending), 0x46dd_794e);
        assert_eq!(crc32c(b""), 0);
    }

    #[test]
    fn a_file_begins_as_tensorflows_do() {
        let file = EventFile::new(1.0).into_bytes();
        // 24 bytes, whose masked CRC every event file has at its offset 8.
        assert_eq!(file[..12], [24, 0, 0, 0, 0, 0, 0, 0, 0xa3, 0x7f, 0x4b, 0x22]);
        assert_eq!(file[12..21], [9, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f]);
        assert_eq!(&file[21..36], b"\x1a\x0dbrain.Event:2");
        assert_eq!(file.len(), 12 + 24 + 4);
    }

    #[test]
    fn a_scalar_is_a_summary() {
        let mut file = EventFile::new(0.0);
        let head = file.bytes.len();
        file.scalar(2.0, 300, "loss/train", -0.5, "");
        let record = &file.bytes[head..];
        let value = b"\x0a\x0aloss/train\x15\x00\x00\x00\xbf";
        let mut event = vec![9, 0, 0, 0, 0, 0, 0, 0, 0x40, 0x10, 0xac, 0x02, 0x2a, 19, 0x0a, 17];
        event.extend(value);
        assert_eq!(record[0], event.len() as u8);
        assert_eq!(&record[12..12 + event.len()], event);
        let sum = u32::from_le_bytes(record[record.len() - 4..].try_into().unwrap());
        assert_eq!(sum, masked_crc32c(&event));
        // The wrong twin forgets the mask.
        assert_ne!(sum, crc32c(&event));
    }

    #[test]
    fn lengths_above_127_take_two_bytes() {
        let mut message = Message::default();
        message.bytes(1, &[7; 300]);
        assert_eq!(message.0[..3], [0x0a, 0xac, 0x02]);
        message.integer(2, u64::MAX);
        assert_eq!(message.0[303..], [&[0x10][..], &[0xff; 9], &[1]].concat());
    }
}
