//! What values are called. A label is made of nothing but the value itself, so that it stays when others are added.

use stein_record::source::Diagnostic;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::change::Change;
use crate::section::article;

/// Characters that a label has at most.
const LONGEST: usize = 60;

/// Takes the `name` out of an entry.
pub(super) fn given(table: &mut DeTable<'_>) -> Result<Option<String>, Diagnostic> {
    let Some(value) = table.remove("name") else { return Ok(None) };
    let span = value.span();
    let Some(name) = value.get_ref().as_str() else {
        let found = article(value.get_ref().type_str());
        let what = format!("the `name` of a value must be a string, found {found}");
        return Err(Diagnostic::new(what).at(Some(span), ""));
    };
    let length = name.chars().count();
    if name.trim().is_empty() || length > LONGEST || name.chars().any(char::is_control) {
        let what = format!("the `name` of a value must have 1 to {LONGEST} characters, all of them printable");
        return Err(Diagnostic::new(what).at(Some(span), ""));
    }
    Ok(Some(name.to_owned()))
}

/// A table without a `name` is called by what it changes.
pub(super) fn made(changes: &[Change<'_>]) -> String {
    let words = |change: &Change<'_>| match change.value.get_ref() {
        DeValue::Table(table) => {
            let kind = table.get("kind").map(|kind| of_value(kind.get_ref()));
            let others = table.iter().filter(|(key, _)| key.get_ref() != "kind");
            let others = others.map(|(key, value)| format!("{} {}", key.get_ref(), of_value(value.get_ref())));
            kind.into_iter().chain(others).collect::<Vec<_>>().join(", ")
        }
        value => format!("{} {}", change.path.last().map_or("", String::as_str), of_value(value)),
    };
    match changes {
        [] => "as it is".into(),
        changes => cut(changes.iter().map(words).collect::<Vec<_>>().join(", ")),
    }
}

/// A value as it would be written, strings without their quotes.
pub(super) fn of_value(value: &DeValue<'_>) -> String {
    cut(written(value))
}

fn written(value: &DeValue<'_>) -> String {
    let several = |items: &[Spanned<DeValue<'_>>]| {
        items.iter().map(|item| written(item.get_ref())).collect::<Vec<_>>().join(", ")
    };
    match value {
        DeValue::String(text) => text.to_string(),
        DeValue::Integer(n) => match i64::from_str_radix(n.as_str(), n.radix()) {
            Ok(n) => n.to_string(),
            Err(_) => n.to_string(),
        },
        DeValue::Float(x) => x.to_string(),
        DeValue::Boolean(b) => b.to_string(),
        DeValue::Datetime(date) => date.to_string(),
        DeValue::Array(items) => format!("[{}]", several(items)),
        DeValue::Table(table) => {
            let entries: Vec<String> =
                table.iter().map(|(key, value)| format!("{} = {}", key.get_ref(), written(value.get_ref()))).collect();
            format!("{{ {} }}", entries.join(", "))
        }
    }
}

fn cut(text: String) -> String {
    // What cannot be printed has no place on a page or in a terminal.
    let mut text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if let Some((end, _)) = text.char_indices().nth(LONGEST) {
        text.truncate(end);
        text.push('…');
    }
    text
}
