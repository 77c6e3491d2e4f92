//! The path of a request.

use axum::extract::{Path, rejection::PathRejection};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::server::error::Error;

pub type Names<T> = Result<Path<T>, PathRejection>;

/// The names in a path, decoded.
pub fn names<T>(path: Names<T>) -> Result<T, Error> {
    let bad = |_| Error::bad_request("bad_path", "a name in the path is not UTF-8");
    path.map(|Path(names)| names).map_err(bad)
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct RoomPath {
    /// The room's name
    pub room: String,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct ParticipantPath {
    /// The room's name
    pub room: String,
    /// The participant's identity
    pub identity: String,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct DispatchPath {
    /// The room's name
    pub room: String,
    /// LiveKit's id of the dispatch
    pub id: String,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct TrackPath {
    /// The room's name
    pub room: String,
    /// The participant's identity
    pub identity: String,
    /// The track's sid
    pub sid: String,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct EgressPath {
    /// LiveKit's id of the egress
    pub id: String,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct CloudProjectPath {
    /// Name of the project in the configuration
    pub id: String,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct CloudSessionPath {
    /// Name of the project in the configuration
    pub id: String,
    /// LiveKit's sid of the session
    pub sid: String,
}
