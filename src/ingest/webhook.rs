//! The webhook receiver. From LiveKit's POST to a durable event: verify → redact → append → 200.
//!
//! LiveKit understands every status below 500, except 429, as success, and never sends that event again
//! (livekit/protocol webhook/resource_url_notifier.go). So an authentic event is accepted even if it is unusual, and one
//! that cannot be made durable is held, and then answered 503, after which LiveKit retries.
//!
//! **The hold.** LiveKit gives an event up after five attempts, and waits 1, 2, 4 and 8 s between them, or the time in
//! `Retry-After`. It has no limit on the time of an answer. So the webhook waits here for up to [`HOLD`] while the log
//! cannot store it, and the answer then asks for the next attempt after a second. The five attempts cover 29 s, which is
//! as long as LiveKit keeps an event in its queue. A 503 that is answered at once must not have `Retry-After: 1`: the
//! five attempts would be over after 4 s.

use std::{
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    body::Body as HttpBody,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use futures_util::future::{Either, select};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tokio::sync::Semaphore;

use crate::{
    clock::Clock,
    event::{
        Cursor, Kind, NewEvent, Source,
        body::{BadBody, Body, Redaction},
    },
    http::DELIVERY,
    ingest::{Receipts, Rejected, Rejections},
    log::{Appended, EventLog, LogError},
    metrics::Metrics,
    token::{Claims, Keys, Reject},
};

/// Maximum lifetime of a webhook's token. LiveKit's tokens are valid for 5 minutes (livekit/protocol
/// auth/accesstoken.go). A token that is valid longer than event ids are remembered could be replayed.
const TOKEN_SECS_MAX: i64 = 24 * 60 * 60;
/// Maximum length of the `iss` that is kept of a rejected token, in characters: any client can send any text.
const SHOWN_ISS_CHARS: usize = 64;

/// Maximum time for which a webhook waits until the log can store it.
pub const HOLD: Duration = Duration::from_secs(5);
/// Value of `Retry-After` after a hold, in seconds.
const RETRY_AFTER_HOLD: HeaderValue = HeaderValue::from_static("1");
/// Pause between two attempts to store a held event.
const HOLD_PAUSE: Duration = Duration::from_millis(200);
/// Maximum bytes of bodies that are held after the log has refused them, as many as the log's queue takes. A webhook
/// beyond it is answered 503 at once.
const HELD_BYTES_MAX: usize = 64 << 20;

/// The webhook receiver.
pub struct Webhooks {
    pub keys: Keys,
    pub redaction: Redaction,
    pub log: Arc<dyn EventLog>,
    pub clock: Clock,
    pub metrics: Arc<Metrics>,
    pub receipts: Arc<Receipts>,
    pub rejections: Rejections,
    pub body_bytes_max: usize,
    /// `None` means no limit.
    pub body_time_max: Option<Duration>,
    pub held: Held,
}

/// Bytes that may still be held.
pub struct Held(Semaphore);

impl Default for Held {
    fn default() -> Held {
        Held(Semaphore::new(HELD_BYTES_MAX))
    }
}

/// Reason why a webhook was refused.
enum Refusal {
    /// A Roomwatch delivers it. If it were stored, it would be delivered again.
    Loop,
    Unauthentic(Reject),
    TooLarge,
    /// The body did not arrive in time. The status is 503 and not 408: LiveKit does not retry after 408.
    Slow(Duration),
    /// The sender disconnected, or its HTTP framing is not valid.
    Broken,
    Malformed(BadBody),
    /// The log is closed or out of reach, or too much is held already.
    Unavailable,
    /// The log could not store it for the time of the hold.
    Held,
}

/// Path to which LiveKit posts.
pub const PATH: &str = "/api/webhooks/livekit";
/// Paths under which every refusal is noted: someone meant the receiver.
const FOLDER: &str = "/api/webhooks";

/// Returns true for every path that is meant for the receiver, right or wrong.
pub fn is_meant(path: &str) -> bool {
    path.strip_prefix(FOLDER).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Receives one webhook.
#[utoipa::path(
    post,
    path = PATH,
    tag = "webhooks",
    request_body(content = serde_json::Value, content_type = "application/webhook+json"),
    responses(
        (status = 200, description = "The event is durable, or was already"),
        (status = 400, description = "The body is not a JSON object with `event`, or is nested too deep"),
        (status = 401, description = "Not authentic"),
        (status = 403, description = "A delivery of a Roomwatch"),
        (status = 413, description = "The body is larger than 8 MiB"),
        (status = 503, description = "The event could not be made durable; send it again"),
    )
)]
pub async fn receive(State(webhooks): State<Arc<Webhooks>>, headers: HeaderMap, body: HttpBody) -> Response {
    let began = Instant::now();
    let answer = match webhooks.take(&headers, body).await {
        Ok((cursor, duplicate)) => {
            webhooks.metrics.webhook(if duplicate { "duplicate" } else { "stored" });
            let text = format!("{{\"cursor\":\"{cursor}\",\"duplicate\":{duplicate}}}");
            ([(header::CONTENT_TYPE, "application/json")], text).into_response()
        }
        Err(refusal) => webhooks.refuse(refusal),
    };
    webhooks.metrics.webhook_seconds.observe(began.elapsed().as_secs_f64());
    answer
}

