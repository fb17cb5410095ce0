//! The JSON schema of experiment files, from the components' own types.

use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};
use stein_core::{Catalogue, Part, Registry};
use stein_networks::{Parameterization, SIGMA_DATA};
use stein_objectives::Weighting;
use stein_samplers::{Guidance, Start};
use stein_schedules::Density;

use crate::experiment::DEFAULT_KINDS;
use crate::inverse::{Conditioning, INVERSE_KEYS};
use crate::launcher::Launcher;
use crate::preset::Preset;
use crate::settings::{Evaluation, Runtime, Training};
use crate::sweep::{DEFAULT_MOST_CELLS, MOST_CELLS, MOST_MEASURES};

/// The JSON schema (draft 2020-12) of experiment files that name components of a registry.
pub fn schema(registry: &Registry) -> Value {
    let mut evaluation = inline::<Evaluation>();
    let metrics: Vec<&str> = registry.metrics.entries().iter().map(|e| e.kind).collect();
    if let Some(items) = evaluation.pointer_mut("/properties/metrics/items") {
        *items = json!({ "enum": metrics });
    }
    if let Some(properties) = evaluation.pointer_mut("/properties").and_then(Value::as_object_mut) {
        properties.insert("estimators".into(), estimators(registry));
    }
    let preset = inline::<Preset>();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "stein experiment",
        "description": "What one run of stein trains, samples and measures.",
        "type": "object",
        "required": ["data"],
        "additionalProperties": false,
        "properties": {
            "name": { "type": "string", "pattern": "^[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}$",
                "description": "The folder under runs/ and reports/; the file's stem if left out." },
            "preset": preset,
            "seed": { "type": "integer", "minimum": 0, "default": 0, "description": "Keys all noise of the run." },
            "device": { "type": "string", "default": "auto",
                "description": "auto, cpu, wgpu, wgpu:discrete:1, wgpu:software, vulkan, metal, cuda:0, …" },
            "data": table(&registry.data),
            "network": table(&registry.networks),
            "objective": table(&registry.objectives),
            "schedule": table(&registry.schedules),
            "sampler": table(&registry.samplers),
            "inverse": table(&registry.inverse),
            "training": inline::<Training>(),
            "evaluation": evaluation,
            "runtime": inline::<Runtime>(),
            "launcher": inline::<Launcher>(),
            "sweep": sweep(),
        },
    })
}

/// `[evaluation] estimators`: objectives with a name, without what only training needs.
fn estimators(registry: &Registry) -> Value {
    let mut objective = table(&registry.objectives);
    for kind in objective["oneOf"].as_array_mut().into_iter().flatten() {
        if let Some(properties) = kind["properties"].as_object_mut() {
            common_keys("objective", "").iter().for_each(|(key, _)| {
                properties.remove(*key);
            });
            properties.insert("name".into(), json!({ "type": "string", "description": "What reports call it." }));
        }
        kind["required"] = json!(["kind"]);
    }
    json!({
        "type": "array",
        "maxItems": 64,
        "items": objective,
        "description": "Objectives whose bias, variance, gradient variance, time and memory are measured at the trained network, level by level; the first is what the others are compared with.",
    })
}

/// `[sweep]`: any key path with its values, and what is said about these.
fn sweep() -> Value {
    json!({
        "type": "object",
        "description": "Makes a cell of each combination of values. A key is a path (\"schedule.levels\"), a table, or a name for changes over several tables.",
        "properties": {
            "name": false,
            "zip": { "type": "array", "items": { "type": "array", "minItems": 2, "items": { "type": "string" } },
                "description": "Axes that step together; the rest is a product." },
            "exclude": { "type": "array", "items": { "type": "object", "minProperties": 1 },
                "description": "Combinations that are left out: labels or values by axis." },
            "best-of": { "type": "array", "items": { "type": "string" },
                "description": "Axes of which a comparison shows the best value only." },
            "measure": { "oneOf": [
                { "type": "string", "minLength": 1 },
                { "type": "array", "items": { "type": "string", "minLength": 1 }, "minItems": 1, "maxItems": MOST_MEASURES, "uniqueItems": true },
            ], "description": "The metric that cells are compared by, as evaluation.json names it; of several, the first ranks." },
            "max-cells": { "type": "integer", "minimum": 1, "maximum": MOST_CELLS, "default": DEFAULT_MOST_CELLS,
                "description": "More cells than this are refused." },
        },
        "additionalProperties": { "oneOf": [
            { "type": "array", "minItems": 1,
                "description": "Values. A table with `kind` replaces the file's, one without is merged into it; `name` is its label." },
            { "type": "object", "description": "A table of which keys are varied: schedule.levels = [10, 20]." },
        ] },
    })
}

