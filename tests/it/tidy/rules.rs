//! The rules, as functions of a file: each returns what it finds wrong, one line for each finding.

use super::source::{Source, Text};

/// A module and the modules that it may import.
pub struct Module {
    pub name: &'static str,
    pub imports: Vec<&'static str>,
}

/// Reads a table of modules: one line each, `name: import import`. They are in the order of the line: a module imports only
/// modules before it.
pub fn modules(table: &'static str) -> Vec<Module> {
    let row = |line: &'static str| {
        let (name, imports) = line.split_once(": ").or_else(|| Some((line.strip_suffix(':')?, "")))?;
        Some(Module { name, imports: imports.split_whitespace().collect() })
    };
    table.lines().filter_map(row).collect()
}

/// Paths that only some files may use.
pub struct Only {
    /// The problem, for the report.
    pub what: &'static str,
    /// `rusqlite::` is a crate, `unsafe` a word, `Instant::now` any path that contains it.
    pub paths: &'static [&'static str],
    /// A file, or a folder with a slash at its end, and why it may.
    pub allowed: &'static [(&'static str, &'static str)],
    /// The remedy, for the report.
    pub instead: &'static str,
}

/// Files with more lines of code than this are on a list.
pub const LINES_MAX: usize = 500;

/// Phrases that are hard to read in a second language, and what to write. CONTRIBUTING.md has the rules behind them.
pub const PHRASES: &[(&str, &str)] = &[
    ("for ever", "without a limit, or until"),
    ("is no", "is not a"),
    ("are no", "are not"),
    ("so many", "the number"),
    ("shall", "must, or should"),
    ("nobody", "no user, or no caller"),
    ("somebody", "a user, or a caller"),
    ("of its own", "its own"),
    ("of their own", "their own"),
];
/// A doc comment begins with a noun or a verb.
pub const DOC_BEGINNINGS: &[&str] = &["What", "Who", "How", "Whether"];

/// Finds imports of modules that are not allowed.
pub fn imports(source: &Source, modules: &[Module]) -> Vec<String> {
    let own = source.module();
    let Some(row) = row(&own, modules) else {
        return match own.first() {
            Some(_) => vec![format!("src/{}: the module is not in the table of modules", source.path)],
            // `lib.rs` and `main.rs` are the outermost: they may import everything.
            None => Vec::new(),
        };
    };
    let mut found = Vec::new();
    for (line, path) in &source.paths {
        let Some(target) = absolute(&own, path) else { continue };
        let Some(to) = self::row(&target, modules) else { continue };
        if to.name != row.name && !row.imports.contains(&to.name) {
            found.push(format!(
                "src/{}:{line}: {} must not import {} ({})",
                source.path,
                row.name,
                to.name,
                target.join("::")
            ));
        }
    }
    found.dedup();
    found
}

/// The path from the root of the crate; `None` for other crates and for names without a path.
fn absolute(own: &[String], path: &[String]) -> Option<Vec<String>> {
    match path.first()?.as_str() {
        "crate" => Some(path[1..].to_vec()),
        "super" => {
            let up = path.iter().take_while(|part| *part == "super").count();
            let base = own.get(..own.len().checked_sub(up)?)?;
            Some([base, &path[up..]].concat())
        }
        _ => None,
    }
}

/// The row of the table that a path belongs to: the longest.
fn row<'a>(path: &[String], modules: &'a [Module]) -> Option<&'a Module> {
    let begins = |module: &&Module| {
        let name: Vec<_> = module.name.split("::").collect();
        path.len() >= name.len() && name.iter().zip(path).all(|(a, b)| a == b)
    };
    modules.iter().filter(begins).max_by_key(|module| module.name.len())
}

/// Finds rows that import a later row, except `back`, and rows and imports that the sources do not have.
pub fn table(modules: &[Module], back: &[(&str, &str, &str)], sources: &[Source]) -> Vec<String> {
    let mut found = Vec::new();
    for (at, module) in modules.iter().enumerate() {
        for import in &module.imports {
            let before = modules[..at].iter().any(|earlier| earlier.name == *import);
            if !before && !back.iter().any(|(from, to, _)| (*from, *to) == (module.name, *import)) {
                found.push(format!("the table of modules: {} comes before {import}", module.name));
            }
            if !sources
                .iter()
                .any(|source| targets(source, modules).any(|(from, to)| (from, to) == (module.name, *import)))
            {
                found.push(format!("the table of modules: {} does not import {import}", module.name));
            }
        }
        if !sources
            .iter()
            .any(|source| row(&source.module(), modules).is_some_and(|row| row.name == module.name))
        {
            found.push(format!("the table of modules: there is no module {}", module.name));
        }
    }
    for (from, to, _) in back {
        if !modules.iter().any(|module| module.name == *from && module.imports.contains(to)) {
            found.push(format!("the imports of later modules: {from} does not import {to}"));
        }
    }
    found
}

