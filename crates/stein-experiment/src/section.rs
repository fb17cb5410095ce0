//! One table of an experiment file on its way to a value.

use std::collections::BTreeMap;

use schemars::{JsonSchema, schema_for};
use serde::de::DeserializeOwned;
use stein_core::{Catalogue, Configured, Invalid, Part};
use stein_record::source::{Diagnostic, Span, list_of, nearest};
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

/// A table of the file, its keys taken out one by one.
pub(crate) struct Section<'s> {
    name: &'static str,
    table: DeTable<'s>,
    places: Places,
}

/// Where a table and its keys stand in the source.
#[derive(Debug, Clone, Default)]
pub(crate) struct Places {
    name: &'static str,
    table: Option<Span>,
    keys: BTreeMap<String, Span>,
}

impl Places {
    /// The place of a key, or of the table.
    pub(crate) fn of(&self, key: Option<&str>) -> Option<Span> {
        key.and_then(|k| self.keys.get(k).cloned()).or_else(|| self.table.clone())
    }

    /// A component's complaint, at its place.
    pub(crate) fn diagnostic(&self, invalid: &Invalid) -> Diagnostic {
        let key = invalid.key.as_deref();
        Diagnostic::new(format!("[{}]: {}", self.name, invalid.message)).at(self.of(key), "")
    }
}

impl<'s> Section<'s> {
    /// Takes the table `name` out of the file; an absent one is empty.
    pub(crate) fn take(root: &mut DeTable<'s>, name: &'static str) -> Result<Self, Diagnostic> {
        let Some(value) = root.remove(name) else {
            return Ok(Self { name, table: DeTable::new(), places: Places { name, ..Places::default() } });
        };
        let span = value.span();
        match value.into_inner() {
            DeValue::Table(table) => {
                let keys = table.iter().map(|(k, v)| (k.get_ref().to_string(), v.span())).collect();
                Ok(Self { name, table, places: Places { name, table: Some(span), keys } })
            }
            other => Err(Diagnostic::new(format!("`{name}` must be a table, found {}", article(other.type_str())))
                .at(Some(span), format!("write it as [{name}]"))),
        }
    }

    pub(crate) fn is_absent(&self) -> bool {
        self.places.table.is_none()
    }

    pub(crate) fn places(&self) -> Places {
        self.places.clone()
    }

    /// Takes one key out; `None` if it is absent.
    pub(crate) fn key<T: DeserializeOwned>(&mut self, key: &str) -> Result<Option<T>, Diagnostic> {
        let Some(value) = self.table.remove(key) else { return Ok(None) };
        let span = value.span();
        T::deserialize(ValueDeserializer::from(value))
            .map(Some)
            .map_err(|e| self.value_error(Some(key), &e, Some(span)))
    }

    /// Makes the component that `kind` names of what is left. `common` are keys that were taken before.
    pub(crate) fn component<P: Part>(
        mut self,
        catalogue: &Catalogue<P>,
        default: Option<&str>,
        common: &[&str],
    ) -> Result<Box<dyn Configured<P>>, Vec<Diagnostic>> {
        let kinds = || catalogue.entries().iter().map(|e| e.kind);
        let allowed = format!("{} kinds are {}", P::NOUN, list_of(kinds()));
        let span = self.table.get("kind").map(Spanned::span);
        let named: Option<String> = self.key("kind").map_err(|d| vec![d.help(allowed.clone())])?;
        let Some(kind) = named.or(default.map(str::to_owned)) else {
            let what = format!("[{}] needs a `kind`", self.name);
            return Err(vec![Diagnostic::new(what).at(self.places.table.clone(), "").help(allowed)]);
        };
        let Some(entry) = catalogue.get(&kind) else {
            let label = nearest(&kind, kinds()).map(|n| format!("did you mean `{n}`?")).unwrap_or_default();
            let what = format!("no {} is called `{kind}`", P::NOUN);
            return Err(vec![Diagnostic::new(what).at(span, label).help(allowed)]);
        };
        let keys = entry.keys();
        let mut allowed: Vec<&str> = vec!["kind"];
        allowed.extend(common);
        allowed.extend(keys.iter().map(String::as_str));
        let what = format!("[{}] with kind = \"{kind}\"", self.name);
        self.refuse_unknown(&what, &allowed, &keys)?;
        let schema = entry.schema();
        self.refuse_missing(&what, &schema)?;
        let (name, places) = (self.name, self.places.clone());
        let table = Spanned::new(places.table.clone().unwrap_or(0..0), self.table);
        let config = entry.parse(table).map_err(|e| vec![value_error(name, &places, None, &e, None)])?;
        config.check().map_err(|invalid| vec![places.diagnostic(&invalid)])?;
        Ok(config)
    }

