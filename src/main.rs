use clap::Parser;
use roomwatch::cli::{Cli, Command, demo, serve, simulate, tail, token, user};

/// jemalloc. The bytes of a webhook are allocated on one thread and freed on another, mostly after a moment. With the C
/// library's allocator this took a sixth of the whole cost of a webhook (`cargo bench --bench webhook`). SQLite uses
/// jemalloc too.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Options of jemalloc, which it reads from this symbol. Without its own thread it returns memory to the system only while
/// the program allocates: after ten thousand readers had connected at once, an idle server kept 13 KiB for each.
#[unsafe(export_name = "malloc_conf")]
pub static MALLOC_CONF: &[u8; 43] = b"background_thread:true,dirty_decay_ms:3000\0";

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
