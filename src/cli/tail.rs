//! `roomwatch tail`: the stream of any Roomwatch in a terminal or a pipe.

use std::{
    io::{IsTerminal, Write},
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use clap::Args;
use rustix::event::{PollFd, PollFlags};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::server::stream::message::jitter;

#[derive(Args)]
#[command(after_help = "\
In a terminal each event is a line for people; into a pipe, or with --json, each is its message as
one line of JSON. A lost connection is opened again by itself and continues where it ended.

Examples:
  roomwatch tail --room standup --type 'track_*'
  roomwatch tail --after start --type 'participant_*' | jq -r '[.room, .type, .data.participant.identity] | @tsv'
  roomwatch tail --token \"$(roomwatch token --room-list)\" | head -100 >events.jsonl")]
pub struct Arguments {
    /// The Roomwatch to read from
    #[arg(long, env = "ROOMWATCH_URL", default_value = "http://127.0.0.1:3001", value_name = "URL")]
    url: String,
    /// A LiveKit access token; see `roomwatch token`
    #[arg(long, env = "ROOMWATCH_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    token: Option<String>,
    /// Begin after this cursor, or with the oldest event: `start`
    #[arg(long, value_name = "CURSOR")]
    after: Option<String>,
    /// Only this room; may be repeated
    #[arg(long, value_name = "NAME")]
    room: Vec<String>,
    /// Only this type, `*` for any run; may be repeated
    #[arg(long = "type", value_name = "TYPE")]
    types: Vec<String>,
    /// Only this project; may be repeated
    #[arg(long, value_name = "NAME")]
    project: Vec<String>,
    /// JSON lines even in a terminal
    #[arg(long)]
    json: bool,
}

/// A line that is silent for this long is dead: the server's heartbeat comes at least every 20 s.
const SILENCE_MAX: Duration = Duration::from_secs(45);
/// The longest wait between two tries, in milliseconds.
const BACKOFF_MS_MAX: u64 = 15_000;
/// A server that sends a line longer than this is not Roomwatch.
const LINE_BYTES_MAX: usize = 64 << 20;

/// Follows until it is interrupted, the pipe is closed, or the server refuses.
pub async fn main(arguments: Arguments) -> anyhow::Result<()> {
    ensure!(
        ["http://", "https://"].iter().any(|scheme| arguments.url.starts_with(scheme)),
        "the URL {:?} must begin with http:// or https://",
        arguments.url
    );
    tokio::select! {
        result = follow(arguments) => result,
        () = pipe_closed() => Ok(()),
    }
}

