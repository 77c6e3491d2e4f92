//! The work of `roomwatch cluster` on the streams of a deployment.

use std::fmt::Write as _;

use super::{
    READ_MAX,
    epoch::Epochs,
    found::{check, refusal},
};
use crate::{
    clock::Clock,
    event::Epoch,
    log::OpenError,
    nats::{Nats, NatsError, StreamInfo, names::Names},
};

/// Creates the streams of a deployment, and begins its first epoch. What is there already stays as it is.
pub async fn create(
    nats: &Nats,
    names: &Names,
    bytes_max: u64,
    maps: [Vec<&str>; 2],
) -> Result<Epoch, OpenError> {
    let refused = refusal(names);
    let mut events = None;
    for config in names.streams(bytes_max, maps) {
        let name = config["name"].as_str().unwrap_or_default().to_owned();
        let info = match nats.create(&name, &config, READ_MAX * 5).await {
            Err(NatsError::Refused(why)) => {
                return Err(refused(format!("its stream {name} cannot be created: {why}")));
            }
            created => created.map_err(|error| refused(error.to_string()))?,
        };
        events.get_or_insert(info);
    }
    let info = events.ok_or_else(|| refused("it has no streams".to_owned()))?;
    check(nats, &info).map_err(&refused)?;
    let epochs = Epochs::new(nats, names);
    match epochs.begin(&info, Clock::system().unix_ms()).await {
        Err(NatsError::Conflict) => match epochs.read(READ_MAX).await {
            Ok(Some(known)) => Ok(known.epoch),
            Ok(None) => Err(refused("its epoch has been deleted".to_owned())),
            Err(error) => Err(refused(error.to_string())),
        },
        begun => begun.map_err(|error| refused(error.to_string())),
    }
}

/// Begins a new epoch, whatever the present one is.
pub async fn new_epoch(nats: &Nats, names: &Names) -> Result<Epoch, OpenError> {
    let refused = refusal(names);
    let info = nats.info(&names.events(), READ_MAX).await.map_err(|error| refused(error.to_string()))?;
    let (epochs, now) = (Epochs::new(nats, names), Clock::system().unix_ms());
    let begin = async {
        match epochs.read(READ_MAX).await? {
            Some(known) => {
                epochs.renew(&known, &info, "an operator asked for it", now).await?;
                Ok(epochs.read(READ_MAX).await?.map_or(known.epoch, |known| known.epoch))
            }
            None => epochs.begin(&info, now).await,
        }
    };
    begin.await.map_err(|error: NatsError| refused(error.to_string()))
}

/// Returns the servers, the streams and the epoch as text.
pub async fn status(nats: &Nats, names: &Names) -> Result<String, OpenError> {
    let refused = refusal(names);
    let mut text = String::new();
    for (name, version) in nats.servers() {
        let _ = writeln!(text, "server {name}, NATS {version}");
    }
    match Epochs::new(nats, names).read(READ_MAX).await.map_err(|error| refused(error.to_string()))? {
        Some(known) => {
            let _ = writeln!(text, "epoch {}: {}", known.epoch, known.why);
        }
        None => text += "no epoch\n",
    }
    for stream in names.all() {
        let info = nats.info(&stream, READ_MAX).await.map_err(|error| refused(error.to_string()))?;
        let StreamInfo { state, cluster, config, .. } = &info;
        let cluster = cluster.clone().unwrap_or_default();
        let max = config["max_bytes"].as_u64().map_or(String::new(), |max| format!(" of {max}"));
        let _ = writeln!(
            text,
            "stream {stream}: {} to {}, {}{max} bytes, leader {}",
            state.first_seq,
            state.last_seq,
            state.bytes,
            cluster.leader.as_deref().unwrap_or("none")
        );
        for replica in cluster.replicas.unwrap_or_default() {
            let health = match (replica.offline, replica.current) {
                (true, _) => "offline",
                (false, true) => "current",
                (false, false) => "behind",
            };
            let _ = writeln!(text, "  replica {}: {health}", replica.name);
        }
    }
    let info = nats.info(&names.events(), READ_MAX).await.map_err(|error| refused(error.to_string()))?;
    if let Err(why) = check(nats, &info) {
        let _ = writeln!(text, "wrong: {why}");
    }
    Ok(text)
}
