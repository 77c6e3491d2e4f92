//! The steps of every room command: check the right, check the limit, record the start, call LiveKit, record the
//! outcome, reconcile the room.

use std::{future::Future, sync::Arc};

use axum::http::StatusCode;

use crate::{
    audit::{NewAuditEntry, Outcome},
    livekit::{CallError, LiveKit},
    server::{
        App,
        caller::{Action, Caller},
        error::Error,
        query::ProjectQuery,
    },
};

/// A command that is allowed. It holds `App` because it may outlive its request: see [`Command::run`].
pub struct Command {
    app: Arc<App>,
    entry: NewAuditEntry,
    /// True if LiveKit sends a webhook about its effect.
    has_webhook: bool,
}

/// Description of a command.
pub struct CommandSpec<'a> {
    pub right: Action,
    /// See [`NewAuditEntry::action`].
    pub action: &'static str,
    pub room: Option<&'a str>,
    pub target: Option<String>,
    pub has_webhook: bool,
}

/// A command of those who may moderate the room.
pub fn moderate<'a>(
    action: &'static str,
    room: &'a str,
    target: Option<String>,
    has_webhook: bool,
) -> CommandSpec<'a> {
    CommandSpec { right: Action::Moderate, action, room: Some(room), target, has_webhook }
}

impl Command {
    /// Checks rights and limits, before the body of the request is read. `query` may name the project. A refusal
    /// is recorded.
    pub async fn allowed(
        app: &Arc<App>,
        caller: &Caller,
        query: Option<&str>,
        spec: CommandSpec<'_>,
    ) -> Result<Command, Error> {
        let ProjectQuery { project } = ProjectQuery::parse(query)?;
        Command::allowed_in(app, caller, caller.project(app, project.as_deref())?, spec).await
    }

    /// As [`Command::allowed`], in this project.
    pub async fn allowed_in(
        app: &Arc<App>,
        caller: &Caller,
        project: Arc<str>,
        spec: CommandSpec<'_>,
    ) -> Result<Command, Error> {
        let entry = NewAuditEntry {
            user: caller.user.clone(),
            action: spec.action,
            project,
            room: spec.room.map(str::to_owned),
            target: spec.target,
            reason: None,
        };
        let limited = app.limiter.command(&caller.counted_as);
        if let Err(refusal) = caller.may(spec.right, &entry.project, spec.room) {
            app.metrics.command("refused");
            // Recorded only within the limit: a refusal costs the caller nothing, and the record a write.
            if limited.is_ok() {
                app.audit.note(entry, Outcome::Refused, Some(refusal.code)).await.map_err(Error::internal)?;
            }
            return Err(refusal);
        }
        limited?;
        Ok(Command { app: app.clone(), entry, has_webhook: spec.has_webhook })
    }

    /// Sets the room of a command that names it in its body.
    pub fn of_room(mut self, name: &str) -> Command {
        self.entry.room = Some(name.to_owned());
        self
    }

    /// Returns the project of the command.
    pub fn project(&self) -> &str {
        &self.entry.project
    }

    /// Returns the target of the command.
    pub fn target(&self) -> &str {
        self.entry.target.as_deref().unwrap_or_default()
    }

    /// Sets the target of a command that names it in its body.
    pub fn at(mut self, target: &str) -> Command {
        self.entry.target = Some(target.to_owned());
        self
    }

    /// Sets the reason that the user gave.
    pub fn because(mut self, reason: Option<String>) -> Command {
        self.entry.reason = reason;
        self
    }

    /// Sets the action of a command that names it in its body.
    pub fn called(mut self, action: &'static str) -> Command {
        self.entry.action = action;
        self
    }

    /// Runs the command. Once begun it runs to its end and is recorded, even if the caller disconnects.
    pub async fn run<T, F>(
        self,
        call: impl FnOnce(Arc<App>, Arc<str>) -> F + Send + 'static,
    ) -> Result<T, Error>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Error>> + Send,
    {
        self.run_on(|app, project| async move { call(app, project).await.map(|answer| (answer, None)) }).await
    }

