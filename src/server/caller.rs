//! The caller of a request, and the rights of that caller.
//!
//! A handler that takes a [`Caller`] requires a credential; a handler without one is public. The
//! [`Window`] of a request is what it may see. [`Caller::may`] says whether the caller may act.

use std::{net::IpAddr, sync::Arc};

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, Uri, header, request::Parts},
};

use crate::{
    accounts::Login,
    config::Role,
    rights::{OutOfSight, Sight, Window},
    server::{App, arrival::Arrival, connections::Connection, cookie, error::Error, memory::Share, query},
    token::{Grant, LEEWAY_SECS, Verified},
};

/// Kind of credential that a caller presented.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum CallerKind {
    /// The cookie of an operator who signed in.
    Session,
    /// A LiveKit access token.
    Token,
    /// None: the server runs with `--dev`.
    Dev,
}

/// An action that needs a right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Change a room, its participants and tracks, or send data to it.
    Moderate,
    /// Join a room as a hidden participant.
    Watch,
    CreateRoom,
    EndRoom,
    /// Start and stop egress.
    Record,
    /// List ingress.
    ListIngress,
    /// Post a test event to the webhook receiver.
    TestWebhook,
    /// Acknowledge a condition.
    Acknowledge,
    /// Read the audit record.
    ReadAudit,
}

/// The caller of a request.
#[derive(Clone)]
pub struct Caller {
    /// Name in the audit record.
    pub user: Arc<str>,
    pub kind: CallerKind,
    /// Role of an operator. A token has grants instead.
    pub role: Option<Role>,
    pub grant: Grant,
    pub sight: Sight,
    /// Time when the right ends, in unix milliseconds, leeway included.
    pub ends_at: Option<u64>,
    /// Key for the limits per user: the name of the operator, or key and identity of a token, or the address. It
    /// has a prefix, so that callers of different kinds with one name count separately. Do not show it.
    pub counted_as: Arc<str>,
    pub address: IpAddr,
    /// Connection of the request.
    pub connection: Option<Connection>,
    /// Memory of the request.
    pub share: Option<Share>,
    /// Set for an operator. It may end before `ends_at`, for example by signing out.
    pub login: Option<Arc<Login>>,
    /// Project of the key that signed the token.
    project: Option<Arc<str>>,
}

impl Caller {
    fn dev(address: IpAddr) -> Caller {
        Caller {
            user: "dev".into(),
            kind: CallerKind::Dev,
            role: Some(Role::Admin),
            grant: Grant::default(),
            sight: Sight::All,
            ends_at: None,
            counted_as: format!("address {address}").into(),
            address,
            connection: None,
            share: None,
            login: None,
            project: None,
        }
    }

    /// Returns the caller that a LiveKit access token identifies.
    pub fn from_token(app: &App, token: &str, address: IpAddr) -> Result<Caller, Error> {
        let seconds = app.config.clock.unix_secs();
        let Verified { project, claims } =
            app.config.keys.verify(token, seconds).map_err(|_| Error::unauthorized())?;
        // A webhook's token proves that LiveKit sent one body, and nothing else.
        let grant = match (claims.sha256, claims.video) {
            (None, Some(grant)) => grant,
            _ => return Err(Error::unauthorized()),
        };
        let sight = Sight::granted(&project, &grant);
        let ends_at = u64::try_from(claims.exp.saturating_add(LEEWAY_SECS)).unwrap_or(0).saturating_mul(1000);
        let counted_as = if claims.sub.is_empty() {
            format!("address {address}")
        } else {
            format!("token {} {}", claims.iss, claims.sub)
        };
        Ok(Caller {
            user: format!("{}/{}", claims.iss, claims.sub).into(),
            kind: CallerKind::Token,
            role: None,
            grant,
            sight,
            ends_at: Some(ends_at),
            counted_as: counted_as.into(),
            address,
            connection: None,
            share: None,
            login: None,
            project: Some(project),
        })
    }

    /// Returns the caller that the cookie of a sign-in identifies, or `None` if the sign-in has ended.
    pub fn from_login(app: &App, token: &str, address: IpAddr) -> Option<Caller> {
        let (login, role) = app.accounts.find(token)?;
        Some(Caller {
            user: login.user.clone(),
            kind: CallerKind::Session,
            role: Some(role),
            grant: Grant::default(),
            sight: Sight::All,
            ends_at: Some(login.ends_at),
            counted_as: format!("session {}", login.user).into(),
            address,
            connection: None,
            share: None,
            login: Some(login),
            project: None,
        })
    }

