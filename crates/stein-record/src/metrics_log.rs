//! `metrics.jsonl`: one measurement a line, appended while a run goes on.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::atomic::Partial;
use crate::{RecordError, file};

/// The most bytes of a line: what would be a longer one has no lines.
const LINE: u64 = 1 << 20;

/// Which rows a number was measured on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Split {
    /// Training rows.
    Train,
    /// Held-out rows.
    HeldOut,
}

/// One measurement.
///
/// stein writes `loss` (weighted; `train`: the mean over the steps since the last line, `held-out`: of the averaged
/// network, with the same rows and noise each time), `learning-rate` and `gradient-norm`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MetricLine {
    /// Training steps done.
    pub step: u64,
    /// Measured on what.
    pub split: Split,
    /// What was measured.
    pub name: String,
    /// The value.
    #[serde(with = "crate::float")]
    pub value: f64,
}

/// Appends measurements.
#[derive(Debug)]
pub struct MetricsLog {
    end: End<File>,
    path: PathBuf,
}

impl MetricsLog {
    /// Opens the log for appending after `step`, and gives what it holds: what an earlier session wrote beyond that step is cut,
    /// since those steps will be done again. So is what a crash or a full disk left torn behind it.
    ///
    /// # Errors
    /// If a line up to that step is no measurement, or the log cannot be read or written.
    pub fn resume(path: &Path, step: u64) -> Result<(Self, Vec<MetricLine>), RecordError> {
        let mut kept = Vec::new();
        let mut new = Partial::of(path)?;
        let mut out = BufWriter::new(&mut new);
        if let Some(file) = file::open(path)? {
            let mut lines = Lines::new(path, BufReader::new(file));
            let mut torn = None;
            while let Some(line) = lines.next_line()? {
                match line {
                    Err(problem) => _ = torn.get_or_insert(problem),
                    Ok(line) if line.step > step => {}
                    // Up to the step all was durable before its checkpoint: this is no trace of a crash.
                    Ok(_) if torn.is_some() => break,
                    Ok(line) => {
                        kept.push(line);
                        // The line's own text is kept, to the last digit.
                        out.write_all(lines.text()).map_err(|e| RecordError::io(path, "write", e))?;
                    }
                }
            }
            if let (Some(problem), true) = (torn, !lines.ended) {
                return Err(RecordError::damaged(path, problem));
            }
        }
        out.flush().map_err(|e| RecordError::io(path, "write", e))?;
        drop(out);
        new.finish()?;
        let end = End::of(file::open_or_make(path, OpenOptions::new().append(true))?);
        Ok((Self { end, path: path.to_owned() }, kept))
    }

    /// Appends one measurement with a single write.
    ///
    /// # Errors
    /// That of the first write that failed: nothing is appended to half a line.
    pub fn append(&mut self, line: &MetricLine) -> Result<(), RecordError> {
        let json = serde_json::to_string(line).map_err(|e| RecordError::damaged(&self.path, e.to_string()))?;
        self.end.append(&(json + "\n")).map_err(|e| RecordError::io(&self.path, "append to", e))
    }

    /// Makes what was appended durable.
    ///
    /// # Errors
    /// As [`append`](Self::append), whenever it was.
    pub fn sync(&self) -> Result<(), RecordError> {
        self.end.unbroken().map_err(|e| RecordError::io(&self.path, "append to", e))?;
        self.end.to.sync_data().map_err(|e| RecordError::io(&self.path, "sync", e))
    }
}

/// The end of a log.
#[derive(Debug)]
struct End<W> {
    to: W,
    /// The first error: behind it the rest of a line may be missing.
    error: Option<(io::ErrorKind, String)>,
}

impl<W: Write> End<W> {
    fn of(to: W) -> Self {
        Self { to, error: None }
    }

    fn unbroken(&self) -> io::Result<()> {
        self.error.as_ref().map_or(Ok(()), |(kind, said)| Err(io::Error::new(*kind, said.clone())))
    }

