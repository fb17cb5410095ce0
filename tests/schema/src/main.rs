//! `validate-experiments SCHEMA FILE…`: every file must be valid, name the schema for editors, and no longer be valid once it is
//! broken.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use boon::{Compiler, SchemaIndex, Schemas};
use serde_json::Value;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((schema, files)) = arguments.split_first() else {
        eprintln!("usage: validate-experiments SCHEMA FILE…");
        return ExitCode::from(2);
    };
    let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
    let schema = match compiler.compile(schema, &mut schemas) {
        Ok(index) => index,
        Err(error) => {
            eprintln!("{schema} is no JSON schema: {error:#}");
            return ExitCode::FAILURE;
        }
    };
    let mut failed = 0;
    for file in files {
        match check(file, schema, &schemas) {
            Ok(()) => println!("{file} is valid"),
            Err(problem) => {
                eprintln!("{file}: {problem}");
                failed += 1;
            }
        }
    }
    println!("schema: {} passed, {failed} failed", files.len() - failed);
    if failed == 0 && !files.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn check(file: &str, schema: SchemaIndex, schemas: &Schemas) -> Result<(), String> {
    let text = std::fs::read_to_string(file).map_err(|e| e.to_string())?;
    if !text.lines().any(|line| line.starts_with("#:schema ") && line.ends_with("schema.json")) {
        return Err("no line `#:schema …schema.json` for editors".into());
    }
    let table: toml::Table = toml::from_str(&text).map_err(|e| e.to_string())?;
    let value = serde_json::to_value(table).map_err(|e| e.to_string())?;
    schemas.validate(&value, schema).map_err(|e| format!("{e:#}"))?;
    for (what, broken) in breakages(&value) {
        if schemas.validate(&broken, schema).is_ok() {
            return Err(format!("the schema does not see {what}"));
        }
    }
    Ok(())
}

/// The same experiment with one mistake each.
fn breakages(value: &Value) -> Vec<(&'static str, Value)> {
    let broken = |path: &[&str], with: Value| {
        let mut value = value.clone();
        let mut at = &mut value;
        for key in path {
            at = &mut at[*key];
        }
        *at = with;
        value
    };
    vec![
        ("an unknown table", broken(&["traning"], Value::Object(Default::default()))),
        ("an unknown kind", broken(&["data", "kind"], "digitz".into())),
        ("an unknown key", broken(&["schedule", "level"], 3.into())),
        ("a string for a number", broken(&["training", "steps"], "many".into())),
        ("a negative sigma", broken(&["schedule", "sigma-max"], (-1).into())),
        ("a negative seed", broken(&["seed"], (-1).into())),
        ("an unknown metric", broken(&["evaluation", "metrics"], serde_json::json!(["fidelity"]))),
    ]
}