    /// Identifies the caller of a request with this head. A credential that is present decides: if it is not valid,
    /// the request is refused, even with `--dev`. Otherwise its owner would get the rights of another caller.
    pub fn of(app: &App, uri: &Uri, headers: &HeaderMap, arrival: Arrival) -> Result<Caller, Error> {
        let address = arrival.address;
        if let Some(token) = presented(uri, headers)? {
            return Caller::from_token(app, &token, address);
        }
        let mut stale = false;
        for token in cookie::tokens(&app.front, arrival.secure, headers) {
            if let Some(caller) = Caller::from_login(app, token, address) {
                return Ok(caller);
            }
            stale = true;
        }
        if stale {
            return Err(Error::session_ended());
        }
        if app.config.dev { Ok(Caller::dev(address)) } else { Err(Error::unauthorized()) }
    }

    /// Returns what a request that names these projects and rooms may see. An empty list names everything.
    pub fn window(&self, app: &App, projects: &[String], rooms: &[String]) -> Result<Window, Error> {
        let head = app.feed.head().seq;
        Window::resolve(&self.sight, projects, rooms, &app.state.read(), head)
            .map_err(|OutOfSight| Error::forbidden())
    }

    /// Returns the projects in which the caller has any rights.
    pub fn projects<'a>(&'a self, app: &'a App) -> impl Iterator<Item = &'a Arc<str>> {
        let names = app.config.projects.iter().map(|project| &project.name);
        names.filter(|name| self.project.as_ref().is_none_or(|own| own == *name))
    }

    /// Returns the project of a request: the one that it names, or the caller's only one. The answer for another
    /// caller's project is the same as for a project that does not exist.
    pub fn project(&self, app: &App, wanted: Option<&str>) -> Result<Arc<str>, Error> {
        let mut own = self.projects(app);
        if let Some(wanted) = wanted {
            let found = own.find(|name| ***name == *wanted).cloned();
            return found.ok_or_else(|| Error::not_found("unknown_project", "there is no such project"));
        }
        match (own.next(), own.next()) {
            (Some(one), None) => Ok(one.clone()),
            _ => Err(Error::bad_request(
                "project_required",
                "there are several projects; name one with ?project=",
            )),
        }
    }

    /// Refuses an action that the caller may not do in this project, or in this room if the action is about one.
    ///
    /// A room that the caller does not see gets the answer of a room that does not exist: the answer must not tell
    /// whether it exists. For the same reason, call this before asking LiveKit and before reading the state.
    pub fn may(&self, action: Action, project: &str, room: Option<&str>) -> Result<(), Error> {
        let allowed = match self.role {
            Some(role) => role >= if action == Action::ReadAudit { Role::Admin } else { Role::Operator },
            None => {
                let own = self.project.as_deref() == Some(project);
                match action {
                    Action::Moderate | Action::Watch => {
                        own && self.grant.room_admin
                            && !self.grant.room.is_empty()
                            && room == Some(self.grant.room.as_str())
                    }
                    Action::CreateRoom | Action::EndRoom => own && self.grant.room_create,
                    Action::Record => own && self.grant.room_record,
                    Action::ListIngress => own && self.grant.ingress_admin,
                    Action::TestWebhook | Action::Acknowledge | Action::ReadAudit => false,
                }
            }
        };
        match room {
            _ if allowed => Ok(()),
            Some(room) if !self.sight.has_room(project, room) => Err(Error::room_not_live()),
            _ => Err(Error::forbidden()),
        }
    }
}

/// Returns the access token of a request: from the header, or from the query, for clients that cannot set a header.
fn presented(uri: &Uri, headers: &HeaderMap) -> Result<Option<String>, Error> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    if let Some(value) = values.next() {
        let (Ok(text), None) = (value.to_str(), values.next()) else {
            return Err(Error::unauthorized());
        };
        let token = match text.split_once(' ') {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token,
            _ => text,
        };
        return Ok(Some(token.trim().to_owned()));
    }
    query::access_token(uri.query())
}

impl FromRequestParts<Arc<App>> for Caller {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Caller, Error> {
        let arrival = Arrival::from_request_parts(parts, app).await?;
        let mut caller = Caller::of(app, &parts.uri, &parts.headers, arrival)?;
        caller.share = parts.extensions.get().cloned();
        if let Some(share) = &caller.share {
            share.of_user(&caller.counted_as);
        }
        caller.connection = parts.extensions.get().cloned();
        Ok(caller)
    }
}
