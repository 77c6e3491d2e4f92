//! A server, and a client of Socket.IO that sends it any bytes.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{
        LazyLock, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use roomwatch::{
    cli::serve::{Options, install_tls},
    config::LimitOptions,
    log::LogUrl,
    node::Node,
    token::{Claims, Grant, Secret, sign},
};
use tokio::{net::TcpListener, runtime};

use super::{KEY, SECRET};

/// A task that panics ends alone, so the hook has to tell.
static PANICKED: AtomicBool = AtomicBool::new(false);
static SERVER: LazyLock<SocketAddr> = LazyLock::new(serve);
static CLIENT: LazyLock<Mutex<Client>> = LazyLock::new(|| Mutex::new(Client::new()));

fn serve() -> SocketAddr {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        PANICKED.store(true, Ordering::Relaxed);
        hook(panic);
    }));
    install_tls();
    let (told, address) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let dir = tempfile::tempdir().expect("a directory");
        let options = Options {
            data_dir: Some(dir.path().join("data")),
            log_url: Some(LogUrl::Memory),
            livekit_api_key: Some(KEY.into()),
            livekit_api_secret: Some(Secret::new(SECRET)),
            limits: LimitOptions {
                max_streams: Some(0),
                max_streams_per_user: Some(0),
                max_streams_per_address: Some(0),
                ..LimitOptions::default()
            },
            ..Options::default()
        };
        let runtime = runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let node = Node::open(options.check().expect("options")).await.expect("a node");
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            told.send(listener.local_addr().expect("an address")).expect("it waits");
            node.run(listener, std::future::pending()).await.expect("it serves");
        });
    });
    address.recv().expect("it starts")
}

/// One connection, which is opened again after the server has closed it.
struct Client {
    token: String,
    connection: Option<TcpStream>,
}

impl Client {
    fn new() -> Client {
        let grant = Grant { room_list: true, ..Grant::default() };
        let claims =
            Claims { iss: KEY.into(), exp: i64::from(u32::MAX), video: Some(grant), ..Claims::default() };
        Client { token: sign(&claims, &Secret::new(SECRET)), connection: None }
    }

    /// Returns the status and the body of the answer.
    fn ask(&mut self, method: &str, session: &str, body: &[u8]) -> (u16, Vec<u8>) {
        let mut request = format!(
            "{method} /socket.io/?EIO=4&transport=polling{session} HTTP/1.1\r\nhost: localhost\r\n\
             authorization: Bearer {}\r\ncontent-type: text/plain;charset=UTF-8\r\ncontent-length: {}\r\n\r\n",
            self.token,
            body.len()
        )
        .into_bytes();
        request.extend_from_slice(body);
        if let Some(connection) = self.connection.take()
            && let Some(answer) = self.answer(connection, &request)
        {
            return answer;
        }
        let connection = TcpStream::connect(*SERVER).expect("it listens");
        self.answer(connection, &request).expect("an answer")
    }

    /// Returns `None` if the connection is closed before the answer has begun.
    fn answer(&mut self, mut connection: TcpStream, request: &[u8]) -> Option<(u16, Vec<u8>)> {
        // The server may answer, and close, before it has read the body.
        let _ = connection.write_all(request);
        let mut read = Vec::new();
        let begin = loop {
            if let Some(at) = read.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            let mut part = [0; 4_096];
            match connection.read(&mut part) {
                Ok(0) | Err(_) => return None,
                Ok(count) => read.extend_from_slice(&part[..count]),
            }
        };
        let head = String::from_utf8_lossy(&read[..begin]).to_ascii_lowercase();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        let mut body = read.split_off(begin);
        let missing = length.unwrap_or(0_usize).saturating_sub(body.len());
        let mut rest = vec![0; missing];
        connection.read_exact(&mut rest).expect("the rest of the body");
        body.extend(rest);
        if !head.contains("connection: close") {
            self.connection = Some(connection);
        }
        Some((status, body))
    }
}

/// Whatever a connected client sends, nothing panics, and the session ends when the client says so.
pub fn packet(input: &[u8]) {
    let mut client = CLIENT.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let (status, body) = client.ask("GET", "", b"");
    let opened = String::from_utf8(body).expect("text");
    let sid = opened.split('"').nth(3).unwrap_or_else(|| panic!("{status} {opened}"));
    let session = format!("&sid={sid}");
    assert_eq!(client.ask("POST", &session, b"40").0, 200);
    let (status, _) = client.ask("POST", &session, input);
    assert!(matches!(status, 200 | 400 | 413), "{status}");
    client.ask("POST", &session, b"1");
    assert_eq!(client.ask("GET", &session, b"").0, 400, "the session goes on");
    assert!(!PANICKED.swap(false, Ordering::Relaxed), "a task panicked");
}
