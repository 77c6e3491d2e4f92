//! Clients of Engine.IO 4, packet by packet: HTTP polling, and a WebSocket byte by byte.

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

use super::{
    server::{Server, client},
    tokens::list_token,
    until::PATIENCE,
};

/// HTTP polling: every packet, in order.
pub struct Polling {
    client: reqwest::Client,
    pub url: String,
    packets: std::collections::VecDeque<String>,
    pub handshake: Value,
}

impl Polling {
    /// Engine.IO's handshake alone.
    pub async fn open(server: &Server) -> Polling {
        let client = client();
        let url = server.url("/socket.io/?EIO=4&transport=polling");
        let answer = client.get(&url).send().await.expect("an answer").text().await.expect("text");
        let handshake: Value =
            serde_json::from_str(answer.strip_prefix('0').expect("an open packet")).expect("JSON");
        let mut polling = Polling { client, url, packets: Default::default(), handshake };
        polling.url += &format!("&sid={}", polling.sid());
        polling
    }

    /// Engine.IO's and Socket.IO's handshake: the session and the first packet after it.
    pub async fn connect(server: &Server, auth: Value) -> (Polling, String) {
        let mut polling = Polling::open(server).await;
        assert_eq!(polling.send(&format!("40{auth}")).await, 200);
        let answer = polling.packet().await.expect("an answer");
        (polling, answer)
    }

    pub async fn connected(server: &Server, auth: Value) -> Polling {
        let (polling, answer) = Polling::connect(server, auth).await;
        assert!(answer.starts_with("40{"), "{answer}");
        polling
    }

    /// A session that began with polling and continues with a WebSocket.
    pub async fn upgraded(server: &Server) -> (Polling, WebSocket) {
        let session = Polling::open(server).await;
        let query = format!("{WEBSOCKET}&sid={}", session.sid());
        let (head, mut socket) = WebSocket::open(server, &query, "").await;
        assert!(head.starts_with("HTTP/1.1 101"), "{head}");
        socket.send("2probe").await;
        assert_eq!(socket.frame().await.as_deref(), Some("3probe"));
        // A poll that is open now is answered with a noop.
        while session.poll().await != (200, "6".into()) {}
        socket.send("5").await;
        (session, socket)
    }

    /// One poll: status and text.
    pub async fn poll(&self) -> (u16, String) {
        answered(client().get(&self.url).send().await).await
    }

    pub fn sid(&self) -> &str {
        self.handshake["sid"].as_str().expect("a sid")
    }

    pub async fn send(&self, packets: &str) -> u16 {
        let request = self.client.post(&self.url).header("content-type", "text/plain;charset=UTF-8");
        request.body(packets.to_owned()).send().await.map_or(0, |answer| answer.status().as_u16())
    }

    /// The next packet, without the heartbeats of Engine.IO; `None` after the session has ended.
    pub async fn packet(&mut self) -> Option<String> {
        loop {
            while let Some(packet) = self.packets.pop_front() {
                if packet == "2" {
                    // The session may end while we answer; the next poll shows it.
                    let _ = self.send("3").await;
                } else if packet != "6" {
                    return Some(packet);
                }
            }
            let polled =
                tokio::time::timeout(PATIENCE, self.client.get(&self.url).send()).await.expect("in time");
            let answer = polled.ok().filter(|answer| answer.status() == 200)?;
            let text = answer.text().await.ok()?;
            self.packets.extend(text.split('\u{1e}').map(str::to_owned));
        }
    }

    /// The next event: its name and its value, without the heartbeats of the stream.
    pub async fn event(&mut self) -> Option<(String, Value)> {
        tokio::time::timeout(PATIENCE, self.next_event()).await.expect("in time")
    }

    async fn next_event(&mut self) -> Option<(String, Value)> {
        loop {
            let packet = self.packet().await?;
            if packet.starts_with("41") || packet == "1" {
                return None;
            }
            let parsed: Value =
                serde_json::from_str(packet.strip_prefix("42").expect(&packet)).expect("JSON");
            let name = parsed[0].as_str().expect("a name").to_owned();
            if name != "ping" {
                return Some((name, parsed[1].clone()));
            }
        }
    }

    /// Emits and waits for the acknowledgement.
    pub async fn ask(&mut self, event: Value) -> Value {
        assert_eq!(self.send(&format!("427{event}")).await, 200);
        loop {
            let packet = self.packet().await.expect("an acknowledgement");
            if let Some(answer) = packet.strip_prefix("437") {
                return serde_json::from_str::<Value>(answer).expect("JSON")[0].clone();
            }
        }
    }
}

/// The status and the text of an answer. Status 0: the connection was cut.
pub async fn answered(answer: reqwest::Result<reqwest::Response>) -> (u16, String) {
    let Ok(answer) = answer else { return (0, String::new()) };
    (answer.status().as_u16(), answer.text().await.unwrap_or_default())
}