/// The keys that every component of a table has, beside its own, with their schemas for one of that kind.
pub fn common_keys(table: &str, kind: &str) -> Vec<(&'static str, Value)> {
    let with_default = |mut schema: Value, default: Value| {
        schema["default"] = default;
        schema
    };
    match table {
        "network" => vec![
            ("parameterization", with_default(inline::<Parameterization>(), json!(Parameterization::default_of(kind)))),
            (
                "sigma-data",
                json!({ "type": "number", "exclusiveMinimum": 0, "default": SIGMA_DATA,
                    "description": "σ_d, the standard deviation of the data, for parameterization and weighting `edm`." }),
            ),
            (
                "conservative",
                json!({ "type": "boolean", "default": false,
                    "description": "Whether an energy is made of the network: −∇Φ with Φ = −½ xᵀF(x) takes the place of its output F, so that the score is a gradient and has a density." }),
            ),
        ],
        "objective" => vec![
            ("weighting", with_default(inline::<Weighting>(), "sigma2".into())),
            (
                "importance-correction",
                json!({ "type": "boolean", "default": false,
                    "description": "Whether weights are divided by the density of ln σ in training (over that of a log-uniform one), so that the weighting alone says how much each σ counts, however levels are drawn." }),
            ),
        ],
        "schedule" => vec![("density", with_default(inline::<Density>(), "levels".into()))],
        "sampler" => {
            let guidance = inline::<Guidance>();
            let of = |key: &'static str| Some((key, guidance["properties"].get(key)?.clone()));
            let start = ("start", with_default(inline::<Start>(), "prior".into()));
            std::iter::once(start).chain(["class", "guidance"].into_iter().filter_map(of)).collect()
        }
        "inverse" => {
            let schema = inline::<Conditioning>();
            let of = |key: &'static str| Some((key, schema["properties"].get(key)?.clone()));
            INVERSE_KEYS.into_iter().filter_map(of).collect()
        }
        _ => Vec::new(),
    }
}

/// A type's schema without references, so that it can stand inside another.
fn inline<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|s| s.inline_subschemas = true);
    let mut value = SchemaGenerator::new(settings).into_root_schema_for::<T>().to_value();
    if let Some(object) = value.as_object_mut() {
        object.remove("$schema");
        object.remove("title");
    }
    value
}

/// A component table: one of the kinds, each with its own keys and those that all have.
fn table<P: Part>(catalogue: &Catalogue<P>) -> Value {
    let kinds: Vec<Value> = catalogue
        .entries()
        .iter()
        .map(|entry| {
            let mut schema = entry.schema().to_value();
            let mut properties = Map::new();
            properties.insert("kind".into(), json!({ "const": entry.kind }));
            properties
                .extend(common_keys(P::TABLE, entry.kind).into_iter().map(|(key, value)| (key.to_owned(), value)));
            let own = schema.get_mut("properties").and_then(Value::as_object_mut).map(std::mem::take);
            properties.extend(own.unwrap_or_default());
            let mut required: Vec<Value> =
                schema.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
            if DEFAULT_KINDS.iter().all(|(part, kind)| (*part, *kind) != (P::TABLE, entry.kind)) {
                required.insert(0, "kind".into());
            }
            json!({
                "type": "object",
                "title": entry.kind,
                "description": schema.get("description").cloned().unwrap_or_default(),
                "properties": properties,
                "required": required,
                "additionalProperties": false,
            })
        })
        .collect();
    json!({ "oneOf": kinds })
}
