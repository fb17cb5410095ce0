//! `stein list`.

use serde_json::{Value, json};
use stein_core::{Catalogue, Entry, Part, Registry};
use stein_experiment::common_keys;
use stein_record::run_dir;
use stein_record::source::{list_of, nearest};

use super::arguments::{List, What};
use super::{Failure, Outcome, print, print_json, say};

pub(crate) fn list(arguments: &List, registry: &Registry) -> Outcome {
    match arguments.what {
        Some(What::Runs) => runs(arguments),
        Some(what) => {
            let components = of(registry, what);
            match &arguments.name {
                None => show(&components, true, arguments.json),
                Some(name) => one(&components, name, arguments.json),
            }
        }
        None => {
            let all = [
                What::Objectives,
                What::Schedules,
                What::Samplers,
                What::Inverse,
                What::Networks,
                What::Data,
                What::Metrics,
            ];
            if arguments.json {
                let object = all.map(|what| {
                    let list = of(registry, what).iter().map(Described::json).collect::<Vec<_>>();
                    (format!("{what:?}").to_lowercase(), Value::from(list))
                });
                print_json(&Value::Object(object.into_iter().collect()));
                return Ok(());
            }
            for what in all {
                print(&format!("{what:?}").to_lowercase());
                show(&of(registry, what), false, false)?;
                print("");
            }
            Ok(())
        }
    }
}

/// A component as it is listed.
struct Described {
    kind: &'static str,
    noun: &'static str,
    summary: String,
    paper: &'static str,
    schema: Value,
}

impl Described {
    fn of<P: Part>(entry: &Entry<P>) -> Self {
        Self {
            kind: entry.kind,
            noun: P::NOUN,
            summary: entry.summary(),
            paper: entry.paper,
            schema: with_common_keys(entry.schema().to_value(), P::TABLE, entry.kind),
        }
    }

    fn json(&self) -> Value {
        json!({ "kind": self.kind, "summary": self.summary, "paper": self.paper, "schema": self.schema })
    }
}

fn with_common_keys(mut schema: Value, table: &str, kind: &str) -> Value {
    let common = common_keys(table, kind);
    if !common.is_empty() {
        let object =
            schema.as_object_mut().and_then(|s| s.entry("properties").or_insert_with(|| json!({})).as_object_mut());
        if let Some(properties) = object {
            properties.extend(common.into_iter().map(|(key, schema)| (key.to_owned(), schema)));
        }
    }
    schema
}

fn of(registry: &Registry, what: What) -> Vec<Described> {
    fn all<P: Part>(catalogue: &Catalogue<P>) -> Vec<Described> {
        catalogue.entries().iter().map(Described::of).collect()
    }
    match what {
        What::Objectives => all(&registry.objectives),
        What::Schedules => all(&registry.schedules),
        What::Samplers => all(&registry.samplers),
        What::Inverse => all(&registry.inverse),
        What::Networks => all(&registry.networks),
        What::Data => all(&registry.data),
        What::Metrics => all(&registry.metrics),
        What::Runs => Vec::new(),
    }
}

/// A key with its type and default: `levels: integer from 1 to 100000 = 20`.
fn key_in_short(key: &str, schema: &Value) -> String {
    let default = schema.get("default").filter(|d| !d.is_null()).map(|d| format!(" = {d}")).unwrap_or_default();
    format!("{key}: {}{default}", type_of(schema))
}

fn show(components: &[Described], in_full: bool, as_json: bool) -> Outcome {
    if as_json {
        print_json(&components.iter().map(Described::json).collect());
        return Ok(());
    }
    let width = components.iter().map(|c| c.kind.len()).max().unwrap_or(0);
    for component in components {
        print(&format!("  {:width$}  {}", component.kind, component.summary));
        let keys = component.schema.get("properties").and_then(Value::as_object);
        let keys: Vec<String> = keys.into_iter().flatten().map(|(key, schema)| key_in_short(key, schema)).collect();
        if in_full && !keys.is_empty() {
            print(&format!("  {:width$}    {}", "", keys.join("\n    ").replace('\n', &format!("\n  {:width$}", ""))));
        }
        if in_full && !component.paper.is_empty() {
            print(&format!("  {:width$}    {}", "", component.paper));
        }
    }
    Ok(())
}

