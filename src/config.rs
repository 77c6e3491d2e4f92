//! Every option, its sources and its bounds.
//!
//! Flags beat the environment, the environment beats the file, the file beats the defaults. An unknown
//! option is an error that names it, in each of the three: a typing error in a limit must not leave the
//! limit at its default. Secrets print as `***`.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Context, ensure};
use clap::Args;
use ipnet::IpNet;
use serde::Deserialize;

use crate::{
    clock::Clock,
    event::body::Redaction,
    log::LogUrl,
    storage::SizeLimit,
    token::{Keys, Secret},
};

mod attention;
mod cluster;
mod egress;
mod endpoints;
mod environment;
mod limits;
mod log;
mod projects;
mod server;
mod usage;
mod users;

pub use attention::{AgentRule, AttentionRules};
pub use cluster::{ClusterOptions, Deployed};
pub use egress::{EgressKind, EgressPreset, EgressRequest};
pub use endpoints::{DeliveryOptions, Endpoint, EndpointKind, EndpointOptions, SigningKey};
pub use limits::{Answer, Limit, LimitOptions, Limits};
pub use log::LogFormat;
pub use projects::{DEFAULT_PROJECT, DEV_KEY, DEV_URL, KeyOptions, Project, ProjectOptions};
pub(crate) use server::shown;
pub use usage::{DimensionOptions, UsageOptions};
pub use users::{Role, User, read_users};

use projects::projects;

/// The options as they are written: on the command line, in the environment, in the file.
#[derive(Args, Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// Address and port to listen on [default: 127.0.0.1:3001]
    #[arg(long, env = "ROOMWATCH_LISTEN", value_name = "ADDR:PORT")]
    pub listen: Option<SocketAddr>,

    /// Directory of the log and of everything derived from it [default: ./roomwatch-data]
    #[arg(long, env = "ROOMWATCH_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,

    /// URL of the log: sqlite:DIRECTORY, or memory: for tests, which is lost with the process [default: sqlite: and the
    /// data directory]
    #[arg(long, env = "ROOMWATCH_LOG_URL", value_name = "URL")]
    pub log_url: Option<LogUrl>,

    /// Pair with `livekit-server --dev`: its key and secret, no sign-in, loopback only
    #[arg(long, env = "ROOMWATCH_DEV", num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    #[serde(skip)]
    pub dev: Option<bool>,

    /// The LiveKit server, as its SDKs take it: wss://… or https://…
    #[arg(long, env = "LIVEKIT_URL", value_name = "URL")]
    #[serde(skip)]
    pub livekit_url: Option<String>,

    /// The API key that signs LiveKit's webhooks
    #[arg(long, env = "LIVEKIT_API_KEY", value_name = "KEY")]
    #[serde(skip)]
    pub livekit_api_key: Option<String>,

    /// The secret of that key; better in the environment than on the command line
    #[arg(long, env = "LIVEKIT_API_SECRET", hide_env_values = true, value_name = "SECRET", value_parser = secret)]
    #[serde(skip)]
    pub livekit_api_secret: Option<Secret>,

    /// The password of the one operator, if no users are configured (environment only)
    #[arg(skip)]
    #[serde(skip)]
    pub password: Option<Secret>,

    /// URL of this server for browsers, with its path prefix if it has one
    #[arg(long, env = "ROOMWATCH_PUBLIC_URL", value_name = "URL")]
    pub public_url: Option<String>,

    /// Proxies whose X-Forwarded-* headers are trusted, as addresses or networks
    #[arg(long, env = "ROOMWATCH_TRUSTED_PROXIES", value_delimiter = ',', value_name = "CIDR")]
    pub trusted_proxies: Option<Vec<String>>,

    /// Origins of other sites whose pages may read the API with credentials
    #[arg(long, env = "ROOMWATCH_CORS_ORIGINS", value_delimiter = ',', value_name = "ORIGIN")]
    pub cors_origins: Option<Vec<String>>,

    /// Fields to remove from events before they are stored, in addition to secrets, which are always removed
    #[arg(long, env = "ROOMWATCH_REDACT", value_delimiter = ',', value_name = "PATH")]
    pub redact: Option<Vec<String>>,

    /// Days an event is kept; 0 means no limit [default: 30]
    #[arg(long, env = "ROOMWATCH_RETENTION_DAYS", value_name = "DAYS")]
    pub retention_days: Option<u32>,

    /// Bytes of all files of the data directory; beyond them the oldest events and sessions are removed; 0 means no
    /// limit [default: half of the space that is free on the disk or used by these files]
    #[arg(long, env = "ROOMWATCH_RETENTION_BYTES", value_name = "BYTES")]
    pub retention_bytes: Option<u64>,

    /// Days the history of sessions is kept; 0 means no limit [default: 365]
    #[arg(long, env = "ROOMWATCH_HISTORY_DAYS", value_name = "DAYS")]
    pub history_days: Option<u32>,

    /// Seconds between two full comparisons with LiveKit's API; 0 means never [default: 60]
    #[arg(long, env = "ROOMWATCH_RECONCILE_SECS", value_name = "SECS")]
    pub reconcile_secs: Option<u32>,

    /// Seconds between two heartbeats of a stream, at most 20 [default: 15]
    #[arg(long, env = "ROOMWATCH_HEARTBEAT_SECS", value_name = "SECS")]
    pub heartbeat_secs: Option<u32>,

    /// Seconds over which streams are closed at a shutdown, at most 10 [default: 5]
    #[arg(long, env = "ROOMWATCH_DRAIN_SECS", value_name = "SECS")]
    pub drain_secs: Option<u32>,

    /// Require a reason from operators who watch a room as hidden participants [default: false]
    #[arg(long, env = "ROOMWATCH_WATCH_REASON", num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    pub watch_reason: Option<bool>,

    /// Open and close conditions that need attention, as events of the log [default: true]
    #[arg(long, env = "ROOMWATCH_OPEN_CONDITIONS", num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    pub open_conditions: Option<bool>,

    /// Format of the program's own log [default: text]
    #[arg(long, env = "ROOMWATCH_LOG_FORMAT", value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,

    #[command(flatten)]
    pub cluster: ClusterOptions,

    #[command(flatten)]
    pub limits: LimitOptions,

    #[arg(skip)]
    pub projects: Vec<ProjectOptions>,

    #[arg(skip)]
    pub users: Vec<User>,

    #[arg(skip)]
    pub attention: AttentionRules,

    #[arg(skip)]
    pub usage: UsageOptions,

    #[arg(skip)]
    pub deliveries: DeliveryOptions,

    #[arg(skip)]
    pub endpoints: Vec<EndpointOptions>,

    #[arg(skip)]
    pub egress_presets: Vec<EgressPreset>,

    /// True for the demo: its meetings are simulated, and the dashboard says so. Set by `roomwatch demo` only.
    #[arg(skip)]
    #[serde(skip)]
    pub demo: bool,
}

