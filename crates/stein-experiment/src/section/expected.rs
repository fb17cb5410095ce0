//! What a value should have been, in words: from the JSON schema of its type.
//!
//! serde says `invalid type: string "64", expected usize`, which speaks to the author of a program. This looks a value up in
//! the schema of the type that refused it and speaks to the author of a file. It is asked only after serde has refused
//! something, so a schema that knows less than the type does no harm: then nothing is found here, and serde has its say.

use schemars::Schema;
use serde_json::Value;
use stein_record::source::{Diagnostic, list_of, nearest};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Every value of a table that is not what the schema of the table wants.
pub(super) fn in_table(table: &str, values: &DeTable<'_>, schema: &Schema) -> Vec<Diagnostic> {
    let root = schema.as_value();
    let mut search = Search { table, root, problems: Vec::new() };
    for (key, value) in values.iter() {
        if let Some(schema) = root.get("properties").and_then(|p| p.get(key.get_ref().as_ref())) {
            search.value(&Path::key(key.get_ref()), schema, value);
        }
    }
    search.problems
}

/// What is wrong with the value of one key.
pub(super) fn in_value(table: &str, key: &str, value: &Spanned<DeValue<'_>>, schema: &Schema) -> Option<Diagnostic> {
    let mut search = Search { table, root: schema.as_value(), problems: Vec::new() };
    search.value(&Path::key(key), schema.as_value(), value);
    search.problems.into_iter().next()
}

/// Where a value stands in its table.
#[derive(Clone)]
struct Path {
    keys: String,
    last: String,
    entries: usize,
}

impl Path {
    fn key(key: &str) -> Self {
        Self { keys: key.to_owned(), last: key.to_owned(), entries: 0 }
    }

    fn then(&self, key: &str) -> Self {
        Self { keys: format!("{}.{key}", self.keys), ..Self::key(key) }
    }

    fn entry(&self) -> Self {
        Self { entries: self.entries + 1, ..self.clone() }
    }
}

struct Search<'a> {
    table: &'a str,
    root: &'a Value,
    problems: Vec<Diagnostic>,
}

impl<'a> Search<'a> {
    fn value(&mut self, path: &Path, schema: &'a Value, value: &Spanned<DeValue<'_>>) {
        let all = self.alternatives(schema);
        if all.iter().any(|s| self.fits(s, value.get_ref())) {
            return;
        }
        let of_type = |name| match all.iter().filter(|s| types(s).contains(&name)).collect::<Vec<_>>()[..] {
            [one] => Some(*one),
            _ => None,
        };
        let before = self.problems.len();
        match (value.get_ref(), of_type("array"), of_type("object")) {
            (DeValue::Array(items), Some(list), _) => {
                if let Some((entries, wrong)) = list.get("items").zip(self.first_wrong(list, items.iter())) {
                    self.value(&path.entry(), entries, wrong);
                }
            }
            (DeValue::Table(table), _, Some(object)) => self.object(path, object, table),
            _ => {}
        }
        if self.problems.len() == before {
            let problem = self.problem(path, schema, &all, value);
            self.problems.push(problem);
        }
    }

