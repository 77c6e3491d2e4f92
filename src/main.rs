use clap::Parser;
use roomwatch::cli::{Cli, Command, demo, serve, simulate, tail, token, user};

fn main() -> anyhow::Result<()> {
    keep_freed_memory();
    run()
}

#[tokio::main]
async fn run() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Serve(arguments) => serve::main(*arguments).await,
        Command::Demo(arguments) => demo::main(arguments).await,
        Command::Tail(arguments) => tail::main(arguments).await,
        Command::Simulate(arguments) => simulate::main(arguments).await,
        Command::Token(arguments) => token::main(arguments),
        Command::User(arguments) => user::main(arguments).await,
    }
}

/// Lets glibc keep some memory that was freed. By itself it gives back what is over 128 KiB, in each thread's
/// heap, and takes it again for the next burst: a fifth of what a webhook cost (`cargo bench --bench webhook`).
fn keep_freed_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: options that glibc knows, set before there is a second thread.
    unsafe {
        libc::mallopt(libc::M_TRIM_THRESHOLD, 8 << 20);
        libc::mallopt(libc::M_TOP_PAD, 1 << 20);
    }
}
