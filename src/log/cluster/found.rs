//! A deployment before its log is opened: are its servers and streams as they must be, and can the copy be continued?

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    START_MAX,
    epoch::{Epochs, Known},
};
use crate::{
    event::Cursor,
    log::{
        OpenError,
        sqlite::{FoundLog, SqliteLog},
    },
    nats::{
        Nats, NatsError, StreamInfo,
        names::{IDS_WINDOW_NS, Names, REPLICAS},
    },
};

/// Version of nats-server from which it is used: it has one fsync for a group of messages.
const SERVER_MIN: [u64; 3] = [2, 15, 0];
/// Minimum size of a message: a webhook of 8 MiB and its head.
const PAYLOAD_MIN: usize = (8 << 20) + (512 << 10);

/// A deployment, as a node finds it before it opens its log.
pub struct Found {
    pub(super) nats: Arc<Nats>,
    pub(super) names: Names,
    pub(super) known: Known,
    pub(super) info: StreamInfo,
}

impl Found {
    /// Asks for the deployment, and sets aside a copy that cannot be continued.
    pub async fn ask(dir: &Path, nats: Arc<Nats>, names: Names) -> Result<Found, OpenError> {
        let refused = refusal(&names);
        let info = nats.info(&names.events(), START_MAX).await.map_err(|error| match error {
            NatsError::NoStream(_) => {
                refused("it does not exist. Create it with `roomwatch cluster init`".into())
            }
            error => refused(format!("{error}. Check the NATS servers and the sign-in")),
        })?;
        check(&nats, &info).map_err(&refused)?;
        let known = Epochs::new(&*nats, &names).read(START_MAX).await;
        let known = known.map_err(|error| refused(error.to_string()))?.ok_or_else(|| {
            refused("its epoch is missing. Begin a new one with `roomwatch cluster new-epoch`".into())
        })?;
        set_aside(dir, &known)?;
        Ok(Found { nats, names, known, info })
    }

    /// The position before the first event that the deployment keeps. What was derived from earlier events only, cannot be
    /// continued.
    pub fn start(&self) -> Cursor {
        Cursor { epoch: self.known.epoch, seq: self.known.start.seq }
    }
}

/// Returns a function that makes an error about the deployment.
pub(super) fn refusal(names: &Names) -> impl Fn(String) -> OpenError + use<> {
    let name = names.name().to_owned();
    move |why| OpenError::Cluster { name: name.clone(), why }
}

/// Returns an error that says what is wrong with the servers or with the stream of events, and what to do.
pub(super) fn check(nats: &Nats, info: &StreamInfo) -> Result<(), String> {
    for (name, version) in nats.servers() {
        let numbers = version.split(['.', '-']).map(|part| part.parse().unwrap_or(0));
        if numbers.take(3).collect::<Vec<u64>>() < SERVER_MIN.to_vec() {
            let [major, minor, patch] = SERVER_MIN;
            return Err(format!(
                "the NATS server {name} has version {version}. Use {major}.{minor}.{patch} or later"
            ));
        }
    }
    if nats.payload_max() < PAYLOAD_MIN {
        return Err(format!(
            "max_payload of the NATS servers is {}. Set it to 9MB, because a webhook may have 8 MiB",
            nats.payload_max()
        ));
    }
    let config = &info.config;
    let wrong = |option: &str, right: &str| {
        Err(format!(
            "its stream has {option} = {}. It must be {right}: create it with `roomwatch cluster init`",
            config[option]
        ))
    };
    if config["num_replicas"].as_u64() != Some(REPLICAS) {
        return wrong("num_replicas", "3");
    }
    if config["storage"] != "file" {
        return wrong("storage", "\"file\"");
    }
    if config["discard"] != "new" {
        return wrong("discard", "\"new\"");
    }
    if config["allow_direct"] != true {
        return wrong("allow_direct", "true");
    }
    if config["duplicate_window"].as_u64() != Some(IDS_WINDOW_NS) {
        return wrong("duplicate_window", "10 minutes");
    }
    Ok(())
}

/// Renames a copy that cannot be continued: of an earlier epoch, or one that ends before the stream begins.
fn set_aside(dir: &Path, known: &Known) -> Result<(), OpenError> {
    let path = dir.join("log.db");
    let why = match SqliteLog::find_in(dir)? {
        None => return Ok(()),
        Some(FoundLog { is_copy: false, .. }) => return Err(OpenError::NotACopy { path }),
        Some(found) if found.epoch != known.epoch => "the deployment has begun a new epoch",
        Some(found) if found.last < known.start.seq => {
            "the deployment has removed the events after its last one"
        }
        Some(_) => return Ok(()),
    };
    let old = dir.join("log.old.db");
    tracing::warn!("{why}, so {} is kept as {}", path.display(), old.display());
    for ending in ["-wal", "-shm", ""] {
        let file = |path: &Path| PathBuf::from(format!("{}{ending}", path.display()));
        let _ = fs::remove_file(file(&old));
        match fs::rename(file(&path), file(&old)) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => {
                return Err(OpenError::Io { path, cause: cause.to_string() });
            }
            _ => {}
        }
    }
    Ok(())
}