/// The imports of a file, as rows of the table.
fn targets<'a>(
    source: &'a Source,
    modules: &'a [Module],
) -> impl Iterator<Item = (&'static str, &'static str)> + 'a {
    let own = source.module();
    let from = row(&own, modules).map_or("", |row| row.name);
    source.paths.iter().filter_map(move |(_, path)| {
        let to = row(&absolute(&own, path)?, modules)?;
        Some((from, to.name))
    })
}

/// Finds uses of paths in files that may not use them.
pub fn only(source: &Source, rule: &Only) -> Vec<String> {
    if rule.allowed.iter().any(|(file, _)| covers(file, &source.path)) {
        return Vec::new();
    }
    let used = source.paths.iter().filter(|(_, path)| uses(path, rule.paths));
    let report = |(line, path): &(usize, Vec<String>)| {
        format!("src/{}:{line}: {} ({}); {}", source.path, rule.what, path.join("::"), rule.instead)
    };
    used.map(report).collect()
}

/// Finds permissions that no file needs.
pub fn not_needed(sources: &[Source], rule: &Only) -> Vec<String> {
    let needed = |file: &str| {
        let mut covered = sources.iter().filter(|source| covers(file, &source.path));
        covered.any(|source| source.paths.iter().any(|(_, path)| uses(path, rule.paths)))
    };
    let rest = rule.allowed.iter().filter(|(file, _)| !needed(file));
    rest.map(|(file, _)| format!("{}: src/{file} may, and does not need it", rule.what)).collect()
}

fn covers(pattern: &str, path: &str) -> bool {
    if pattern.ends_with('/') { path.starts_with(pattern) } else { path == pattern }
}

fn uses(path: &[String], wanted: &[&str]) -> bool {
    wanted.iter().any(|wanted| match wanted.strip_suffix("::") {
        Some(name) => path.len() > 1 && path[0] == name,
        None => {
            let parts: Vec<_> = wanted.split("::").collect();
            path.windows(parts.len()).any(|window| window == parts)
        }
    })
}

/// Finds a file that is too long and on no list, or on the list and short.
pub fn length(source: &Source, long: &[(&str, &str)]) -> Option<String> {
    let listed = long.iter().any(|(file, _)| *file == source.path);
    let lines = source.code_lines;
    match (lines > LINES_MAX, listed) {
        (true, false) => Some(format!(
            "src/{}: {lines} lines of code, at most {LINES_MAX}; split it, or list it with a reason",
            source.path
        )),
        (false, true) => {
            Some(format!("src/{}: {lines} lines of code; take it off the list of long files", source.path))
        }
        _ => None,
    }
}

/// Finds phrases in the comments and literals of a file.
pub fn phrases(path: &str, texts: &[Text]) -> Vec<String> {
    let mut found = Vec::new();
    for text in texts {
        for (phrase, instead) in PHRASES {
            if says(&text.text, phrase) {
                found.push(format!("{path}:{}: {phrase:?}; write {instead}", text.line));
            }
        }
        let begins = text.text.trim_start_matches(['/', '!', ' ']).split(' ').next().unwrap_or("");
        if text.begins_doc && DOC_BEGINNINGS.contains(&begins) {
            found.push(format!("{path}:{}: begins with {begins:?}; begin with a noun or a verb", text.line));
        }
    }
    found
}

/// The lines of a page, as texts.
pub fn page(text: &str) -> Vec<Text> {
    let lines = text.lines().enumerate();
    lines.map(|(n, text)| Text { line: n + 1, text: text.to_owned(), begins_doc: false }).collect()
}

