//! The variables of the environment.

use std::collections::BTreeSet;

use anyhow::ensure;
use clap::CommandFactory;

use super::Options;

/// Refuses a variable with the prefix `ROOMWATCH_` that is not an option: it is a typing error.
pub(super) fn refuse_unknown(names: impl Iterator<Item = String>) -> anyhow::Result<()> {
    let command = command();
    let known: BTreeSet<_> = command.get_arguments().filter_map(|arg| arg.get_env()?.to_str()).collect();
    for name in names.filter(|name| name.starts_with("ROOMWATCH_")) {
        let ours = known.contains(name.as_str())
            || matches!(
                name.as_str(),
                "ROOMWATCH_PASSWORD"
                    | "ROOMWATCH_CONFIG"
                    | "ROOMWATCH_LOG"
                    | "ROOMWATCH_URL"
                    | "ROOMWATCH_TOKEN"
            );
        ensure!(ours, "the environment has {name}, which is not an option; see `roomwatch serve --help`");
    }
    Ok(())
}

/// A command with every option.
pub(super) fn command() -> clap::Command {
    Probe::command()
}

#[derive(clap::Parser)]
struct Probe {
    #[command(flatten)]
    _options: Options,
}
