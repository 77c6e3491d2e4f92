//! The connections to the NATS servers of a deployment, and the few requests of JetStream that Roomwatch makes.
//!
//! A stream is written with a request, read with "direct get", and asked about in JSON. Consumers are not used: they stand
//! still for ten seconds when the server that hosts them dies.
//!
//! There are two connections, to different servers. A request that is not answered within a second is repeated over the
//! other one, because a server that is cut off from the others keeps its clients and does not answer them.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use async_nats::{
    Client, ConnectOptions, Event, HeaderMap, ReconnectToServer, ServerAddr, Subscriber,
    client::RequestErrorKind, connection::State,
};
use bytes::Bytes;
use futures_util::{
    StreamExt,
    future::{BoxFuture, FutureExt},
    stream::{SelectAll, select_all},
};
use parking_lot::Mutex;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::token::Secret;

pub mod names;

/// Maximum time for one attempt of a request.
const ATTEMPT: Duration = Duration::from_secs(1);
/// Maximum silence within the answer to a read.
const READ_SILENCE: Duration = Duration::from_millis(500);
/// Pause after an attempt that failed at once.
const PAUSE: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_millis(500);
/// Maximum time of a start without any server.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// Maximum number and bytes of messages in one read.
const READ_MESSAGES: u64 = 256;
const READ_BYTES: u64 = 4 << 20;

/// Codes of JetStream's errors (nats-server server/errors.json).
const STREAM_NOT_FOUND: u64 = 10_059;
const WRONG_LAST_SEQUENCE: [u64; 2] = [10_071, 10_164];
const STORE_FULL: [u64; 3] = [10_077, 10_047, 10_023];
/// The same id is being stored, so the next attempt finds it as a duplicate.
const DUPLICATE_IN_PROCESS: u64 = 10_158;

/// Where the NATS servers are, and how to sign in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NatsOptions {
    /// `nats://host:port` or `tls://host:port`, at least one.
    pub servers: Vec<String>,
    /// File with the credentials of a user (`.creds`).
    pub creds: Option<PathBuf>,
    pub user: Option<(String, Secret)>,
    /// File with root certificates, if not those of the system.
    pub tls_ca: Option<PathBuf>,
    /// Files with our certificate and its key.
    pub tls_identity: Option<(PathBuf, PathBuf)>,
}

/// Reason why a request has failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NatsError {
    /// It is not known whether a write took place.
    #[error("NATS does not answer: {0}")]
    Away(Arc<str>),
    /// The entry or the stream has changed. Nothing was written.
    #[error("another change came first")]
    Conflict,
    #[error("the stream is full")]
    Full,
    #[error("there is no stream {0}")]
    NoStream(String),
    #[error("NATS refuses: {0}")]
    Refused(String),
}

/// The two connections.
pub struct Nats {
    clients: [Client; 2],
    /// Number of requests: the first attempts alternate too.
    turn: AtomicUsize,
    /// Number of connections that were made. A change means that another server may answer now.
    connected: Arc<AtomicUsize>,
}

/// A message of a stream.
#[derive(Clone, Debug)]
pub struct Stored {
    pub seq: u64,
    pub subject: String,
    pub payload: Bytes,
    /// True if it deletes the entry of its subject.
    pub is_deletion: bool,
}

/// Answer to a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Ack {
    pub seq: u64,
    /// True if the id had been stored before. `seq` is then that of the first time.
    #[serde(default)]
    pub duplicate: bool,
}

/// A write.
#[derive(Clone, Copy, Debug)]
pub struct Write<'a> {
    pub stream: &'a str,
    pub subject: &'a str,
    /// A message with this id is stored once within the window of the stream, so an attempt whose answer was lost is found
    /// as a duplicate. A random one if not given.
    pub id: Option<&'a str>,
    /// Sequence of the last message of the subject that must be there, 0 for none.
    pub expected: Option<u64>,
    /// True if it deletes the entry of the subject. The deletion itself is removed after a day.
    pub deletes: bool,
}