impl Webhooks {
    async fn take(&self, headers: &HeaderMap, body: HttpBody) -> Result<(Cursor, bool), Refusal> {
        let now = self.clock.unix_ms();
        if headers.contains_key(DELIVERY) {
            return Err(Refusal::Loop);
        }
        // The token first: the body of an unauthenticated client is not read.
        let (project, claims) = self.authenticate(headers, now).map_err(Refusal::Unauthentic)?;
        let taken = self.store(&project, &claims, headers, body, now).await;
        if let Err(refusal) = &taken {
            self.note(Some(project), Some(&claims.iss), refusal.code(), now);
        }
        taken
    }

    /// Reads the body of a webhook whose token is authentic, and appends the event.
    async fn store(
        &self,
        project: &Arc<str>,
        claims: &Claims,
        headers: &HeaderMap,
        body: HttpBody,
        now: u64,
    ) -> Result<(Cursor, bool), Refusal> {
        let length = headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
        if length.is_some_and(|length| length > self.body_bytes_max as u64) {
            return Err(Refusal::TooLarge);
        }
        let collect = Limited::new(body, self.body_bytes_max).collect();
        let collected = match self.body_time_max {
            Some(time) => tokio::time::timeout(time, collect).await.map_err(|_| Refusal::Slow(time))?,
            None => collect.await,
        };
        let raw = match collected {
            Ok(collected) => collected.to_bytes(),
            Err(error) if error.is::<LengthLimitError>() => return Err(Refusal::TooLarge),
            Err(_) => return Err(Refusal::Broken),
        };
        // `authenticate` has checked that the claim exists.
        let claimed = claims.sha256.as_deref().map(|claim| STANDARD.decode(claim));
        let digest = Sha256::digest(&raw);
        if !matches!(claimed, Some(Ok(claimed)) if bool::from(claimed.ct_eq(&digest[..]))) {
            return Err(Refusal::Unauthentic(Reject::OtherBody));
        }
        let body = Body::read(&raw, &self.redaction).map_err(Refusal::Malformed)?;
        let event = NewEvent {
            id: body.id,
            project: project.clone(),
            source: Source::Webhook,
            received_at: now,
            kind: Kind::from(&*body.event),
            room: body.room,
            room_sid: body.room_sid,
            body: body.json,
        };
        // `EventLog` logs an outage once. One line for each webhook would hide it.
        let appended = self.append(event).await.inspect_err(|_| self.receipts.lost(project, now))?;
        self.receipts.accepted(project, now, &body.event);
        let cursor = Cursor { epoch: self.log.bounds().epoch, seq: appended.seq };
        Ok((cursor, appended.duplicate))
    }

    /// Appends the event, and tries again until [`HOLD`] is over. An attempt whose answer was lost is found again as a
    /// duplicate.
    async fn append(&self, event: NewEvent) -> Result<Appended, Refusal> {
        let attempts = async {
            let mut held = None;
            loop {
                match self.log.append(vec![event.clone()]).await {
                    Ok(appended) => return appended.first().copied(),
                    Err(LogError::Closed) => return None,
                    // Another node may reach the log, and LiveKit's next attempt may go there.
                    Err(_) if self.log.contact().is_away => return None,
                    Err(_) if held.is_none() => {
                        let bytes = u32::try_from(event.body.len()).unwrap_or(u32::MAX);
                        held = Some(self.held.0.try_acquire_many(bytes).ok()?);
                    }
                    Err(_) => {}
                }
                self.clock.sleep(HOLD_PAUSE).await;
            }
        };
        match select(pin!(attempts), pin!(self.clock.sleep(HOLD))).await {
            Either::Left((appended, _)) => appended.ok_or(Refusal::Unavailable),
            Either::Right(_) => Err(Refusal::Held),
        }
    }