    fn append(&mut self, line: &str) -> io::Result<()> {
        self.unbroken()?;
        self.to.write_all(line.as_bytes()).inspect_err(|e| self.error = Some((e.kind(), e.to_string())))
    }
}

/// The whole lines of a log, one after another. What follows the last newline was torn by a crash, or is being written.
#[derive(Debug)]
pub struct Lines<'a, R> {
    path: &'a Path,
    from: R,
    text: Vec<u8>,
    number: usize,
    /// There are no more.
    ended: bool,
}

impl<'a, R: BufRead> Lines<'a, R> {
    /// The lines that can be read `from` the log at `path`.
    pub fn new(path: &'a Path, from: R) -> Self {
        Self { path, from, text: Vec::new(), number: 0, ended: false }
    }

    /// The next measurement, or what is wrong with its line; `None` after the last. Empty lines are left out.
    ///
    /// # Errors
    /// If it cannot be read, or has no lines at all.
    pub fn next_line(&mut self) -> Result<Option<Result<MetricLine, String>>, RecordError> {
        loop {
            self.text.clear();
            self.number += 1;
            let read = self.from.by_ref().take(LINE).read_until(b'\n', &mut self.text);
            read.map_err(|e| RecordError::io(self.path, "read", e))?;
            match self.text.strip_suffix(b"\n") {
                Some(b"") => {}
                Some(line) => {
                    let problem = |e| format!("line {} is not a measurement: {e}", self.number);
                    return Ok(Some(measurement(line).map_err(problem)));
                }
                None if self.text.len() as u64 == LINE => {
                    let problem = format!("line {} has more than {LINE} bytes", self.number);
                    return Err(RecordError::damaged(self.path, problem));
                }
                None => {
                    self.ended = true;
                    return Ok(None);
                }
            }
        }
    }

    /// The line that was read last, with its newline.
    fn text(&self) -> &[u8] {
        &self.text
    }

    /// All of them.
    fn all(mut self) -> Result<Vec<MetricLine>, RecordError> {
        let mut all = Vec::new();
        while let Some(line) = self.next_line()? {
            all.push(line.map_err(|problem| RecordError::damaged(self.path, problem))?);
        }
        Ok(all)
    }
}

fn measurement(line: &[u8]) -> Result<MetricLine, String> {
    let text = std::str::from_utf8(line).map_err(|e| e.to_string())?;
    let mut line: MetricLine = serde_json::from_str(text).map_err(|e| e.to_string())?;
    line.value = exact_value(text).unwrap_or(line.value);
    Ok(line)
}

/// Reads a log. An absent file is empty; a last line without its newline was torn by a crash and is dropped.
pub fn read(path: &Path) -> Result<Vec<MetricLine>, RecordError> {
    file::open(path)?.map_or(Ok(Vec::new()), |file| Lines::new(path, BufReader::new(file)).all())
}

/// Measurements in the bytes of a log; see [`read`].
///
/// # Errors
/// Which line is none, and why.
pub fn parse(bytes: &[u8]) -> Result<Vec<MetricLine>, String> {
    Lines::new(Path::new(""), bytes).all().map_err(|error| match error {
        RecordError::Damaged { problem, .. } => problem,
        RecordError::Io { error, .. } => error.to_string(),
    })
}

