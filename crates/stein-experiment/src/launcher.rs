//! `[launcher]`: how cells are handed to a scheduler. No run is another by it: it enters no hash and no run directory.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stein_core::Invalid;
use stein_record::source::Diagnostic;
use toml::de::DeTable;

use crate::section::Section;

/// Slurm signals the time limit up to so much early.
const EARLY: Duration = Duration::from_secs(60);
/// The longest notice that Slurm gives, in seconds.
const LONGEST_GRACE: u64 = 65_535;
/// The longest time limit, in seconds: a year.
const LONGEST_TIME: u64 = 365 * 86_400;
/// Options of `sbatch` that are stein's own.
const OWN: [&str; 19] = [
    "--array",
    "-a",
    "--dependency",
    "-d",
    "--chdir",
    "-D",
    "--output",
    "-o",
    "--error",
    "-e",
    "--job-name",
    "-J",
    "--signal",
    "--wrap",
    "--parsable",
    "--wait",
    "-W",
    "--open-mode",
    "--no-requeue",
];

/// `[launcher]`: how `stein run --launcher` hands cells to a scheduler; no part of what a run is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Launcher {
    /// What `--launcher slurm` asks of Slurm for each cell.
    pub slurm: Slurm,
}

/// `[launcher.slurm]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Slurm {
    /// The partition, or several with commas between them; Slurm's default if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partition: Option<String>,
    /// The account that is charged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// The quality of service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub qos: Option<String>,
    /// The time limit of a cell: 90m, 2h, 1day, or as Slurm writes it: 1-12:00:00. A cell that it stops is queued again, and its
    /// training goes on from its checkpoint; sampling and measuring begin again, so it must be enough for these.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
    /// GPUs of a cell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpus: Option<Gpus>,
    /// Cores of a cell.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65536))]
    pub cpus: Option<u32>,
    /// Memory of a cell: 500M, 16G.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<String>,
    /// Cells of a launch that run at a time at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub concurrency: Option<u32>,
    /// How long before the time limit a cell is told to save a checkpoint.
    pub grace: String,
    /// A cell that the time limit or a preemption stopped is queued again as long as it was started again less often than this, for
    /// whatever reason: Slurm counts restarts by hand too.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub requeues: u32,
    /// Further options of sbatch, as after #SBATCH: "--constraint=a100".
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub directives: Vec<String>,
    /// Lines of shell that a job runs first: "module load vulkan".
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub setup: Vec<String>,
}

/// GPUs: 1, or with their type "a100:1".
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Gpus {
    /// So many.
    Number(#[schemars(range(min = 1, max = 1024))] u32),
    /// `type:number`.
    Typed(String),
}

impl std::fmt::Display for Gpus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(n) => write!(f, "{n}"),
            Self::Typed(text) => f.write_str(text),
        }
    }
}

impl Default for Slurm {
    fn default() -> Self {
        Self {
            partition: None,
            account: None,
            qos: None,
            time: None,
            gpus: None,
            cpus: None,
            memory: None,
            concurrency: None,
            grace: "2m".into(),
            requeues: 50,
            directives: Vec::new(),
            setup: Vec::new(),
        }
    }
}

impl Launcher {
    /// Takes `[launcher]` out of a file; `None` if it is not there.
    pub(crate) fn take(root: &mut DeTable<'_>) -> Result<Option<Self>, Vec<Diagnostic>> {
        let section = Section::take(root, "launcher").map_err(|d| vec![d])?;
        if section.is_absent() {
            return Ok(None);
        }
        let places = section.places();
        let launcher: Self = section.settings()?;
        launcher.slurm.check().map_err(|Invalid { key, message }| {
            let key = key.map(|key| format!("slurm.{key}"));
            vec![Diagnostic::new(format!("[launcher.slurm]: {message}")).at(places.of(key.as_deref()), "")]
        })?;
        Ok(Some(launcher))
    }

