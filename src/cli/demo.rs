//! `roomwatch demo`: a server of its own with simulated meetings, so that a newcomer sees life at
//! once.
//!
//! The meetings are made up, and the dashboard says so; everything else is real: the webhooks are
//! signed, posted over HTTP, verified, logged, folded and streamed. The project, its key and the log
//! are the demonstration's own, so a LiveKit or a Roomwatch that runs beside it is not touched.

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
    /// The same seed gives the same meetings
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// Meetings at a time
    #[arg(long, default_value_t = 14, value_parser = clap::value_parser!(u32).range(1..=2000))]
    rooms: u32,
    /// Events a second, on average
    #[arg(long, default_value_t = 2.0)]
    rate: f64,
    /// How the program's own log is written
    #[arg(long, env = "ROOMWATCH_LOG_FORMAT")]
    log_format: Option<LogFormat>,
}

const KEY: &str = "demo-key";

pub async fn main(arguments: Arguments) -> anyhow::Result<()> {
    serve::install_tls();
    // Gone with the demonstration.
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
        // No balancer has to notice, and no other server takes the readers.
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
        "\n  Roomwatch demo: made-up meetings, real everything else.\n\n  \
         Dashboard   http://{address}\n  \
         Stream      curl -N http://{address}/api/events\n  \
         Terminal    roomwatch tail --url http://{address}\n\n  Ctrl-C ends it; nothing stays behind.\n"
    );
    let result = serve::run(config, listener).await;
    simulation.abort();
    result
}

fn random() -> anyhow::Result<[u8; 16]> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).context("no randomness")?;
    Ok(bytes)
}