fn secret(text: &str) -> Result<Secret, std::convert::Infallible> {
    Ok(Secret::new(text))
}

/// The options, merged and checked.
#[derive(Clone, Debug)]
pub struct Config {
    pub listen: SocketAddr,
    pub data_dir: PathBuf,
    pub log_url: LogUrl,
    /// `None`: the node is alone.
    pub cluster: Option<Deployed>,
    pub dev: bool,
    pub projects: Vec<Project>,
    pub keys: Keys,
    /// Path of the configuration file, if there is one.
    pub file: Option<PathBuf>,
    pub users: Vec<User>,
    pub password: Option<Secret>,
    pub public_url: Option<String>,
    pub trusted_proxies: Vec<IpNet>,
    pub cors_origins: Vec<String>,
    pub redaction: Redaction,
    /// None: no limit, as for every `Option` of a limit here.
    pub retention: Option<Duration>,
    pub size_limit: SizeLimit,
    pub history: Option<Duration>,
    pub reconcile: Option<Duration>,
    pub heartbeat: Duration,
    pub drain: Duration,
    pub watch_reason: bool,
    pub open_conditions: bool,
    pub log_format: LogFormat,
    pub limits: Limits,
    pub attention: AttentionRules,
    pub usage: UsageOptions,
    pub deliveries: DeliveryOptions,
    pub endpoints: Vec<Endpoint>,
    pub egress_presets: Arc<[EgressPreset]>,
    /// See [`Options::demo`].
    pub demo: bool,
    /// The time of the node. Tests put a held clock here.
    pub clock: Clock,
}

