//! An axis: what is varied, and the values that it takes.

use std::collections::{BTreeMap, HashMap};

use stein_record::source::{Diagnostic, Source, Span, list_of, nearest};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::change::{Change, checked_keys, flatten, path_of};
use super::{label, slug};
use crate::experiment::TABLES;
use crate::section::article;

/// Something that a sweep varies: a key path, a table, or a named set of changes over several tables.
#[derive(Debug)]
pub struct Axis<'s> {
    name: String,
    key: Span,
    values: Vec<Value<'s>>,
}

/// One value of an axis.
#[derive(Debug)]
pub(super) struct Value<'s> {
    pub(super) label: String,
    pub(super) number: Option<f64>,
    pub(super) span: Span,
    slug: String,
    changes: Vec<Change<'s>>,
}

impl<'s> Axis<'s> {
    /// The key path as one text (`schedule.levels`), or the name that the file gives.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What its values are called, in the order of the file.
    pub fn labels(&self) -> impl Iterator<Item = &str> {
        self.values.iter().map(|value| value.label.as_str())
    }

    /// The values as numbers, if all of them are, and finite: what can be drawn.
    pub fn numbers(&self) -> Option<Vec<f64>> {
        self.values.iter().map(|value| value.number.filter(|x| x.is_finite())).collect()
    }

    pub(super) fn key(&self) -> Span {
        self.key.clone()
    }

    pub(super) fn values(&self) -> &[Value<'s>] {
        &self.values
    }

    pub(super) fn label(&self, value: usize) -> &str {
        &self.values[value].label
    }

    pub(super) fn slug(&self, value: usize) -> &str {
        &self.values[value].slug
    }

    pub(super) fn place(&self, value: usize) -> Span {
        self.values[value].span.clone()
    }

    pub(super) fn changes(&self, value: usize) -> &[Change<'s>] {
        &self.values[value].changes
    }

    /// Whether all its values change is the seed.
    pub(super) fn is_seed(&self) -> bool {
        self.values.iter().all(|value| value.changes.iter().all(|change| change.path == ["seed"]))
    }

    /// The command line cannot set what every cell sets again.
    pub(super) fn assigned(&self, source: &Source, base: &DeTable<'_>) -> Option<Diagnostic> {
        let of_value = |value: &Value<'s>| value.changes.iter().find_map(|change| change.assigned(source, base));
        let spans: Vec<Span> = self.values.iter().map(of_value).collect::<Option<_>>()?;
        let span = spans.into_iter().next()?;
        let name = &self.name;
        let what = format!("--set gives a value that the axis `{name}` of [sweep] gives to every cell");
        Some(
            Diagnostic::new(what)
                .at(Some(span), "this would change nothing")
                .related(Some(self.key()), "the axis")
                .help(format!("change the axis instead: --set 'sweep.{name}=[…]'")),
        )
    }

    fn read(name: String, key: Span, value: Spanned<DeValue<'s>>) -> Result<Self, Vec<Diagnostic>> {
        let here = |what: String| Diagnostic::new(what).at(Some(value.span()), "");
        let Some(items) = value.get_ref().as_array() else {
            let found = article(value.get_ref().type_str());
            let what = format!("the axis `{name}` must be a list of values, found {found}");
            return Err(vec![here(what).help(format!("write `{name} = [{}]`", label::of_value(value.get_ref())))]);
        };
        if items.is_empty() {
            let what = format!("the axis `{name}` has no values");
            return Err(vec![here(what).help("an axis needs at least one")]);
        }
        let path = path_of(&name, key.clone()).map_err(|d| vec![d])?;
        let is_path = tables().any(|table| table == path[0]);
        if !is_path && (path.len() > 1 || !items.iter().all(|item| item.get_ref().is_table())) {
            let help = "an axis of a name of its own is a list of tables: { name = \"…\", schedule = { … } }";
            return Err(vec![unknown(&path[0], key).help(help)]);
        }
        let mut problems = Vec::new();
        let values: Vec<Value<'s>> = items
            .iter()
            .filter_map(|item| {
                let value = Value::read(is_path.then_some(&path), &key, item.clone());
                value.map_err(|diagnostic| problems.push(diagnostic)).ok()
            })
            .collect();
        problems.extend(twins(&name, &values));
        if problems.is_empty() { Ok(Self { name, key, values }) } else { Err(problems) }
    }
}

impl<'s> Value<'s> {
    /// `path` is `None` on an axis of a name of its own.
    fn read(path: Option<&Vec<String>>, key: &Span, item: Spanned<DeValue<'s>>) -> Result<Self, Diagnostic> {
        checked_keys(&item, 0)?;
        let span = item.span();
        let mut changes = Vec::new();
        let (label, number, last) = match (item.into_inner(), path) {
            (DeValue::Table(mut table), path) => {
                let name = label::given(&mut table)?;
                match path {
                    Some(path) => {
                        let whole = Spanned::new(span.clone(), DeValue::Table(table));
                        flatten(path, key.clone(), whole, &mut changes);
                    }
                    None => {
                        for (key, value) in table {
                            let table = key.get_ref().to_string();
                            if !tables().any(|known| known == table) {
                                return Err(unknown(&table, key.span()));
                            }
                            flatten(&[table], key.span(), value, &mut changes);
                        }
                    }
                }
                (name.unwrap_or_else(|| label::made(&changes)), None, None)
            }
            (value, path) => {
                let (label, number) = (label::of_value(&value), number(&value));
                let path = path.cloned().unwrap_or_default();
                let last = path.last().cloned();
                changes.push(Change { path, key: key.clone(), value: Spanned::new(span.clone(), value) });
                (label, number, last)
            }
        };
        let slug = slug::of(last.as_deref(), &label);
        Ok(Self { label, number, span, slug, changes })
    }
}

