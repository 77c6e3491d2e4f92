//! `roomwatch serve`: everything, until it is told to stop.

use std::{io::IsTerminal, path::PathBuf, sync::Arc, time::Instant};

use anyhow::Context;
use clap::Args;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
};
use tracing_subscriber::EnvFilter;

pub use crate::config::Options;
use crate::{
    config::{self, Config, LogFormat},
    node::Node,
    server::{App, limits},
};

#[derive(Args)]
#[command(after_help = "\
Options beat the environment, the environment beats the file. Also read: ROOMWATCH_PASSWORD (the
operator's password), ROOMWATCH_LOG (what is logged, for example `debug` or `roomwatch=trace`).

Examples:
  livekit-server --dev & roomwatch serve --dev
  LIVEKIT_URL=wss://… LIVEKIT_API_KEY=… LIVEKIT_API_SECRET=… ROOMWATCH_PASSWORD=… roomwatch serve
  roomwatch serve --config /etc/roomwatch.toml")]
pub struct Arguments {
    /// The file with options [default: ./roomwatch.toml, if it is there]
    #[arg(long, env = "ROOMWATCH_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    options: Options,
}

pub async fn main(arguments: Arguments) -> anyhow::Result<()> {
    let config = arguments.options.load(arguments.config)?;
    install_tls();
    start_tracing(config.log_format);
    let listener = TcpListener::bind(config.listen)
        .await
        .with_context(|| format!("cannot listen on {}", config.listen))?;
    run(config, listener).await
}

/// One TLS implementation for every client in the process. livekit-api brings ring; so it is ring.
pub fn install_tls() {
    // An error means that one is installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

pub fn start_tracing(format: LogFormat) {
    let mut filter = EnvFilter::try_from_env("ROOMWATCH_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    // At `debug` these write down the packets they get, and so the tokens of the handshake.
    for chatty in ["engineioxide=info", "socketioxide=info", "socketioxide_core=info"] {
        if let Ok(directive) = chatty.parse() {
            filter = filter.add_directive(directive);
        }
    }
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // In tests one process may start many servers: the first one's log serves all.
    let _ = match format {
        LogFormat::Text => log.with_ansi(std::io::stderr().is_terminal()).with_target(false).try_init(),
        LogFormat::Json => log.json().flatten_event(true).try_init(),
    };
}

/// Opens a node, serves it, and closes it when a signal says so. Everything that was acknowledged is on the disk when
/// it returns.
pub async fn run(mut config: Config, listener: TcpListener) -> anyhow::Result<()> {
    let began = Instant::now();
    config.limits = limits::within(config.limits, descriptors());
    let node = Node::open(config).await?;
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
    let reading_users = tokio::spawn(read_users_when_told(app.clone(), signal(SignalKind::hangup())?));
    node.run(listener, told_to_stop()?).await?;
    reading_users.abort();
    node.close().await?;
    tracing::info!("stopped");
    Ok(())
}

/// How many file descriptors this process may have: all that the system lets it. Shells give 1,024 for the sake of
/// programs that use select(2).
fn descriptors() -> u32 {
    let most = getrlimit(Resource::Nofile).maximum;
    // Without it there are as many as there were.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most });
    getrlimit(Resource::Nofile).current.map_or(u32::MAX, |most| u32::try_from(most).unwrap_or(u32::MAX))
}

/// Reads the users of the file again at each SIGHUP: who is gone is signed out, and nobody's stream
/// is cut for it. All else needs a restart.
async fn read_users_when_told(app: Arc<App>, mut hangup: Signal) {
    while hangup.recv().await.is_some() {
        let Some(path) = app.config.file.clone() else {
            tracing::info!("there is no file to read users from");
            continue;
        };
        let read = tokio::task::spawn_blocking(move || config::read_users(&path));
        let replaced = match read.await.map_err(anyhow::Error::from).flatten() {
            Ok(users) => app.accounts.replace(&users).await,
            Err(error) => Err(error),
        };
        match replaced {
            Ok(()) => tracing::info!("the users have been read again"),
            Err(error) => tracing::error!("the users stay as they are: {error:#}"),
        }
    }
}

/// Done at the first SIGTERM or SIGINT; the second ends the process at once.
fn told_to_stop() -> anyhow::Result<impl Future<Output = ()>> {
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
                    // Nobody listening any more means that the server has ended already.
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
