//! `stein init` and `stein schema`.

use std::io::Write;

use stein_core::Registry;
use stein_experiment::{Choice, schema, template};
use stein_record::RecordError;

use super::arguments::{Init, Voice};
use super::{Failure, Outcome, print, print_json};

pub(crate) fn init(arguments: &Init, registry: &Registry, voice: Voice) -> Outcome {
    let choice = Choice {
        data: arguments.data.clone(),
        network: arguments.network.clone(),
        objective: arguments.objective.clone(),
        schedule: arguments.schedule.clone(),
        sampler: arguments.sampler.clone(),
    };
    let text = template(registry, &choice).map_err(Failure::usage)?;
    let Some(path) = &arguments.file else {
        print(&text);
        return Ok(());
    };
    let shown = path.display();
    match std::fs::OpenOptions::new().write(true).create_new(true).open(path) {
        Ok(mut file) => file.write_all(text.as_bytes()).map_err(|e| RecordError::io(path, "write", e))?,
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {
            return Err(Failure::usage(format!("{shown} is there already; give another name, or move it away")));
        }
        Err(e) => return Err(RecordError::io(path, "write", e).into()),
    }
    voice.say(&format!("wrote {shown}; see what it does with: stein check {shown}"));
    Ok(())
}

pub(crate) fn print_schema(registry: &Registry) -> Outcome {
    print_json(&schema(registry));
    Ok(())
}
