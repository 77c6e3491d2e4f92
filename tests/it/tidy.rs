//! The rules of this repository that a machine can check. [`rules`] has them as functions, with a planted mistake for each.
//! This file has the tables: to change a rule, change its table and give the reason.

use std::path::{Path, PathBuf};

mod rules;
mod source;

use rules::Only;
use source::Source;

/// The modules of `src/` in the order of the line, and the modules that each imports.
const MODULES: &str = "
clock:
http:
json:
metrics:
storage:
store:
data_dir:
token:
event: json
nats: token
log: clock event nats storage store
config: clock event http log nats storage token
cluster: clock nats store
state: event json
rights: event state token
derived: clock event log rights state storage store
feed: derived event log rights
follow: clock derived event feed log metrics state store
snapshot: derived event feed log state
livekit: clock config http token
ingest: clock cluster event http log metrics server token
reconcile: clock cluster config event feed follow ingest livekit log metrics state
bootstrap: clock cluster derived event log
nodes: bootstrap clock cluster event feed log
attention: clock config derived event feed follow ingest livekit log metrics nodes reconcile state storage
deliver: clock cluster config event feed follow http log metrics token
accounts: clock cluster config token
audit: clock storage store
server: accounts audit cluster config derived event feed follow ingest log metrics nodes reconcile rights snapshot state storage token
server::stream: accounts clock config event feed metrics rights server
server::api: accounts audit config derived event ingest livekit log nodes reconcile rights server snapshot state token
server::listen: clock config event feed ingest metrics server server::stream
node: accounts attention audit bootstrap cluster config data_dir deliver derived feed follow ingest livekit log metrics nats nodes reconcile server server::listen server::stream snapshot state storage store
cli: accounts clock cluster config event http ingest livekit log nats node server server::stream token
";

/// Imports of a module that comes later in the table, and why.
const BACK: &[(&str, &str, &str)] =
    &[("ingest", "server", "the receiver of webhooks answers with the server's error body")];

const WALL_CLOCK: Only = Only {
    what: "reads the wall clock",
    paths: &["SystemTime::now"],
    allowed: &[("clock.rs", "it is the clock")],
    instead: "take a `Clock`",
};

const MONOTONIC_CLOCK: Only = Only {
    what: "reads the monotonic clock",
    paths: &["Instant::now"],
    allowed: &[
        ("clock.rs", "it is the clock"),
        ("cli/", "commands run without a node"),
        ("data_dir.rs", "waits for the lock of the directory"),
        ("log/sqlite/", "paces commits and upkeep on threads of the log"),
        ("log/cluster.rs", "paces reads of a stream on other machines"),
        ("log/cluster/", "paces checks of that stream"),
        ("cluster/deployment.rs", "leases count the time between answers of other machines"),
        ("nats.rs", "limits the time of requests"),
        ("derived/writer.rs", "paces writes on its own thread"),
        ("ingest.rs", "logs each reason for a refusal once in ten seconds"),
        ("ingest/webhook.rs", "measures the time until the answer"),
        ("server/connections.rs", "idle times of sockets"),
        ("server/listen/", "timers of sockets"),
        ("server/stream/", "heartbeats, and the end of a right"),
    ],
    instead: "take a `Clock`",
};

const SQL: Only = Only {
    what: "knows SQL",
    paths: &["rusqlite::"],
    allowed: &[
        ("store.rs", "opens every SQLite file"),
        ("log/sqlite/", "the log"),
        ("derived.rs", "what is computed from the log"),
        ("derived/", "what is computed from the log"),
        ("cluster/local.rs", "the shared maps of a single node"),
        ("audit.rs", "the audit record"),
        ("follow/cursors.rs", "the cursors of followers"),
    ],
    instead: "ask a module that has a file",
};

const HTTP: Only = Only {
    what: "knows HTTP",
    paths: &[
        "axum::",
        "http::",
        "http_body::",
        "http_body_util::",
        "hyper::",
        "hyper_util::",
        "reqwest::",
        "socketioxide::",
        "tower::",
        "tower_http::",
        "utoipa_axum::",
    ],
    allowed: &[
        ("server.rs", "HTTP is its job"),
        ("server/", "HTTP is its job"),
        ("ingest/webhook.rs", "answers LiveKit"),
        ("http.rs", "the client for outgoing requests"),
        ("cli/demo/livekit.rs", "answers as LiveKit's API does"),
        ("cli/tail.rs", "a client of a running server"),
        ("cli/simulate.rs", "a client of a running server"),
        ("config/server.rs", "parses URLs"),
        ("config/cluster.rs", "parses URLs"),
    ],
    instead: "answer in server/, ask through http.rs",
};

const UNSAFE: Only = Only {
    what: "has unsafe code",
    paths: &["unsafe"],
    allowed: &[
        ("log/sqlite/wal.rs", "writes the WAL over itself through SQLite's file handle"),
        ("main.rs", "jemalloc reads its options from a symbol"),
    ],
    instead: "find a safe way",
};

/// Files with more than [`rules::LINES_MAX`] lines of code, and why.
const LONG: &[(&str, &str)] = &[];

