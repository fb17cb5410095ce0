//! What one value of an axis changes in the file's table.

use serde_json::Value;
use stein_record::source::{Diagnostic, Source, Span, merge};
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use crate::experiment::COMMON_KEYS;

/// No key of ours is longer or lies deeper; a hostile one would be copied for everything in it.
const LONGEST_KEY: usize = 100;
const DEEPEST: usize = 8;

/// A key path and what it becomes: a table (one with `kind`) takes the place of the file's, anything else is set.
#[derive(Debug, Clone)]
pub(super) struct Change<'s> {
    pub(super) path: Vec<String>,
    /// Where the key stands in `[sweep]`.
    pub(super) key: Span,
    pub(super) value: Spanned<DeValue<'s>>,
}

/// Takes a table apart: a change for every table with `kind` and for every other value.
pub(super) fn flatten<'s>(path: &[String], key: Span, value: Spanned<DeValue<'s>>, out: &mut Vec<Change<'s>>) {
    let span = value.span();
    match value.into_inner() {
        DeValue::Table(table) if !table.contains_key("kind") => {
            for (key, value) in table {
                let path: Vec<String> = path.iter().cloned().chain([key.get_ref().to_string()]).collect();
                flatten(&path, key.span(), value, out);
            }
        }
        value => out.push(Change { path: path.to_vec(), key, value: Spanned::new(span, value) }),
    }
}

/// Splits a key path.
pub(super) fn path_of(name: &str, span: Span) -> Result<Vec<String>, Diagnostic> {
    if name.split('.').count() > DEEPEST {
        return Err(too_deep(span));
    }
    let path: Vec<String> = name.split('.').map(str::to_owned).collect();
    path.iter().try_for_each(|key| checked_key(key, span.clone()))?;
    Ok(path)
}

/// Refuses keys in a value that nobody means.
pub(super) fn checked_keys(value: &Spanned<DeValue<'_>>, depth: usize) -> Result<(), Diagnostic> {
    let Some(table) = value.get_ref().as_table() else { return Ok(()) };
    if depth >= DEEPEST {
        return Err(too_deep(value.span()));
    }
    table.iter().try_for_each(|(key, value)| {
        checked_key(key.get_ref(), key.span())?;
        checked_keys(value, depth + 1)
    })
}

fn checked_key(key: &str, span: Span) -> Result<(), Diagnostic> {
    if (1..=LONGEST_KEY).contains(&key.len()) {
        return Ok(());
    }
    let length = key.len();
    Err(Diagnostic::new(format!("a key of {length} bytes; keys have 1 to {LONGEST_KEY}")).at(Some(span), ""))
}

fn too_deep(span: Span) -> Diagnostic {
    Diagnostic::new(format!("this lies too deep; no key of an experiment is in more than {DEEPEST} tables"))
        .at(Some(span), "")
}

/// The file's table with some changes.
pub(super) fn changed<'a, 's: 'a>(base: &DeTable<'s>, changes: impl Iterator<Item = &'a Change<'s>>) -> DeTable<'s> {
    let (mut root, mut over) = (base.clone(), DeTable::new());
    let mut changes: Vec<&Change<'s>> = changes.collect();
    // Whole tables first, outer ones before inner ones: a key that another axis sets in them stays set.
    changes.sort_by_key(|change| change.path.len());
    for change in changes {
        put(if change.value.get_ref().is_table() { &mut root } else { &mut over }, change);
    }
    merge(&mut root, over, &COMMON_KEYS);
    root
}

fn put<'s>(root: &mut DeTable<'s>, change: &Change<'s>) {
    let Some((last, outer)) = change.path.split_last() else { return };
    let key = |name: &str| Spanned::new(change.key.clone(), DeString::Owned(name.to_owned()));
    let mut table = root;
    for name in outer {
        if !table.get(name.as_str()).is_some_and(|value| value.get_ref().is_table()) {
            table.insert(key(name), Spanned::new(change.key.clone(), DeValue::Table(DeTable::new())));
        }
        let Some(DeValue::Table(inner)) = table.get_mut(name.as_str()).map(Spanned::get_mut) else { return };
        table = inner;
    }
    table.insert(key(last), change.value.clone());
}

impl Change<'_> {
    /// The paths of all values in it.
    pub(super) fn leaves(&self) -> Vec<(String, Span)> {
        fn walk(path: &str, key: Span, value: &DeValue<'_>, out: &mut Vec<(String, Span)>) {
            match value {
                DeValue::Table(table) => {
                    let inner = |name: &str| format!("{path}.{name}");
                    table.iter().for_each(|(key, value)| walk(&inner(key.get_ref()), key.span(), value.get_ref(), out));
                }
                _ => out.push((path.to_owned(), key)),
            }
        }
        let mut out = Vec::new();
        walk(&self.path.join("."), self.key.clone(), self.value.get_ref(), &mut out);
        out
    }

    /// Where an assignment of the command line sets what this changes.
    pub(super) fn assigned(&self, source: &Source, base: &DeTable<'_>) -> Option<Span> {
        fn within(source: &Source, value: &Spanned<DeValue<'_>>) -> Option<Span> {
            match value.get_ref() {
                DeValue::Table(table) => table.values().find_map(|value| within(source, value)),
                _ => Some(value.span()).filter(|span| source.is_assigned(span)),
            }
        }
        let (first, rest) = self.path.split_first()?;
        let mut value = base.get(first.as_str())?;
        for name in rest {
            let Some(table) = value.get_ref().as_table() else { break };
            value = table.get(name.as_str())?;
        }
        within(source, value)
    }
}

/// A value as JSON; numbers that JSON does not have as text.
pub(super) fn to_json(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => text.to_string().into(),
        DeValue::Integer(n) => match i64::from_str_radix(n.as_str(), n.radix()) {
            Ok(n) => n.into(),
            Err(_) => n.to_string().into(),
        },
        DeValue::Float(x) => match x.as_str().parse::<f64>() {
            Ok(x) if x.is_finite() => x.into(),
            _ => x.to_string().into(),
        },
        DeValue::Boolean(b) => (*b).into(),
        DeValue::Datetime(date) => date.to_string().into(),
        DeValue::Array(items) => items.iter().map(|item| to_json(item.get_ref())).collect(),
        DeValue::Table(table) => {
            table.iter().map(|(key, value)| (key.get_ref().to_string(), to_json(value.get_ref()))).collect()
        }
    }
}
