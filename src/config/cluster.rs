//! The deployment of several nodes: where its NATS servers are.

use std::path::PathBuf;

use anyhow::{Context, ensure};
use clap::Args;
use serde::Deserialize;

use super::secret;
use crate::{
    nats::{NatsOptions, names::Names},
    token::Secret,
};

/// The options of a deployment as they are written. Without `url` the node is alone.
#[derive(Args, Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClusterOptions {
    /// NATS servers of a deployment of several nodes: nats://n1:4222,nats://n2:4222,nats://n3:4222
    #[arg(id = "cluster_url", long = "cluster-url", env = "ROOMWATCH_CLUSTER_URL", value_name = "URL,…")]
    pub url: Option<String>,

    /// Name of the deployment within NATS [default: default]
    #[arg(id = "cluster_name", long = "cluster-name", env = "ROOMWATCH_CLUSTER_NAME", value_name = "NAME")]
    pub name: Option<String>,

    /// File with the NATS credentials of a user (.creds)
    #[arg(
        id = "cluster_creds",
        long = "cluster-creds",
        env = "ROOMWATCH_CLUSTER_CREDS",
        value_name = "FILE"
    )]
    pub creds: Option<PathBuf>,

    /// NATS user. Not with a file of credentials
    #[arg(id = "cluster_user", long = "cluster-user", env = "ROOMWATCH_CLUSTER_USER", value_name = "USER")]
    pub user: Option<String>,

    /// Password of the NATS user; better in the environment than on the command line
    #[arg(id = "cluster_password", long = "cluster-password", env = "ROOMWATCH_CLUSTER_PASSWORD", hide_env_values = true, value_name = "PASSWORD", value_parser = secret)]
    #[serde(deserialize_with = "hidden")]
    pub password: Option<Secret>,

    /// Root certificates of the NATS servers, if not those of the system
    #[arg(
        id = "cluster_tls_ca",
        long = "cluster-tls-ca",
        env = "ROOMWATCH_CLUSTER_TLS_CA",
        value_name = "FILE"
    )]
    pub tls_ca: Option<PathBuf>,

    /// Certificate that this node shows to the NATS servers
    #[arg(
        id = "cluster_tls_cert",
        long = "cluster-tls-cert",
        env = "ROOMWATCH_CLUSTER_TLS_CERT",
        value_name = "FILE"
    )]
    pub tls_cert: Option<PathBuf>,

    /// Key of that certificate
    #[arg(
        id = "cluster_tls_key",
        long = "cluster-tls-key",
        env = "ROOMWATCH_CLUSTER_TLS_KEY",
        value_name = "FILE"
    )]
    pub tls_key: Option<PathBuf>,
}

fn hidden<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Secret>, D::Error> {
    Ok(Option::<String>::deserialize(from)?.map(Secret::new))
}

/// A deployment of several nodes.
#[derive(Clone, Debug)]
pub struct Deployed {
    pub names: Names,
    pub nats: NatsOptions,
}

impl ClusterOptions {
    /// These options, and those below them where these say nothing.
    pub(super) fn over(self, below: ClusterOptions) -> ClusterOptions {
        ClusterOptions {
            url: self.url.or(below.url),
            name: self.name.or(below.name),
            creds: self.creds.or(below.creds),
            user: self.user.or(below.user),
            password: self.password.or(below.password),
            tls_ca: self.tls_ca.or(below.tls_ca),
            tls_cert: self.tls_cert.or(below.tls_cert),
            tls_key: self.tls_key.or(below.tls_key),
        }
    }

    /// Returns the deployment, or `None` for a node that is alone.
    pub(super) fn check(self) -> anyhow::Result<Option<Deployed>> {
        let Some(url) = self.url else {
            ensure!(
                self.name.is_none() && self.creds.is_none() && self.user.is_none() && self.tls_ca.is_none(),
                "the options of a cluster need its NATS servers: set url in [cluster], or ROOMWATCH_CLUSTER_URL"
            );
            return Ok(None);
        };
        let mut servers = Vec::new();
        for server in url.split(',').map(str::trim).filter(|server| !server.is_empty()) {
            let parsed: http::Uri = server.parse().with_context(|| format!("the NATS server {server:?}"))?;
            ensure!(
                matches!(parsed.scheme_str(), Some("nats" | "tls"))
                    && parsed.host().is_some()
                    && !parsed.authority().is_some_and(|authority| authority.as_str().contains('@')),
                "the NATS server {:?} must look like nats://host:4222 or tls://host:4222, without a password",
                super::shown(server)
            );
            servers.push(server.to_owned());
        }
        ensure!(!servers.is_empty(), "the cluster has no NATS server in its url");
        let user = match (self.user, self.password) {
            (Some(user), Some(password)) => Some((user, password)),
            (None, None) => None,
            _ => anyhow::bail!("the NATS user needs a password, and a password needs a user"),
        };
        ensure!(user.is_none() || self.creds.is_none(), "the NATS servers need either credentials or a user");
        let tls_identity = match (self.tls_cert, self.tls_key) {
            (Some(cert), Some(key)) => Some((cert, key)),
            (None, None) => None,
            _ => anyhow::bail!("a certificate for the NATS servers needs its key"),
        };
        Ok(Some(Deployed {
            names: Names::new(self.name.as_deref().unwrap_or("default"))?,
            nats: NatsOptions { servers, creds: self.creds, user, tls_ca: self.tls_ca, tls_identity },
        }))
    }
}
