//! The command line. Each subcommand has one file.

use clap::{Parser, Subcommand};

pub mod cluster;
pub mod demo;
pub mod serve;
pub mod simulate;
pub mod tail;
pub mod token;
pub mod user;

#[derive(Parser)]
#[command(
    version,
    about,
    max_term_width = 100,
    after_help = "\
Start here:
  roomwatch demo                    start a server with simulated meetings at http://localhost:3001
  roomwatch serve --dev             start a server for `livekit-server --dev`
  roomwatch tail                    print the stream of a server

Configure LiveKit to send its webhooks to http://<this server>/api/webhooks/livekit."
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub enum Command {
    /// Receive LiveKit's webhooks, and serve state, streams and dashboard
    Serve(Box<serve::Arguments>),
    /// Start a separate server with simulated meetings
    Demo(demo::Arguments),
    /// Print the stream of a server: coloured lines in a terminal, JSON lines in a pipe
    Tail(tail::Arguments),
    /// Post simulated webhooks to a URL
    Simulate(simulate::Arguments),
    /// Make a LiveKit access token
    Token(token::Arguments),
    /// Hash a password for the configuration file
    User(user::Arguments),
    /// Prepare and show a deployment of several nodes
    Cluster(cluster::Arguments),
}
