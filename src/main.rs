use clap::Parser;
use roomwatch::cli::{Cli, Command, demo, serve, simulate, tail, token, user};

/// A webhook's bytes are taken on one thread and freed on another, and most of them live for a moment: the C library's
/// allocator took a sixth of all that a webhook costs (`cargo bench --bench webhook`). SQLite uses this one too.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

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