/// The query of a WebSocket that begins a session.
pub const WEBSOCKET: &str = "EIO=4&transport=websocket";

/// A WebSocket byte by byte: a client that can stop reading.
pub struct WebSocket {
    stream: TcpStream,
    bytes: Vec<u8>,
}

impl WebSocket {
    /// The head of the answer, and the connection.
    pub async fn open(server: &Server, query: &str, headers: &str) -> (String, WebSocket) {
        let socket = TcpSocket::new_v4().expect("a socket");
        // A small buffer: unread bytes wait in the server, not here.
        socket.set_recv_buffer_size(256 << 10).expect("a buffer");
        let mut stream = socket.connect(server.address).await.expect("a connection");
        let head = format!(
            "GET /socket.io/?{query} HTTP/1.1\r\nhost: {}\r\nupgrade: websocket\r\n\
             connection: upgrade\r\nsec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\
             {headers}\r\n",
            server.address
        );
        stream.write_all(head.as_bytes()).await.expect("written");
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            answer.push(stream.read_u8().await.expect("an answer"));
        }
        (String::from_utf8(answer).expect("text"), WebSocket { stream, bytes: Vec::new() })
    }

    pub async fn connected(server: &Server, auth: Value) -> WebSocket {
        let (head, mut socket) = WebSocket::open(server, WEBSOCKET, "").await;
        assert!(head.starts_with("HTTP/1.1 101"), "{head}");
        assert!(socket.frame().await.expect("a handshake").starts_with('0'));
        socket.send(&format!("40{auth}")).await;
        let answer = socket.packet().await.expect("an answer");
        assert!(answer.starts_with("40{"), "{answer}");
        socket
    }

    /// Sends a text frame. A client has to mask; the mask is zero.
    pub async fn send(&mut self, text: &str) {
        let mut frame = vec![0x81, 0x80 | 126];
        frame.extend(u16::try_from(text.len()).expect("a short packet").to_be_bytes());
        frame.extend([0; 4]);
        frame.extend(text.as_bytes());
        self.stream.write_all(&frame).await.expect("written");
    }

    /// Number of bytes that wait to be read, at most 128 KiB.
    pub async fn waiting(&self) -> usize {
        let mut bytes = vec![0; 128 << 10];
        self.stream.peek(&mut bytes).await.expect("the connection stays")
    }

    /// The text of the next frame; `None` at the end.
    pub async fn frame(&mut self) -> Option<String> {
        loop {
            if let Some((opcode, from, to)) = whole_frame(&self.bytes) {
                let text = self.bytes[from..to].to_vec();
                self.bytes.drain(..to);
                return (opcode == 1).then(|| String::from_utf8(text).expect("text"));
            }
            let read = tokio::time::timeout(PATIENCE, self.stream.read_buf(&mut self.bytes)).await;
            if read.expect("in time").ok()? == 0 {
                return None;
            }
        }
    }

    /// The next packet, without the heartbeats of Engine.IO.
    pub async fn packet(&mut self) -> Option<String> {
        loop {
            let packet = self.frame().await?;
            if packet != "2" {
                return Some(packet);
            }
            self.send("3").await;
        }
    }

    /// The id of the next message of the stream.
    pub async fn message(&mut self) -> String {
        loop {
            let packet = self.packet().await.expect("the stream goes on");
            if let Some(id) = id_in(&packet) {
                return id;
            }
        }
    }
}

/// Opcode, start and end of the payload of the first frame, if the frame is complete.
fn whole_frame(bytes: &[u8]) -> Option<(u8, usize, usize)> {
    let (from, length) = match bytes.get(1)? {
        126 => (4, u64::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?))),
        127 => (10, u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?)),
        short => (2, u64::from(*short)),
    };
    let to = from + usize::try_from(length).ok()?;
    (bytes.len() >= to).then_some((bytes[0] & 15, from, to))
}

/// The id of the event in a packet; `None` for other packets.
fn id_in(packet: &str) -> Option<String> {
    let message: Value =
        serde_json::from_str(packet.strip_prefix("42[\"room:event\",")?.strip_suffix(']')?).ok()?;
    Some(message["data"]["id"].as_str().expect("an id").to_owned())
}

/// Number of Socket.IO sockets that are streams now.
pub async fn open_sockets(server: &Server) -> usize {
    let metrics = client().get(server.url("/metrics")).send().await.expect("an answer");
    let metrics = metrics.text().await.expect("text");
    let name = "roomwatch_streams_open{transport=\"socketio\"} ";
    metrics.lines().find_map(|line| line.strip_prefix(name)).expect("a line").parse().expect("a number")
}

/// The handshake's `auth` of a caller who sees everything.
pub fn auth(more: Value) -> Value {
    let mut auth = json!({ "token": list_token() });
    auth.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    auth
}
