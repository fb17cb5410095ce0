//! `preset = "edm"`: what a paper sets together, for keys that a file leaves out.

use schemars::JsonSchema;
use serde::Deserialize;
use stein_record::source::{Diagnostic, Span};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::section::read;

/// A paper's settings, for every key that the file leaves out.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Preset {
    /// Preconditioning, the weighted denoiser's loss and log-normal σ of EDM (Karras et al. 2022, arXiv 2206.00364, table 1).
    Edm,
}

impl Preset {
    /// Table, key and value, in the order of the experiment file.
    fn settings(self, span: &Span) -> Vec<(&'static str, &'static str, DeValue<'static>)> {
        let word = |word: &'static str| DeValue::String(word.into());
        match self {
            Self::Edm => vec![
                ("network", "parameterization", word("edm")),
                ("objective", "kind", word("denoising")),
                ("objective", "weighting", word("edm")),
                // Its own defaults are the paper's.
                ("schedule", "density", choice("log-normal", span)),
            ],
        }
    }

    /// Takes the preset's name out of a file and puts its settings where the file has none.
    pub(crate) fn apply(root: &mut DeTable<'_>) -> Result<(), Diagnostic> {
        let Some(value) = root.remove("preset") else { return Ok(()) };
        let span = value.span();
        let preset: Self = read("", "preset", value)?;
        for (table, key, value) in preset.settings(&span) {
            set_default(root, table, key, value, &span);
        }
        Ok(())
    }
}

/// Puts a value where a table of the file has none for a key; what complains of it points at `span`.
pub(crate) fn set_default(
    root: &mut DeTable<'_>,
    table: &'static str,
    key: &'static str,
    value: DeValue<'static>,
    span: &Span,
) {
    let name = Spanned::new(span.clone(), table.into());
    let entry = root.entry(name).or_insert_with(|| Spanned::new(span.clone(), DeValue::Table(DeTable::new())));
    // Anything else than a table is refused where the table is read.
    let DeValue::Table(found) = entry.get_mut() else { return };
    if !found.contains_key(key) {
        found.insert(Spanned::new(span.clone(), key.into()), Spanned::new(span.clone(), value));
    }
}

/// `{ name = {} }`: a choice with its own defaults.
fn choice(name: &'static str, span: &Span) -> DeValue<'static> {
    let mut table = DeTable::new();
    table.insert(Spanned::new(span.clone(), name.into()), Spanned::new(span.clone(), DeValue::Table(DeTable::new())));
    DeValue::Table(table)
}
