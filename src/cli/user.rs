//! `roomwatch user`: what the configuration says about users.

use std::io::{BufRead, IsTerminal, Write};

use anyhow::{Context, ensure};
use clap::{Args, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    server::accounts::{PASSWORD_BYTES_MAX, hash},
    token::Secret,
};

#[derive(Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Read a password from the standard input and print its argon2id hash for `password_hash`
    #[command(after_help = "\
The hash goes into roomwatch.toml:
  [[users]]
  name = \"ada\"
  role = \"admin\"
  password_hash = \"$argon2id$…\"

Examples:
  roomwatch user hash
  pass show roomwatch/ada | roomwatch user hash")]
    Hash,
}

pub async fn main(arguments: Arguments) -> anyhow::Result<()> {
    match arguments.command {
        Command::Hash => {
            let hash = hash(&read_password().await?)?;
            writeln!(std::io::stdout(), "{}", hash.reveal()).context("cannot print the hash")
        }
    }
}

/// One line. A password on the command line would stand in the shell's history.
async fn read_password() -> anyhow::Result<Secret> {
    let line = if std::io::stdin().is_terminal() { ask().await? } else { read_line()? };
    let password = line.trim_end_matches(['\r', '\n']);
    ensure!(!password.is_empty(), "the password is empty");
    ensure!(password.len() <= PASSWORD_BYTES_MAX, "a password may have {PASSWORD_BYTES_MAX} bytes");
    Ok(Secret::new(password))
}

fn read_line() -> anyhow::Result<String> {
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).context("cannot read the password")?;
    Ok(line)
}

/// Asks at the terminal, which shows what is typed again afterwards: also when somebody has ended it instead of
/// answering, because not every shell sees to that.
async fn ask() -> anyhow::Result<String> {
    let on = |kind| signal(kind).context("cannot listen for signals");
    let (mut interrupt, mut quit) = (on(SignalKind::interrupt())?, on(SignalKind::quit())?);
    let mut terminate = on(SignalKind::terminate())?;
    // First, so that what is typed ahead is not shown either.
    echo("-echo");
    let asked = write!(std::io::stderr(), "Password: ");
    let line = tokio::select! {
        line = tokio::task::spawn_blocking(read_line) => Some(line),
        _ = interrupt.recv() => None,
        _ = quit.recv() => None,
        _ = terminate.recv() => None,
    };
    echo("echo");
    let _ = writeln!(std::io::stderr());
    asked.context("cannot ask")?;
    match line {
        Some(line) => line.context("cannot read the password")?,
        // Now: the read cannot be taken back.
        None => std::process::exit(130),
    }
}

/// Shows what is typed, or not. Without `stty` it stays shown, which is no reason not to go on.
fn echo(mode: &str) {
    let _ = std::process::Command::new("stty").arg(mode).stderr(std::process::Stdio::null()).status();
}