/// The value as it was written: `serde_json` may miss the last digit of a number, the standard library does not. A resumed
/// run's early stopping must compare the very same values.
fn exact_value(line: &str) -> Option<f64> {
    let (_, value) = line.rsplit_once("\"value\":")?;
    value.trim().strip_suffix('}')?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use std::io::{Seek, SeekFrom};

    use super::*;

    fn line(step: u64, value: f64) -> MetricLine {
        MetricLine { step, split: Split::Train, name: "loss".into(), value }
    }

    #[test]
    fn values_come_back_to_the_last_bit_and_torn_lines_are_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let (mut log, _) = MetricsLog::resume(&path, 0).unwrap();
        let values = [0.9024190306663513, 1.0 / 3.0, 1e-300, 5e22, f64::INFINITY, -0.0];
        for (i, value) in values.into_iter().enumerate() {
            log.append(&line(i as u64, value)).unwrap();
        }
        log.append(&line(6, f64::NAN)).unwrap();
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, [&whole[..], b"{\"step\":7,\"spl"].concat()).unwrap();
        let read_back = read(&path).unwrap();
        assert_eq!(read_back.len(), 7);
        assert!(read_back.iter().zip(values).all(|(l, v)| l.value.to_bits() == v.to_bits()));
        assert!(read_back[6].value.is_nan());

        let (_, kept) = MetricsLog::resume(&path, 3).unwrap();
        assert_eq!(kept, read_back[..4]);
        let lines: Vec<&[u8]> = whole.split_inclusive(|&b| b == b'\n').take(4).collect();
        assert_eq!(std::fs::read(&path).unwrap(), lines.concat(), "what is kept is kept to the letter");
    }

    /// Room for so many bytes, and more later.
    struct Disk {
        written: Vec<u8>,
        room: usize,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let now = bytes.len().min(self.room);
            self.room -= now;
            self.written.extend(&bytes[..now]);
            if now == 0 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(now) }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn nothing_is_appended_to_half_a_line() {
        let mut end = End::of(Disk { written: Vec::new(), room: 10 });
        end.append("seven!\n").unwrap();
        let error = end.append("seven!\n").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        end.to.room = 100;
        assert_eq!(end.append("seven!\n").unwrap_err().to_string(), error.to_string());
        assert_eq!(end.unbroken().unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert_eq!(end.to.written, b"seven!\nsev");
    }

    #[test]
    fn what_a_crash_left_behind_a_checkpoint_is_cut() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let text = |step: u64| serde_json::to_string(&line(step, 0.5)).unwrap() + "\n";
        let torn = |step: u64| text(step)[..20].to_owned();
        let whole = text(1) + &text(2);
        for rest in [torn(3), torn(3) + &text(4), "\0".repeat(9000) + &text(3) + &text(4), text(4) + "?\n"] {
            std::fs::write(&path, whole.clone() + &rest).unwrap();
            let (_, kept) = MetricsLog::resume(&path, 2).unwrap();
            assert_eq!(kept, [line(1, 0.5), line(2, 0.5)]);
            assert_eq!(std::fs::read_to_string(&path).unwrap(), whole, "{rest:?}");
        }
        // What was there when the checkpoint was written is no crash's to tear.
        let damaged = text(1) + &torn(2) + "\n" + &text(2) + &text(3);
        std::fs::write(&path, &damaged).unwrap();
        assert!(MetricsLog::resume(&path, 2).unwrap_err().to_string().contains("line 2 is not a measurement"));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), damaged, "it is left as it was");
        assert!(read(&path).unwrap_err().to_string().contains("line 2"));
    }

    #[test]
    fn a_log_may_be_long_but_not_a_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let first = serde_json::to_string(&line(1, 0.5)).unwrap() + "\n";
        let mut file = File::create(&path).unwrap();
        file.write_all(first.as_bytes()).unwrap();
        // Half a gigabyte, of holes.
        for i in 1..=file::METRICS / LINE + 1 {
            file.seek(SeekFrom::Start(i * (LINE - 1))).unwrap();
            file.write_all(b"\n").unwrap();
        }
        assert_eq!(MetricsLog::resume(&path, 1).unwrap().1, [line(1, 0.5)]);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), first);
        std::fs::File::create(&path).unwrap().set_len(1 << 40).unwrap();
        assert!(MetricsLog::resume(&path, 1).unwrap_err().to_string().contains("line 1 has more than"));
    }
}
