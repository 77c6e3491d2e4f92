//! `roomwatch token`: makes LiveKit access tokens.

use std::io::Write;

use anyhow::{Context, ensure};
use clap::Args;

use crate::{
    clock::unix_ms,
    config::DEV_KEY,
    token::{Claims, Grant, Secret, sign},
};

#[derive(Args)]
#[command(after_help = "\
The grants decide what the token may do:
  --room-list                see every room of the project, past and present
  --room NAME --room-admin   see that room, past and present, and moderate it
  --room NAME --room-join    see what a participant of that room sees
  --room-create              create and end rooms

Examples:
  curl -N -H \"Authorization: Bearer $(roomwatch token --room-list)\" http://localhost:3001/api/events
  roomwatch tail --token \"$(roomwatch token --room standup --room-admin)\"")]
pub struct Arguments {
    /// API key that signs the token
    #[arg(long, env = "LIVEKIT_API_KEY", default_value = DEV_KEY.0, value_name = "KEY")]
    api_key: String,
    /// Secret of that key
    #[arg(long, env = "LIVEKIT_API_SECRET", default_value = DEV_KEY.1, hide_env_values = true, value_name = "SECRET")]
    api_secret: String,
    /// Identity in the token
    #[arg(long, default_value = "roomwatch-cli", value_name = "IDENTITY")]
    identity: String,
    /// Display name in the token
    #[arg(long, default_value = "", value_name = "NAME")]
    name: String,
    /// Lifetime, for example 90s, 15m, 6h or 7d
    #[arg(long, default_value = "1h", value_name = "TIME", value_parser = seconds)]
    valid_for: u64,
    /// Room for --room-admin and --room-join
    #[arg(long, default_value = "", value_name = "NAME")]
    room: String,
    /// See every room of the project
    #[arg(long)]
    room_list: bool,
    /// Moderate --room
    #[arg(long, requires = "room")]
    room_admin: bool,
    /// Join --room
    #[arg(long, requires = "room")]
    room_join: bool,
    /// Create and end rooms
    #[arg(long)]
    room_create: bool,
    /// Join --room as a hidden participant
    #[arg(long, requires = "room_join")]
    hidden: bool,
}

/// Reads `90s`, `15m`, `6h`, `7d` as seconds.
fn seconds(text: &str) -> anyhow::Result<u64> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let factor = match unit {
        "s" | "" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => anyhow::bail!("write a number and then s, m, h or d"),
    };
    let number: u64 = number.parse().context("write a number and then s, m, h or d")?;
    number
        .checked_mul(factor)
        .filter(|secs| *secs > 0 && *secs <= 10 * 365 * 86_400)
        .context("choose a lifetime of at most ten years")
}

pub fn main(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { room_list, room_admin, room_join, room_create, hidden, room, .. } = arguments;
    ensure!(
        room_list || room_admin || room_join || room_create,
        "a token without a grant has no rights: add --room-list, --room-admin, --room-join or --room-create"
    );
    let now = i64::try_from(unix_ms() / 1000).context("the clock of this machine is wrong")?;
    let claims = Claims {
        iss: arguments.api_key,
        sub: arguments.identity,
        name: arguments.name,
        exp: now + i64::try_from(arguments.valid_for)?,
        nbf: Some(now),
        sha256: None,
        video: Some(Grant {
            room_list,
            room_admin,
            room_join,
            room_create,
            hidden,
            room,
            ..Grant::default()
        }),
    };
    writeln!(std::io::stdout(), "{}", sign(&claims, &Secret::new(arguments.api_secret)))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::seconds;

    #[test]
    fn times_are_read_with_their_unit() {
        for (text, expected) in [("90s", 90), ("90", 90), ("15m", 900), ("6h", 21_600), ("7d", 604_800)] {
            assert_eq!(seconds(text).ok(), Some(expected), "{text}");
        }
        for text in ["", "h", "1w", "-1s", "0", "99999999999999999999d", "20000d"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }
}