    fn first_wrong<'v, 's: 'v>(
        &self,
        list: &'a Value,
        mut items: impl Iterator<Item = &'v Spanned<DeValue<'s>>>,
    ) -> Option<&'v Spanned<DeValue<'s>>> {
        let entries = list.get("items")?;
        items.find(|item| !self.alternatives(entries).iter().any(|s| self.fits(s, item.get_ref())))
    }

    fn object(&mut self, path: &Path, object: &'a Value, table: &DeTable<'_>) {
        let properties = object.get("properties").and_then(Value::as_object);
        let names = || properties.into_iter().flatten().map(|(name, _)| name.as_str());
        for (key, value) in table.iter() {
            let name = key.get_ref().as_ref();
            match properties.and_then(|p| p.get(name)) {
                Some(schema) => self.value(&path.then(name), schema, value),
                None if object.get("additionalProperties") == Some(&Value::Bool(false)) => {
                    let near = nearest(name, names()).map(|n| format!("did you mean `{n}`?")).unwrap_or_default();
                    let what = format!("{} has no key `{name}`", self.named(path));
                    self.problems.push(
                        Diagnostic::new(what)
                            .at(Some(key.span()), near)
                            .help(format!("its keys are {}", list_of(names()))),
                    );
                }
                None => {}
            }
        }
    }

    fn problem(&self, path: &Path, schema: &'a Value, all: &[&'a Value], value: &Spanned<DeValue<'_>>) -> Diagnostic {
        let (what, found) = (self.named(path), value.get_ref());
        let choices: Vec<&str> = all.iter().flat_map(|s| choices(s)).collect();
        let wanted = either(all.iter().map(|s| self.words(s, found)).collect());
        let mut diagnostic = match found {
            DeValue::String(text) if !choices.is_empty() => {
                let label = nearest(text, choices).map(|n| format!("did you mean \"{n}\"?")).unwrap_or_default();
                Diagnostic::new(format!("{what} cannot be {}", quoted(text)))
                    .at(Some(value.span()), label)
                    .help(format!("it must be {wanted}"))
            }
            _ => Diagnostic::new(format!("{what} must be {wanted}, found {}", describe(found)))
                .at(Some(value.span()), ""),
        };
        if path.entries == 0
            && let Some(better) = self.mended(all, found)
        {
            diagnostic = diagnostic.help(format!("write `{} = {better}`", path.last));
        }
        let about = schema.get("description").and_then(Value::as_str).map(|d| d.replace('\n', " "));
        match about {
            Some(about) if path.entries == 0 => diagnostic.help(format!("`{}`: {about}", path.last)),
            _ => diagnostic,
        }
    }

    fn named(&self, path: &Path) -> String {
        let each = "each entry of ".repeat(path.entries);
        match self.table {
            "" => format!("{each}`{}`", path.keys),
            table => format!("{each}`{}` in [{table}]", path.keys),
        }
    }

    /// The schemas one of which a value must fit, references followed.
    fn alternatives(&self, schema: &'a Value) -> Vec<&'a Value> {
        let mut out = Vec::new();
        let mut open = vec![schema];
        // Recursive types have schemas without end.
        for _ in 0..1000 {
            let Some(schema) = open.pop() else { break };
            let list = ["oneOf", "anyOf"].iter().find_map(|k| schema.get(k)?.as_array());
            if let Some(target) = schema.get("$ref").and_then(Value::as_str) {
                open.extend(target.strip_prefix('#').and_then(|t| self.root.pointer(t)));
            } else if let Some(list) = list {
                open.extend(list.iter().rev());
            } else {
                out.push(schema);
            }
        }
        out
    }

    fn fits(&self, schema: &'a Value, value: &DeValue<'_>) -> bool {
        let named = choices(schema);
        if !named.is_empty() {
            return value.as_str().is_some_and(|text| named.contains(&text));
        }
        let types = types(schema);
        types.is_empty() || types.iter().any(|name| self.fits_type(name, schema, value))
    }

    fn fits_type(&self, name: &str, schema: &'a Value, value: &DeValue<'_>) -> bool {
        match (name, value) {
            ("integer", DeValue::Integer(n)) => {
                let unsigned = schema.get("format").and_then(Value::as_str).is_some_and(|f| f.starts_with("uint"));
                i64::from_str_radix(n.as_str(), n.radix()).is_ok_and(|n| n >= 0 || !unsigned)
            }
            ("number", DeValue::Integer(_) | DeValue::Float(_))
            | ("string", DeValue::String(_))
            | ("boolean", DeValue::Boolean(_)) => true,
            ("array", DeValue::Array(items)) => self.first_wrong(schema, items.iter()).is_none(),
            ("object", DeValue::Table(table)) => {
                let properties = schema.get("properties").and_then(Value::as_object);
                let open = schema.get("additionalProperties") != Some(&Value::Bool(false));
                let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
                required.filter_map(Value::as_str).all(|key| table.contains_key(key))
                    && table.iter().all(|(key, value)| match properties.and_then(|p| p.get(key.get_ref().as_ref())) {
                        Some(s) => self.alternatives(s).iter().any(|s| self.fits(s, value.get_ref())),
                        None => open,
                    })
            }
            _ => false,
        }
    }

    /// What a schema wants, for someone who wrote `found`.
    fn words(&self, schema: &'a Value, found: &DeValue<'_>) -> String {
        let named = choices(schema);
        if !named.is_empty() {
            return either(named.iter().map(|c| format!("\"{c}\"")).collect());
        }
        let one = |name: &&str| match *name {
            "integer" => format!("a whole number{}", bounds(schema, matches!(found, DeValue::Integer(_)))),
            "number" => format!("a number{}", bounds(schema, false)),
            "string" => "a string".into(),
            "boolean" => "true or false".into(),
            "array" => format!("a list{}", self.entries(schema)),
            "object" => match schema.get("properties").and_then(Value::as_object) {
                Some(keys) if keys.len() == 1 => {
                    format!("{{ {} = … }}", keys.keys().next().map_or("", String::as_str))
                }
                _ => "a table".into(),
            },
            other => other.to_owned(),
        };
        either(types(schema).iter().filter(|name| **name != "null").map(one).collect())
    }

    /// " of lists of numbers".
    fn entries(&self, list: &'a Value) -> String {
        let entries = list.get("items").map(|s| self.alternatives(s)).unwrap_or_default();
        let [one] = entries[..] else { return String::new() };
        match types(one)[..] {
            ["integer"] => " of whole numbers".into(),
            ["number"] => " of numbers".into(),
            ["string"] => " of strings".into(),
            ["array"] => format!(" of lists{}", self.entries(one)),
            _ => String::new(),
        }
    }

    /// The value as it was probably meant.
    fn mended(&self, all: &[&'a Value], found: &DeValue<'_>) -> Option<String> {
        let fit = |text: String| {
            let document = format!("value = {text}");
            let table = DeTable::parse(&document).ok()?.into_inner();
            let value = table.get("value")?.get_ref();
            all.iter().any(|s| self.fits(s, value)).then(|| text.clone())
        };
        match found {
            DeValue::String(text) => {
                // Text that is no TOML value fits nothing.
                let word = match text.to_lowercase().as_str() {
                    "yes" | "on" | "true" => "true".to_owned(),
                    "no" | "off" | "false" => "false".to_owned(),
                    _ => text.trim().to_owned(),
                };
                fit(word)
            }
            DeValue::Float(x) => {
                let x: f64 = x.as_str().parse().ok()?;
                (x.fract() == 0.0 && x.abs() < 1e15)
                    .then(|| format!("{x:.0}"))
                    .and_then(fit)
                    .or_else(|| fit(format!("[{x:?}]")))
            }
            DeValue::Integer(n) => fit(format!("[{n}]")),
            DeValue::Boolean(b) => fit(format!("[{b}]")),
            _ => None,
        }
    }
}

/// The strings that a schema lists.
fn choices(schema: &Value) -> Vec<&str> {
    let listed = schema.get("enum").and_then(Value::as_array).into_iter().flatten();
    schema.get("const").into_iter().chain(listed).filter_map(Value::as_str).collect()
}

fn types(schema: &Value) -> Vec<&str> {
    match schema.get("type") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

fn bounds(schema: &Value, even_zero: bool) -> String {
    let bound = |key| schema.get(key).filter(|n| n.is_number());
    match (bound("minimum"), bound("maximum"), bound("exclusiveMinimum")) {
        (Some(low), Some(high), _) => format!(" from {low} to {high}"),
        (Some(low), ..) if even_zero || low.as_f64() != Some(0.0) => format!(" of at least {low}"),
        (_, Some(high), _) => format!(" of at most {high}"),
        (.., Some(low)) => format!(" above {low}"),
        _ => String::new(),
    }
}

fn either(mut words: Vec<String>) -> String {
    match words.pop() {
        None => "something else".into(),
        Some(one) if words.is_empty() => one,
        Some(last) => format!("{} or {last}", words.join(", ")),
    }
}

fn quoted(text: &str) -> String {
    const MOST: usize = 60;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{:?}", format!("{}…", &text[..end])),
        None => format!("{text:?}"),
    }
}

fn describe(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("the string {}", quoted(text)),
        DeValue::Integer(n) if i64::from_str_radix(n.as_str(), n.radix()).is_err() => {
            format!("{n}, which is too large")
        }
        DeValue::Integer(n) => format!("{n}"),
        DeValue::Float(x) => format!("{x}"),
        DeValue::Boolean(b) => format!("{b}"),
        DeValue::Datetime(_) => "a date".into(),
        DeValue::Array(_) => "a list".into(),
        DeValue::Table(_) => "a table".into(),
    }
}
