//! A network link that can be cut without a trace: connections stay open, and nothing passes.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    task::JoinSet,
};

/// A link to a port of this machine. Dropping it closes its connections.
pub struct Link {
    port: u16,
    is_cut: Arc<AtomicBool>,
    _tasks: JoinSet<()>,
}

impl Link {
    pub async fn to(port: u16) -> Link {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let own = listener.local_addr().expect("an address").port();
        let is_cut: Arc<AtomicBool> = Arc::default();
        let mut tasks = JoinSet::new();
        let flag = is_cut.clone();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let Ok((client, _)) = listener.accept().await else { return };
                let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await else { continue };
                let ((from, to), (back, out)) = (client.into_split(), server.into_split());
                connections.spawn(pass(from, out, flag.clone()));
                connections.spawn(pass(back, to, flag.clone()));
            }
        });
        Link { port: own, is_cut, _tasks: tasks }
    }

    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    pub fn cut(&self, is_cut: bool) {
        self.is_cut.store(is_cut, Ordering::Release);
    }
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, is_cut: Arc<AtomicBool>) {
    let mut bytes = vec![0; 64 << 10];
    loop {
        let Ok(read @ 1..) = from.read(&mut bytes).await else { return };
        // What was sent during the cut arrives after it, as TCP does it.
        while is_cut.load(Ordering::Acquire) {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        if to.write_all(&bytes[..read]).await.is_err() {
            return;
        }
    }
}