    /// Reads what is left as settings.
    pub(crate) fn settings<T: DeserializeOwned + JsonSchema>(self) -> Result<T, Vec<Diagnostic>> {
        let schema = schema_for!(T);
        let keys: Vec<String> = schema
            .get("properties")
            .and_then(|p| p.as_object())
            .map(|p| p.keys().cloned().collect())
            .unwrap_or_default();
        let what = format!("[{}]", self.name);
        self.refuse_unknown(&what, &keys.iter().map(String::as_str).collect::<Vec<_>>(), &keys)?;
        let (name, places) = (self.name, self.places.clone());
        let table = Spanned::new(places.table.clone().unwrap_or(0..0), self.table);
        T::deserialize(toml::Deserializer::from(table)).map_err(|e| vec![value_error(name, &places, None, &e, None)])
    }

    fn refuse_unknown(&self, what: &str, allowed: &[&str], known: &[String]) -> Result<(), Vec<Diagnostic>> {
        let problems: Vec<Diagnostic> = self
            .table
            .keys()
            .filter(|key| !known.iter().any(|k| k == key.get_ref().as_ref()))
            .map(|key| {
                let name = key.get_ref().as_ref();
                let label =
                    nearest(name, allowed.iter().copied()).map(|n| format!("did you mean `{n}`?")).unwrap_or_default();
                Diagnostic::new(format!("{what} has no key `{name}`"))
                    .at(Some(key.span()), label)
                    .help(format!("its keys are {}", list_of(allowed.iter().copied())))
            })
            .collect();
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    fn refuse_missing(&self, what: &str, schema: &schemars::Schema) -> Result<(), Vec<Diagnostic>> {
        let required = schema.get("required").and_then(|r| r.as_array()).into_iter().flatten();
        let problems: Vec<Diagnostic> = required
            .filter_map(|key| key.as_str())
            .filter(|key| !self.table.contains_key(*key))
            .map(|key| {
                let about = schema
                    .get("properties")
                    .and_then(|p| p.get(key)?.get("description")?.as_str())
                    .unwrap_or_default()
                    .replace('\n', " ");
                Diagnostic::new(format!("{what} needs the key `{key}`"))
                    .at(self.places.table.clone(), "")
                    .help(format!("`{key}`: {about}"))
            })
            .collect();
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    fn value_error(&self, key: Option<&str>, error: &toml::de::Error, span: Option<Span>) -> Diagnostic {
        value_error(self.name, &self.places, key, error, span)
    }
}

fn value_error(
    table: &str,
    places: &Places,
    key: Option<&str>,
    error: &toml::de::Error,
    fallback: Option<Span>,
) -> Diagnostic {
    let span = error.span().filter(|s| !s.is_empty()).or(fallback).or_else(|| places.table.clone());
    let key = key.map(str::to_owned).or_else(|| {
        let at = span.as_ref()?;
        places.keys.iter().find(|(_, s)| s.start <= at.start && at.end <= s.end).map(|(k, _)| k.clone())
    });
    let what = key.map_or_else(|| format!("[{table}]"), |key| format!("`{key}` in [{table}]"));
    Diagnostic::new(format!("{what}: {}", error.message())).at(span, "")
}

pub(crate) fn article(noun: &str) -> String {
    let an = noun.starts_with(['a', 'e', 'i', 'o', 'u']);
    format!("{} {noun}", if an { "an" } else { "a" })
}
