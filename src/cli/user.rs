//! `roomwatch user`: what the configuration says about users.

use std::io::{BufRead, IsTerminal, Write};

use anyhow::{Context, ensure};
use clap::{Args, Subcommand};

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

pub fn main(arguments: Arguments) -> anyhow::Result<()> {
    match arguments.command {
        Command::Hash => {
            let hash = hash(&read_password()?)?;
            writeln!(std::io::stdout(), "{}", hash.reveal()).context("cannot print the hash")
        }
    }
}

/// One line. A password on the command line would stand in the shell's history.
fn read_password() -> anyhow::Result<Secret> {
    let stdin = std::io::stdin();
    let asking = stdin.is_terminal();
    if asking {
        write!(std::io::stderr(), "Password: ").context("cannot ask")?;
        echo("-echo");
    }
    let mut line = String::new();
    let read = stdin.lock().read_line(&mut line);
    if asking {
        echo("echo");
        writeln!(std::io::stderr()).context("cannot ask")?;
    }
    read.context("cannot read the password")?;
    let password = line.trim_end_matches(['\r', '\n']);
    ensure!(!password.is_empty(), "the password is empty");
    ensure!(password.len() <= PASSWORD_BYTES_MAX, "a password may have {PASSWORD_BYTES_MAX} bytes");
    Ok(Secret::new(password))
}

/// Shows what is typed, or not. Without `stty` it stays shown, which is no reason not to go on.
fn echo(mode: &str) {
    let _ = std::process::Command::new("stty").arg(mode).stderr(std::process::Stdio::null()).status();
}