    /// As [`Command::run`]. The command also returns its target, for the record, if only LiveKit's answer names it.
    pub async fn run_on<T, F>(
        self,
        call: impl FnOnce(Arc<App>, Arc<str>) -> F + Send + 'static,
    ) -> Result<T, Error>
    where
        T: Send + 'static,
        F: Future<Output = Result<(T, Option<String>), Error>> + Send,
    {
        let Command { app, entry, has_webhook } = self;
        let work = tokio::spawn(async move {
            let (project, room) = (entry.project.clone(), entry.room.clone());
            let entry = app.audit.note(entry, Outcome::Started, None).await.map_err(Error::internal)?;
            let result = call(app.clone(), project.clone()).await;
            let (outcome, code, target) = match &result {
                Ok((_, target)) => (Outcome::Done, None, target.clone()),
                Err(error) => (Outcome::Failed, Some(error.code), None),
            };
            app.metrics.command(outcome.as_str());
            if let (Ok(_), Some(room)) = (&result, room) {
                app.reconcile.changed(&project, &room, has_webhook);
            }
            // The command has been done. It does not fail because its outcome cannot be recorded.
            let _ = app.audit.ended(entry, outcome, code, target).await;
            result.map(|(answer, _)| answer)
        });
        work.await.unwrap_or_else(|error| Err(Error::internal(error)))
    }
}

/// Checks rights and limits of a request that asks LiveKit and changes nothing, and returns its project. It counts as a
/// command, because LiveKit is asked; it is not recorded.
pub fn may_ask(
    app: &App,
    caller: &Caller,
    query: Option<&str>,
    right: Action,
    room: Option<&str>,
) -> Result<Arc<str>, Error> {
    let ProjectQuery { project } = ProjectQuery::parse(query)?;
    let project = caller.project(app, project.as_deref())?;
    caller.may(right, &project, room)?;
    app.limiter.command(&caller.counted_as)?;
    Ok(project)
}

/// Returns the LiveKit client of a project.
pub fn livekit<'a>(app: &'a App, project: &str) -> Result<&'a LiveKit, Error> {
    app.reconcile.livekit(project).ok_or_else(|| {
        let message = format!(
            "project {project:?} has no LiveKit URL; set LIVEKIT_URL, or `url` in the configuration file"
        );
        Error::new(StatusCode::BAD_GATEWAY, "livekit_unreachable", message)
    })
}

/// Maps an error of LiveKit to an error for the caller.
pub fn explain(error: CallError) -> Error {
    let (status, code) = match &error {
        CallError::Unreachable { .. } => (StatusCode::BAD_GATEWAY, "livekit_unreachable"),
        CallError::Timeout { .. } => (StatusCode::GATEWAY_TIMEOUT, "livekit_timeout"),
        CallError::Unauthorized { .. } => (StatusCode::BAD_GATEWAY, "livekit_unauthorized"),
        CallError::Garbage { .. } => (StatusCode::BAD_GATEWAY, "livekit_failed"),
        CallError::Refused { code, .. } => match &**code {
            "permission_denied" => (StatusCode::FORBIDDEN, "livekit_denied"),
            "not_found" => (StatusCode::NOT_FOUND, "room_not_live"),
            "invalid_argument" | "malformed" | "out_of_range" => (StatusCode::BAD_REQUEST, "livekit_refused"),
            "already_exists" | "failed_precondition" | "aborted" => (StatusCode::CONFLICT, "livekit_refused"),
            "resource_exhausted" => (StatusCode::TOO_MANY_REQUESTS, "livekit_limited"),
            "unimplemented" | "bad_route" => (StatusCode::NOT_IMPLEMENTED, "livekit_refused"),
            "deadline_exceeded" => (StatusCode::GATEWAY_TIMEOUT, "livekit_timeout"),
            _ => (StatusCode::BAD_GATEWAY, "livekit_failed"),
        },
    };
    if status.is_server_error() {
        tracing::warn!("a command failed: {error}");
    }
    Error::new(status, code, error.to_string())
}

/// The error for an identity that is not in the room.
pub fn no_participant() -> Error {
    Error::not_found("participant_not_found", "there is no participant with this identity in the room")
}
