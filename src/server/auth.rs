//! Who is calling, and what they may see and do.
//!
//! A handler that takes a [`Caller`] is for those who may call; one without is visibly public.

use std::sync::Arc;

use axum::{
    extract::{FromRequestParts, OptionalFromRequestParts},
    http::{header, request::Parts},
};

use crate::{
    config::Role,
    feed::Sight,
    server::{App, error::Error},
    token::{Grant, LEEWAY_SECS, Verified},
    webhook::now_ms,
};

/// How a caller proved who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum CallerKind {
    /// An operator who signed in.
    Session,
    /// A LiveKit access token.
    Token,
    /// Nothing at all, with `--dev`.
    Dev,
}

/// Who is calling.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The name the limits and the audit record go by.
    pub user: Arc<str>,
    pub kind: CallerKind,
    /// Operators have one, tokens have grants.
    pub role: Option<Role>,
    pub grant: Grant,
    pub sight: Sight,
    /// When the right ends, in unix milliseconds, leeway included.
    pub ends_at: Option<u64>,
}

impl Caller {
    fn dev() -> Caller {
        Caller {
            user: "dev".into(),
            kind: CallerKind::Dev,
            role: Some(Role::Admin),
            grant: Grant::default(),
            sight: Sight::All,
            ends_at: None,
        }
    }

    fn token(verified: Verified) -> Result<Caller, Error> {
        let Verified { project, claims } = verified;
        // A webhook's token proves that LiveKit sent one body, and nothing else.
        let grant = match (claims.sha256, claims.video) {
            (None, Some(grant)) => grant,
            _ => return Err(Error::unauthorized()),
        };
        let room: Arc<str> = grant.room.as_str().into();
        let sight = if grant.room_list {
            Sight::Project(project.clone())
        } else if grant.room_admin && !room.is_empty() {
            Sight::Room { project: project.clone(), room }
        } else if grant.room_join && !room.is_empty() {
            Sight::Joined { project: project.clone(), room }
        } else {
            Sight::Nothing
        };
        let ends_at = u64::try_from(claims.exp.saturating_add(LEEWAY_SECS)).unwrap_or(0).saturating_mul(1000);
        Ok(Caller {
            user: format!("{}/{}", claims.iss, claims.sub).into(),
            kind: CallerKind::Token,
            role: None,
            grant,
            sight,
            ends_at: Some(ends_at),
        })
    }
}

impl FromRequestParts<Arc<App>> for Caller {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Caller, Error> {
        let bearer = parts
            .headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .map(|value| value.strip_prefix("Bearer ").unwrap_or(value).trim().to_owned());
        let token = bearer.or_else(|| {
            let query = parts.uri.query().unwrap_or("");
            let mut pairs = form_urlencoded::parse(query.as_bytes());
            pairs.find(|(name, _)| name == "access_token").map(|(_, value)| value.into_owned())
        });
        if let Some(token) = token {
            let seconds = i64::try_from(now_ms() / 1000).unwrap_or(i64::MAX);
            let verified = app.config.keys.verify(&token, seconds).map_err(|_| Error::unauthorized())?;
            return Caller::token(verified);
        }
        if app.config.dev {
            return Ok(Caller::dev());
        }
        Err(Error::unauthorized())
    }
}

impl OptionalFromRequestParts<Arc<App>> for Caller {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Option<Caller>, Error> {
        Ok(<Caller as FromRequestParts<Arc<App>>>::from_request_parts(parts, app).await.ok())
    }
}