fn says(text: &str, phrase: &str) -> bool {
    let text = text.to_lowercase();
    text.match_indices(phrase).any(|(at, _)| {
        let (before, after) = (&text[..at], &text[at + phrase.len()..]);
        let word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        // "is no longer" and "there is no" are plain.
        !word(before.chars().next_back())
            && !word(after.chars().next())
            && !(phrase.ends_with(" no") && (after.starts_with(" longer") || before.ends_with("there ")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODULES: &str = "clock:\nlog: clock\nserver: log\nserver::api: log server\n";
    const HTTP: Only = Only {
        what: "HTTP",
        paths: &["axum::", "http::"],
        allowed: &[("server/", "HTTP is its job"), ("client.rs", "asks LiveKit")],
        instead: "answer in server/",
    };
    const CLOCK: Only = Only {
        what: "a clock",
        paths: &["SystemTime::now", "Instant::now"],
        allowed: &[("clock.rs", "it is the clock")],
        instead: "take a Clock",
    };
    const SQL: Only = Only {
        what: "SQL",
        paths: &["rusqlite::"],
        allowed: &[("store.rs", "opens files")],
        instead: "use store",
    };

    #[test]
    fn a_planted_import_is_reported() {
        let planted = Source::of("log/file.rs", "use std::io;\nuse crate::{clock::Clock, server::App};\n");
        assert_eq!(
            imports(&planted, &modules(MODULES)),
            ["src/log/file.rs:2: log must not import server (server::App)"]
        );
        let in_code = Source::of("server/limits.rs", "fn f() {\n    super::api::rooms::list()\n}\n");
        assert_eq!(
            imports(&in_code, &modules(MODULES)),
            ["src/server/limits.rs:2: server must not import server::api (server::api::rooms::list)"]
        );
        let allowed = Source::of(
            "server/api/rooms.rs",
            "use crate::{log::EventLog, server::App};\nuse super::names;\n",
        );
        assert_eq!(imports(&allowed, &modules(MODULES)), [""; 0]);
        let unknown = Source::of("helpers.rs", "");
        assert_eq!(
            imports(&unknown, &modules(MODULES)),
            ["src/helpers.rs: the module is not in the table of modules"]
        );
    }

    #[test]
    fn a_table_with_an_import_of_a_later_module_is_reported() {
        let sources = [Source::of("a.rs", "use crate::b;"), Source::of("b.rs", "")];
        let modules = modules("a: b\nb:\n");
        assert_eq!(table(&modules, &[], &sources), ["the table of modules: a comes before b"]);
        assert_eq!(table(&modules, &[("a", "b", "a reason")], &sources), [""; 0]);
        assert_eq!(table(&modules[1..], &[], &sources[..1]), ["the table of modules: there is no module b"]);
        let sources = [Source::of("a.rs", ""), Source::of("b.rs", "")];
        assert_eq!(
            table(&modules, &[("a", "b", "")], &sources),
            ["the table of modules: a does not import b"]
        );
    }

    #[test]
    fn a_planted_clock_read_is_reported() {
        let planted =
            Source::of("state.rs", "fn f() -> u64 {\n    let began = std::time::Instant::now();\n}\n");
        let report = ["src/state.rs:2: a clock (std::time::Instant::now); take a Clock"];
        assert_eq!(only(&planted, &CLOCK), report);
        let wall = Source::of("state.rs", "let now = earliest.unwrap_or_else(SystemTime::now);\n");
        assert_eq!(only(&wall, &CLOCK).len(), 1);
        assert_eq!(only(&Source::of("clock.rs", "Instant::now()"), &CLOCK), [""; 0]);
    }

    #[test]
    fn stray_sql_is_reported() {
        let planted = Source::of("feed.rs", "use rusqlite::{Connection, params};\n");
        assert_eq!(only(&planted, &SQL).len(), 2);
    }

    #[test]
    fn http_outside_the_server_is_reported() {
        for text in ["use axum::Json;", "fn f(s: http::StatusCode) {}"] {
            assert_eq!(only(&Source::of("feed/frame.rs", text), &HTTP).len(), 1, "{text}");
        }
        // A module of ours with the name of a crate.
        let ours =
            Source::of("deliver.rs", "use crate::{event::Event, http::Client};\nfn f(http: &Client) {}\n");
        assert_eq!(only(&ours, &HTTP), [""; 0]);
    }

    #[test]
    fn a_permission_that_no_file_needs_is_reported() {
        let sources =
            [Source::of("server/api/rooms.rs", "use axum::Json;"), Source::of("client.rs", "fn f() {}")];
        assert_eq!(not_needed(&sources, &HTTP), ["HTTP: src/client.rs may, and does not need it"]);
    }

    #[test]
    fn a_file_of_501_lines_is_reported() {
        let file = |lines: usize| Source::of("long.rs", &"fn f() {}\n// A comment.\n\n".repeat(lines));
        assert_eq!(length(&file(500), &[]), None);
        let report = length(&file(501), &[]).expect("a report");
        assert!(report.starts_with("src/long.rs: 501 lines of code"), "{report}");
        assert_eq!(length(&file(501), &[("long.rs", "one table")]), None);
        assert!(length(&file(500), &[("long.rs", "one table")]).is_some());
    }

    #[test]
    fn a_planted_phrase_is_reported() {
        let planted = |text: &str| phrases("src/x.rs", &Source::of("x.rs", text).texts).len();
        assert_eq!(planted("// It waits for ever.\n"), 1);
        assert_eq!(planted("fn f() { warn!(\"this is no TOML\") }\n"), 1);
        assert_eq!(planted("/// Who may read.\nfn f() {}\n"), 1);
        assert_eq!(planted("/// Returns the name.\n/// What it is.\nfn f() {}\n"), 0);
        assert_eq!(planted("fn nobody_may_read() {}\n"), 1);
        assert_eq!(planted("// There is no file: it is no longer open. Marshall knows.\n"), 0);
        assert_eq!(phrases("docs/x.md", &page("One.\n\nIt shall be.\n")).len(), 1);
    }
}
