//! The checks of a load balancer and of an operator.

use std::sync::Arc;

use axum::{
    extract::{RawQuery, State as AppState},
    http::StatusCode,
    response::IntoResponse,
};

use super::App;
use crate::{event::Seq, log::Servers};

/// Answers whether this node may get requests, and what is wrong with the history. `?verbose` adds a line for each
/// follower; a broken one does not make the node unready, unless it is the fold.
pub async fn readyz(AppState(app): AppState<Arc<App>>, RawQuery(query): RawQuery) -> impl IntoResponse {
    let last = app.log.bounds().last;
    let statuses = app.followers.statuses();
    let stopped = statuses.iter().find(|status| status.name == "fold" && status.is_stopped(last));
    let (status, mut text) = if let Some(fold) = stopped {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            format!(
                "not ready: the state does not continue. If log.db is damaged, restore a backup, or move it away to begin with an empty log\n{}\n",
                fold.line(last)
            ),
        )
    } else if app.feed.head().seq >= app.began_at && !app.streams.is_draining() {
        (StatusCode::OK, "ready\n".to_owned())
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready: folding the log, or shutting down\n".to_owned())
    };
    if let Some(away) = away(&app) {
        text += &format!("{away}\n");
    }
    // Events are stored and streamed all the same.
    if let Some(trouble) = app.derived.trouble() {
        text += &format!("{trouble}\n");
    }
    for damaged in app.storage.damage().all() {
        text += &format!("{damaged}\n");
    }
    if query.is_some_and(|query| query.split('&').any(|name| matches!(name, "verbose" | "verbose="))) {
        if let Some(secs) = app.config.clock.jump_secs() {
            text += &format!(
                "clock: the wall clock has jumped by {secs} s; nothing is deleted for its age by it\n"
            );
        }
        if let Some(servers) = app.log.servers() {
            text += &format!("cluster: {}\n", described(&servers, last));
        }
        for gap in app.derived.gaps() {
            text += &format!(
                "history: rows from {} to {} are missing; they were lost with a damaged file\n",
                gap.from, gap.to
            );
        }
        for follower in statuses {
            text += &format!("{}\n", follower.line(last));
        }
    }
    (status, text)
}

/// Returns one line about the servers of the log.
fn described(servers: &Servers, last: Seq) -> String {
    let Servers { leader, replicas, newest, bytes, bytes_max, age, .. } = servers;
    let replicas = replicas.iter().map(|(name, is_current)| {
        format!("{name} {}", if *is_current { "has the whole log" } else { "is behind or offline" })
    });
    let replicas = replicas.collect::<Vec<_>>().join(", ");
    format!(
        "NATS answered {} s ago; {leader} leads, {replicas}; the log has {} of {} MiB; this node has event {last} of {newest}",
        age.as_secs(),
        bytes >> 20,
        bytes_max >> 20,
    )
}

/// Answers whether this node can store events now, for the pool of a load balancer that takes webhooks.
pub async fn append(AppState(app): AppState<Arc<App>>) -> impl IntoResponse {
    match away(&app) {
        Some(away) => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {away}\n")),
        None if app.streams.is_draining() => {
            (StatusCode::SERVICE_UNAVAILABLE, "not ready: shutting down\n".to_owned())
        }
        None => (StatusCode::OK, "ready\n".to_owned()),
    }
}

/// Returns a sentence about a log that is out of reach.
fn away(app: &App) -> Option<&'static str> {
    app.log.contact().is_away.then_some(
        "events cannot be stored: no answer from NATS for 10 s. Check the NATS servers and the network of this node",
    )
}