impl Options {
    /// Reads the file `path`, or `./roomwatch.toml` if it is there, and puts these options over it.
    pub fn load(self, path: Option<PathBuf>) -> anyhow::Result<Config> {
        environment::refuse_unknown(std::env::vars_os())?;
        let file = match path {
            Some(path) => Some(path),
            None => Some(PathBuf::from("roomwatch.toml")).filter(|path| path.exists()),
        };
        let mut options = self;
        let read_from = file.clone();
        options.password =
            std::env::var("ROOMWATCH_PASSWORD").ok().filter(|text| !text.is_empty()).map(Secret::new);
        if let Some(path) = file {
            let text =
                std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
            let below = parse(&text).with_context(|| format!("in {}", path.display()))?;
            options = options.over(below);
        }
        Ok(Config { file: read_from, ..options.check()? })
    }

    /// These options, and where they say nothing, those below them.
    fn over(self, below: Options) -> Options {
        macro_rules! over {
            ($ours:expr, $theirs:expr, $type:ident { $($name:ident),* } $($rest:tt)*) => {
                $type { $($name: $ours.$name.or($theirs.$name),)* $($rest)* }
            };
        }
        let (limits, cluster) = (self.limits.over(below.limits), self.cluster.over(below.cluster));
        over!(self, below, Options {
            listen, data_dir, log_url, dev, livekit_url, livekit_api_key, livekit_api_secret, password, public_url,
            trusted_proxies, cors_origins, redact, retention_days, retention_bytes, history_days,
            reconcile_secs, heartbeat_secs, drain_secs, watch_reason, open_conditions, log_format
        } limits, cluster, projects: below.projects, users: below.users, attention: below.attention,
            usage: below.usage, deliveries: below.deliveries, endpoints: below.endpoints,
            egress_presets: below.egress_presets, demo: self.demo)
    }

    /// Checks what only the whole can tell.
    pub fn check(self) -> anyhow::Result<Config> {
        let dev = self.dev.unwrap_or(false);
        let listen = self.listen.unwrap_or(SocketAddr::from(([127, 0, 0, 1], 3001)));
        ensure!(
            !dev || listen.ip().to_canonical().is_loopback(),
            "--dev needs no sign-in, so it listens on loopback only, not on {listen}; \
             leave --dev out and set ROOMWATCH_PASSWORD"
        );
        let (projects, keys) = projects(&self, dev)?;
        users::check(&self.users)?;
        let endpoints = endpoints::endpoints(self.endpoints, &self.deliveries, &projects)?;
        ensure!(
            self.password.is_none() || self.users.is_empty(),
            "ROOMWATCH_PASSWORD is for one operator and [[users]] is for several; use one of them"
        );
        let limits = self.limits.check()?;
        let cluster = self.cluster.check()?;
        ensure!(
            cluster.is_none() || self.log_url.is_none(),
            "the log of a cluster is in NATS, with a copy in the data directory; leave log_url out"
        );
        let data_dir = self.data_dir.unwrap_or_else(|| "roomwatch-data".into());
        Ok(Config {
            listen,
            log_url: self.log_url.unwrap_or_else(|| LogUrl::Sqlite(data_dir.clone())),
            data_dir,
            cluster,
            dev,
            keys,
            file: None,
            users: self.users,
            password: self.password,
            public_url: self.public_url.map(|url| server::public_url(&url)).transpose()?,
            trusted_proxies: server::trusted_proxies(self.trusted_proxies.unwrap_or_default())?,
            cors_origins: server::cors_origins(self.cors_origins.unwrap_or_default())?,
            redaction: Redaction::new(&self.redact.unwrap_or_default())?,
            retention: log::days(self.retention_days.unwrap_or(30)),
            size_limit: match self.retention_bytes {
                None => SizeLimit::HalfOfDisk,
                Some(0) => SizeLimit::None,
                Some(bytes) => SizeLimit::Bytes(bytes),
            },
            history: log::days(self.history_days.unwrap_or(365)),
            reconcile: Some(self.reconcile_secs.unwrap_or(60))
                .filter(|s| *s > 0)
                .map(|s| Duration::from_secs(s.into())),
            heartbeat: server::heartbeat(self.heartbeat_secs.unwrap_or(15))?,
            drain: server::drain(self.drain_secs.unwrap_or(5))?,
            watch_reason: self.watch_reason.unwrap_or(false),
            open_conditions: self.open_conditions.unwrap_or(true),
            log_format: self.log_format.unwrap_or_default(),
            limits,
            attention: self.attention,
            usage: self.usage.check()?,
            deliveries: self.deliveries,
            endpoints,
            egress_presets: egress::presets(self.egress_presets, &projects)?,
            projects,
            demo: self.demo,
            clock: Clock::system(),
        })
    }
}

