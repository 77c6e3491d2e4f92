//! The server as a process, with a directory, a port and a log.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{
    sse::Sse,
    tokens::{KEY, SECRET, list_token},
    until::{PATIENCE, until},
    webhook::webhook_token,
};

/// A running server. Dropping it kills it.
pub struct Server {
    pub address: SocketAddr,
    pub dir: Arc<tempfile::TempDir>,
    child: Child,
    log: Arc<Mutex<String>>,
    environment: Vec<(String, String)>,
}

/// Options of a server that is not started yet.
pub struct Start {
    subcommand: &'static str,
    environment: Vec<(String, String)>,
    arguments: Vec<String>,
    dir: Option<Arc<tempfile::TempDir>>,
    listen: SocketAddr,
    /// Soft and hard limit of file descriptors; `None`: those of this process.
    descriptors: Option<(u32, u32)>,
    /// Command of the shell that starts it.
    shell: Option<String>,
}

impl Default for Start {
    fn default() -> Start {
        Start::new()
    }
}

impl Start {
    /// One project whose key is [`KEY`], and no users.
    pub fn new() -> Start {
        // The rooms of most tests are months old: they would need attention at once, and add events to the log.
        let mut environment = vec![
            ("LIVEKIT_API_KEY", KEY),
            ("LIVEKIT_API_SECRET", SECRET),
            ("ROOMWATCH_OPEN_CONDITIONS", "false"),
        ];
        if log_in_memory() {
            environment.push(("ROOMWATCH_LOG_URL", "memory:"));
        }
        Start {
            subcommand: "serve",
            environment: environment.iter().map(|&(k, v)| (k.to_owned(), v.to_owned())).collect(),
            arguments: Vec::new(),
            dir: None,
            listen: ([127, 0, 0, 1], 0).into(),
            descriptors: None,
            shell: None,
        }
    }

    /// Sets a variable; an empty value removes it.
    pub fn env(mut self, name: &str, value: &str) -> Start {
        self.environment.retain(|(other, _)| other != name);
        if !value.is_empty() {
            self.environment.push((name.to_owned(), value.to_owned()));
        }
        self
    }

    /// A server that another subcommand runs.
    pub fn subcommand(mut self, name: &'static str) -> Start {
        self.subcommand = name;
        self
    }

    /// With the log on the disk in any case: the test is about the disk, or about a restart.
    pub fn on_disk(self) -> Start {
        self.env("ROOMWATCH_LOG_URL", "")
    }

    pub fn arg(mut self, argument: &str) -> Start {
        self.arguments.push(argument.to_owned());
        self
    }

    /// Writes a configuration file.
    pub fn file(mut self, text: &str) -> Start {
        let dir = self.dir.get_or_insert_with(|| Arc::new(tempfile::tempdir().expect("a directory")));
        let path = dir.path().join("roomwatch.toml");
        std::fs::write(&path, text).expect("the file");
        self.arguments.extend(["--config".to_owned(), path.display().to_string()]);
        self
    }

    /// Uses the directory of a server that ran before.
    pub fn dir(mut self, dir: &Arc<tempfile::TempDir>) -> Start {
        self.dir = Some(dir.clone());
        self
    }

    pub fn descriptors(mut self, soft: u32, hard: u32) -> Start {
        self.descriptors = Some((soft, hard));
        self
    }

    /// The umask of the shell that starts it.
    pub fn umask(mut self, umask: &str) -> Start {
        self.shell = Some(format!("umask {umask}"));
        self
    }

    /// Ignores the signal of a write beyond the limit of a file's size, so that [`Server::fail_writes`] makes errors of it.
    pub fn survives_xfsz(mut self) -> Start {
        self.shell = Some("trap '' XFSZ".to_owned());
        self
    }

    fn command(&self, dir: &Path) -> Command {
        let program = env!("CARGO_BIN_EXE_roomwatch");
        let mut command = match (self.descriptors, &self.shell) {
            (_, Some(before)) => {
                let mut shell = Command::new("sh");
                shell.args(["-c", &format!("{before}; exec \"$0\" \"$@\""), program]);
                shell
            }
            (Some((soft, hard)), None) => {
                let mut limited = Command::new("prlimit");
                limited.args([&format!("--nofile={soft}:{hard}"), program]);
                limited
            }
            (None, None) => Command::new(program),
        };
        command.arg(self.subcommand).args(&self.arguments).current_dir(dir).env_clear();
        command.env("ROOMWATCH_LISTEN", self.listen.to_string()).env("ROOMWATCH_DATA_DIR", dir.join("data"));
        command.envs(self.environment.iter().map(|(k, v)| (k, v)));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        command
    }

    /// Starts it and waits until it is ready.
    pub fn start(self) -> Server {
        let server = self.start_unready();
        server.until_ready();
        server
    }

