//! `roomwatch cluster`: prepares and shows a deployment of several nodes.

use std::path::PathBuf;

use anyhow::{Context, ensure};
use clap::{Args, Subcommand};

use crate::{
    cli::serve::install_tls,
    cluster::Deployment,
    config::{ClusterOptions, Deployed, read_deployed},
    log::cluster,
    nats::Nats,
};

#[derive(Args)]
pub struct Arguments {
    #[command(subcommand)]
    action: Action,
    /// Configuration file [default: ./roomwatch.toml, if it exists]
    #[arg(long, env = "ROOMWATCH_CONFIG", value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    #[command(flatten)]
    options: ClusterOptions,
}

#[derive(Subcommand)]
enum Action {
    /// Create the streams of a new deployment
    Init {
        /// Maximum size of the log in bytes. LiveKit's events are refused beyond it until retention has freed space
        #[arg(long, default_value_t = 20 << 30, value_name = "BYTES")]
        log_bytes: u64,
    },
    /// Show the servers, the streams and the epoch
    Status,
    /// Begin a new epoch: every reader starts again. For a stream that was restored from a backup
    NewEpoch,
}

pub async fn main(arguments: Arguments) -> anyhow::Result<()> {
    install_tls();
    let deployed = read_deployed(arguments.options, arguments.config)?;
    let Deployed { names, nats: options } =
        deployed.context("set the NATS servers: --cluster-url nats://…")?;
    let nats = Nats::connect(&options, "roomwatch cluster").await?;
    match arguments.action {
        Action::Init { log_bytes } => {
            ensure!(log_bytes >= 64 << 20, "a log has at least 64 MiB");
            let epoch = cluster::create(&nats, &names, log_bytes, Deployment::maps()).await?;
            println!("created the deployment {}, epoch {epoch}", names.name());
        }
        Action::Status => print!("{}", cluster::status(&nats, &names).await?),
        Action::NewEpoch => {
            let epoch = cluster::new_epoch(&nats, &names).await?;
            println!("the deployment {} has the epoch {epoch} now. Restart its nodes", names.name());
        }
    }
    Ok(())
}
