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
/// Beyond this many syntax errors the rest are only counted.
const MAX_SYNTAX_ERRORS: usize = 20;
/// Beyond this many problems the rest are only counted: each is shown with its line, which may be the whole file.
const MAX_SHOWN: usize = 100;

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

    /// Syntax errors in the order of the text, one for each line: the parser goes on after an error, and what it then says of
    /// the same line follows from the first.
    fn syntax_problems(&self, errors: &[toml::de::Error]) -> Vec<Diagnostic> {
        let mut found: Vec<(Span, &str)> = errors
            .iter()
            .map(|e| {
                let span = e.span().unwrap_or(self.offset..self.offset);
                (span.start.max(self.offset)..span.end.max(self.offset), e.message())
            })
            .collect();
        // Something without an end swallows what follows; it is the one thing to say.
        let rank = |message: &str| match message {
            m if m.contains("recurs") => 0,
            m if m.starts_with("unclosed ") => 1,
            _ => 2,
        };
        found.sort_by_key(|(span, message)| (rank(message), span.start));
        // Looked up: a file may have as many errors as lines.
        let ends: Vec<usize> = self.text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(i, _)| i).collect();
        let line = |at: usize| ends.partition_point(|&end| end < at - self.offset);
        let mut lines = std::collections::BTreeSet::new();
        found.retain(|(span, _)| lines.insert(line(span.start)));
        found.sort_by_key(|(span, _)| span.start);
        let more = found.len().saturating_sub(MAX_SYNTAX_ERRORS);
        let mut problems: Vec<Diagnostic> = found
            .into_iter()
            .take(MAX_SYNTAX_ERRORS)
            .map(|(span, message)| self.syntax_problem(span, message))
            .collect();
        if more > 0 {
            problems.push(Diagnostic::new(format!("and {more} more syntax errors in {}", self.origin)));
        }
        problems
    }

    /// The parser's words in ours, where we have better ones.
    fn syntax_problem(&self, span: Span, message: &str) -> Diagnostic {
        let rest = self.text.get(span.start - self.offset..).unwrap_or_default();
        let rest = rest.trim_start_matches([' ', '\t', '\r']);
        let nothing_follows = rest.is_empty() || rest.starts_with(['\n', '#']);
        let (what, help) = match message {
            m if m.starts_with("string values must be quoted") && nothing_follows => {
                ("a value is missing", "write key = value")
            }
            m if m.starts_with("string values must be quoted") => {
                ("this is no value", "strings are written in quotes: \"like this\"")
            }
            m if m.starts_with("duplicate key") => {
                ("a duplicate: this name was given before", "a key or table may stand only once; keep one of them")
            }
            m if m.starts_with("invalid basic string") => {
                ("the string has no end", "close it with \" on the same line")
            }
            m if m.starts_with("key with no value") => ("the key has no value", "write key = value"),
            m if m.starts_with("invalid unquoted key") => ("this does not belong in a key", "write key = value"),
            m if m.starts_with("unexpected key or value") => (
                "this should not follow the value",
                "one key = value on each line; numbers have a decimal point, not a comma",
            ),
            m if m.contains("recurs") => ("lists or tables are nested too deeply", ""),
            m => (m, ""),
        };
        let diagnostic = Diagnostic::new(format!("TOML syntax: {what}")).at(Some(span), "");
        if help.is_empty() { diagnostic } else { diagnostic.help(help) }
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
        Ok(Self { parts: vec![Part::new(origin, 0, text)] })
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
        Ok(())
    }

    /// The name of the file.
    pub fn origin(&self) -> &str {
        &self.parts[0].origin
    }

    /// The text of the file, without the assignments.
    pub fn text(&self) -> &str {
        &self.parts[0].text
    }

    /// Parses file and assignments into one table. All syntax errors are reported.
    ///
    /// An assignment of another `kind` to a table of the file drops the keys that the file gives there, since they belong to
    /// the old kind; those in `common` belong to every kind and stay.
    pub fn parse(&self, common: &[&str]) -> Result<Spanned<DeTable<'_>>, Vec<Diagnostic>> {
        let mut problems = Vec::new();
        let mut tables = Vec::new();
        for part in &self.parts {
            let (table, errors) = DeTable::parse_recoverable(&part.padded);
            problems.extend(part.syntax_problems(&errors));
            tables.push(table);
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let mut tables = tables.into_iter();
        let Some(mut root) = tables.next() else { return Ok(Spanned::new(0..0, DeTable::new())) };
        let assigned = tables.fold(DeTable::new(), |mut all, table| {
            overlay(&mut all, table.into_inner());
            all
        });
        merge(root.get_mut(), assigned, common);
        Ok(root)
    }

    /// Whether something stands in an assignment, not in the file.
    pub fn is_assigned(&self, span: &Span) -> bool {
        self.part_of(span.start).offset > 0
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
        let more = diagnostics.len().saturating_sub(MAX_SHOWN);
        let more = (more > 0).then(|| Diagnostic::new(format!("and {more} more problems in {}", self.origin())));
        let shown = diagnostics.iter().take(MAX_SHOWN).chain(&more);
        shown.map(|d| self.render_one(d, &renderer) + "\n").collect::<Vec<_>>().join("\n")
    }

    fn render_one(&self, diagnostic: &Diagnostic, renderer: &Renderer) -> String {
        let mut group = annotate_snippets::Group::with_title(Level::ERROR.primary_title(&diagnostic.message));
        // Where the key itself is not in the text (a default), the first place that has to do with it comes first.
        let own = diagnostic.span.iter().map(|span| (span, &diagnostic.label));
        let places: Vec<_> = own.chain(diagnostic.related.iter().map(|(s, l)| (s, l))).collect();
        if !places.is_empty() {
            let kinds = std::iter::once(AnnotationKind::Primary).chain(std::iter::repeat(AnnotationKind::Context));
            let spans: Vec<_> =
                places.into_iter().zip(kinds).map(|((span, label), kind)| (span, label, kind)).collect();
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
}

/// Lays a table over another: tables are merged, anything else is replaced. Another `kind` drops the keys of the old one, but
/// for those in `common`.
pub fn merge<'s>(base: &mut DeTable<'s>, over: DeTable<'s>, common: &[&str]) {
    drop_switched(base, &over, common);
    overlay(base, over);
}

