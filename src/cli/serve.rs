//! `roomwatch serve`: everything, until it is told to stop.

use std::{io::IsTerminal, path::PathBuf, sync::Arc, thread, time::Instant};

use anyhow::Context;
use clap::Args;
use futures_util::future;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{
    net::TcpListener,
    runtime::Handle,
    signal::unix::{Signal, SignalKind, signal},
};
use tracing_subscriber::EnvFilter;

pub use crate::config::Options;
use crate::{
    accounts::Accounts,
    config::{self, Config, LogFormat},
    derived::{self, Derived},
    feed::Feed,
    follow::Follower,
    log::{
        EventLog,
        sqlite::{LogOptions, SqliteLog},
    },
    metrics::Metrics,
    server::{self, App, limits},
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

/// Opens the log, folds it, serves, and ends when a signal says so. Returns once everything that was
/// taken is on disk.
pub async fn run(mut config: Config, listener: TcpListener) -> anyhow::Result<()> {
    let began = Instant::now();
    config.limits = limits::within(config.limits, descriptors());
    let log = Arc::new(SqliteLog::open(
        &config.data_dir,
        LogOptions {
            retain_age: config.retention.unwrap_or_default(),
            retain_bytes: config.retention_bytes.unwrap_or_default(),
            ..LogOptions::default()
        },
    )?);
    let covered = log.clone();
    let (history, state) = Derived::open(
        &config.data_dir,
        log.bounds(),
        derived::Options { retain: config.history, covered: Box::new(move |seq| covered.trim_through(seq)) },
    )?;
    let history = Arc::new(history);
    let follower = Follower::new(log.clone(), history.clone(), state);
    let state = follower.state();
    let feed = Feed::new(log.clone(), history.clone(), state.read().head());
    // After the log, which has made the directory and locked it.
    let accounts = Accounts::open(&config.data_dir, &config.users, config.password.as_ref())?;
    let metrics = Arc::new(Metrics::default());
    let app = App::new(config, log.clone(), state.clone(), history.clone(), feed.clone(), metrics, accounts);
    let (following, stop) = future::abortable(follower.follow(feed.clone()));
    // A thread of its own: a round of it takes milliseconds, and whoever shares a worker with it would wait as long.
    let runtime = Handle::current();
    let folding = thread::Builder::new().name("fold".into()).spawn(move || {
        // An error is how it ends that was stopped.
        let _ = runtime.block_on(following);
    })?;

    let address = listener.local_addr()?;
    tracing::info!(epoch = %log.bounds().epoch, "listening on http://{address}");
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
    server::listen::run(listener, app, told_to_stop()?).await.context("cannot write to streams")?;
    reading_users.abort();
    stop.abort();
    let write_and_close = move || {
        // A panic of it has been printed.
        let _ = folding.join();
        history.checkpoint(state.read().clone());
        history.close();
        log.close();
    };
    tokio::task::spawn_blocking(write_and_close).await?;
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
        let reading = app.clone();
        let read = move || reading.accounts.replace(&config::read_users(&path)?);
        match tokio::task::spawn_blocking(read).await.map_err(anyhow::Error::from).flatten() {
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
