use clap::{CommandFactory, FromArgMatches};
use roomwatch::cli::{Cli, Command, cluster, demo, serve, simulate, tail, token, user};
use rustix::{fs::Mode, process::umask};

/// jemalloc. The bytes of a webhook are allocated on one thread and freed on another, mostly after a moment. With the C
/// library's allocator this took a sixth of the whole cost of a webhook (`cargo bench --bench webhook`). SQLite uses
/// jemalloc too.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Options of jemalloc, which it reads from this symbol. Without its own thread it returns memory to the system only while
/// the program allocates: after ten thousand readers had connected at once, an idle server kept 13 KiB for each.
#[unsafe(export_name = "malloc_conf")]
pub static MALLOC_CONF: &[u8; 43] = b"background_thread:true,dirty_decay_ms:3000\0";

fn main() -> anyhow::Result<()> {
    // Events have personal data. Set before there is a second thread: it holds for every file of the process, SQLite's too.
    umask(Mode::RWXG | Mode::RWXO);
    // The value of a variable may have a secret: a password in a URL, for example.
    let command =
        Cli::command().mut_subcommands(|one| one.mut_args(|argument| argument.hide_env_values(true)));
    let cli = Cli::from_arg_matches(&command.get_matches()).unwrap_or_else(|error| error.exit());
    run(cli)
}

#[tokio::main]
async fn run(cli: Cli) -> anyhow::Result<()> {
    match cli.command {
        Command::Serve(arguments) => Box::pin(serve::main(*arguments)).await,
        Command::Demo(arguments) => demo::main(arguments).await,
        Command::Tail(arguments) => tail::main(arguments).await,
        Command::Simulate(arguments) => simulate::main(arguments).await,
        Command::Token(arguments) => token::main(arguments),
        Command::User(arguments) => user::main(arguments).await,
        Command::Cluster(arguments) => cluster::main(arguments).await,
    }
}
