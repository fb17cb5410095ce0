//! The command of one cell, as another process is given it; and words as a shell reads them.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use super::Failure;
use super::arguments::{Run, Voice};

/// The arguments of a cell that every way of starting it has in common; the file comes last, after `--`.
pub(crate) fn of_cell(arguments: &Run, runs: &Path, voice: Voice) -> Vec<OsString> {
    let mut words = vec![option("--runs", runs.as_os_str())];
    words.extend(arguments.experiment.set.iter().map(|set| option("--set", set.as_ref())));
    if let Some(time) = arguments.timeout {
        words.push(option("--timeout", humantime::format_duration(time).to_string().as_ref()));
    }
    if voice.verbose {
        words.push("--verbose".into());
    }
    words
}

/// An option and its value in one word: a value may begin with a dash.
pub(crate) fn option(name: &str, value: &OsStr) -> OsString {
    let mut option = OsString::from(name);
    option.push("=");
    option.push(value);
    option
}

/// Words as a line of POSIX shell.
pub(crate) fn line(words: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Result<String, Failure> {
    let words: Vec<String> = words.into_iter().map(|word| quoted(word.as_ref())).collect::<Result<_, _>>()?;
    Ok(words.join(" "))
}

/// A word in quotes, if a shell would read it as anything else without.
pub(crate) fn quoted(word: &OsStr) -> Result<String, Failure> {
    let text = word.to_str().filter(|text| !text.contains(['\n', '\r', '\0']));
    let Some(text) = text else {
        return Err(Failure::usage(format!("{word:?} cannot stand in a script: it must be one line of UTF-8 text")));
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    // NAME=value in front of a command would be an assignment.
    let assigns = text.contains('=') && !text.starts_with('-');
    if !text.is_empty() && text.chars().all(plain) && !assigns {
        return Ok(text.to_owned());
    }
    Ok(format!("'{}'", text.replace('\'', r"'\''")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_survive_a_shell() {
        let words =
            ["plain", "", "two words", "it's", "$HOME", "`id`", "--set=a=[1, \"x\"]", "a=b", "~", "*", "ü", "\\", "#"];
        let line = line(words).unwrap_or_else(|_| panic!("{words:?}"));
        assert!(line.starts_with("plain '' 'two words' 'it'\\''s' '$HOME'"), "{line}");
        if cfg!(unix) {
            let script = format!("printf '%s\\n' {line}");
            let output = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
            let said = String::from_utf8(output.stdout).unwrap();
            assert_eq!(said.lines().collect::<Vec<_>>(), words);
        }
        assert!(quoted(OsStr::new("two\nlines")).is_err());
    }
}
