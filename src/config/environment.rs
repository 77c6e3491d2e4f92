//! The variables of the environment.

use std::{collections::BTreeSet, ffi::OsString};

use anyhow::ensure;
use clap::CommandFactory;

use super::Options;

/// Refuses a variable with the prefix `ROOMWATCH_` that is not an option: it is a typing error. Variables that
/// Kubernetes sets are not.
pub(super) fn refuse_unknown(variables: impl Iterator<Item = (OsString, OsString)>) -> anyhow::Result<()> {
    let command = command();
    let known: BTreeSet<_> = command.get_arguments().filter_map(|arg| arg.get_env()?.to_str()).collect();
    for (name, value) in variables {
        let (name, value) = (name.to_string_lossy(), value.to_string_lossy());
        let ours = !name.starts_with("ROOMWATCH_")
            || known.contains(&*name)
            || is_of_kubernetes(&name, &value)
            || matches!(
                &*name,
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

/// Returns true for a variable of a Service whose name is `roomwatch` or begins with `roomwatch-`. Kubernetes sets these
/// in every pod of the namespace (`enableServiceLinks`):
///
/// ```text
/// ROOMWATCH_SERVICE_HOST        ROOMWATCH_SERVICE_PORT          ROOMWATCH_SERVICE_PORT_<NAME>
/// ROOMWATCH_PORT=tcp://…        ROOMWATCH_PORT_3001_TCP=tcp://… ROOMWATCH_PORT_3001_TCP_{PROTO,PORT,ADDR}
/// ```
fn is_of_kubernetes(name: &str, value: &str) -> bool {
    let is_port = |rest: &str| {
        let words: Vec<&str> = rest.split('_').collect();
        let (Some((number, rest)), 1..=3) = (words.split_first(), words.len()) else { return false };
        number.parse::<u16>().is_ok()
            && rest.first().is_some_and(|word| matches!(*word, "TCP" | "UDP" | "SCTP"))
            && rest.get(1).is_none_or(|word| matches!(*word, "PROTO" | "PORT" | "ADDR"))
    };
    name.ends_with("_SERVICE_HOST")
        || name.ends_with("_SERVICE_PORT")
        || name.contains("_SERVICE_PORT_")
        || (name.ends_with("_PORT") && value.contains("://"))
        || name.match_indices("_PORT_").any(|(at, word)| is_port(&name[at + word.len()..]))
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
