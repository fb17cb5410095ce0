//! One table of an experiment file on its way to a value.

mod expected;

use std::collections::BTreeMap;

use schemars::{JsonSchema, schema_for};
use serde::de::DeserializeOwned;
use stein_core::{Catalogue, Configured, Invalid, Part};
use stein_record::source::{Diagnostic, Span, list_of, nearest};
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue, ValueDeserializer};

/// A table of the file, its keys taken out one by one.
pub(crate) struct Section<'s> {
    name: &'static str,
    table: DeTable<'s>,
    places: Places,
}

/// Where a table and its keys stand in the source; a key in a table within is `outer.inner`, an entry of a list `key.0`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Places {
    name: &'static str,
    table: Option<Span>,
    keys: BTreeMap<String, Span>,
}

impl Places {
    /// The place of a key, or of what it is in, or of the table.
    pub(crate) fn of(&self, key: Option<&str>) -> Option<Span> {
        let mut outer = std::iter::successors(key, |k: &&str| -> Option<&str> { Some(k.rsplit_once('.')?.0) });
        outer.find_map(|k| self.keys.get(k).cloned()).or_else(|| self.table.clone())
    }

    /// Whether the file has this key.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.keys.contains_key(key)
    }

    fn note(&mut self, key: &str, value: &Spanned<DeValue<'_>>) {
        // No key of ours is that long; a hostile one would be copied for every entry.
        const LONGEST: usize = 100;
        self.keys.insert(key.to_owned(), value.span());
        match value.get_ref() {
            _ if key.len() > LONGEST => {}
            DeValue::Table(table) => {
                table.iter().for_each(|(inner, value)| self.note(&format!("{key}.{}", inner.get_ref()), value));
            }
            DeValue::Array(items) => {
                items.iter().enumerate().for_each(|(i, item)| {
                    self.keys.insert(format!("{key}.{i}"), item.span());
                });
            }
            _ => {}
        }
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
                let mut places = Places { name, table: Some(span), keys: BTreeMap::new() };
                table.iter().for_each(|(key, value)| places.note(key.get_ref(), value));
                Ok(Self { name, table, places })
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
    pub(crate) fn key<T: DeserializeOwned + JsonSchema>(&mut self, key: &str) -> Result<Option<T>, Diagnostic> {
        self.table.remove(key).map(|value| read(self.name, key, value)).transpose()
    }

    /// Takes a list of tables out; none if it is absent. Each is a section of its own, called by the list's name.
    pub(crate) fn tables(&mut self, key: &'static str) -> Result<Vec<Self>, Vec<Diagnostic>> {
        let Some(value) = self.table.remove(key) else { return Ok(Vec::new()) };
        let (span, of) = (value.span(), self.name);
        let DeValue::Array(items) = value.into_inner() else {
            let what = format!("`{key}` in [{of}] must be a list of tables");
            return Err(vec![Diagnostic::new(what).at(Some(span), "")]);
        };
        items
            .into_iter()
            .map(|item| {
                if !item.get_ref().is_table() {
                    let found = article(item.get_ref().type_str());
                    let what = format!("`{key}` in [{of}] is a list of tables, but here is {found}");
                    return Err(vec![Diagnostic::new(what).at(Some(item.span()), "{ kind = …, … } is a table")]);
                }
                let mut root = DeTable::new();
                root.insert(Spanned::new(item.span(), key.into()), item);
                Self::take(&mut root, key).map_err(|d| vec![d])
            })
            .collect()
    }

    /// Makes the component that `kind` names of what is left. `common` are keys that were taken before.
    pub(crate) fn component<P: Part>(
        mut self,
        catalogue: &Catalogue<P>,
        default: Option<&str>,
        common: &[&str],
    ) -> Result<Box<dyn Configured<P>>, Vec<Diagnostic>> {
        let kinds = || catalogue.entries().iter().map(|e| e.kind);
        let allowed = match catalogue.entries() {
            [one] => format!("the only {} is `{}`", P::NOUN, one.kind),
            _ => format!("{} kinds are {}", P::NOUN, list_of(kinds())),
        };
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
        let others = |key: &str| {
            let of_others: Vec<&str> =
                catalogue.entries().iter().filter(|e| e.keys().iter().any(|k| k == key)).map(|e| e.kind).collect();
            (!of_others.is_empty()).then(|| format!("`{key}` is a key of {}", list_of(of_others)))
        };
        self.refuse_unknown(&what, &allowed, &keys, others)?;
        let schema = entry.schema();
        self.refuse_missing(&what, &schema)?;
        let (name, places) = (self.name, self.places.clone());
        let table = Spanned::new(places.table.clone().unwrap_or(0..0), self.table);
        let again = table.clone();
        let config = entry.parse(table).map_err(|e| refused(name, &places, again.get_ref(), &schema, &e))?;
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
        self.refuse_unknown(&what, &keys.iter().map(String::as_str).collect::<Vec<_>>(), &keys, |_| None)?;
        let (name, places) = (self.name, self.places.clone());
        let table = Spanned::new(places.table.clone().unwrap_or(0..0), self.table);
        let again = table.clone();
        T::deserialize(toml::Deserializer::from(table))
            .map_err(|e| refused(name, &places, again.get_ref(), &schema, &e))
    }

    /// `elsewhere` says where else a key is known.
    fn refuse_unknown(
        &self,
        what: &str,
        allowed: &[&str],
        known: &[String],
        elsewhere: impl Fn(&str) -> Option<String>,
    ) -> Result<(), Vec<Diagnostic>> {
        let problems: Vec<Diagnostic> = self
            .table
            .keys()
            .filter(|key| !known.iter().any(|k| k == key.get_ref().as_ref()))
            .map(|key| {
                let name = key.get_ref().as_ref();
                let near = || nearest(name, allowed.iter().copied()).map(|n| format!("did you mean `{n}`?"));
                let label = elsewhere(name).or_else(near).unwrap_or_default();
                let keys = if allowed.len() == 1 { "only key is" } else { "keys are" };
                Diagnostic::new(format!("{what} has no key `{name}`"))
                    .at(Some(key.span()), label)
                    .help(format!("its {keys} {}", list_of(allowed.iter().copied())))
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
}

/// A table or key that an experiment does not have.
pub(crate) fn unknown_key(key: &Spanned<DeString<'_>>, tables: &[&str]) -> Diagnostic {
    let name = key.get_ref().as_ref();
    let label = nearest(name, tables.iter().copied()).map(|n| format!("did you mean `{n}`?")).unwrap_or_default();
    Diagnostic::new(format!("an experiment has no table or key `{name}`"))
        .at(Some(key.span()), label)
        .help(format!("tables and keys are {}", list_of(tables.iter().copied())))
}

/// Reads the value of a key; `table` is empty for a key of no table.
pub(crate) fn read<T: DeserializeOwned + JsonSchema>(
    table: &str,
    key: &str,
    value: Spanned<DeValue<'_>>,
) -> Result<T, Diagnostic> {
    let again = value.clone();
    T::deserialize(ValueDeserializer::from(value)).map_err(|e| {
        expected::in_value(table, key, &again, &schema_for!(T)).unwrap_or_else(|| {
            let what = if table.is_empty() { format!("`{key}`") } else { format!("`{key}` in [{table}]") };
            Diagnostic::new(format!("{what}: {}", e.message())).at(Some(again.span()), "")
        })
    })
}

/// Everything in a table that its schema refuses; what serde says if that is nothing.
fn refused(
    name: &str,
    places: &Places,
    table: &DeTable<'_>,
    schema: &schemars::Schema,
    error: &toml::de::Error,
) -> Vec<Diagnostic> {
    let found = expected::in_table(name, table, schema);
    if !found.is_empty() {
        return found;
    }
    let span = error.span().filter(|s| !s.is_empty()).or_else(|| places.table.clone());
    let within = |s: &Span| span.as_ref().is_some_and(|at| s.start <= at.start && at.end <= s.end);
    let key = places.keys.iter().filter(|(_, s)| within(s)).min_by_key(|(_, s)| s.len()).map(|(k, _)| k);
    let what = key.map_or_else(|| format!("[{name}]"), |key| format!("`{key}` in [{name}]"));
    vec![Diagnostic::new(format!("{what}: {}", error.message())).at(span, "")]
}

pub(crate) fn article(noun: &str) -> String {
    let an = noun.starts_with(['a', 'e', 'i', 'o', 'u']);
    format!("{} {noun}", if an { "an" } else { "a" })
}
