//! Names in the path of a request.

use axum::extract::{Path, rejection::PathRejection};

use crate::server::error::Error;

pub type Names<T> = Result<Path<T>, PathRejection>;

/// The names in a path, decoded.
pub fn names<T>(path: Names<T>) -> Result<T, Error> {
    let bad = |_| Error::bad_request("bad_path", "a name in the path is not UTF-8");
    path.map(|Path(names)| names).map_err(bad)
}