/// Reads what is left of `[sweep]` as axes, in the order of the file.
pub(super) fn read<'s>(table: DeTable<'s>, source: &Source) -> Result<Vec<Axis<'s>>, Vec<Diagnostic>> {
    let mut problems = Vec::new();
    let mut found: BTreeMap<String, (Span, Spanned<DeValue<'s>>)> = BTreeMap::new();
    for (name, key, value) in lists(table).map_err(|d| vec![d])? {
        let Some((key_before, before)) = found.get(&name) else {
            found.insert(name, (key, value));
            continue;
        };
        // "schedule.levels" and schedule.levels are one axis; an assignment may write it in the other way.
        if source.is_assigned(&value.span()) {
            let key = key_before.clone();
            found.insert(name, (key, value));
        } else if !source.is_assigned(&before.span()) {
            let what = format!("[sweep] has the axis `{name}` twice");
            problems.push(Diagnostic::new(what).at(Some(key), "").related(Some(key_before.clone()), "and here"));
        }
    }
    let mut axes = Vec::new();
    for (name, (key, value)) in found {
        match Axis::read(name, key, value) {
            Ok(axis) => axes.push(axis),
            Err(found) => problems.extend(found),
        }
    }
    axes.sort_by_key(|axis| axis.key.start);
    problems.sort_by_key(|diagnostic| diagnostic.span.as_ref().map(|span| span.start));
    if problems.is_empty() { Ok(axes) } else { Err(problems) }
}

/// Everything in nested tables that is no table, with its dotted name and the place of its key.
pub(super) fn lists<'s>(table: DeTable<'s>) -> Result<Vec<(String, Span, Spanned<DeValue<'s>>)>, Diagnostic> {
    fn walk<'s>(
        outer: &str,
        table: DeTable<'s>,
        out: &mut Vec<(String, Span, Spanned<DeValue<'s>>)>,
    ) -> Result<(), Diagnostic> {
        for (key, value) in table {
            let name = if outer.is_empty() { key.get_ref().to_string() } else { format!("{outer}.{}", key.get_ref()) };
            path_of(&name, key.span())?;
            let span = value.span();
            match value.into_inner() {
                DeValue::Table(inner) => walk(&name, inner, out)?,
                other => out.push((name, key.span(), Spanned::new(span, other))),
            }
        }
        Ok(())
    }
    let mut out = Vec::new();
    walk("", table, &mut out)?;
    Ok(out)
}

/// Two axes that set one key.
pub(super) fn contradictions(axes: &[Axis<'_>]) -> Vec<Diagnostic> {
    let mut setters: HashMap<String, (usize, Span)> = HashMap::new();
    let mut told = Vec::new();
    let mut problems = Vec::new();
    for (i, axis) in axes.iter().enumerate() {
        for (path, span) in axis.values.iter().flat_map(|value| &value.changes).flat_map(Change::leaves) {
            let (before, place) = setters.entry(path.clone()).or_insert((i, span.clone())).clone();
            if before != i && !told.contains(&(before, i)) {
                told.push((before, i));
                let what = format!("the axes `{}` and `{}` both set `{path}`", axes[before].name, axis.name);
                problems.push(
                    Diagnostic::new(what)
                        .at(Some(span), "here")
                        .related(Some(place), "and here")
                        .help("a key can be set by one axis only"),
                );
            }
        }
    }
    problems
}

/// Values of one name.
fn twins(axis: &str, values: &[Value<'_>]) -> Option<Diagnostic> {
    let mut known: HashMap<&str, &Value<'_>> = HashMap::new();
    values.iter().find_map(|value| {
        let before = known.insert(&value.label, value)?;
        Some(
            Diagnostic::new(format!("two values of the axis `{axis}` are called `{}`", value.label))
                .at(Some(value.span.clone()), "")
                .related(Some(before.span.clone()), "as this one")
                .help("leave one out; two tables can be told apart by a `name` in each: { name = \"…\", … }"),
        )
    })
}

/// What an axis can vary: everything but the experiment's name and how it is launched.
fn tables() -> impl Iterator<Item = &'static str> {
    TABLES.into_iter().filter(|table| !["name", "launcher", "sweep"].contains(table))
}

fn unknown(table: &str, key: Span) -> Diagnostic {
    let near = nearest(table, tables()).map(|n| format!("did you mean `{n}`?")).unwrap_or_default();
    Diagnostic::new(format!("[sweep] varies `{table}`, but an experiment has no such table or key"))
        .at(Some(key), near)
        .help(format!("tables and keys that can be varied are {}", list_of(tables())))
}

fn number(value: &DeValue<'_>) -> Option<f64> {
    let number = match value {
        DeValue::Integer(n) => i64::from_str_radix(n.as_str(), n.radix()).ok()? as f64,
        DeValue::Float(x) => x.as_str().parse().ok()?,
        _ => return None,
    };
    Some(number).filter(|x: &f64| x.is_finite())
}

impl Value<'_> {
    /// Whether `exclude` means this one: by its label, or by the value itself.
    pub(super) fn is(&self, given: &DeValue<'_>) -> bool {
        label::of_value(given) == self.label || number(given).is_some_and(|n| self.number == Some(n))
    }
}
