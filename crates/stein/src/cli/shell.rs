//! `stein completions` and `stein man`.

use clap::CommandFactory;
use stein_record::{RecordError, atomic};

use super::arguments::{Arguments, Completions, Man, Voice};
use super::{Outcome, print};

pub(crate) fn completions(arguments: &Completions) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Arguments::command(), "stein", &mut script);
    print(&String::from_utf8_lossy(&script));
    Ok(())
}

/// One page for the program and one for each command.
pub(crate) fn man(arguments: &Man, voice: Voice) -> Outcome {
    let mut program = Arguments::command();
    program.build();
    let commands = program.get_subcommands().filter(|c| c.get_name() != "help").cloned();
    for command in std::iter::once(program.clone()).chain(commands) {
        let name = match command.get_name() {
            "stein" => "stein".to_owned(),
            name => format!("stein-{name}"),
        };
        let path = arguments.folder.join(format!("{name}.1"));
        let mut page = Vec::new();
        let command = command.display_name(name.clone()).name(name);
        clap_mangen::Man::new(command).render(&mut page).map_err(|e| RecordError::io(&path, "write", e))?;
        atomic::write(&path, &page)?;
        voice.say(&format!("wrote {}", path.display()));
    }
    Ok(())
}
