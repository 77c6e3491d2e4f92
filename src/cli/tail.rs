//! `roomwatch tail`: prints the stream of a server to a terminal or a pipe.

use std::{
    io::{IsTerminal, Write},
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use clap::Args;
use rustix::event::{PollFd, PollFlags};
use serde::Deserialize;
use serde_json::value::RawValue;

mod sse;

use crate::{config::shown, server::stream::message::jitter};
use sse::{Message, Reader};

#[derive(Args)]
#[command(after_help = "\
In a terminal, each event is one readable line. In a pipe, or with --json, each event is its
message as one line of JSON. If the connection is lost, tail reconnects and continues after the
last event.

Examples:
  roomwatch tail --room standup --type 'track_*'
  roomwatch tail --after start --type 'track_*' | jq -r '[.room, .type, .data.track.sid] | @tsv'
  roomwatch tail --token \"$(roomwatch token --room-list)\" | head -100 >events.jsonl")]
pub struct Arguments {
    /// URL of the server
    #[arg(long, env = "ROOMWATCH_URL", default_value = "http://127.0.0.1:3001", value_name = "URL")]
    url: String,
    /// LiveKit access token; see `roomwatch token`
    #[arg(long, env = "ROOMWATCH_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    token: Option<String>,
    /// Begin after this cursor; `start` begins at the oldest event
    #[arg(long, value_name = "CURSOR")]
    after: Option<String>,
    /// Only this room; may be repeated
    #[arg(long, value_name = "NAME")]
    room: Vec<String>,
    /// Only this type, in which `*` matches any characters; may be repeated
    #[arg(long = "type", value_name = "TYPE")]
    types: Vec<String>,
    /// Only events of this participant; may be repeated
    #[arg(long, value_name = "IDENTITY")]
    participant: Vec<String>,
    /// Only this project; may be repeated
    #[arg(long, value_name = "NAME")]
    project: Vec<String>,
    /// Print JSON lines, also in a terminal
    #[arg(long)]
    json: bool,
}

/// Maximum time without any bytes: the server sends a heartbeat at least every 20 s. Then the connection is dead.
const SILENCE_MAX: Duration = Duration::from_secs(45);
/// Maximum time between two tries, in milliseconds.
const BACKOFF_MS_MAX: u64 = 15_000;

/// Prints the stream until it is interrupted, the pipe is closed, or the server refuses the request.
pub async fn main(arguments: Arguments) -> anyhow::Result<()> {
    ensure!(
        ["http://", "https://"].iter().any(|scheme| arguments.url.starts_with(scheme)),
        "the URL {:?} must begin with http:// or https://",
        shown(&arguments.url)
    );
    tokio::select! {
        result = follow(arguments) => result,
        () = pipe_closed() => Ok(()),
    }
}

/// Completes when the reader of the standard output has closed it, even if there is nothing to write: `tail | head`
/// ends with `head`. If the output is not a pipe, it never completes.
async fn pipe_closed() {
    let (closed, on_closed) = tokio::sync::oneshot::channel();
    // A separate thread, which ends with the process: the runtime waits for its threads before it ends.
    std::thread::spawn(move || {
        let out = std::io::stdout();
        // Without requested events, poll(2) still reports that the pipe is closed.
        let mut pipe = [PollFd::new(&out, PollFlags::empty())];
        while rustix::event::poll(&mut pipe, None) == Err(rustix::io::Errno::INTR) {}
        if pipe[0].revents().intersects(PollFlags::ERR | PollFlags::HUP) {
            // Fails if `main` has already returned.
            let _ = closed.send(());
        }
    });
    if on_closed.await.is_err() {
        std::future::pending().await
    }
}

