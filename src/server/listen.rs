//! The sockets: accepts connections, answers their requests, and closes them at shutdown.

use std::{
    convert::Infallible,
    future::{Future, poll_fn},
    io,
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use axum::{Router, body::Body, extract::Request, http::StatusCode};
use futures_util::{FutureExt, future};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;

use crate::{
    config::Limit,
    server::{
        App,
        connections::{Connected, Connections, Incoming},
        router,
        stream::handover::{Handover, NewReader},
    },
};

pub mod pass;
pub mod shard;

use pass::pass;
use shard::Shards;

/// Maximum time of a shutdown. Connections that are still open then are cut.
const SHUTDOWN_MAX: Duration = Duration::from_secs(11);
/// Unsent bytes that the kernel buffers for a connection. Without this bound, a client that does not read takes
/// megabytes of kernel memory.
const UNSENT_BYTES_MAX: u32 = 16 << 10;

/// Serves until `shutdown` completes. Then closes the streams over the drain window, and returns when every
/// connection has ended, at the latest one second after the window.
///
/// Webhooks are answered until the drain window is over, so that LiveKit loses none of them.
pub async fn run(listener: TcpListener, app: Arc<App>, shutdown: impl Future<Output = ()>) -> io::Result<()> {
    let router = router(app.clone());
    let stalled_max = Limit::AnswerTime.time(&app.config.limits);
    let shards =
        Shards::start(&app.feed, &app.metrics, app.config.heartbeat, stalled_max, &app.config.clock)?;
    let shards = Arc::new(shards);
    let connections = TaskTracker::new();
    let open = Connections::new(&app.config.limits, app.metrics.clone());
    let accept = async {
        loop {
            let (stream, peer) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Most likely there are no file descriptors left. Connections that end free some.
                    tracing::warn!("cannot accept a connection: {error}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let _ = stream.set_nodelay(true);
            let _ = socket2::SockRef::from(&stream).set_tcp_notsent_lowat(UNSENT_BYTES_MAX);
            let stream = open.take(stream).await;
            let (app, router) = (app.clone(), router.clone());
            let (shards, connection) = (shards.clone(), connections.token());
            tokio::spawn(async move {
                if let Some((socket, reader)) = serve(stream, peer.ip(), app, router).await {
                    shards.take(socket, reader, connection);
                }
            });
        }
    };
    let sign_out = async {
        loop {
            app.accounts.some_ended().await;
            shards.check_all();
        }
    };
    let serving = future::join(accept, sign_out);
    tokio::pin!(serving);
    tokio::select! {
        ((), ()) = &mut serving => {}
        () = shutdown => {}
    }
    app.streams.drain();
    shards.check_all();
    // During the drain window new streams are refused with `bye`, and webhooks are accepted.
    let _ = tokio::time::timeout(app.config.drain, &mut serving).await;
    open.close();
    connections.close();
    let left = SHUTDOWN_MAX.saturating_sub(app.config.drain);
    if tokio::time::timeout(
        left.min(Duration::from_secs(1)).max(Duration::from_millis(200)),
        connections.wait(),
    )
    .await
    .is_err()
    {
        tracing::info!("closing {} connections that did not end in time", connections.len());
    }
    Ok(())
}

/// Answers the requests of one connection until it ends. If the answer is a stream, returns its socket and its
/// reader as soon as the answer has begun.
async fn serve(
    stream: Connected,
    peer: IpAddr,
    app: Arc<App>,
    router: Router,
) -> Option<(Connected, NewReader)> {
    let limits = app.config.limits;
    let mut http = hyper::server::conn::http1::Builder::new();
    // `Connected` limits the time of a head: hyper's timer would also count the pause before the head.
    http.half_close(false).header_read_timeout(None);
    if let Some(max) = Limit::HeadBytes.max(&limits) {
        http.max_buf_size(max as usize);
    }
    let (connection, handover) = (stream.connection(), Handover::default());
    let (requests, readers) = (connection.clone(), handover.clone());
    let service = service_fn(move |request: Request<hyper::body::Incoming>| {
        let connection = requests.clone();
        connection.on_request();
        let (by, readers) = (connection.clone(), readers.clone());
        let body = |body| Body::new(Incoming::new(body, connection.clone()));
        let request = request.map(body);
        pass(app.clone(), router.clone(), peer, by, readers, request).map(move |answer| {
            if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
                connection.on_upgrade();
            }
            connection.on_response();
            Ok::<_, Infallible>(answer)
        })
    });
    let mut serving = http.serve_connection(TokioIo::new(stream), service).with_upgrades();
    let mut is_told = false;
    let ended = poll_fn(|cx| {
        let mut polled = Pin::new(&mut serving).poll(cx);
        if polled.is_pending() && !is_told && connection.is_closing() {
            is_told = true;
            Pin::new(&mut serving).graceful_shutdown();
            polled = Pin::new(&mut serving).poll(cx);
        }
        match polled {
            Poll::Ready(result) => Poll::Ready(Err(result)),
            // A handover now would lose the bytes that hyper still buffers.
            Poll::Pending if connection.is_full() => Poll::Pending,
            Poll::Pending => handover.take().map_or(Poll::Pending, |reader| Poll::Ready(Ok(reader))),
        }
    })
    .await;
    match ended {
        Ok(reader) => return Some((serving.into_parts()?.io.into_inner(), reader)),
        Err(Ok(())) => {}
        Err(Err(error)) => tracing::debug!("a connection ended: {error}"),
    }
    None
}
