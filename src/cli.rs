//! The command line: one file a subcommand.

use clap::{Parser, Subcommand};

pub mod demo;
pub mod serve;
pub mod simulate;
pub mod tail;
pub mod token;
pub mod user;

/// What is happening in LiveKit rooms, as it happens.
#[derive(Parser)]
#[command(
    version,
    about,
    max_term_width = 100,
    after_help = "\
Start here:
  roomwatch demo                    a server with made-up meetings: look at http://localhost:3001
  roomwatch serve --dev             beside `livekit-server --dev`
  roomwatch tail                    the stream of a Roomwatch, in the terminal

LiveKit has to send its webhooks to http://<this server>/api/webhooks/livekit."
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub enum Command {
    /// Take LiveKit's webhooks, keep them, serve state, streams and dashboard
    Serve(Box<serve::Arguments>),
    /// A server of its own with simulated meetings, to look around
    Demo(demo::Arguments),
    /// Print the stream of any Roomwatch: coloured for people, JSON lines for pipes
    Tail(tail::Arguments),
    /// Post a seeded workload of signed webhooks to any URL
    Simulate(simulate::Arguments),
    /// Mint a LiveKit access token
    Token(token::Arguments),
    /// Hash a password for the configuration
    User(user::Arguments),
}