/// Files and folders whose comments and texts have none of [`rules::PHRASES`]. A pass over a module adds its line here.
const PLAIN: &[&str] = &[
    ".cargo/config.toml",
    ".ci/run",
    ".devcontainer",
    ".github",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Makefile",
    "README.md",
    "SECURITY.md",
    "benches",
    "deploy",
    "docs/README.md",
    "docs/cluster.md",
    "docs/adr",
    "docs/deliveries.md",
    "docs/demo.md",
    "docs/deploy.md",
    "docs/errors.md",
    "docs/protocol.md",
    "e2e/README.md",
    "e2e/bench",
    "e2e/harness",
    "e2e/pages",
    "e2e/screenshots.ts",
    "e2e/setup.ts",
    "e2e/soak",
    "e2e/tests",
    "e2e/web",
    "roomwatch.example.toml",
    "src/accounts",
    "src/accounts.rs",
    "src/audit.rs",
    "src/cli",
    "src/cli.rs",
    "src/attention",
    "src/bootstrap.rs",
    "src/attention.rs",
    "src/clock.rs",
    "src/cluster",
    "src/cluster.rs",
    "src/config",
    "src/config.rs",
    "src/data_dir.rs",
    "src/deliver",
    "src/deliver.rs",
    "src/derived",
    "src/derived.rs",
    "src/event",
    "src/event.rs",
    "src/feed",
    "src/feed.rs",
    "src/follow",
    "src/follow.rs",
    "src/http.rs",
    "src/ingest",
    "src/ingest.rs",
    "src/json",
    "src/json.rs",
    "src/lib.rs",
    "src/livekit",
    "src/livekit.rs",
    "src/log",
    "src/log.rs",
    "src/main.rs",
    "src/metrics.rs",
    "src/nodes.rs",
    "src/nats",
    "src/nats.rs",
    "src/node.rs",
    "src/reconcile",
    "src/reconcile.rs",
    "src/rights.rs",
    "src/server",
    "src/server.rs",
    "src/snapshot.rs",
    "src/state",
    "src/state.rs",
    "src/storage.rs",
    "src/store.rs",
    "src/token.rs",
    "tests/cluster",
    "tests/it",
    "tests/sim",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file at or below `path`.
fn files(path: &Path, found: &mut Vec<PathBuf>) {
    if !path.is_dir() {
        found.push(path.to_owned());
        return;
    }
    for entry in std::fs::read_dir(path).expect("a directory") {
        files(&entry.expect("an entry").path(), found);
    }
    found.sort();
}

fn sources() -> Vec<Source> {
    let mut found = Vec::new();
    files(&root().join("src"), &mut found);
    found.retain(|path| path.extension().is_some_and(|extension| extension == "rs"));
    assert!(found.len() > 50, "the sources are not found");
    let read = |path: &PathBuf| {
        let name = path.strip_prefix(root().join("src")).expect("below src").display().to_string();
        Source::of(&name, &std::fs::read_to_string(path).expect("text"))
    };
    found.iter().map(read).collect()
}

fn none(found: Vec<String>) {
    assert!(found.is_empty(), "\n{}\nThe tables are in tests/it/tidy.rs.", found.join("\n"));
}

#[test]
fn a_module_imports_only_what_the_table_allows() {
    let sources = sources();
    let modules = rules::modules(MODULES);
    let mut found = rules::table(&modules, BACK, &sources);
    found.extend(sources.iter().flat_map(|source| rules::imports(source, &modules)));
    none(found);
}

/// The first table of ARCHITECTURE.md has every module, and no other.
#[test]
fn the_map_has_every_module() {
    let page = std::fs::read_to_string(root().join("ARCHITECTURE.md")).expect("text");
    let table = page.split_once("| --- | --- | --- |").expect("a table").1.split("\n\n").next().unwrap_or("");
    let cells = table.lines().filter_map(|line| line.strip_prefix("| ")?.split_once(" |"));
    let names = cells.flat_map(|(cell, _)| cell.split('`').skip(1).step_by(2));
    let names: Vec<_> =
        names.map(|name| name.trim_end_matches('/')).filter(|name| !name.contains('{')).collect();
    let mut found = Vec::new();
    for name in &names {
        if !root().join("src").join(format!("{name}.rs")).exists() {
            found.push(format!("ARCHITECTURE.md: there is no module {name}"));
        }
    }
    for module in rules::modules(MODULES) {
        if !names.contains(&&*module.name.replace("::", "/")) {
            found.push(format!("ARCHITECTURE.md: {} is not in the table", module.name));
        }
    }
    none(found);
}

#[test]
fn clocks_sql_http_and_unsafe_code_are_where_they_may_be() {
    let sources = sources();
    let mut found = Vec::new();
    for rule in [WALL_CLOCK, MONOTONIC_CLOCK, SQL, HTTP, UNSAFE] {
        found.extend(sources.iter().flat_map(|source| rules::only(source, &rule)));
        found.extend(rules::not_needed(&sources, &rule));
    }
    none(found);
}

#[test]
fn long_files_are_on_a_list() {
    none(sources().iter().filter_map(|source| rules::length(source, LONG)).collect());
}

#[test]
fn cleaned_texts_stay_plain() {
    let mut found = Vec::new();
    for path in PLAIN {
        let mut all = Vec::new();
        files(&root().join(path), &mut all);
        // The list of phrases contains the phrases.
        all.retain(|file| !file.ends_with("tidy/rules.rs"));
        for file in all {
            let text = std::fs::read_to_string(&file).expect("text");
            let name = file.strip_prefix(root()).expect("below the root").display().to_string();
            let texts = match name.ends_with(".rs") {
                true => Source::of(&name, &text).texts,
                false => rules::page(&text),
            };
            found.extend(rules::phrases(&name, &texts));
        }
    }
    none(found);
}
