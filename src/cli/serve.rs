//! `roomwatch serve`: runs one node until a signal stops it.

use std::{io::IsTerminal, path::PathBuf, sync::Arc, time::Instant};

use anyhow::Context;
use clap::Args;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
};
use tracing::Level;
use tracing_subscriber::{EnvFilter, filter::filter_fn, layer::SubscriberExt, util::SubscriberInitExt};

pub use crate::config::Options;
use crate::{
    config::{self, Config, LogFormat},
    node::Node,
    server::{App, limits},
};

#[derive(Args)]
#[command(after_help = "\
An option takes precedence over the environment, and the environment over the file. Two variables
have no option: ROOMWATCH_PASSWORD (password of the operator) and ROOMWATCH_LOG (log filter, for
example `debug`; libraries log no more than at `info`, because they would log tokens).

Examples:
  livekit-server --dev & roomwatch serve --dev
  LIVEKIT_URL=wss://… LIVEKIT_API_KEY=… LIVEKIT_API_SECRET=… ROOMWATCH_PASSWORD=… roomwatch serve
  roomwatch serve --config /etc/roomwatch.toml")]
pub struct Arguments {
    /// Configuration file [default: ./roomwatch.toml, if it exists]
    #[arg(long, env = "ROOMWATCH_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    options: Options,
}

pub async fn main(arguments: Arguments) -> anyhow::Result<()> {
    let began = Instant::now();
    let config = arguments.options.load(arguments.config)?;
    install_tls();
    start_tracing(config.log_format);
    let listener = TcpListener::bind(config.listen)
        .await
        .with_context(|| format!("cannot listen on {}", config.listen))?;
    run(open(config).await?, listener, began).await
}

/// Installs ring as the TLS implementation of every client in the process: livekit-api depends on it already.
pub fn install_tls() {
    // An error means that one is already installed, which is fine.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

pub fn start_tracing(format: LogFormat) {
    let filter = EnvFilter::try_from_env("ROOMWATCH_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    // Below `info`, libraries log what they receive, and so the tokens of handshakes. A more specific directive in
    // ROOMWATCH_LOG would win over one for them, so this is a separate filter.
    let libraries = filter_fn(|metadata| {
        metadata.target().starts_with(env!("CARGO_CRATE_NAME")) || *metadata.level() <= Level::INFO
    });
    let log = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let registry = tracing_subscriber::registry().with(filter).with(libraries);
    // In tests one process may start many servers. They share the log of the first one.
    let _ = match format {
        LogFormat::Text => {
            registry.with(log.with_ansi(std::io::stderr().is_terminal()).with_target(false)).try_init()
        }
        LogFormat::Json => registry.with(log.json().flatten_event(true)).try_init(),
    };
}

/// Opens a node with the limits that the system allows.
pub async fn open(mut config: Config) -> anyhow::Result<Node> {
    config.limits = limits::within(config.limits, descriptors());
    Node::open(config).await
}

/// Runs a node until a signal, and closes it. Every acknowledged event is on the disk when it returns. The process began
/// at `began`.
pub async fn run(node: Node, listener: TcpListener, began: Instant) -> anyhow::Result<()> {
    let app = node.app();

    tracing::info!(epoch = %app.log.bounds().epoch, "listening on http://{}", listener.local_addr()?);
    let waiting = app.clone();
    tokio::spawn(async move {
        waiting.folded().await;
        tracing::info!(
            event.seq = waiting.feed.head().seq.0,
            "ready after {} ms",
            began.elapsed().as_millis()
        );
    });
    let reading_users = tokio::spawn(read_users_at_hangup(app.clone(), signal(SignalKind::hangup())?));
    node.run(listener, stop_signal()?).await?;
    reading_users.abort();
    node.close().await?;
    tracing::info!("stopped");
    Ok(())
}

/// Raises the limit of file descriptors to the maximum that the system allows, and returns it. Shells set it to 1,024
/// because of programs that use select(2).
fn descriptors() -> u32 {
    let max = getrlimit(Resource::Nofile).maximum;
    // If this fails, the limit stays as it was.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: max, maximum: max });
    getrlimit(Resource::Nofile).current.map_or(u32::MAX, |max| u32::try_from(max).unwrap_or(u32::MAX))
}

/// Reads the users of the configuration file again at each SIGHUP. Removed users are signed out; the streams of all
/// others continue. Every other change needs a restart.
async fn read_users_at_hangup(app: Arc<App>, mut hangup: Signal) {
    while hangup.recv().await.is_some() {
        let Some(path) = app.config.file.clone() else {
            tracing::info!(
                "SIGHUP is ignored: the server runs without a configuration file, so it has no users to read"
            );
            continue;
        };
        let read = tokio::task::spawn_blocking(move || config::read_users(&path));
        let replaced = match read.await.map_err(anyhow::Error::from).flatten() {
            Ok(users) => app.accounts.replace(&users).await,
            Err(error) => Err(error),
        };
        match replaced {
            Ok(()) => tracing::info!("read the users again"),
            Err(error) => tracing::error!(
                "the users stay as they are; correct the file and send SIGHUP again: {error:#}"
            ),
        }
    }
}

/// Returns a future that completes at the first SIGTERM or SIGINT. The second one ends the process at once.
fn stop_signal() -> anyhow::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let (first, stop) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        let mut first = Some(first);
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            match first.take() {
                Some(first) => {
                    tracing::info!("stopping; a second signal ends at once");
                    // An error means that the server has already ended.
                    let _ = first.send(());
                }
                None => std::process::exit(1),
            }
        }
    });
    Ok(async move {
        let _ = stop.await;
    })
}