async fn follow(arguments: Arguments) -> anyhow::Result<()> {
    crate::cli::serve::install_tls();
    let people = !arguments.json && std::io::stdout().is_terminal();
    let client = reqwest::Client::builder().connect_timeout(Duration::from_secs(10)).build()?;
    let mut cursor = arguments.after.clone();
    let mut retry_ms = 1_000;
    loop {
        let mut stream =
            Follow { arguments: &arguments, people, cursor: &mut cursor, retry_ms: &mut retry_ms };
        match stream.once(&client).await {
            Ok(End::PipeClosed) => return Ok(()),
            Ok(End::Disconnected(why)) => eprintln!("roomwatch tail: {why}; trying again"),
            Err(error) => return Err(error),
        }
        tokio::time::sleep(Duration::from_millis(jitter(retry_ms / 2..retry_ms.max(2)))).await;
        retry_ms = (retry_ms * 2).min(BACKOFF_MS_MAX);
    }
}

enum End {
    /// The reader of the output has closed it, as `head` does. This is not an error.
    PipeClosed,
    Disconnected(String),
}

struct Follow<'a> {
    arguments: &'a Arguments,
    people: bool,
    cursor: &'a mut Option<String>,
    retry_ms: &'a mut u64,
}

impl Follow<'_> {
    /// Reads one connection to its end. After an error do not try again: the server would refuse it again.
    async fn once(&mut self, client: &reqwest::Client) -> anyhow::Result<End> {
        let arguments = self.arguments;
        let mut url = reqwest::Url::parse(&format!("{}/api/events", arguments.url.trim_end_matches('/')))
            .with_context(|| format!("the URL {:?} is not valid", shown(&arguments.url)))?;
        {
            let mut query = url.query_pairs_mut();
            for (name, values) in [
                ("room", &arguments.room),
                ("type", &arguments.types),
                ("participant", &arguments.participant),
                ("project", &arguments.project),
            ] {
                values.iter().for_each(|value| {
                    query.append_pair(name, value);
                });
            }
            if let Some(cursor) = &self.cursor {
                query.append_pair("after", cursor);
            }
        }
        let mut request = client.get(url).header("accept", "text/event-stream");
        if let Some(token) = &arguments.token {
            request = request.bearer_auth(token);
        }
        let mut answer = match request.send().await {
            Ok(answer) => answer,
            Err(error) => return Ok(End::Disconnected(format!("no connection ({})", root(&error)))),
        };
        let status = answer.status();
        if !status.is_success() {
            let after =
                answer.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
            let why = refusal(&answer.text().await.unwrap_or_default());
            if status.is_server_error() || status.as_u16() == 429 {
                if let Some(secs) = after {
                    // Twice the time, because the jitter may halve it.
                    *self.retry_ms = u64::saturating_mul(secs, 2_000).min(2 * BACKOFF_MS_MAX);
                }
                return Ok(End::Disconnected(format!("the server answers {status}: {why}")));
            }
            let hint = match (status.as_u16(), &arguments.token) {
                (401, None) => {
                    "\nAdd --token \"$(roomwatch token --room-list)\", with LIVEKIT_API_KEY and LIVEKIT_API_SECRET of the project set"
                }
                (401, Some(_)) => {
                    "\nThe token has expired, or its API key is not configured on the server. Make a new one with `roomwatch token`"
                }
                _ => "",
            };
            bail!("{} answers {status}: {why}{hint}", shown(&arguments.url));
        }
        let mut reader = Reader::default();
        loop {
            let chunk = match tokio::time::timeout(SILENCE_MAX, answer.chunk()).await {
                Err(_) => return Ok(End::Disconnected("the server is silent".into())),
                Ok(Err(error)) => return Ok(End::Disconnected(root(&error))),
                Ok(Ok(None)) => return Ok(End::Disconnected("the stream ended".into())),
                Ok(Ok(Some(chunk))) => chunk,
            };
            let mut from = 0;
            while from < chunk.len() {
                let (message, read) = reader.read(&chunk[from..]);
                from += read;
                let end = message.map(|message| self.take(&message)).transpose()?.flatten();
                if let Some(retry) = reader.retry_ms.take() {
                    *self.retry_ms = retry;
                }
                if !reader.last_id.is_empty() {
                    *self.cursor = Some(reader.last_id.clone());
                }
                if let Some(end) = end {
                    return Ok(end);
                }
            }
            if reader.is_too_long() {
                bail!(
                    "{} is not a Roomwatch: it sends a line without an end. Check --url",
                    shown(&arguments.url)
                );
            }
        }
    }

    fn take(&self, message: &Message) -> anyhow::Result<Option<End>> {
        if message.data.is_empty() {
            return Ok(None);
        }
        match message.event.as_str() {
            "" => {
                let head: Head<'_> =
                    serde_json::from_str(&message.data).context("a message of the stream is not valid")?;
                if head.kind == "connected" {
                    if let Some(reset) = &head.reset {
                        eprintln!(
                            "roomwatch tail: the cursor cannot be honoured ({reset}); continuing with new events"
                        );
                    }
                } else if self.print(&head, &message.data).is_err() {
                    return Ok(Some(End::PipeClosed));
                }
            }
            "bye" => {
                return Ok(Some(End::Disconnected(format!(
                    "the server closed the stream: {}",
                    message.data
                ))));
            }
            _ => {}
        }
        Ok(None)
    }

    fn print(&self, head: &Head<'_>, message: &str) -> std::io::Result<()> {
        let mut out = std::io::stdout().lock();
        if !self.people {
            out.write_all(message.as_bytes())?;
            out.write_all(b"\n")?;
            return out.flush();
        }
        let colour = match head.kind.split('_').next().unwrap_or("") {
            "room" => "34",
            "participant" => "32",
            "track" => "36",
            "egress" | "ingress" => "35",
            "agent" => "33",
            _ => "0",
        };
        let data: Data = serde_json::from_str(head.data.get()).unwrap_or_default();
        let seconds = head.timestamp / 1000 % 86_400;
        let inferred = if head.source == "reconcile" { " \x1b[33m(inferred)\x1b[0m" } else { "" };
        writeln!(
            out,
            "\x1b[2m{:02}:{:02}:{:02}\x1b[0m \x1b[{colour}m{:<20}\x1b[0m {}{}{inferred} \x1b[2m{}\x1b[0m",
            seconds / 3600,
            seconds / 60 % 60,
            seconds % 60,
            printable(&head.kind),
            printable(head.room.as_deref().unwrap_or("–")),
            data.summary(),
            head.cursor,
        )?;
        out.flush()
    }
}

