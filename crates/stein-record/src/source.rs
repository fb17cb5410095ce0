//! Experiment files with the place of every value in their text.
//!
//! A [`Source`] is a file and the `--set` assignments that change it, seen as one text: each assignment is parsed as a
//! small document whose first byte lies behind everything before it, so one offset tells both which text and where.
//! A [`Diagnostic`] carries such offsets and is shown with file, line, column and the line itself.

use std::ops::Range;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Offsets into the text of a [`Source`].
pub type Span = Range<usize>;

/// The largest experiment file that is read, in bytes.
pub const MAX_BYTES: usize = 1 << 20;
/// The deepest nesting of brackets that is read.
const MAX_DEPTH: usize = 64;
/// Beyond this many syntax errors the rest are only counted.
const MAX_SYNTAX_ERRORS: usize = 20;

/// One thing that is wrong with an experiment, or unwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// What is wrong, one line.
    pub message: String,
    /// Where; `None` if it is nowhere in particular (a missing table, say).
    pub span: Option<Span>,
    /// What to say at that place.
    pub label: String,
    /// Other places that have to do with it.
    pub related: Vec<(Span, String)>,
    /// What is allowed, or what to do.
    pub help: Vec<String>,
}

impl Diagnostic {
    /// A diagnostic without a place.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), span: None, label: String::new(), related: Vec::new(), help: Vec::new() }
    }

    /// The same, at a place, with a few words there.
    pub fn at(mut self, span: Option<Span>, label: impl Into<String>) -> Self {
        self.span = span;
        self.label = label.into();
        self
    }

    /// The same, with another place that has to do with it.
    pub fn related(mut self, span: Option<Span>, label: impl Into<String>) -> Self {
        self.related.extend(span.map(|span| (span, label.into())));
        self
    }

    /// The same, with a line of help.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help.push(help.into());
        self
    }
}

/// A file and the assignments that change it.
#[derive(Debug, Clone)]
pub struct Source {
    parts: Vec<Part>,
}

#[derive(Debug, Clone)]
struct Part {
    origin: String,
    offset: usize,
    text: String,
    // `text` behind `offset` blanks, so that the parser's spans are offsets into the whole source.
    padded: String,
}

impl Part {
    fn new(origin: String, offset: usize, text: String) -> Self {
        let padded = " ".repeat(offset) + &text;
        Self { origin, offset, text, padded }
    }

    fn end(&self) -> usize {
        self.offset + self.text.len()
    }
}

