//! `roomwatch user`: helps to configure users.

use std::io::{BufRead, IsTerminal, Write};

use anyhow::{Context, ensure};
use clap::{Args, Subcommand};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    accounts::{PASSWORD_BYTES_MAX, hash},
    token::Secret,
};

#[derive(Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Read a password from the standard input and print its argon2id hash
    #[command(after_help = "\
Put the hash into roomwatch.toml:
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

/// Reads one line. A password on the command line would be stored in the history of the shell.
async fn read_password() -> anyhow::Result<Secret> {
    let line = if std::io::stdin().is_terminal() { ask().await? } else { read_line()? };
    let password = line.trim_end_matches(['\r', '\n']);
    ensure!(!password.is_empty(), "the password is empty");
    ensure!(password.len() <= PASSWORD_BYTES_MAX, "a password may have at most {PASSWORD_BYTES_MAX} bytes");
    Ok(Secret::new(password))
}

fn read_line() -> anyhow::Result<String> {
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).context("cannot read the password")?;
    Ok(line)
}

/// Asks at the terminal, and restores its settings afterwards, also after a signal: not every shell does that.
async fn ask() -> anyhow::Result<String> {
    let on = |kind| signal(kind).context("cannot listen for signals");
    let (mut interrupt, mut quit) = (on(SignalKind::interrupt())?, on(SignalKind::quit())?);
    let mut terminate = on(SignalKind::terminate())?;
    // Before the prompt, so that a quick answer is not shown either.
    let no_echo = NoEcho::begin().context("cannot hide the password; send it through a pipe")?;
    let asked = write!(std::io::stderr(), "Password: ");
    let line = tokio::select! {
        line = tokio::task::spawn_blocking(read_line) => Some(line),
        _ = interrupt.recv() => None,
        _ = quit.recv() => None,
        _ = terminate.recv() => None,
    };
    drop(no_echo);
    let _ = writeln!(std::io::stderr());
    asked.context("cannot write to the terminal")?;
    match line {
        Some(line) => line.context("cannot read the password")?,
        // Exit at once: the blocking read cannot be cancelled.
        None => std::process::exit(130),
    }
}

/// Switches off the echo of the terminal. Dropping it restores the settings.
struct NoEcho {
    before: Termios,
}

impl NoEcho {
    fn begin() -> rustix::io::Result<NoEcho> {
        let before = tcgetattr(std::io::stdin())?;
        let mut without_echo = before.clone();
        without_echo.local_modes.remove(LocalModes::ECHO);
        tcsetattr(std::io::stdin(), OptionalActions::Now, &without_echo)?;
        Ok(NoEcho { before })
    }
}

impl Drop for NoEcho {
    fn drop(&mut self) {
        // Fails only if the terminal was closed.
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &self.before);
    }
}