/// Returns message and code of an error body. A body that is not Roomwatch's is returned as it is, cut.
fn refusal(body: &str) -> String {
    #[derive(Deserialize)]
    struct Body {
        error: Detail,
    }
    #[derive(Deserialize)]
    struct Detail {
        code: String,
        message: String,
    }
    match serde_json::from_str(body) {
        Ok(Body { error: Detail { code, message } }) => {
            format!("{} ({})", printable(&message), printable(&code))
        }
        Err(_) => printable(&body.chars().take(200).collect::<String>()),
    }
}

/// Replaces control characters: the text comes from clients, and must not control the terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

fn root(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

#[derive(Deserialize)]
struct Head<'a> {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    reset: Option<String>,
    #[serde(default)]
    timestamp: u64,
    cursor: String,
    #[serde(default)]
    room: Option<String>,
    #[serde(default)]
    source: String,
    /// Not parsed: it may be nested deeper than a parser goes.
    #[serde(borrow, default = "nothing")]
    data: &'a RawValue,
}

fn nothing<'a>() -> &'a RawValue {
    RawValue::NULL
}

/// The members of LiveKit's event that a readable line shows.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Data {
    participant: Option<serde_json::Value>,
    track: Option<serde_json::Value>,
    #[serde(rename = "egressInfo")]
    egress: Option<serde_json::Value>,
    #[serde(rename = "ingressInfo")]
    ingress: Option<serde_json::Value>,
}

impl Data {
    fn summary(&self) -> String {
        let mut summary = String::new();
        let mut add = |value: &Option<serde_json::Value>, names: &[&str]| {
            for name in names {
                if let Some(text) = value.as_ref().and_then(|value| value.get(*name)?.as_str()) {
                    summary.push(' ');
                    summary.push_str(&printable(text));
                }
            }
        };
        add(&self.participant, &["identity", "disconnectReason"]);
        add(&self.track, &["source", "mimeType"]);
        add(&self.egress, &["egressId", "status"]);
        add(&self.ingress, &["ingressId", "name"]);
        summary
    }
}
