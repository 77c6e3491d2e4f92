use clap::Parser;
use roomwatch::cli::{Cli, Command, demo, serve, simulate, tail, token, user};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Serve(arguments) => serve::main(*arguments).await,
        Command::Demo(arguments) => demo::main(arguments).await,
        Command::Tail(arguments) => tail::main(arguments).await,
        Command::Simulate(arguments) => simulate::main(arguments).await,
        Command::Token(arguments) => token::main(arguments),
        Command::User(arguments) => user::main(arguments).await,
    }
}
