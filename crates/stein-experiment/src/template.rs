//! A commented experiment file to start from.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use stein_core::{Catalogue, Part, Registry};

/// Which component a template has in each table; the default where none is named.
#[derive(Debug, Clone, Default)]
pub struct Choice {
    /// `[data]`; `digits` if left out.
    pub data: Option<String>,
    /// `[network]`; one that fits the data if left out.
    pub network: Option<String>,
    /// `[objective]`.
    pub objective: Option<String>,
    /// `[schedule]`.
    pub schedule: Option<String>,
    /// `[sampler]`.
    pub sampler: Option<String>,
}

/// A commented experiment: every key of the chosen components with its default and what it means.
///
/// # Errors
/// If a component is not known; the message lists those that are.
pub fn template(registry: &Registry, choice: &Choice) -> Result<String, String> {
    let data = choice.data.as_deref().unwrap_or("digits");
    let network = choice.network.as_deref().unwrap_or(if data == "digits" { "unet" } else { "mlp" });
    let mut out = String::from(
        "# An experiment for stein. Each key stands with its default: what you don't change you can leave out.\n\
         #   stein check FILE    what it would do\n\
         #   stein run FILE      train, sample, measure, report\n\n\
         # Keys all noise of the run; another seed is another run.\n\
         seed = 0\n\
         # \"auto\" takes a GPU if there is one, else the CPU.\n\
         device = \"auto\"\n",
    );
    let of_networks = [
        (
            "parameterization",
            if network == "exact" { "\"score\"" } else { "\"scaled\"" },
            "How the network becomes a score: \"score\", \"scaled\", \"noise\", \"denoiser\" or \"edm\".",
        ),
        ("sigma-data", "0.5", "σ_d, the standard deviation of the data, for parameterization and weighting \"edm\"."),
        ("conservative", "false", "Whether an energy is made of the network, so that its score is a gradient."),
    ];
    let of_objectives = [
        (
            "weighting",
            "\"sigma2\"",
            "λ(σ), by which each level counts: \"none\", \"sigma2\", \"edm\", \"likelihood\" or { power = p }.",
        ),
        ("importance-correction", "false", "Whether weights are divided by the density at which training draws ln σ."),
    ];
    let of_schedules = [(
        "density",
        "\"levels\"",
        "How training draws σ: \"levels\", \"stratified-levels\", \"log-uniform\", \"stratified\" or { log-normal = { mean = -1.2, std = 1.2 } }.",
    )];
    let of_samplers = [
        (
            "start",
            "\"prior\"",
            "Where chains start: \"prior\", \"data\", { uniform = [-8, 8] }, { normal = { mean = 0, std = 1 } } or { point = [0, 0] }.",
        ),
        (
            "guidance",
            "0.0",
            "w of classifier-free guidance, for networks of classes: samples follow (1 + w) s(x, c) − w s(x).",
        ),
    ];
    component(&mut out, &registry.data, data, &[])?;
    component(&mut out, &registry.networks, network, &of_networks)?;
    component(&mut out, &registry.objectives, choice.objective.as_deref().unwrap_or("denoising"), &of_objectives)?;
    component(&mut out, &registry.schedules, choice.schedule.as_deref().unwrap_or("geometric"), &of_schedules)?;
    let training = crate::Training::default();
    let steps = if network == "exact" { 0 } else { training.steps };
    settings(&mut out, "training", &crate::Training { steps, ..training })?;
    component(&mut out, &registry.samplers, choice.sampler.as_deref().unwrap_or("annealed-langevin"), &of_samplers)?;
    settings(&mut out, "evaluation", &crate::Evaluation::default())?;
    settings(&mut out, "runtime", &crate::Runtime::default())?;
    Ok(out)
}

/// A table of settings: every key with its default.
fn settings<T: JsonSchema + Serialize>(out: &mut String, table: &str, default: &T) -> Result<(), String> {
    let schema = schemars::schema_for!(T).to_value();
    let defaults = toml::Table::try_from(default).map_err(|e| e.to_string())?;
    *out += &format!("\n[{table}]\n");
    for (key, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let about = property.get("description").and_then(Value::as_str).unwrap_or_default();
        match defaults.get(key) {
            Some(value) => entry(out, key, &inline(value), about),
            None => *out += &format!("# {}\n# {key} =\n", wrapped(about)),
        }
    }
    Ok(())
}

/// A value on one line.
fn inline(value: &toml::Value) -> String {
    match value {
        toml::Value::Table(table) => {
            let inner: Vec<String> = table.iter().map(|(k, v)| format!("{k} = {}", inline(v))).collect();
            format!("{{ {} }}", inner.join(", "))
        }
        other => other.to_string(),
    }
}

fn component<P: Part>(
    out: &mut String,
    catalogue: &Catalogue<P>,
    kind: &str,
    common: &[(&str, &str, &str)],
) -> Result<(), String> {
    let entry_of = catalogue.get(kind).ok_or_else(|| {
        let kinds = || catalogue.entries().iter().map(|e| e.kind);
        let near = stein_record::source::nearest(kind, kinds());
        let near = near.map(|n| format!("; did you mean `{n}`?")).unwrap_or_default();
        format!("no {} is called `{kind}`{near}\n  there are {}", P::NOUN, stein_record::source::list_of(kinds()))
    })?;
    *out += &format!("\n# {}\n[{}]\nkind = \"{kind}\"\n", wrapped(&entry_of.summary()), P::TABLE);
    for (key, value, about) in common {
        entry(out, key, value, about);
    }
    let schema = entry_of.schema().to_value();
    let properties = schema.get("properties").and_then(Value::as_object);
    for (key, property) in properties.into_iter().flatten() {
        let about = property.get("description").and_then(Value::as_str).unwrap_or_default();
        let example = property.get("examples").and_then(|e| e.get(0));
        match (property.get("default").filter(|d| !d.is_null()), example) {
            (Some(value), _) => entry(out, key, &to_toml(value), about),
            (None, Some(value)) => entry(out, key, &to_toml(value), &format!("{about} Needed; this is an example.")),
            // Neither a default nor an example: an option that is left out.
            (None, None) => *out += &format!("# {}\n# {key} =\n", wrapped(about)),
        }
    }
    Ok(())
}

fn entry(out: &mut String, key: &str, value: &str, about: &str) {
    *out += &format!("# {}\n{key} = {value}\n", wrapped(about));
}

/// A comment's further lines.
fn wrapped(text: &str) -> String {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().expect("begins with one");
        if !line.is_empty() && line.chars().count() + word.chars().count() > 100 {
            lines.push(word.to_owned());
        } else {
            *line += if line.is_empty() { "" } else { " " };
            *line += word;
        }
    }
    lines.join("\n# ")
}

fn to_toml(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("[{}]", items.iter().map(to_toml).collect::<Vec<_>>().join(", ")),
        Value::Object(map) => {
            let inner: Vec<String> = map.iter().map(|(k, v)| format!("{k} = {}", to_toml(v))).collect();
            format!("{{ {} }}", inner.join(", "))
        }
        Value::Number(n) if n.is_f64() && n.as_f64().is_some_and(|x| x.fract() == 0.0) => {
            format!("{:.1}", n.as_f64().unwrap_or(0.0))
        }
        other => other.to_string(),
    }
}