    /// What differs from the defaults, as a table `launcher`.
    pub fn to_table(&self) -> toml::Table {
        let slurm = toml::Table::try_from(&self.slurm).unwrap_or_else(|e| panic!("[launcher.slurm]: {e}"));
        let slurm = stein_core::without_defaults::<Slurm>(slurm);
        let table = |name: &str, inner: toml::Table| toml::Table::from_iter([(name.to_owned(), inner.into())]);
        table("launcher", table("slurm", slurm))
    }
}

impl Slurm {
    /// The time limit, if there is one.
    pub fn time_limit(&self) -> Option<Duration> {
        self.time.as_deref().and_then(|text| duration(text).ok())
    }

    /// How long before the time limit a cell is told to stop.
    pub fn notice(&self) -> Duration {
        duration(&self.grace).unwrap_or_default()
    }

    /// Refuses what Slurm, or the shell, would not take for what it is meant to be.
    ///
    /// # Errors
    /// The first key that is wrong.
    pub fn check(&self) -> Result<(), Invalid> {
        for (key, value) in [("partition", &self.partition), ("account", &self.account), ("qos", &self.qos)] {
            value.as_deref().map_or(Ok(()), |value| name(key, value))?;
        }
        let time = self.time.as_deref().map(|text| seconds("time", text, LONGEST_TIME)).transpose()?;
        let grace = seconds("grace", &self.grace, LONGEST_GRACE)?;
        if let Some(time) = time
            && time < grace + EARLY
        {
            let (given, grace) = (self.time.as_deref().unwrap_or_default(), &self.grace);
            let message = format!(
                "`time` is {given:?}, and a cell is told to stop {grace} before that; it must be a minute longer than `grace` at least"
            );
            return Err(Invalid::key("time", message));
        }
        self.gpus.as_ref().map_or(Ok(()), gpus)?;
        self.memory.as_deref().map_or(Ok(()), memory)?;
        for (key, count, most) in [("cpus", self.cpus, 65_536), ("concurrency", self.concurrency, 1_000_000)] {
            if let Some(count) = count.filter(|count| !(1..=most).contains(count)) {
                return Err(Invalid::key(key, format!("`{key}` is {count}; it must be from 1 to {most}")));
            }
        }
        Invalid::unless_at_most("requeues", self.requeues as usize, 1_000_000)?;
        for (i, directive) in self.directives.iter().enumerate() {
            self::directive(&format!("directives.{i}"), directive)?;
        }
        for (i, line) in self.setup.iter().enumerate() {
            one_line(&format!("setup.{i}"), "setup", line)?;
        }
        Ok(())
    }
}

/// A name as Slurm has them, or several.
fn name(key: &str, value: &str) -> Result<(), Invalid> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.,@".contains(c);
    if !value.is_empty() && !value.starts_with('-') && value.chars().all(allowed) {
        return Ok(());
    }
    let message = format!("`{key}` is {value:?}; letters, digits, `-`, `_`, `.`, `@` and `,` are allowed");
    Err(Invalid::key(key, message))
}

fn seconds(key: &str, text: &str, most: u64) -> Result<Duration, Invalid> {
    let wrong = |what: &str| Invalid::key(key, format!("`{key}` is {text:?}; {what}"));
    match duration(text) {
        Ok(time) if time.as_secs() == 0 => Err(wrong("it must be a second at least")),
        Ok(time) if time.as_secs() > most => Err(wrong(&format!("it must be at most {most} seconds"))),
        Ok(time) => Ok(time),
        Err(()) => Err(wrong("write it as 90m, 2h or 1day, or as Slurm does: 02:00:00, 1-12:00:00")),
    }
}

