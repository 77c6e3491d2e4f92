//! `roomwatch demo`: a separate server with simulated meetings, so that a new user sees a busy dashboard at once.
//!
//! Only the meetings are simulated, and the dashboard says so. Everything else is real: the webhooks are signed, posted
//! over HTTP, verified, logged, folded and streamed, and LiveKit's API is a server that the client of Roomwatch calls. The
//! demo has its own project, key and log, so it does not affect a LiveKit or a Roomwatch that runs on the same machine.
//!
//! It begins with a month of history, and something fails every few minutes: docs/demo.md.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use clap::Args;
use tokio::{net::TcpListener, sync::Mutex, task::JoinSet};

use crate::{
    cli::{
        serve::{self, Options},
        simulate::Sender,
    },
    clock::unix_ms,
    config::{AgentRule, AttentionRules, KeyOptions, LogFormat, ProjectOptions},
    token::Secret,
};

mod cast;
mod entities;
mod failures;
mod history;
mod livekit;
mod meetings;
mod moderator;

use meetings::Meetings;
use moderator::Moderator;

#[derive(Args)]
pub struct Arguments {
    /// Address and port to listen on; loopback only
    #[arg(long, env = "ROOMWATCH_LISTEN", default_value = "127.0.0.1:3001", value_name = "ADDR:PORT")]
    listen: SocketAddr,
    /// Seed of the meetings: the same seed gives the same ones
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// Meetings that are live at a time
    #[arg(long, default_value_t = 14, value_parser = clap::value_parser!(u32).range(1..=200))]
    rooms: u32,
    /// Events per second, on average
    #[arg(long, default_value_t = 2.0)]
    rate: f64,
    /// Format of the program's own log
    #[arg(long, env = "ROOMWATCH_LOG_FORMAT")]
    log_format: Option<LogFormat>,
}

const PROJECT: &str = "demo";
const KEY: &str = "demo-key";
/// Maximum events per second. They are sent one after another.
const RATE_MAX: f64 = 50.0;
/// Interval between two looks at what the meetings do.
const TICK: Duration = Duration::from_millis(50);

pub async fn main(arguments: Arguments) -> anyhow::Result<()> {
    ensure!(
        arguments.rate > 0.0 && arguments.rate <= RATE_MAX,
        "--rate must be more than 0 and at most {RATE_MAX}"
    );
    serve::install_tls();
    // Removed at the end.
    let directory = std::env::temp_dir().join(format!("roomwatch-demo-{}", std::process::id()));
    std::fs::create_dir_all(&directory).with_context(|| format!("cannot create {}", directory.display()))?;
    let result = run(&arguments, &directory).await;
    let _ = std::fs::remove_dir_all(&directory);
    result
}

async fn run(arguments: &Arguments, directory: &Path) -> anyhow::Result<()> {
    let began = Instant::now();
    let secret = Secret::new(format!("{:032x}", u128::from_ne_bytes(random()?)));
    let api = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("cannot listen on 127.0.0.1")?;
    let config = Options {
        listen: Some(arguments.listen),
        data_dir: Some(directory.to_owned()),
        dev: Some(true),
        log_format: arguments.log_format,
        // Without a drain: there is no load balancer to notice it, and no other server for the readers.
        drain_secs: Some(0),
        projects: vec![ProjectOptions {
            name: PROJECT.into(),
            url: Some(format!("http://{}", api.local_addr()?)),
            keys: vec![KeyOptions { key: KEY.into(), secret: secret.clone() }],
        }],
        attention: AttentionRules {
            // The shortest time: the failures come again.
            failed_hours: 1,
            agents: vec![AgentRule { project: None, rooms: "voice-*".into() }],
            ..AttentionRules::default()
        },
        demo: true,
        ..Options::default()
    }
    .check()?;
    serve::start_tracing(config.log_format);
    let listener = TcpListener::bind(config.listen)
        .await
        .with_context(|| format!("cannot listen on {}", config.listen))?;
    let address = listener.local_addr()?;
    println!(
        "\n  Roomwatch demo: simulated meetings on a real server. Some failures are on purpose.\n\n  \
         Dashboard   http://{address}\n  \
         Stream      curl -N http://{address}/api/events\n  \
         Terminal    roomwatch tail --url http://{address}\n\n  Press Ctrl-C to stop. The demo deletes its data.\n"
    );
    let keys = config.keys.clone();
    let node = serve::open(config).await?;
    let now = unix_ms();
    let mut meetings = Meetings::new(arguments.seed, arguments.rooms, arguments.rate, now);
    history::append(&node, &PROJECT.into(), &mut meetings, now).await?;

    let meetings = Arc::new(Mutex::new(meetings));
    let url = format!("http://{address}");
    let sender = Sender::new(&url, KEY, secret.clone())?;
    let moderator = Moderator { meetings: meetings.clone(), url, key: KEY, secret };
    // They end with this function.
    let mut tasks = JoinSet::new();
    tasks.spawn(livekit::serve(api, meetings.clone(), keys));
    tasks.spawn(send(meetings, sender));
    tasks.spawn(moderator.run());
    serve::run(node, listener, began).await
}

/// Sends the webhooks of the meetings, one after another. The API waits meanwhile, so its lists do not have what is on
/// the way.
async fn send(meetings: Arc<Mutex<Meetings>>, sender: Sender) -> anyhow::Result<()> {
    sender.wait_until_up().await?;
    loop {
        {
            let mut meetings = meetings.lock().await;
            meetings.advance(unix_ms());
            for webhook in meetings.webhooks() {
                sender.send(webhook.body).await;
            }
        }
        tokio::time::sleep(TICK).await;
    }
}

fn random() -> anyhow::Result<[u8; 16]> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).context("the system gives no random bytes")?;
    Ok(bytes)
}