/// Returns the deployment that the options and the file at `path` name, for `roomwatch cluster`: it needs nothing else of
/// a configuration.
pub fn read_deployed(options: ClusterOptions, path: Option<PathBuf>) -> anyhow::Result<Option<Deployed>> {
    let path = path.or_else(|| Some(PathBuf::from("roomwatch.toml")).filter(|path| path.exists()));
    let below = match path {
        Some(path) => {
            let text =
                std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
            parse(&text).with_context(|| format!("in {}", path.display()))?.cluster
        }
        None => ClusterOptions::default(),
    };
    options.over(below).check()
}

/// Reads the file. What is wrong is named by its line and not quoted: the line may hold a secret.
fn parse(text: &str) -> anyhow::Result<Options> {
    toml::from_str(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        let line = text.as_bytes()[..at.min(text.len())].iter().filter(|byte| **byte == b'\n').count() + 1;
        // The message repeats a value of the wrong type.
        let message = error.message().split_once("invalid").map_or(error.message(), |(before, _)| {
            if before.is_empty() { "a value of the wrong type" } else { "not valid TOML" }
        });
        anyhow::anyhow!("line {line}: {message}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> anyhow::Result<Config> {
        Options::default().over(parse(text)?).check()
    }

    const PROJECT: &str = "[[projects]]\nname = \"a\"\nkeys = [{ key = \"k\", secret = \"CANARY\" }]\n";

    const HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$\
        Zm9ydHl0d29mb3J0eXR3b2ZvcnR5dHdvZm9ydHl0d28";

    fn refused(text: &str) -> String {
        format!("{:#}", file(text).expect_err("must be refused"))
    }

    #[test]
    fn the_example_file_names_every_option_at_its_default() {
        let text = include_str!("../roomwatch.example.toml");
        // The file sets nothing as it is, and it parses with every option uncommented.
        let as_is: Options = toml::from_str(text).expect("the example parses");
        assert!(as_is.projects.is_empty() && as_is.listen.is_none());
        let uncommented: String = text
            .lines()
            .map(|line| match line.strip_prefix('#') {
                Some(rest) if !rest.starts_with(' ') && !rest.is_empty() => format!("{rest}\n"),
                _ => format!("{line}\n"),
            })
            .collect();
        // A hash in the example would be a password that everybody has.
        let whole = uncommented.replace("$argon2id$…", HASH);
        // A secret in the example would be known to all.
        let whole =
            whole.replace("secret = \"whsec_…\"", "secret = \"whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3\"");
        let full = file(&whole).expect("the uncommented example is a configuration");
        let plain = file(PROJECT).expect("a configuration");
        assert_eq!(format!("{:?}", full.limits), format!("{:?}", plain.limits));
        assert_eq!((full.listen, full.heartbeat, full.drain), (plain.listen, plain.heartbeat, plain.drain));
        let agents = vec![AgentRule { project: Some("production".into()), rooms: "voice-*".into() }];
        assert_eq!(full.attention, AttentionRules { agents, ..plain.attention });
        assert_eq!((full.deliveries, full.endpoints.len()), (plain.deliveries, 2));
        assert_eq!((full.data_dir, full.log_url), (plain.data_dir, plain.log_url));
        assert_eq!(
            (full.retention, full.history, full.reconcile),
            (plain.retention, plain.history, plain.reconcile)
        );
        for argument in environment::command().get_arguments() {
            let name = argument.get_id().as_str();
            // A cluster excludes log_url, so the options of its section stay comments.
            let (text, line) = match name.strip_prefix("cluster_") {
                Some(name) => (text.split("[cluster]").nth(1).unwrap_or_default(), format!("\n# {name} = ")),
                None => (&*uncommented, format!("\n{name} = ")),
            };
            if !matches!(name, "dev" | "livekit_url" | "livekit_api_key" | "livekit_api_secret") {
                assert!(text.contains(&line), "{name} is not in the example");
            }
        }
    }

    #[test]
    fn what_is_unknown_is_named() {
        assert!(refused("listne = \"127.0.0.1:1\"").contains("listne"));
        assert!(refused("[limits]\nmax_steams = 1").contains("max_steams"));
        assert!(refused("[[projects]]\nname = \"a\"\nkyes = []").contains("kyes"));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        assert!(refused("").contains("LIVEKIT_API_KEY"));
        assert!(refused(&format!("{PROJECT}{}", PROJECT.replace("\"a\"", "\"b\""))).contains("listed twice"));
        assert!(refused(&format!("{PROJECT}{}", PROJECT.replace("\"k\"", "\"l\""))).contains("two projects"));
        assert!(refused(&format!("heartbeat_secs = 21\n{PROJECT}")).contains("1 to 20"));
        assert!(refused(&format!("drain_secs = 11\n{PROJECT}")).contains("10"));
        assert!(refused(&format!("public_url = \"example.com\"\n{PROJECT}")).contains("https://"));
        assert!(refused(&PROJECT.replace("keys", "url = \"ftp://x\"\nkeys")).contains("wss"));
        assert!(refused(&format!("log_url = \"nats://n1\"\n{PROJECT}")).contains("sqlite:DIRECTORY"));
        for text in [
            "x = CANARY",
            "[[projects]]\nname = \"a\"\nkeys = [{ key = \"k\", secret = 77007700 }]",
            "drain_secs = \"CANARY\"",
        ] {
            let refused = refused(&format!("\n{text}"));
            assert!(
                refused.contains("line ") && !refused.contains("CANARY") && !refused.contains("77007700"),
                "{refused}"
            );
        }
        // Without the secret neither a webhook can be verified nor a token be signed.
        assert!(refused(&PROJECT.replace(", secret = \"CANARY\"", "")).contains("missing field `secret`"));
        assert!(refused(&PROJECT.replace("CANARY", "")).contains("secret of key \"k\" is empty"));
        let half = Options { livekit_api_key: Some("k".to_owned()), ..Options::default() };
        assert!(half.check().expect_err("must be refused").to_string().contains("LIVEKIT_API_SECRET"));
        let user = format!("{PROJECT}[[users]]\nname = \"ada\"\nrole = \"admin\"\npassword_hash = ");
        assert!(file(&format!("{user}\"{HASH}\"")).is_ok());
        for hash in ["CANARY", "$argon2id$…", &HASH.replace("2id", "2d"), &HASH.replace("m=19456", "m=1")] {
            let refused = refused(&format!("{user}\"{hash}\""));
            assert!(
                refused.contains("roomwatch user hash") && !refused.contains("CANARY"),
                "{hash}: {refused}"
            );
        }
        let both = Options { password: Some(Secret::new("CANARY")), ..Options::default() };
        let both = both.over(toml::from_str(&format!("{user}\"{HASH}\"")).expect("a file")).check();
        assert!(both.expect_err("must be refused").to_string().contains("use one of them"));
        for origin in ["*", "https://*.example.com", "https://a.example/path", "a.example", "null"] {
            assert!(
                refused(&format!("cors_origins = [\"{origin}\"]\n{PROJECT}")).contains("CORS"),
                "{origin}"
            );
        }
        let dev = Options { dev: Some(true), listen: Some(([0, 0, 0, 0], 1).into()), ..Options::default() };
        assert!(dev.check().expect_err("must be refused").to_string().contains("loopback"));
    }

    #[test]
    fn flags_beat_the_file_and_secrets_do_not_print() {
        let below: Options =
            toml::from_str(&format!("drain_secs = 3\nheartbeat_secs = 9\n{PROJECT}")).expect("a file");
        let flags = Options { drain_secs: Some(1), ..Options::default() };
        let config = flags.over(below).check().expect("a configuration");
        assert_eq!((config.drain.as_secs(), config.heartbeat.as_secs()), (1, 9));
        assert!(!format!("{config:?}").contains("CANARY"));
        let at = |url: &str| {
            let config = file(&format!("public_url = {url:?}\n{PROJECT}")).expect("a configuration");
            config.path_prefix().to_owned()
        };
        assert_eq!(at("https://h.example"), "");
        assert_eq!(at("https://h.example/a/b/"), "/a/b");
        let project = file(&PROJECT.replace("keys", "url = \"wss://h.example/livekit/\"\nkeys"))
            .expect("a configuration");
        assert_eq!(project.projects[0].url.as_deref(), Some("https://h.example/livekit"));
    }
}