    fn authenticate(&self, headers: &HeaderMap, now: u64) -> Result<(Arc<str>, Claims), Reject> {
        let token = token(headers);
        let seconds = i64::try_from(now / 1000).unwrap_or(i64::MAX);
        let verified = self.keys.verify(token, seconds).and_then(|verified| {
            if verified.claims.sha256.is_none() {
                return Err(Reject::OtherUse);
            }
            if verified.claims.exp.saturating_sub(seconds) > TOKEN_SECS_MAX {
                return Err(Reject::TooLong);
            }
            Ok(verified)
        });
        match verified {
            Ok(verified) => Ok((verified.project, verified.claims)),
            Err(reject) => {
                self.note_claimed(token, reject.code(), now);
                Err(reject)
            }
        }
    }

    /// Notes a request that did not reach [`receive`]: its path, its method or its sender was refused before.
    pub fn note_misdirected(&self, headers: &HeaderMap, code: &'static str) {
        self.rejections.log(code, "its path or its method is not that of the webhook receiver");
        self.note_claimed(token(headers), code, self.clock.unix_ms());
    }

    /// Notes a refusal under the project whose key the token claims to be signed with.
    fn note_claimed(&self, token: &str, code: &'static str, at: u64) {
        let iss = Claims::unverified_iss(token);
        let project = iss.as_deref().and_then(|iss| self.keys.project_of(iss));
        self.note(project, iss.as_deref(), code, at);
    }

    /// Notes a refusal, so that `GET /api/projects` can say why no events arrive.
    fn note(&self, project: Option<Arc<str>>, iss: Option<&str>, code: &'static str, at: u64) {
        let iss = iss.map(|iss| iss.chars().take(SHOWN_ISS_CHARS).collect::<String>().into());
        self.receipts.rejected(project, Rejected { at, reason: code.into(), iss });
    }

    fn refuse(&self, refusal: Refusal) -> Response {
        let (was_held, is_loop) = (matches!(refusal, Refusal::Held), matches!(refusal, Refusal::Loop));
        let code = refusal.code();
        let (outcome, status, message) = match refusal {
            Refusal::Loop => (
                "unauthentic",
                StatusCode::FORBIDDEN,
                "this is a delivery of a Roomwatch, which must not come back to one".to_owned(),
            ),
            Refusal::Unauthentic(reject) => {
                self.rejections.log(code, &reject.to_string());
                ("unauthentic", StatusCode::UNAUTHORIZED, reject.to_string())
            }
            Refusal::TooLarge => (
                "too_large",
                StatusCode::PAYLOAD_TOO_LARGE,
                format!("a webhook may have at most {} bytes", self.body_bytes_max),
            ),
            Refusal::Slow(time) => (
                "slow",
                StatusCode::SERVICE_UNAVAILABLE,
                format!("the body did not arrive within {} s", time.as_secs()),
            ),
            Refusal::Broken => ("malformed", StatusCode::BAD_REQUEST, "the body ended early".to_owned()),
            Refusal::Malformed(bad) => {
                tracing::warn!("an authentic webhook is refused, its body is not an event: {bad}");
                ("malformed", StatusCode::BAD_REQUEST, bad.to_string())
            }
            Refusal::Unavailable | Refusal::Held => (
                "unavailable",
                StatusCode::SERVICE_UNAVAILABLE,
                "the event could not be made durable; send it again".to_owned(),
            ),
        };
        self.metrics.webhook(outcome);
        let mut answer = crate::server::error::Error::new(status, code, message).into_response();
        if was_held {
            answer.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER_HOLD);
        }
        if is_loop {
            answer.headers_mut().insert(DELIVERY, HeaderValue::from_static("refused"));
        }
        answer
    }
}

impl Refusal {
    /// Returns the code of the error answer.
    fn code(&self) -> &'static str {
        match self {
            Refusal::Loop => "delivery_loop",
            Refusal::Unauthentic(reject) => reject.code(),
            Refusal::TooLarge => "body_too_large",
            Refusal::Slow(_) => "body_timeout",
            Refusal::Broken => "body_incomplete",
            Refusal::Malformed(_) => "bad_body",
            Refusal::Unavailable | Refusal::Held => "not_durable",
        }
    }
}

/// Returns the token of a webhook, or an empty text. LiveKit sends the bare token. Tests with curl often add Bearer.
fn token(headers: &HeaderMap) -> &str {
    let token = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or("");
    token.strip_prefix("Bearer ").unwrap_or(token).trim()
}
