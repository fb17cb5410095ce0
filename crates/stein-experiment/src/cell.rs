//! A cell: one configuration of an experiment, named by what it is.

use stein_record::hash;

/// A configuration's name: a readable slug and eight hexadecimal digits of its hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    /// The folder under `runs/<experiment>/`.
    pub name: String,
    /// SHA-256 of the configuration without the keys that equal their default, as JSON with sorted keys.
    pub hash: String,
}

impl Cell {
    pub(crate) fn new(slug: &str, configuration: &toml::Table) -> Self {
        let hash = hash_of(configuration);
        Self { name: format!("{slug}-{}", &hash[..8]), hash }
    }
}

/// The training of a cell's network: cells that agree in all that training reads have one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrainingId {
    /// The folder under `runs/<experiment>/trained/`: sixteen digits of the hash.
    pub name: String,
    /// As [`Cell::hash`], of the tables that training reads.
    pub hash: String,
}

impl TrainingId {
    pub(crate) fn new(configuration: &toml::Table) -> Self {
        let hash = hash_of(configuration);
        Self { name: hash[..16].to_owned(), hash }
    }
}

fn hash_of(configuration: &toml::Table) -> String {
    hash::sha256(canonical(&toml::Value::Table(configuration.clone())).as_bytes())
}

/// JSON without blanks, keys sorted: equal values have equal texts, in whatever order a file gives them.
fn canonical(value: &toml::Value) -> String {
    match value {
        toml::Value::Table(table) => {
            let mut entries: Vec<(&String, &toml::Value)> = table.iter().collect();
            entries.sort_by_key(|(key, _)| *key);
            let inner: Vec<String> =
                entries.iter().map(|(k, v)| format!("{}:{}", serde_json::json!(k), canonical(v))).collect();
            format!("{{{}}}", inner.join(","))
        }
        toml::Value::Array(items) => format!("[{}]", items.iter().map(canonical).collect::<Vec<_>>().join(",")),
        toml::Value::String(text) => serde_json::json!(text).to_string(),
        // Rust's shortest form that reads back; not left to a library that may change its mind.
        toml::Value::Float(x) => format!("{x:?}"),
        other => other.to_string(),
    }
}
