//! A resolved experiment as keys and values, to see what two of them differ in.

/// The values of a TOML text by their key paths (`training.optimizer.learning-rate`), in the text's order, each as TOML writes it
/// on one line. An array is one value.
///
/// # Errors
/// What is wrong with the text.
pub fn flat(text: &str) -> Result<Vec<(String, String)>, String> {
    let table: toml::Table = text.parse().map_err(|e: toml::de::Error| e.message().to_owned())?;
    let mut out = Vec::new();
    collect("", &table, &mut out);
    Ok(out)
}

fn collect(path: &str, table: &toml::Table, out: &mut Vec<(String, String)>) {
    for (key, value) in table {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        match value {
            toml::Value::Table(table) if !table.is_empty() => collect(&path, table, out),
            value => out.push((path, value.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_paths_and_values_one_line() {
        let text =
            "seed = 1\n[training]\nsteps = 10\noptimizer = { kind = \"adam\", rates = [\n1e-3,\n2.0] }\n[empty]\n";
        let flat = flat(text).unwrap();
        let flat: Vec<(&str, &str)> = flat.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        let expected = [
            ("seed", "1"),
            ("training.steps", "10"),
            ("training.optimizer.kind", "\"adam\""),
            ("training.optimizer.rates", "[0.001, 2.0]"),
            ("empty", "{}"),
        ];
        assert_eq!(flat, expected);
        assert!(super::flat("a = ").is_err());
    }
}
