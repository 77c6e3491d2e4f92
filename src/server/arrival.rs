//! The origin of a request on the network.

use std::{net::IpAddr, sync::Arc};

use axum::{extract::FromRequestParts, http::request::Parts};

use crate::server::{App, error::Error};

/// The address of the client itself, behind any trusted proxies.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    pub address: IpAddr,
    /// True if the browser uses TLS, to us or to a proxy.
    pub secure: bool,
}

impl FromRequestParts<Arc<App>> for Arrival {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<App>) -> Result<Arrival, Error> {
        // `listen::pass` puts it there before every route.
        let arrival = parts.extensions.get::<Arrival>().copied();
        arrival.ok_or_else(|| Error::internal("a request has no Arrival: listen::pass did not see it"))
    }
}