/// `2h 30m`, or Slurm's `[days-]hours:minutes:seconds`. Its bare numbers are left out: minutes there, nothing here.
fn duration(text: &str) -> Result<Duration, ()> {
    if !text.contains([':', '-']) {
        return humantime::parse_duration(text).map_err(drop);
    }
    let number = |digits: &str| -> Result<u64, ()> {
        let plain = (1..=6).contains(&digits.len()) && digits.chars().all(|c| c.is_ascii_digit());
        if plain { digits.parse().map_err(drop) } else { Err(()) }
    };
    let (days, clock) = match text.split_once('-') {
        Some((days, clock)) => (Some(number(days)?), clock),
        None => (None, text),
    };
    let parts = clock.split(':').map(number).collect::<Result<Vec<u64>, ()>>()?;
    let (hours, minutes, seconds) = match (days.is_some(), &parts[..]) {
        (_, &[hours, minutes, seconds]) => (hours, minutes, seconds),
        (true, &[hours, minutes]) => (hours, minutes, 0),
        (true, &[hours]) => (hours, 0, 0),
        (false, &[minutes, seconds]) => (0, minutes, seconds),
        _ => return Err(()),
    };
    Ok(Duration::from_secs(days.unwrap_or(0) * 86_400 + hours * 3600 + minutes * 60 + seconds))
}

fn gpus(gpus: &Gpus) -> Result<(), Invalid> {
    let number = |n: &str| n.parse().is_ok_and(|n: u32| (1..=1024).contains(&n));
    let kind = |kind: &str| !kind.is_empty() && kind.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    let text = gpus.to_string();
    let known = match text.split_once(':') {
        Some((of, n)) => kind(of) && number(n),
        None => number(&text),
    };
    if known {
        return Ok(());
    }
    Err(Invalid::key(
        "gpus",
        format!("`gpus` is {text:?}; write a number from 1 to 1024, or \"type:number\": \"a100:1\""),
    ))
}

fn memory(text: &str) -> Result<(), Invalid> {
    let digits = text.strip_suffix(['K', 'M', 'G', 'T']).unwrap_or(text);
    let known = (1..=9).contains(&digits.len()) && digits.chars().all(|c| c.is_ascii_digit());
    if known && digits.chars().any(|c| c != '0') {
        return Ok(());
    }
    Err(Invalid::key("memory", format!("`memory` is {text:?}; write a number of K, M, G or T: \"500M\", \"16G\"")))
}

fn directive(key: &str, text: &str) -> Result<(), Invalid> {
    one_line(key, "directives", text)?;
    if !text.starts_with('-') || name_of(text).trim_start_matches('-').is_empty() {
        let what = format!(
            "{text:?} in `directives` is no option of sbatch; write it as after #SBATCH: \"--constraint=a100\""
        );
        return Err(Invalid::key(key, what));
    }
    // sbatch takes these away itself.
    let bare = text.replace(['"', '\'', '\\'], "");
    if let Some(option) = bare.split_whitespace().map(name_of).find(|option| is_own(option)) {
        let what = format!("`{option}` in `directives` is stein's own to set");
        return Err(Invalid::key(key, what));
    }
    Ok(())
}

/// `--array` of `--array=0-3`, `-a` of `-a0-3`.
fn name_of(word: &str) -> &str {
    let name = word.split(['=', ' ', '\t']).next().unwrap_or_default();
    name.get(..2).filter(|_| !name.starts_with("--")).unwrap_or(name)
}

/// Shortened too: sbatch takes `--arr` for `--array`, and no whole name of another option begins one of these.
fn is_own(option: &str) -> bool {
    OWN.iter().any(|own| if option.len() > 2 { own.starts_with(option) } else { *own == option })
}

