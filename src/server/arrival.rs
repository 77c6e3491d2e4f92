//! Where a request comes from.

use std::{net::IpAddr, sync::Arc};

use axum::{extract::FromRequestParts, http::request::Parts};

use crate::server::{App, error::Error};

/// Where a request comes from, proxies seen through.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    pub address: IpAddr,
    /// The browser speaks TLS, to us or to a proxy.
    pub secure: bool,
}

impl FromRequestParts<Arc<App>> for Arrival {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<App>) -> Result<Arrival, Error> {
        // `front` has put it there, before every route.
        let arrival = parts.extensions.get::<Arrival>().copied();
        arrival.ok_or_else(|| Error::internal("a request did not come through the front"))
    }
}
