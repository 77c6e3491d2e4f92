//! `roomwatch user`: what the configuration says about users.

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

/// Asks at the terminal, which is left as it was: also when somebody has ended it instead of answering, because
/// not every shell sees to that.
async fn ask() -> anyhow::Result<String> {
    let on = |kind| signal(kind).context("cannot listen for signals");
    let (mut interrupt, mut quit) = (on(SignalKind::interrupt())?, on(SignalKind::quit())?);
    let mut terminate = on(SignalKind::terminate())?;
    // Before it asks, so that what is typed at once is not shown either.
    let unseen = Unseen::begin().context("the terminal would show the password")?;
    let asked = write!(std::io::stderr(), "Password: ");
    let line = tokio::select! {
        line = tokio::task::spawn_blocking(read_line) => Some(line),
        _ = interrupt.recv() => None,
        _ = quit.recv() => None,
        _ = terminate.recv() => None,
    };
    drop(unseen);
    let _ = writeln!(std::io::stderr());
    asked.context("cannot ask")?;
    match line {
        Some(line) => line.context("cannot read the password")?,
        // Now: the read cannot be taken back.
        None => std::process::exit(130),
    }
}

/// The terminal of the standard input does not show what is typed, until this is dropped.
struct Unseen {
    before: Termios,
}

impl Unseen {
    fn begin() -> rustix::io::Result<Unseen> {
        let before = tcgetattr(std::io::stdin())?;
        let mut without_echo = before.clone();
        without_echo.local_modes.remove(LocalModes::ECHO);
        tcsetattr(std::io::stdin(), OptionalActions::Now, &without_echo)?;
        Ok(Unseen { before })
    }
}

impl Drop for Unseen {
    fn drop(&mut self) {
        // A terminal that has gone has nothing to show.
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &self.before);
    }
}
