//! Who is calling, and what they may see and do.
//!
//! A handler that takes a [`Caller`] is for those who may call; one without is visibly public. What a
//! request of a caller sees is its [`Window`]; what a caller may do is [`Caller::may`].

use std::{net::IpAddr, sync::Arc};

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, Uri, header, request::Parts},
};

use crate::{
    accounts::Login,
    config::Role,
    rights::{OutOfSight, Sight, Window},
    server::{App, arrival::Arrival, connections::Connection, cookie, error::Error, query},
    token::{Grant, LEEWAY_SECS, Verified},
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

/// What a caller may want to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Change a room, its participants and tracks, or send data to it.
    Moderate,
    /// Be in a room unseen.
    Watch,
    CreateRoom,
    EndRoom,
    /// Post a test event through the door for webhooks.
    TestWebhook,
    /// Read who did what.
    ReadAudit,
}

/// Who is calling.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The name the audit record goes by.
    pub user: Arc<str>,
    pub kind: CallerKind,
    /// Operators have one, tokens have grants.
    pub role: Option<Role>,
    pub grant: Grant,
    pub sight: Sight,
    /// When the right ends, in unix milliseconds, leeway included.
    pub ends_at: Option<u64>,
    /// Whom the limits count: the session's name, or key and identity, or the address. Not to be
    /// shown: it only keeps apart what has the same name.
    pub counted_as: Arc<str>,
    pub address: IpAddr,
    /// By which the request came.
    pub connection: Option<Connection>,
    /// The sign-in may end before its time.
    pub login: Option<Arc<Login>>,
    /// Of a token: the project of its key.
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
            login: None,
            project: None,
        }
    }

    /// The caller a LiveKit access token makes.
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
            login: None,
            project: Some(project),
        })
    }

    /// The caller the cookie of a sign-in makes, if the sign-in is alive.
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
            login: Some(login),
            project: None,
        })
    }

    /// Who sent a request with this head. The credential that is presented decides: one that is not
    /// good is refused even where none is needed, or its owner would see somebody else's rights.
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

    /// What a request that names these projects and rooms may see. An empty list names everything.
    pub fn window(&self, app: &App, projects: &[String], rooms: &[String]) -> Result<Window, Error> {
        let head = app.feed.head().seq;
        Window::resolve(&self.sight, projects, rooms, &app.state.read(), head)
            .map_err(|OutOfSight| Error::forbidden())
    }

    /// The projects the caller has any rights in.
    pub fn projects<'a>(&'a self, app: &'a App) -> impl Iterator<Item = &'a Arc<str>> {
        let names = app.config.projects.iter().map(|project| &project.name);
        names.filter(|name| self.project.as_ref().is_none_or(|own| own == *name))
    }

    /// The project a request is about: the one it names, or the only one there is for this caller.
    /// One that is foreign is answered as one that does not exist.
    pub fn project(&self, app: &App, wanted: Option<&str>) -> Result<Arc<str>, Error> {
        let mut own = self.projects(app);
        if let Some(wanted) = wanted {
            let found = own.find(|name| ***name == *wanted).cloned();
            return found.ok_or_else(|| Error::not_found("unknown_project", "there is no such project"));
        }
        match (own.next(), own.next()) {
            (Some(one), None) => Ok(one.clone()),
            _ => {
                Err(Error::bad_request("project_required", "there are several projects; name one: ?project="))
            }
        }
    }

    /// May the caller do this, in this project and, where the action is about one, this room?
    ///
    /// A room the caller does not see is answered as a room that does not exist: the answer must not
    /// tell whether it does. Rights are checked before LiveKit is asked, and before the state is.
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
                    Action::TestWebhook | Action::ReadAudit => false,
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

/// The access token a request presents: the header, or where it is not to be had the query.
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
        caller.connection = parts.extensions.get().cloned();
        Ok(caller)
    }
}