fn one(components: &[Described], name: &str, as_json: bool) -> Outcome {
    let Some(component) = components.iter().find(|c| c.kind == name) else {
        let kinds = || components.iter().map(|c| c.kind);
        let noun = components.first().map_or("component", |c| c.noun);
        let near = nearest(name, kinds()).map(|n| format!("; did you mean `{n}`?")).unwrap_or_default();
        let known = list_of(kinds());
        return Err(Failure::usage(format!("no {noun} is called `{name}`{near}\n  there are {known}")));
    };
    if as_json {
        print_json(&component.json());
        return Ok(());
    }
    print(&format!("{} ({})", component.kind, component.noun));
    let about = component.schema.get("description").and_then(Value::as_str).unwrap_or_default();
    print(&format!("\n{about}"));
    if !component.paper.is_empty() {
        print(&format!("\nSource: {}", component.paper));
    }
    let required = component.schema.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
    let properties = component.schema.get("properties").and_then(Value::as_object);
    for (key, schema) in properties.into_iter().flatten() {
        let about = schema.get("description").and_then(Value::as_str).unwrap_or_default().replace('\n', " ");
        let default = schema.get("default").filter(|d| !d.is_null()).map(|d| format!(", default {d}"));
        let required = required.iter().any(|r| r == key).then(|| ", required".to_owned());
        let rest = default.or(required).unwrap_or_default();
        print(&format!("\n  {key}: {}{rest}\n      {about}", type_of(schema)));
        for (name, about) in variants(schema) {
            print(&format!("        {name}  {about}"));
        }
    }
    Ok(())
}

fn runs(arguments: &List) -> Outcome {
    let mut rows = Vec::new();
    for directory in run_dir::list(&arguments.runs)? {
        match directory.read_record() {
            Ok(Some(record)) => rows.push((directory, record)),
            Ok(None) => {}
            Err(error) => say(format_args!("warning: {error}")),
        }
    }
    if arguments.json {
        let list: Vec<Value> = rows
            .iter()
            .map(|(directory, record)| json!({ "path": directory.path().display().to_string(), "record": record }))
            .collect();
        print_json(&list.into());
        return Ok(());
    }
    if rows.is_empty() {
        print(&format!("there are no runs under {}", arguments.runs.display()));
    }
    let shown: Vec<String> = rows.iter().map(|(directory, _)| directory.path().display().to_string()).collect();
    let width = shown.iter().map(String::len).max().unwrap_or(0);
    for (path, (_, record)) in shown.iter().zip(&rows) {
        let progress = format!("{}/{} steps", record.progress.step, record.progress.steps);
        print(&format!("{path:width$}  {:11}  {progress:16}  {}", record.state.to_string(), record.started));
    }
    Ok(())
}

/// A schema's type and range, in a few words: "number above 0", "list of integers from 1 to 65536".
fn type_of(schema: &Value) -> String {
    if let Some(values) = schema.get("enum").and_then(Value::as_array) {
        return values.iter().map(Value::to_string).collect::<Vec<_>>().join(" | ");
    }
    let word = match schema.get("type") {
        Some(Value::String(name)) => name.clone(),
        Some(Value::Array(names)) => {
            names.iter().filter_map(Value::as_str).filter(|n| *n != "null").collect::<Vec<_>>().join(" or ")
        }
        _ if schema.get("oneOf").is_some() => {
            variants(schema).into_iter().map(|(name, _)| name).collect::<Vec<_>>().join(" | ")
        }
        _ => match schema.get("anyOf").and_then(Value::as_array) {
            Some(any) => any.iter().map(type_of).filter(|t| t != "null").collect::<Vec<_>>().join(" or "),
            None => schema.get("const").map(Value::to_string).unwrap_or_else(|| "value".into()),
        },
    };
    let word = match (word.as_str(), schema.get("items")) {
        ("array", Some(items)) => format!("list of {}", type_of(items)),
        _ => word,
    };
    let bound = |key: &str, words: &str| schema.get(key).map(|b| format!(" {words} {b}")).unwrap_or_default();
    let least = bound("minimum", "from") + &bound("exclusiveMinimum", "above");
    word + &least + &bound("maximum", "to") + &bound("exclusiveMaximum", "below")
}

/// The values of a choice, with what each means.
fn variants(schema: &Value) -> Vec<(String, String)> {
    let about = |v: &Value| v.get("description").and_then(Value::as_str).unwrap_or_default().replace('\n', " ");
    let choices = schema.get("oneOf").and_then(Value::as_array).into_iter().flatten();
    choices
        .map(|choice| {
            let name = choice.get("const").map(Value::to_string).unwrap_or_else(|| {
                let keys = choice.get("properties").and_then(Value::as_object);
                keys.map(|k| k.keys().map(|k| format!("{{ {k} = … }}")).collect()).unwrap_or_else(|| type_of(choice))
            });
            (name, about(choice))
        })
        .collect()
}