impl Source {
    /// A source of some bytes, named by their file. A byte order mark is dropped.
    pub fn new(origin: impl Into<String>, bytes: &[u8]) -> Result<Self, Vec<Diagnostic>> {
        let origin = origin.into();
        if bytes.len() > MAX_BYTES {
            return Err(vec![
                Diagnostic::new(format!("{origin} has {} bytes: no experiment file is that long", bytes.len()))
                    .help(format!("at most {MAX_BYTES} bytes are read")),
            ]);
        }
        let text = std::str::from_utf8(bytes).map_err(|e| {
            let before = &bytes[..e.valid_up_to()];
            let line = 1 + before.iter().filter(|&&b| b == b'\n').count();
            let column = 1 + before.iter().rev().take_while(|&&b| b != b'\n').count();
            vec![
                Diagnostic::new(format!("{origin}:{line}:{column}: not UTF-8 text"))
                    .help("TOML files are UTF-8; save it in that encoding"),
            ]
        })?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text).to_owned();
        let source = Self { parts: vec![Part::new(origin, 0, text)] };
        source.refuse_deep_nesting()?;
        Ok(source)
    }

    /// Adds an assignment `key.path=value`, the value in TOML's syntax; a bare word is taken as a string.
    pub fn set(&mut self, assignment: &str) -> Result<(), Vec<Diagnostic>> {
        let origin = format!("--set {assignment}");
        let Some((key, value)) = assignment.split_once('=') else {
            return Err(vec![
                Diagnostic::new(format!("{origin:?} is not an assignment")).help("write --set key.path=value"),
            ]);
        };
        let bare = |v: &str| !v.is_empty() && v.chars().all(|c| c.is_ascii_alphanumeric() || "-_:.".contains(c));
        let is_toml = |text: &str| DeTable::parse(text).is_ok();
        let text = match assignment {
            plain if is_toml(plain) => plain.to_owned(),
            _ if bare(value.trim()) && is_toml(&format!("{key}=\"\"")) => format!("{key}=\"{}\"", value.trim()),
            other => other.to_owned(),
        };
        let offset = self.parts.last().map_or(0, Part::end) + 1;
        self.parts.push(Part::new(origin, offset, text));
        self.refuse_deep_nesting()
    }

    /// The name of the file.
    pub fn origin(&self) -> &str {
        &self.parts[0].origin
    }

    /// Parses file and assignments into one table. All syntax errors are reported.
    pub fn parse(&self) -> Result<Spanned<DeTable<'_>>, Vec<Diagnostic>> {
        let mut problems = Vec::new();
        let mut tables = Vec::new();
        for part in &self.parts {
            let (table, errors) = DeTable::parse_recoverable(&part.padded);
            let more = errors.len().saturating_sub(MAX_SYNTAX_ERRORS);
            problems.extend(errors.iter().take(MAX_SYNTAX_ERRORS).map(|error| {
                let span = error.span().map(|s| s.start.max(part.offset)..s.end.max(part.offset));
                Diagnostic::new(format!("TOML syntax: {}", error.message())).at(span, "")
            }));
            if more > 0 {
                problems.push(Diagnostic::new(format!("and {more} more syntax errors in {}", part.origin)));
            }
            tables.push(table);
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let mut tables = tables.into_iter();
        let Some(mut root) = tables.next() else { return Ok(Spanned::new(0..0, DeTable::new())) };
        for table in tables {
            overlay(root.get_mut(), table.into_inner());
        }
        Ok(root)
    }

    /// The place of a span as `file:line:column`.
    pub fn place(&self, span: &Span) -> String {
        let part = self.part_of(span.start);
        let at = (span.start - part.offset).min(part.text.len());
        let before = &part.text.as_bytes()[..at];
        let line = 1 + before.iter().filter(|&&b| b == b'\n').count();
        let column = 1 + before.iter().rev().take_while(|&&b| b != b'\n').count();
        format!("{}:{line}:{column}", part.origin)
    }

    /// Shows diagnostics for a person, with the lines that they speak of.
    pub fn render(&self, diagnostics: &[Diagnostic], color: bool) -> String {
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        diagnostics.iter().map(|d| self.render_one(d, &renderer) + "\n").collect::<Vec<_>>().join("\n")
    }

    fn render_one(&self, diagnostic: &Diagnostic, renderer: &Renderer) -> String {
        let mut group = annotate_snippets::Group::with_title(Level::ERROR.primary_title(&diagnostic.message));
        if let Some(span) = &diagnostic.span {
            let mut spans = vec![(span, &diagnostic.label, AnnotationKind::Primary)];
            spans.extend(diagnostic.related.iter().map(|(s, l)| (s, l, AnnotationKind::Context)));
            for part in &self.parts {
                let mut here = spans.iter().filter(|(s, ..)| self.part_of(s.start).offset == part.offset).peekable();
                if here.peek().is_none() {
                    continue;
                }
                let mut snippet = Snippet::source(&part.text).path(&part.origin);
                for (span, label, kind) in here {
                    let start = (span.start - part.offset).min(part.text.len());
                    let end = span.end.saturating_sub(part.offset).clamp(start, part.text.len());
                    let annotation = kind.span(start..end);
                    snippet = snippet.annotation(if label.is_empty() {
                        annotation
                    } else {
                        annotation.label(label.as_str())
                    });
                }
                group = group.element(snippet);
            }
        }
        for help in &diagnostic.help {
            group = group.element(Level::HELP.message(help));
        }
        renderer.render(&[group])
    }

    fn part_of(&self, offset: usize) -> &Part {
        self.parts.iter().rev().find(|p| p.offset <= offset).unwrap_or(&self.parts[0])
    }

    // The parser recurses; a megabyte of brackets must not reach it.
    fn refuse_deep_nesting(&self) -> Result<(), Vec<Diagnostic>> {
        let part = self.parts.last().expect("a source has a file");
        let mut depth = 0usize;
        for (i, byte) in part.text.bytes().enumerate() {
            match byte {
                b'[' | b'{' => depth += 1,
                b']' | b'}' => depth = depth.saturating_sub(1),
                b'\n' if depth < 2 => depth = 0,
                _ => {}
            }
            if depth > MAX_DEPTH {
                let at = part.offset + i;
                return Err(vec![Diagnostic::new(format!(
                    "{}: brackets nested more than {MAX_DEPTH} deep",
                    self.place(&(at..at))
                ))]);
            }
        }
        Ok(())
    }
}

