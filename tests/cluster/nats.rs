//! Three nats-servers of one cluster, each as a process with a directory.

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use roomwatch::{
    cluster::Deployment,
    log::cluster,
    nats::{Nats, NatsOptions, names::Names},
};

use crate::harness::until_async;

/// Size of the log of the tests.
pub const LOG_BYTES: u64 = 1 << 30;

/// Three servers. Dropping them kills them.
pub struct Servers {
    pub dir: tempfile::TempDir,
    ports: [u16; 9],
    servers: [Option<Child>; 3],
    /// More lines of every configuration.
    more: String,
}

fn program() -> PathBuf {
    if let Some(named) = std::env::var_os("NATS_SERVER_BIN") {
        return named.into();
    }
    let home = std::env::var_os("GOPATH").map_or_else(
        || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join("go"),
        PathBuf::from,
    );
    let installed = home.join("bin/nats-server");
    if installed.exists() { installed } else { "nats-server".into() }
}

/// Free ports below those of outgoing connections.
fn ports<const N: usize>() -> [u16; N] {
    let mut found = [0; N];
    for n in 0..N {
        found[n] = loop {
            let port = fastrand::u16(20_000..32_000);
            if !found.contains(&port) && TcpListener::bind(("127.0.0.1", port)).is_ok() {
                break port;
            }
        };
    }
    found
}

impl Servers {
    /// Three servers that sync every message group before they acknowledge it.
    pub fn start() -> Servers {
        Servers::start_with("max_payload: 9MB\n", "sync_interval: always")
    }

    /// Three servers with these lines in their configuration, and in that of JetStream.
    pub fn start_with(more: &str, jetstream: &str) -> Servers {
        let dir = tempfile::tempdir().expect("a directory");
        let more = format!("{more}ping_interval: \"2s\"\nping_max: 2\n");
        let mut servers = Servers { dir, ports: ports(), servers: [const { None }; 3], more };
        for n in 0..3 {
            servers.write(n, jetstream);
            servers.run(n);
        }
        servers
    }

    fn write(&self, n: usize, jetstream: &str) {
        let routes: Vec<_> = self.ports[3..6].iter().map(|port| format!("nats://127.0.0.1:{port}")).collect();
        let text = format!(
            "server_name: n{n}\nlisten: 127.0.0.1:{}\nhttp: 127.0.0.1:{}\n{}\
             jetstream {{\n  store_dir: {:?}\n  max_mem: 256MB\n  max_file: 8GB\n  {jetstream}\n}}\n\
             cluster {{\n  name: rw\n  listen: 127.0.0.1:{}\n  routes: [ {} ]\n}}\n",
            self.ports[n],
            self.ports[6 + n],
            self.more,
            self.dir.path().join(format!("store{n}")),
            self.ports[3 + n],
            routes.join(", ")
        );
        std::fs::write(self.file(n, "conf"), text).expect("the file");
    }

    fn file(&self, n: usize, ending: &str) -> PathBuf {
        self.dir.path().join(format!("n{n}.{ending}"))
    }

    /// Starts a server.
    pub fn run(&mut self, n: usize) {
        let arg = |path: &Path| path.display().to_string();
        let child = Command::new(program())
            .args(["-c", &arg(&self.file(n, "conf")), "-l", &arg(&self.file(n, "log"))])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("nats-server runs: tests/cluster/install-nats");
        self.servers[n] = Some(child);
    }

    pub fn signal(&self, n: usize, name: &str) {
        let Some(child) = &self.servers[n] else { return };
        let status = Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status();
        assert!(status.expect("kill runs").success());
    }

    /// `kill -9`.
    pub fn kill(&mut self, n: usize) {
        if let Some(mut child) = self.servers[n].take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Waits until a server has ended.
    pub fn ended(&mut self, n: usize) {
        if let Some(mut child) = self.servers[n].take() {
            let _ = child.wait();
        }
    }

    pub fn client_ports(&self) -> [u16; 3] {
        [self.ports[0], self.ports[1], self.ports[2]]
    }

    /// Copies the store of a server that does not run.
    pub fn save_store(&self, n: usize) {
        self.copy(&format!("store{n}"), &format!("saved{n}"));
    }

    /// Replaces the store of a server that does not run with the copy.
    pub fn restore_store(&self, n: usize) {
        std::fs::remove_dir_all(self.dir.path().join(format!("store{n}"))).expect("removed");
        self.copy(&format!("saved{n}"), &format!("store{n}"));
    }

    fn copy(&self, from: &str, to: &str) {
        let (from, to) = (self.dir.path().join(from), self.dir.path().join(to));
        assert!(Command::new("cp").arg("-a").args([from, to]).status().expect("cp runs").success());
    }

    pub fn url(&self) -> String {
        let urls: Vec<_> = self.ports[..3].iter().map(|port| format!("nats://127.0.0.1:{port}")).collect();
        urls.join(",")
    }

    pub fn options(&self) -> NatsOptions {
        NatsOptions {
            servers: self.url().split(',').map(str::to_owned).collect(),
            creds: None,
            user: None,
            tls_ca: None,
            tls_identity: None,
        }
    }

    pub async fn connect(&self) -> Nats {
        Nats::connect(&self.options(), "test").await.expect("connected")
    }

    /// Creates the deployment as soon as the servers have a leader.
    pub async fn init(&self, names: &Names) {
        let nats = self.connect().await;
        until_async("the streams are created", async || {
            cluster::create(&nats, names, LOG_BYTES, Deployment::maps()).await.is_ok()
        })
        .await;
    }

    /// The number of the server that leads the stream of events.
    pub async fn leader(&self, nats: &Nats, names: &Names) -> usize {
        let mut leader = None;
        until_async("the stream has a leader", async || {
            let info = nats.info(&names.events(), std::time::Duration::from_secs(2)).await;
            let name = info.ok().and_then(|info| info.cluster?.leader);
            leader = name.and_then(|name| name.strip_prefix('n')?.parse().ok());
            leader.is_some()
        })
        .await;
        leader.expect("a leader")
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        for n in 0..3 {
            self.kill(n);
        }
    }
}

pub fn names() -> Names {
    Names::new("test").expect("a name")
}
