//! `roomwatch demo`: a separate server with simulated meetings, so that a new user sees a busy dashboard at once.
//!
//! Only the meetings are simulated, and the dashboard says so. Everything else is real: the webhooks are signed, posted
//! over HTTP, verified, logged, folded and streamed. The demo has its own project, key and log, so it does not affect a
//! LiveKit or a Roomwatch that runs on the same machine.

use std::net::SocketAddr;

use anyhow::Context;
use clap::Args;
use tokio::net::TcpListener;

use crate::{
    cli::{
        serve::{self, Options},
        simulate::{Sender, Workload, world::World},
    },
    config::{KeyOptions, LogFormat, ProjectOptions},
    token::Secret,
};

#[derive(Args)]
pub struct Arguments {
    /// Address and port to listen on; loopback only
    #[arg(long, env = "ROOMWATCH_LISTEN", default_value = "127.0.0.1:3001", value_name = "ADDR:PORT")]
    listen: SocketAddr,
    /// Seed of the meetings: the same seed gives the same ones
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// Meetings that are live at a time
    #[arg(long, default_value_t = 14, value_parser = clap::value_parser!(u32).range(1..=2000))]
    rooms: u32,
    /// Events per second, on average
    #[arg(long, default_value_t = 2.0)]
    rate: f64,
    /// Format of the program's own log
    #[arg(long, env = "ROOMWATCH_LOG_FORMAT")]
    log_format: Option<LogFormat>,
}

const KEY: &str = "demo-key";

pub async fn main(arguments: Arguments) -> anyhow::Result<()> {
    serve::install_tls();
    // Removed at the end.
    let directory = std::env::temp_dir().join(format!("roomwatch-demo-{}", std::process::id()));
    std::fs::create_dir_all(&directory).with_context(|| format!("cannot create {}", directory.display()))?;
    let result = run(&arguments, &directory).await;
    let _ = std::fs::remove_dir_all(&directory);
    result
}

async fn run(arguments: &Arguments, directory: &std::path::Path) -> anyhow::Result<()> {
    let secret = Secret::new(format!("{:032x}", u128::from_ne_bytes(random()?)));
    let config = Options {
        listen: Some(arguments.listen),
        data_dir: Some(directory.to_owned()),
        dev: Some(true),
        log_format: arguments.log_format,
        // Without a drain: there is no load balancer to notice it, and no other server for the readers.
        drain_secs: Some(0),
        projects: vec![ProjectOptions {
            name: "demo".into(),
            url: None,
            keys: vec![KeyOptions { key: KEY.into(), secret: secret.clone() }],
        }],
        demo: true,
        ..Options::default()
    }
    .check()?;
    serve::start_tracing(config.log_format);
    let listener = TcpListener::bind(config.listen)
        .await
        .with_context(|| format!("cannot listen on {}", config.listen))?;
    let address = listener.local_addr()?;
    let sender = Sender::new(&format!("http://{address}"), KEY, secret)?;
    let world = World::new(arguments.seed, arguments.rooms, 4, true);
    let workload = Workload { rate: arguments.rate, duration: None, burst: (arguments.rooms * 12) as usize };
    let simulation = tokio::spawn(async move { workload.run(world, sender, |_| {}).await });
    println!(
        "\n  Roomwatch demo: simulated meetings on a real server.\n\n  \
         Dashboard   http://{address}\n  \
         Stream      curl -N http://{address}/api/events\n  \
         Terminal    roomwatch tail --url http://{address}\n\n  Press Ctrl-C to stop. The demo deletes its data.\n"
    );
    let result = serve::run(config, listener).await;
    simulation.abort();
    result
}

fn random() -> anyhow::Result<[u8; 16]> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).context("the system gives no random bytes")?;
    Ok(bytes)
}