// Tables are merged, anything else is replaced. A table that names another `kind` replaces the old one's keys: they
// belong to the old kind.
fn overlay<'s>(base: &mut DeTable<'s>, over: DeTable<'s>) {
    for (key, value) in over {
        let name = key.get_ref().to_string();
        let span = value.span();
        match (base.get_mut(name.as_str()).map(Spanned::get_mut), value.into_inner()) {
            (Some(DeValue::Table(old)), DeValue::Table(new)) => {
                let switched = new.get("kind").is_some_and(|k| old.get("kind").map(text_of) != Some(text_of(k)));
                if switched {
                    *old = DeTable::new();
                }
                overlay(old, new);
            }
            (_, value) => {
                base.insert(key, Spanned::new(span, value));
            }
        }
    }
}

fn text_of(value: &Spanned<DeValue<'_>>) -> Option<String> {
    value.get_ref().as_str().map(str::to_owned)
}

/// The candidate nearest to a mistyped name, if one is near enough to be meant.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|c| (strsim::damerau_levenshtein(&name.to_lowercase(), &c.to_lowercase()), c))
        .filter(|(distance, c)| *distance <= 1 + c.len().max(name.len()) / 3)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, c)| c)
}

/// Names as a list in backticks: "`a`, `b` and `c`".
pub fn list_of<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<String> = names.into_iter().map(|n| format!("`{n}`")).collect();
    match names.as_slice() {
        [] => "nothing".into(),
        [one] => one.clone(),
        [init @ .., last] => format!("{} and {last}", init.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assignments_override_and_point_at_themselves() {
        let mut source = Source::new("a.toml", b"seed = 1\n[schedule]\nkind = \"geometric\"\nlevels = 10\n").unwrap();
        source.set("schedule.levels=20").unwrap();
        source.set("device=wgpu:discrete:1").unwrap();
        let root = source.parse().unwrap();
        let schedule = root.get_ref()["schedule"].get_ref().as_table().unwrap();
        assert_eq!(schedule["levels"].get_ref().as_integer().unwrap().as_str(), "20");
        assert_eq!(source.place(&schedule["levels"].span()), "--set schedule.levels=20:1:17");
        assert_eq!(source.place(&schedule["kind"].span()), "a.toml:3:8");
        assert_eq!(root.get_ref()["device"].get_ref().as_str(), Some("wgpu:discrete:1"));
    }

    #[test]
    fn another_kind_drops_the_old_keys() {
        let mut source = Source::new("a.toml", b"[sampler]\nkind = \"langevin\"\nsteps = 10\n").unwrap();
        source.set("sampler.kind=annealed-langevin").unwrap();
        let root = source.parse().unwrap();
        assert!(!root.get_ref()["sampler"].get_ref().as_table().unwrap().contains_key("steps"));
    }

    #[test]
    fn every_syntax_error_is_reported_with_its_line() {
        let source = Source::new("b.toml", b"a = \nb = 1\nc = [1,\n[x\n").unwrap();
        let problems = source.parse().unwrap_err();
        assert!(problems.len() >= 2, "{problems:?}");
        let text = source.render(&problems, false);
        assert!(text.contains("b.toml:1:5"), "{text}");
    }

    #[test]
    fn hostile_files_are_refused() {
        assert!(Source::new("c.toml", &vec![b'['; 1 << 19]).unwrap_err()[0].message.contains("nested"));
        assert!(Source::new("c.toml", &vec![b' '; MAX_BYTES + 1]).unwrap_err()[0].message.contains("bytes"));
        assert!(Source::new("c.toml", b"a = 1\nb = \"\xff\"").unwrap_err()[0].message.starts_with("c.toml:2:6"));
    }

    #[test]
    fn near_names_are_suggested() {
        assert_eq!(nearest("geometirc", ["geometric", "karras"]), Some("geometric"));
        assert_eq!(nearest("zzz", ["geometric", "karras"]), None);
        assert_eq!(list_of(["a", "b", "c"]), "`a`, `b` and `c`");
    }
}