/// A line of a script is one line.
fn one_line(key: &str, of: &str, text: &str) -> Result<(), Invalid> {
    if text.chars().all(|c| !c.is_control() || c == '\t') {
        return Ok(());
    }
    Err(Invalid::key(key, format!("{text:?} in `{of}` is not one line of text; give each line an entry of its own")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_ours_or_slurms() {
        let seconds = |text: &str| duration(text).map(|time| time.as_secs());
        for (text, expected) in [
            ("90s", 90),
            ("2h", 7200),
            ("2h 30m", 9000),
            ("1day", 86_400),
            ("02:00:00", 7200),
            ("30:15", 1815),
            ("1-0", 86_400),
            ("1-12:30", 131_400),
            ("2-00:00:01", 172_801),
        ] {
            assert_eq!(seconds(text), Ok(expected), "{text}");
        }
        for wrong in ["", "90", "soon", "1-", "-1", "1:2:3:4", "1-1:1:1:1", "a:b", "1:+2", "999999999999:00"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_could_break_out_of_a_script_is_refused_at_its_key() {
        let key = |slurm: Slurm| slurm.check().expect_err("wrong").key.expect("a key");
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(key(Slurm { partition: text("gpu\nrm -rf ~"), ..Slurm::default() }), "partition");
        assert_eq!(key(Slurm { partition: text("gpu; id"), ..Slurm::default() }), "partition");
        assert_eq!(key(Slurm { account: text(""), ..Slurm::default() }), "account");
        assert_eq!(key(Slurm { qos: text("$(id)"), ..Slurm::default() }), "qos");
        assert_eq!(key(Slurm { time: text("90"), ..Slurm::default() }), "time");
        assert_eq!(key(Slurm { time: text("2m"), ..Slurm::default() }), "time");
        assert_eq!(key(Slurm { grace: "0s".into(), ..Slurm::default() }), "grace");
        assert_eq!(key(Slurm { memory: text("16 G"), ..Slurm::default() }), "memory");
        assert_eq!(key(Slurm { memory: text("0G"), ..Slurm::default() }), "memory");
        assert_eq!(key(Slurm { cpus: Some(0), ..Slurm::default() }), "cpus");
        assert_eq!(key(Slurm { concurrency: Some(0), ..Slurm::default() }), "concurrency");
        for wrong in ["a100", "a100:0", ":1", "a 100:1", "a100:1:1"] {
            assert_eq!(key(Slurm { gpus: Some(Gpus::Typed(wrong.into())), ..Slurm::default() }), "gpus", "{wrong}");
        }
        for wrong in ["constraint=a100", "--x\n#SBATCH --y", "--array=0-9", "-a0-9", "--", "--wrap=id"] {
            let directives = vec!["--exclusive".into(), wrong.into()];
            assert_eq!(key(Slurm { directives, ..Slurm::default() }), "directives.1", "{wrong:?}");
        }
        for own in [
            "--arr=0-9",
            "--no-req",
            "--no-requeue",
            "--exclusive --dep=singleton",
            "--exclusive \"--array=0-9\"",
            "--open-mode truncate",
            "-C x -o y",
            "-W",
        ] {
            assert_eq!(key(Slurm { directives: vec![own.into()], ..Slurm::default() }), "directives.0", "{own:?}");
        }
        assert_eq!(key(Slurm { setup: vec!["a\nb".into()], ..Slurm::default() }), "setup.0");
    }

    #[test]
    fn only_what_differs_from_the_defaults_is_written() {
        let slurm = Slurm {
            partition: Some("gpu,long".into()),
            time: Some("1-00:00:00".into()),
            gpus: Some(Gpus::Typed("a100:1".into())),
            memory: Some("16G".into()),
            directives: ["--constraint=a|b", "-C x", "--exclusive --nice=-5", "--requeue", "--wait-all-nodes=1"]
                .map(String::from)
                .into(),
            ..Slurm::default()
        };
        assert_eq!(slurm.check(), Ok(()));
        let text = Launcher { slurm }.to_table().to_string();
        assert!(text.contains("partition = \"gpu,long\"") && text.contains("gpus = \"a100:1\""), "{text}");
        assert!(!text.contains("grace") && !text.contains("setup"), "{text}");
    }
}