/// Done when whoever reads the standard output has gone, even if there is nothing to write: `tail | head` ends with
/// `head`. What is no pipe is never closed.
async fn pipe_closed() {
    let (closed, gone) = tokio::sync::oneshot::channel();
    // A thread of its own, which the end of the process ends: a runtime waits for its own.
    std::thread::spawn(move || {
        let out = std::io::stdout();
        // Nothing is asked for; that it is closed is told all the same.
        let mut pipe = [PollFd::new(&out, PollFlags::empty())];
        while rustix::event::poll(&mut pipe, None) == Err(rustix::io::Errno::INTR) {}
        if pipe[0].revents().intersects(PollFlags::ERR | PollFlags::HUP) {
            // Nobody listens at the end.
            let _ = closed.send(());
        }
    });
    if gone.await.is_err() {
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
    /// Whoever read us has gone, as `head` does: nothing to say.
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
    /// One connection. An error is final: another try would be refused too.
    async fn once(&mut self, client: &reqwest::Client) -> anyhow::Result<End> {
        let arguments = self.arguments;
        let mut url = reqwest::Url::parse(&format!("{}/api/events", arguments.url.trim_end_matches('/')))
            .with_context(|| format!("the URL {:?}", arguments.url))?;
        {
            let mut query = url.query_pairs_mut();
            for (name, values) in
                [("room", &arguments.room), ("type", &arguments.types), ("project", &arguments.project)]
            {
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
                    // Half of it is waited for at the least.
                    *self.retry_ms = u64::saturating_mul(secs, 2_000).min(2 * BACKOFF_MS_MAX);
                }
                return Ok(End::Disconnected(format!("the server answers {status}: {why}")));
            }
            let hint = match (status.as_u16(), &arguments.token) {
                (401, None) => {
                    "\nTry --token \"$(roomwatch token --room-list)\", with the project's LIVEKIT_API_KEY and LIVEKIT_API_SECRET set"
                }
                (401, Some(_)) => "\nIs the token expired, or of a key that this server does not have?",
                _ => "",
            };
            bail!("{} answers {status}: {why}{hint}", arguments.url);
        }
        let mut lines = Vec::new();
        let mut message = Message::default();
        loop {
            let chunk = match tokio::time::timeout(SILENCE_MAX, answer.chunk()).await {
                Err(_) => return Ok(End::Disconnected("the line is silent".into())),
                Ok(Err(error)) => return Ok(End::Disconnected(root(&error))),
                Ok(Ok(None)) => return Ok(End::Disconnected("the stream ended".into())),
                Ok(Ok(Some(chunk))) => chunk,
            };
            lines.extend_from_slice(&chunk);
            let mut from = 0;
            while let Some(at) = memchr::memchr(b'\n', &lines[from..]) {
                let line = &lines[from..from + at];
                from += at + 1;
                if message.line(line)
                    && let Some(end) = self.take(std::mem::take(&mut message))?
                {
                    return Ok(end);
                }
            }
            lines.drain(..from);
            if lines.len() > LINE_BYTES_MAX {
                bail!("{} is no Roomwatch: it sends a line without end", arguments.url);
            }
        }
    }

    fn take(&mut self, message: Message) -> anyhow::Result<Option<End>> {
        if let Some(retry) = message.retry {
            *self.retry_ms = retry;
        }
        if message.data.is_empty() {
            return Ok(None);
        }
        match message.event.as_str() {
            "" => {
                let head: Head<'_> = serde_json::from_str(&message.data).context("the stream's message")?;
                if head.kind == "connected" {
                    if let Some(reset) = &head.reset {
                        eprintln!(
                            "roomwatch tail: the cursor could not be honoured ({reset}); going on from the head"
                        );
                    }
                } else if self.print(&head, &message.data).is_err() {
                    return Ok(Some(End::PipeClosed));
                }
            }
            "bye" => {
                self.remember(message.id);
                return Ok(Some(End::Disconnected(format!("the server says goodbye: {}", message.data))));
            }
            _ => {}
        }
        self.remember(message.id);
        Ok(None)
    }

    fn remember(&mut self, id: String) {
        if !id.is_empty() {
            *self.cursor = Some(id);
        }
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
        let repaired = if head.source == "reconcile" { " \x1b[33m(found by asking)\x1b[0m" } else { "" };
        writeln!(
            out,
            "\x1b[2m{:02}:{:02}:{:02}\x1b[0m \x1b[{colour}m{:<20}\x1b[0m {}{}{repaired} \x1b[2m{}\x1b[0m",
            seconds / 3600,
            seconds / 60 % 60,
            seconds % 60,
            printable(&head.kind),
            printable(head.room.as_deref().unwrap_or("–")),
            data.words(),
            head.cursor,
        )?;
        out.flush()
    }
}

/// What an error's body says, in words; as it is if it is none of Roomwatch's.
fn refusal(body: &str) -> String {
    #[derive(Deserialize)]
    struct Body {
        error: Words,
    }
    #[derive(Deserialize)]
    struct Words {
        code: String,
        message: String,
    }
    match serde_json::from_str(body) {
        Ok(Body { error: Words { code, message } }) => {
            format!("{} ({})", printable(&message), printable(&code))
        }
        Err(_) => printable(&body.chars().take(200).collect::<String>()),
    }
}

/// Control characters of strangers stay out of the terminal.
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

/// A server-sent event while its lines come in.
#[derive(Default)]
struct Message {
    id: String,
    event: String,
    data: String,
    retry: Option<u64>,
}

impl Message {
    /// Takes one line; true if it ended the event.
    fn line(&mut self, line: &[u8]) -> bool {
        let line = String::from_utf8_lossy(line);
        let line = line.strip_suffix('\r').unwrap_or(&line);
        if line.is_empty() {
            return true;
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" => self.id = value.to_owned(),
            "event" => self.event = value.to_owned(),
            "data" => {
                if !self.data.is_empty() {
                    self.data.push('\n');
                }
                self.data.push_str(value);
            }
            "retry" => self.retry = value.parse().ok(),
            _ => {}
        }
        false
    }
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
    /// Raw: it may be nested as deep as a parser goes.
    #[serde(borrow, default = "nothing")]
    data: &'a RawValue,
}

fn nothing<'a>() -> &'a RawValue {
    RawValue::NULL
}

/// What a line for people says of LiveKit's event.
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
    fn words(&self) -> String {
        let mut words = String::new();
        let mut say = |value: &Option<serde_json::Value>, names: &[&str]| {
            for name in names {
                if let Some(text) = value.as_ref().and_then(|value| value.get(*name)?.as_str()) {
                    words.push(' ');
                    words.push_str(&printable(text));
                }
            }
        };
        say(&self.participant, &["identity", "disconnectReason"]);
        say(&self.track, &["source", "mimeType"]);
        say(&self.egress, &["egressId", "status"]);
        say(&self.ingress, &["ingressId", "name"]);
        words
    }
}
