//! A receiver of deliveries in the process of the test. It notes every request, and answers as the test says.

use std::{
    collections::BTreeMap,
    future::Future,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{Router, body::Bytes, http::HeaderMap, response::Response, routing::post};
use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;

/// The secret of a test endpoint: 24 bytes in base64.
pub const WHSEC: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3";
const SECRET_BYTES: &[u8] = b"0123456789abcdef01234567";

/// One request.
#[derive(Clone, Debug)]
pub struct Received {
    pub headers: BTreeMap<String, String>,
    pub body: Bytes,
}

impl Received {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    /// The LiveKit event in the body, of both kinds of endpoint.
    pub fn event(&self) -> Value {
        let json = self.json();
        json.get("data").map_or_else(|| json.clone(), |data| data["event"].clone())
    }

    pub fn room(&self) -> String {
        self.event()["room"]["name"].as_str().unwrap_or_default().to_owned()
    }

    pub fn id(&self) -> String {
        self.event()["id"].as_str().unwrap_or_default().to_owned()
    }

    /// Checks the signature as the specification of Standard Webhooks says.
    pub fn assert_signed(&self) {
        let mut mac = Hmac::<Sha256>::new_from_slice(SECRET_BYTES).expect("a key");
        mac.update(format!("{}.{}.", self.header("webhook-id"), self.header("webhook-timestamp")).as_bytes());
        mac.update(&self.body);
        let expected = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
        assert_eq!(self.header("webhook-signature").split(' ').next(), Some(&*expected));
    }
}

/// See [`self`].
pub struct Sink {
    pub address: SocketAddr,
    received: Arc<Mutex<Vec<Received>>>,
    /// The most requests at the same time, of one room and in all.
    most: Arc<[AtomicUsize; 2]>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Sink {
    /// Answers each request with the status that `answer` returns for it.
    pub async fn statuses(answer: impl Fn(&Received) -> u16 + Send + Sync + 'static) -> Sink {
        Sink::start(move |received| {
            let status = answer(&received);
            async move { Response::builder().status(status).body("told".into()).expect("an answer") }
        })
        .await
    }

    pub async fn start<F: Future<Output = Response> + Send + 'static>(
        answer: impl Fn(Received) -> F + Send + Sync + 'static,
    ) -> Sink {
        Sink::on(([127, 0, 0, 1], 0).into(), answer).await
    }

    pub async fn on<F: Future<Output = Response> + Send + 'static>(
        address: SocketAddr,
        answer: impl Fn(Received) -> F + Send + Sync + 'static,
    ) -> Sink {
        let listener = tokio::net::TcpListener::bind(address).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let received: Arc<Mutex<Vec<Received>>> = Arc::default();
        let most: Arc<[AtomicUsize; 2]> = Arc::default();
        let open: Arc<Mutex<BTreeMap<String, usize>>> = Arc::default();
        let (noted, answer, peak) = (received.clone(), Arc::new(answer), most.clone());
        let handler = move |headers: HeaderMap, body: Bytes| {
            let headers = headers.iter().map(|(name, value)| {
                (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
            });
            let request = Received { headers: headers.collect(), body };
            noted.lock().expect("not poisoned").push(request.clone());
            let (open, peak, room) = (open.clone(), peak.clone(), request.room());
            let answer = answer(request);
            async move {
                {
                    let mut open = open.lock().expect("not poisoned");
                    *open.entry(room.clone()).or_default() += 1;
                    peak[0].fetch_max(open[&room], Ordering::SeqCst);
                    peak[1].fetch_max(open.values().sum(), Ordering::SeqCst);
                }
                let answer = answer.await;
                *open.lock().expect("not poisoned").entry(room).or_default() -= 1;
                answer
            }
        };
        let router =
            Router::new().route("/hook", post(handler)).layer(axum::extract::DefaultBodyLimit::disable());
        let task = tokio::spawn(async move { axum::serve(listener, router).await.expect("it serves") });
        Sink { address, received, most, task }
    }

    pub fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    pub fn received(&self) -> Vec<Received> {
        self.received.lock().expect("not poisoned").clone()
    }

    pub fn count(&self) -> usize {
        self.received.lock().expect("not poisoned").len()
    }

    /// The most requests at the same time: of one room, and in all.
    pub fn most(&self) -> (usize, usize) {
        (self.most[0].load(Ordering::SeqCst), self.most[1].load(Ordering::SeqCst))
    }

    /// The ids of the events of a room, in the order in which they came.
    pub fn ids(&self, room: &str) -> Vec<String> {
        self.received().iter().filter(|one| one.room() == room).map(Received::id).collect()
    }
}