    /// Starts it and waits until it listens.
    pub fn start_unready(mut self) -> Server {
        let dir = self.dir.take().unwrap_or_else(|| Arc::new(tempfile::tempdir().expect("a directory")));
        let mut child = self.command(dir.path()).spawn().expect("the server starts");
        let log = Arc::new(Mutex::new(String::new()));
        let (said, saying) = std::sync::mpsc::channel();
        let stderr = child.stderr.take().expect("piped");
        let kept = log.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let mut kept = kept.lock().expect("not poisoned");
                kept.push_str(&line);
                kept.push('\n');
                drop(kept);
                if let Some((_, rest)) = line.split_once("listening on http://") {
                    let address = rest.split([' ', '"']).next().unwrap_or("").parse::<SocketAddr>();
                    let _ = said.send(address.expect("an address"));
                }
            }
        });
        let address = match saying.recv_timeout(PATIENCE) {
            Ok(address) => address,
            Err(_) => {
                let _ = child.kill();
                panic!("the server does not listen:\n{}", log.lock().expect("not poisoned"));
            }
        };
        Server { address, dir, child, log, environment: self.environment }
    }

    /// Starts it and expects that it fails. Returns its log.
    pub fn fails(self) -> String {
        let dir = self.dir.clone().unwrap_or_else(|| Arc::new(tempfile::tempdir().expect("a directory")));
        let mut child = self.command(dir.path()).spawn().expect("it runs");
        let mut stderr = child.stderr.take().expect("piped");
        let saying = std::thread::spawn(move || {
            let mut said = Vec::new();
            let _ = stderr.read_to_end(&mut said);
            String::from_utf8_lossy(&said).into_owned()
        });
        let began = Instant::now();
        let status = loop {
            match child.try_wait().expect("a child") {
                Some(status) => break status,
                None if began.elapsed() < PATIENCE => std::thread::sleep(Duration::from_millis(10)),
                None => {
                    let _ = child.kill();
                    break child.wait().expect("a child");
                }
            }
        };
        let said = saying.join().expect("no panic");
        assert!(status.code().is_some_and(|code| code > 0), "it should have failed:\n{said}");
        said
    }
}

/// `ROOMWATCH_TEST_LOG=memory cargo test` runs every test that is not about the disk over the log in memory.
pub fn log_in_memory() -> bool {
    match std::env::var("ROOMWATCH_TEST_LOG").as_deref() {
        Err(_) | Ok("sqlite") => false,
        Ok("memory") => true,
        Ok(other) => panic!("ROOMWATCH_TEST_LOG is {other:?}: it may be sqlite or memory"),
    }
}

impl Server {
    pub fn start() -> Server {
        Start::new().start()
    }

    /// Options with the same directory, port and environment, for a start after this server has ended.
    pub fn again(&self) -> Start {
        Start {
            subcommand: "serve",
            environment: self.environment.clone(),
            arguments: Vec::new(),
            dir: Some(self.dir.clone()),
            listen: self.address,
            descriptors: None,
            shell: None,
        }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The log so far.
    pub fn log(&self) -> String {
        self.log.lock().expect("not poisoned").clone()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn until_ready(&self) {
        until("the server is ready", || {
            let answer =
                raw(self.address, b"GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
            answer.starts_with("HTTP/1.1 200")
        });
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args([&format!("-{name}"), &self.pid().to_string()]).status();
        assert!(status.expect("kill runs").success());
    }

    /// Makes every write to a file fail from now on, or succeed again. Needs [`Start::survives_xfsz`].
    pub fn fail_writes(&self, fail: bool) {
        let limit = if fail { "--fsize=0:" } else { "--fsize=unlimited:" };
        let status = Command::new("prlimit").args(["--pid", &self.pid().to_string(), limit]).status();
        assert!(status.expect("prlimit runs").success());
    }

    /// Waits until it has ended, and returns the exit code.
    pub fn ended(&mut self) -> Option<i32> {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return status.code();
            }
            assert!(began.elapsed() < PATIENCE, "the server does not end:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Posts a signed webhook, and returns the status.
    pub async fn webhook(&self, body: &str) -> u16 {
        self.webhook_as(&webhook_token(body.as_bytes()), body.as_bytes().to_vec()).await.0
    }

    pub async fn webhook_as(&self, token: &str, body: Vec<u8>) -> (u16, Value) {
        let request = client()
            .post(self.url("/api/webhooks/livekit"))
            .header("content-type", "application/webhook+json");
        let request = if token.is_empty() { request } else { request.header("authorization", token) };
        let answer = request.body(body).send().await.expect("an answer");
        let status = answer.status().as_u16();
        (status, answer.json().await.unwrap_or(Value::Null))
    }

    /// A GET with a token that sees the whole project.
    pub async fn get(&self, path: &str) -> (u16, Value) {
        self.get_as(&list_token(), path).await
    }

    pub async fn get_as(&self, token: &str, path: &str) -> (u16, Value) {
        let request = client().get(self.url(path)).header("accept", "application/json");
        let request = if token.is_empty() { request } else { request.bearer_auth(token) };
        let answer = request.send().await.expect("an answer");
        let status = answer.status().as_u16();
        (status, answer.json().await.unwrap_or(Value::Null))
    }

    /// A stream with a token that sees the whole project.
    pub async fn stream(&self, query: &str) -> Sse {
        self.stream_as(&list_token(), query, None).await
    }

    pub async fn stream_as(&self, token: &str, query: &str, last_id: Option<&str>) -> Sse {
        let mut request =
            client().get(self.url(&format!("/api/events{query}"))).header("accept", "text/event-stream");
        if !token.is_empty() {
            request = request.bearer_auth(token);
        }
        if let Some(id) = last_id {
            request = request.header("last-event-id", id);
        }
        let answer = request.send().await.expect("an answer");
        assert_eq!(answer.status(), 200, "{:?}", answer.text().await);
        Sse::of(answer)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A new client each time, so that tests do not share connections.
pub fn client() -> reqwest::Client {
    roomwatch::cli::serve::install_tls();
    reqwest::Client::builder().timeout(Duration::from_secs(60)).build().expect("a client")
}

/// Writes bytes to a socket and reads until it is closed.
pub fn raw(address: SocketAddr, bytes: &[u8]) -> String {
    let Ok(mut socket) = TcpStream::connect(address) else { return String::new() };
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    // The server may answer and close before it has read everything.
    let _ = socket.write_all(bytes);
    let mut answer = Vec::new();
    let _ = socket.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}