fn overlay<'s>(base: &mut DeTable<'s>, over: DeTable<'s>) {
    for (key, value) in over {
        let name = key.get_ref().to_string();
        let span = value.span();
        match (base.get_mut(name.as_str()).map(Spanned::get_mut), value.into_inner()) {
            (Some(DeValue::Table(old)), DeValue::Table(new)) => overlay(old, new),
            (_, value) => {
                base.insert(key, Spanned::new(span, value));
            }
        }
    }
}

fn drop_switched(base: &mut DeTable<'_>, over: &DeTable<'_>, common: &[&str]) {
    for (key, value) in over.iter() {
        let old = base.get_mut(key.get_ref().as_ref()).map(Spanned::get_mut);
        let (Some(DeValue::Table(old)), DeValue::Table(new)) = (old, value.get_ref()) else { continue };
        let kinds = (old.get("kind").and_then(text_of), new.get("kind").and_then(text_of));
        if let (Some(before), Some(after)) = kinds
            && before != after
        {
            let names: Vec<String> = old.keys().map(|key| key.get_ref().to_string()).collect();
            for name in names.iter().filter(|name| !common.contains(&name.as_str())) {
                old.remove(name.as_str());
            }
        }
    }
}

fn text_of(value: &Spanned<DeValue<'_>>) -> Option<String> {
    value.get_ref().as_str().map(str::to_owned)
}

/// No name that a file may have is as long.
const MAX_NAME: usize = 100;

/// The candidate nearest to a mistyped name, if one is near enough to be meant.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // The distance takes time and memory of both lengths' product.
    if name.len() > MAX_NAME {
        return None;
    }
    candidates
        .into_iter()
        .map(|c| (strsim::damerau_levenshtein(&name.to_lowercase(), &c.to_lowercase()), c))
        .filter(|(distance, c)| {
            *distance <= 1 + c.len().max(name.len()) / 3 && 2 * *distance <= c.len().max(name.len())
        })
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
        let root = source.parse(&[]).unwrap();
        let schedule = root.get_ref()["schedule"].get_ref().as_table().unwrap();
        assert_eq!(schedule["levels"].get_ref().as_integer().unwrap().as_str(), "20");
        assert_eq!(source.place(&schedule["levels"].span()), "--set schedule.levels=20:1:17");
        assert_eq!(source.place(&schedule["kind"].span()), "a.toml:3:8");
        assert_eq!(root.get_ref()["device"].get_ref().as_str(), Some("wgpu:discrete:1"));
    }

    #[test]
    fn another_kind_drops_the_files_keys_but_not_the_assignments_and_not_the_common_ones() {
        let text = b"[sampler]\nkind = \"langevin\"\nsteps = 10\ndenoise = true\n";
        let keys = |sets: &[&str]| {
            let mut source = Source::new("a.toml", text).unwrap();
            sets.iter().for_each(|set| source.set(set).unwrap());
            let root = source.parse(&["denoise"]).unwrap();
            let table = root.get_ref()["sampler"].get_ref().as_table().unwrap();
            let mut keys: Vec<String> = table.keys().map(|k| k.get_ref().to_string()).collect();
            keys.sort();
            keys.join(" ")
        };
        assert_eq!(keys(&["sampler.kind=annealed-langevin"]), "denoise kind");
        assert_eq!(keys(&["sampler.kind=langevin"]), "denoise kind steps");
        for order in [["sampler.kind=edm", "sampler.churn=1"], ["sampler.churn=1", "sampler.kind=edm"]] {
            assert_eq!(keys(&order), "churn denoise kind");
        }
    }

    #[test]
    fn every_syntax_error_is_reported_with_its_line() {
        let source = Source::new("b.toml", b"a = \nb = 1\nc = [1,\n[x\n").unwrap();
        let problems = source.parse(&[]).unwrap_err();
        assert!(problems.len() >= 2, "{problems:?}");
        let text = source.render(&problems, false);
        assert!(text.contains("b.toml:1:5"), "{text}");
    }

    #[test]
    fn hostile_files_are_refused() {
        for open in ["[", "a=[", "a=[\n[\n", "a={b=", "a.a."] {
            let source = Source::new("c.toml", open.repeat(100_000).as_bytes()).unwrap();
            assert!(source.parse(&[]).is_err(), "{open:?} without end");
        }
        let wrong_lines = Source::new("c.toml", &b"a\n".repeat(MAX_BYTES / 2)).unwrap();
        let problems = wrong_lines.parse(&[]).unwrap_err();
        assert_eq!(problems.len(), MAX_SYNTAX_ERRORS + 1);
        assert!(problems[MAX_SYNTAX_ERRORS].message.contains("more syntax errors"));
        assert_eq!(nearest(&"geometric".repeat(100_000), ["geometric"]), None);
        let source = Source::new("c.toml", b"a = 1\n").unwrap();
        let many = vec![Diagnostic::new("wrong").at(Some(0..1), ""); 100_000];
        let said = source.render(&many, false);
        assert!(said.len() < 20_000 && said.contains("and 99900 more problems"), "{}", said.len());
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