/// State of a stream, as its leader knows it.
#[derive(Clone, Debug, Deserialize)]
pub struct StreamInfo {
    pub created: String,
    pub config: Value,
    pub state: StreamState,
    pub cluster: Option<StreamCluster>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
pub struct StreamState {
    pub first_seq: u64,
    pub last_seq: u64,
    #[serde(default)]
    pub messages: u64,
    pub bytes: u64,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct StreamCluster {
    pub leader: Option<String>,
    pub replicas: Option<Vec<Replica>>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Replica {
    pub name: String,
    #[serde(default)]
    pub current: bool,
    #[serde(default)]
    pub offline: bool,
    /// Nanoseconds since the leader has heard from it.
    #[serde(default)]
    pub active: u64,
}

impl StreamInfo {
    /// Returns true if the leader is in touch with a majority. A leader that was cut off goes on answering for 13 s, but
    /// its replicas fall silent.
    pub fn is_believed(&self) -> bool {
        const SILENT: u64 = 3_000_000_000;
        let Some(cluster) = &self.cluster else { return true };
        let replicas = cluster.replicas.as_deref().unwrap_or_default();
        let touched = replicas.iter().filter(|replica| !replica.offline && replica.active < SILENT).count();
        cluster.leader.is_some() && 2 * (touched + 1) > replicas.len() + 1
    }
}

/// Body of every answer of JetStream's API.
#[derive(Deserialize)]
struct Answer {
    error: Option<ApiError>,
    #[serde(flatten)]
    value: Value,
}

#[derive(Deserialize)]
struct ApiError {
    #[serde(default)]
    code: u64,
    #[serde(default)]
    err_code: u64,
    #[serde(default)]
    description: String,
}

impl ApiError {
    fn into_error(self, stream: &str) -> NatsError {
        match self.err_code {
            STREAM_NOT_FOUND => NatsError::NoStream(stream.to_owned()),
            code if WRONG_LAST_SEQUENCE.contains(&code) => NatsError::Conflict,
            code if STORE_FULL.contains(&code) => NatsError::Full,
            // 503 and 408: there is no leader now.
            DUPLICATE_IN_PROCESS => NatsError::Away(self.description.into()),
            _ if matches!(self.code, 408 | 503) => NatsError::Away(self.description.into()),
            _ => NatsError::Refused(self.description),
        }
    }
}

impl Nats {
    /// Connects to two of the servers. Fails if none answers; the other connection is made in the background.
    pub async fn connect(options: &NatsOptions, name: &str) -> Result<Nats, NatsError> {
        let connected = Arc::<AtomicUsize>::default();
        let servers: Servers = Arc::default();
        let connect = |own| open(options, name, own, servers.clone(), connected.clone());
        let clients = [connect(0).await?, connect(1).await?];
        let nats = Nats { clients, turn: AtomicUsize::new(0), connected };
        let began = Instant::now();
        while nats.connected.load(Ordering::Acquire) == 0 {
            if began.elapsed() > CONNECT_MAX {
                return Err(NatsError::Away(
                    format!("none of {} can be reached", options.servers.join(", ")).into(),
                ));
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(nats)
    }

    /// Returns a number that changes when a connection goes to another server.
    pub fn connected(&self) -> usize {
        self.connected.load(Ordering::Acquire)
    }

    /// Returns the name and the version of the server of each connection.
    pub fn servers(&self) -> Vec<(String, String)> {
        let infos = self.clients.iter().filter_map(Client::try_server_info);
        infos.map(|info| (info.server_name, info.version)).collect()
    }

    /// Returns the maximum size of a message.
    pub fn payload_max(&self) -> usize {
        let sizes = self.clients.iter().filter_map(|client| Some(client.try_server_info()?.max_payload));
        sizes.min().unwrap_or(usize::MAX)
    }

    /// Runs `attempt` over one connection and then the other, until it is answered or `within` is over.
    async fn retry<T>(
        &self,
        within: Duration,
        attempt: impl Fn(Client) -> BoxFuture<'static, Result<T, NatsError>>,
    ) -> Result<T, NatsError> {
        let began = Instant::now();
        let mut pause = PAUSE;
        let mut turn = self.turn.fetch_add(1, Ordering::Relaxed);
        loop {
            let error = match attempt(self.clients[turn % 2].clone()).await {
                Err(error @ NatsError::Away(_)) => error,
                done => return done,
            };
            turn += 1;
            if began.elapsed() + pause >= within {
                return Err(error);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// Asks JetStream's API. Some calls have no body: null.
    pub async fn api<T: DeserializeOwned>(
        &self,
        call: &str,
        stream: &str,
        body: &Value,
        within: Duration,
    ) -> Result<T, NatsError> {
        let ask = Ask {
            subject: format!("$JS.API.{call}.{stream}"),
            headers: HeaderMap::new(),
            payload: if body.is_null() { Bytes::new() } else { body.to_string().into() },
        };
        let answered =
            self.retry(within, |client| ask.clone().answer(client, stream.to_owned()).boxed()).await?;
        serde_json::from_value(answered).map_err(unreadable)
    }

    /// Returns the state of a stream.
    pub async fn info(&self, stream: &str, within: Duration) -> Result<StreamInfo, NatsError> {
        self.api("STREAM.INFO", stream, &json!({}), within).await
    }

    /// Creates a stream.
    pub async fn create(
        &self,
        stream: &str,
        config: &Value,
        within: Duration,
    ) -> Result<StreamInfo, NatsError> {
        self.api("STREAM.CREATE", stream, config, within).await
    }

    /// Writes a message.
    pub async fn publish(
        &self,
        write: Write<'_>,
        payload: Bytes,
        within: Duration,
    ) -> Result<Ack, NatsError> {
        let mut headers = HeaderMap::new();
        match write.id {
            Some(id) => headers.insert("Nats-Msg-Id", id),
            None => headers.insert("Nats-Msg-Id", random_id().as_str()),
        }
        headers.insert("Nats-Expected-Stream", write.stream);
        if let Some(expected) = write.expected {
            headers.insert("Nats-Expected-Last-Subject-Sequence", expected.to_string().as_str());
        }
        if write.deletes {
            headers.insert("KV-Operation", "DEL");
            headers.insert("Nats-TTL", "24h");
        }
        let ask = Ask { subject: write.subject.to_owned(), headers, payload };
        let stream = write.stream;
        let answered =
            self.retry(within, |client| ask.clone().answer(client, stream.to_owned()).boxed()).await?;
        serde_json::from_value(answered).map_err(unreadable)
    }

    /// Returns messages after `after`, ascending, from any replica. An answer that is cut off is returned as far as it
    /// came. `filter` names their subjects.
    pub async fn read(
        &self,
        stream: &str,
        filter: Option<&str>,
        after: u64,
        within: Duration,
    ) -> Result<Vec<Stored>, NatsError> {
        let mut query = json!({"seq": after + 1, "batch": READ_MESSAGES, "max_bytes": READ_BYTES});
        if let Some(filter) = filter {
            query["next_by_subj"] = filter.into();
        }
        let (subject, payload) = (format!("$JS.API.DIRECT.GET.{stream}"), Bytes::from(query.to_string()));
        self.retry(within, |client| {
            let (subject, payload) = (subject.clone(), payload.clone());
            async move {
                connected(&client)?;
                let inbox = client.new_inbox();
                let mut answers = client.subscribe(inbox.clone()).await.map_err(away)?;
                client.publish_with_reply(subject, inbox, payload).await.map_err(away)?;
                collect(&mut answers).await
            }
            .boxed()
        })
        .await
    }

    /// Returns the last message of a subject, as the leader knows it.
    pub async fn last(
        &self,
        stream: &str,
        subject: &str,
        within: Duration,
    ) -> Result<Option<Stored>, NatsError> {
        self.message(stream, json!({"last_by_subj": subject}), within).await
    }

    /// Returns the message at `seq`, as the leader knows it.
    pub async fn at(&self, stream: &str, seq: u64, within: Duration) -> Result<Option<Stored>, NatsError> {
        self.message(stream, json!({"seq": seq}), within).await
    }

    async fn message(
        &self,
        stream: &str,
        query: Value,
        within: Duration,
    ) -> Result<Option<Stored>, NatsError> {
        #[derive(Deserialize)]
        struct Found {
            message: Raw,
        }
        #[derive(Deserialize)]
        struct Raw {
            seq: u64,
            subject: String,
            #[serde(default)]
            data: String,
            #[serde(default)]
            hdrs: String,
        }
        const NO_MESSAGE: &str = "no message found";
        let found = self.api::<Found>("STREAM.MSG.GET", stream, &query, within).await;
        let decode = |text: &str| {
            data_encoding::BASE64
                .decode(text.as_bytes())
                .map_err(|error| NatsError::Refused(error.to_string()))
        };
        match found {
            Ok(Found { message }) => Ok(Some(Stored {
                seq: message.seq,
                subject: message.subject,
                payload: decode(&message.data)?.into(),
                is_deletion: decode(&message.hdrs)?.windows(17).any(|part| part == b"KV-Operation: DEL"),
            })),
            Err(NatsError::Refused(why)) if why == NO_MESSAGE => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Removes the messages of a subject, or those before `seq`.
    pub async fn purge(&self, stream: &str, what: Purge<'_>, within: Duration) -> Result<(), NatsError> {
        let body = match what {
            Purge::Before(seq) => json!({"seq": seq}),
            Purge::Subject(subject) => json!({"filter": subject}),
        };
        self.api::<Value>("STREAM.PURGE", stream, &body, within).await.map(drop)
    }

    /// Tells every node, without a promise that it arrives.
    pub async fn tell(&self, subject: &str, payload: Bytes) {
        for client in &self.clients {
            // A lost message is repaired by the next one.
            let _ = client.publish(subject.to_owned(), payload.clone()).await;
        }
    }

    /// Listens to what nodes tell each other, over both connections: a bell may ring twice.
    pub async fn listen(&self, subject: &str) -> Result<Bells, NatsError> {
        let [first, second] = &self.clients;
        let listen = async |client: &Client| client.subscribe(subject.to_owned()).await.map_err(away);
        Ok(Bells(select_all([listen(first).await?, listen(second).await?])))
    }
}

/// Bells that other nodes ring.
pub struct Bells(SelectAll<Subscriber>);

impl Bells {
    /// Waits for the next bell, and returns the sequence that it tells.
    pub async fn next(&mut self) -> u64 {
        match self.0.next().await {
            Some(bell) => {
                std::str::from_utf8(&bell.payload).ok().and_then(|seq| seq.parse().ok()).unwrap_or(0)
            }
            // The connections have ended, and so will the program.
            None => std::future::pending().await,
        }
    }
}

/// Part of a stream to remove.
#[derive(Clone, Copy, Debug)]
pub enum Purge<'a> {
    Before(u64),
    Subject(&'a str),
}

/// The server of each connection, so that they take different ones.
type Servers = Arc<Mutex<[Option<String>; 2]>>;

/// Opens one of the two connections.
async fn open(
    options: &NatsOptions,
    name: &str,
    own: usize,
    servers: Servers,
    connected: Arc<AtomicUsize>,
) -> Result<Client, NatsError> {
    let refused = |error: std::io::Error| NatsError::Refused(error.to_string());
    let mut connect = ConnectOptions::new();
    if let Some(creds) = &options.creds {
        connect = connect.credentials_file(creds).await.map_err(refused)?;
    } else if let Some((user, password)) = &options.user {
        connect = connect.user_and_password(user.clone(), password.reveal().to_owned());
    }
    if let Some(ca) = &options.tls_ca {
        connect = connect.add_root_certificates(ca.clone());
    }
    if let Some((cert, key)) = &options.tls_identity {
        connect = connect.add_client_certificate(cert.clone(), key.clone());
    }
    let addresses: Result<Vec<ServerAddr>, _> = options.servers.iter().map(|server| server.parse()).collect();
    let addresses = addresses.map_err(refused)?;
    connect
        .name(name)
        .ping_interval(Duration::from_secs(2))
        .connection_timeout(ATTEMPT)
        .request_timeout(Some(ATTEMPT))
        .retry_on_initial_connect()
        .ignore_discovered_servers()
        .subscription_capacity(4096)
        .reconnect_to_server_callback(move |pool, _| {
            // The server with the fewest failures, but not the one of the other connection.
            let mut servers = servers.lock();
            let other = servers[1 - own].clone();
            let mut pool: Vec<_> =
                pool.into_iter().map(|server| (server.addr, server.failed_attempts)).collect();
            if own == 1 {
                pool.reverse();
            }
            pool.sort_by_key(|(addr, failed)| (Some(addr.as_url_str().to_owned()) == other, *failed));
            let next = pool.into_iter().next();
            if let Some((addr, _)) = &next {
                servers[own] = Some(addr.as_url_str().to_owned());
            }
            let choice = next.map(|(addr, failed)| ReconnectToServer {
                addr,
                delay: Some(PAUSE_MAX.min(PAUSE * u32::try_from(failed).unwrap_or(u32::MAX).min(25))),
            });
            std::future::ready(choice)
        })
        .event_callback(move |event| {
            match event {
                Event::Connected => {
                    connected.fetch_add(1, Ordering::AcqRel);
                    tracing::debug!(connection = own, "connected to NATS");
                }
                event => tracing::debug!(connection = own, "NATS: {event}"),
            }
            std::future::ready(())
        })
        .connect(addresses)
        .await
        .map_err(away)
}

/// A request that is answered in JSON.
#[derive(Clone)]
struct Ask {
    subject: String,
    headers: HeaderMap,
    payload: Bytes,
}

impl Ask {
    async fn answer(self, client: Client, stream: String) -> Result<Value, NatsError> {
        connected(&client)?;
        let request =
            async_nats::Request::new().headers(self.headers).payload(self.payload).timeout(Some(ATTEMPT));
        let message =
            client.send_request(self.subject, request).await.map_err(|error| match error.kind() {
                RequestErrorKind::MaxPayloadExceeded => {
                    NatsError::Refused("the message is larger than max_payload of the NATS server".into())
                }
                _ => away(error),
            })?;
        let Answer { error, value } = serde_json::from_slice(&message.payload).map_err(unreadable)?;
        match error {
            Some(error) => Err(error.into_error(&stream)),
            None => Ok(value),
        }
    }
}

/// A client that is not connected would queue what it is given.
fn connected(client: &Client) -> Result<(), NatsError> {
    match client.connection_state() {
        State::Connected => Ok(()),
        _ => Err(NatsError::Away("not connected".into())),
    }
}

fn unreadable(error: serde_json::Error) -> NatsError {
    NatsError::Refused(format!("an answer cannot be read: {error}"))
}

/// Reads the messages of one answer, up to its end or to a silence.
async fn collect(answers: &mut Subscriber) -> Result<Vec<Stored>, NatsError> {
    let mut found = Vec::new();
    loop {
        let message = match tokio::time::timeout(READ_SILENCE, answers.next()).await {
            Ok(Some(message)) => message,
            Ok(None) | Err(_) if found.is_empty() => {
                return Err(NatsError::Away("a read was not answered".into()));
            }
            Ok(None) | Err(_) => return Ok(found),
        };
        match message.status.map(|status| status.as_u16()) {
            None | Some(200) => {}
            // The end of the batch, or no message.
            Some(204 | 404) => return Ok(found),
            Some(_) if !found.is_empty() => return Ok(found),
            Some(code @ (408 | 503)) => return Err(NatsError::Away(format!("status {code}").into())),
            Some(code) => {
                return Err(NatsError::Refused(message.description.unwrap_or_else(|| code.to_string())));
            }
        }
        let headers = message.headers.unwrap_or_default();
        let header = |name: &str| headers.get(name).map(|value| value.as_str().to_owned());
        let seq = header("Nats-Sequence").and_then(|seq| seq.parse().ok());
        let Some((seq, subject)) = seq.zip(header("Nats-Subject")) else {
            return Err(NatsError::Refused("a message has no sequence".into()));
        };
        let is_deletion = header("KV-Operation").is_some_and(|operation| operation == "DEL");
        found.push(Stored { seq, subject, payload: message.payload, is_deletion });
    }
}

fn random_id() -> String {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("the system gives random bytes");
    data_encoding::HEXLOWER.encode(&bytes)
}

fn away(error: impl ToString) -> NatsError {
    NatsError::Away(error.to_string().into())
}
