//! Damage that is found after the start: by a read, or by the daily check of all files. It is a condition for the operator.

use std::{fs, os::unix::fs::FileExt, path::Path, time::Duration};

use roomwatch::{
    audit::{AuditFilter, Outcome},
    clock::Clock,
    config::Config,
    event::Seq,
    node::Node,
};
use tokio::net::TcpListener;

use crate::{
    damage::{FILES, audit_entry, directory, meetings},
    harness::*,
    node,
};

const DAY: Duration = Duration::from_secs(24 * 3600);

fn config(dir: &Path, clock: &Clock) -> Config {
    Config { clock: clock.clone(), open_conditions: true, ..node::config(dir) }
}

/// Overwrites every page of the file but the first, in place.
fn damage(path: &Path) {
    let file = fs::OpenOptions::new().write(true).open(path).expect("the file");
    let length = file.metadata().expect("a file").len() as usize;
    file.write_all_at(&vec![0x55; length - 4_096], 4_096).expect("written");
}

/// Runs the node until `done`, while days pass.
async fn run_until(node: &Node, clock: &Clock, what: &str, mut done: impl AsyncFnMut(&str) -> bool) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/readyz", listener.local_addr().expect("an address"));
    let until = until_async(what, async || {
        clock.advance(DAY);
        let answer = client().get(&url).send().await.expect("an answer");
        done(&answer.text().await.expect("a text")).await
    });
    tokio::select! {
        () = until => {}
        ended = node.run(listener, std::future::pending()) => panic!("{ended:?}"),
    }
}

fn open_conditions(node: &Node) -> Vec<String> {
    let state = node.app().state.read();
    state.all_conditions().map(|condition| condition.about.id.to_string()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_of_each_file_of_a_running_server_is_found_and_is_a_condition() {
    let dir = directory(&meetings(0, 40)).await;
    for file in FILES {
        let copy = tempfile::tempdir().expect("a directory");
        for entry in fs::read_dir(dir.path()).expect("files").flatten() {
            if entry.path().is_file() {
                fs::copy(entry.path(), copy.path().join(entry.file_name())).expect("copied");
            }
        }
        if !["log.db", "derived.db"].contains(&file) {
            // The next write to a page restores it. The node never writes to these pages.
            let connection = rusqlite::Connection::open(copy.path().join(file)).expect("it opens");
            connection
                .execute_batch("CREATE TABLE pad (bytes); WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50)
                    INSERT INTO pad SELECT zeroblob(1000) FROM n; PRAGMA wal_checkpoint(TRUNCATE)")
                .expect("padded");
        }
        let clock = Clock::held(now() as u64 * 1000);
        let node = Node::open(config(copy.path(), &clock)).await.expect("a node");
        node.app().current().await;
        damage(&copy.path().join(file));
        run_until(&node, &clock, &format!("damage of {file} is found"), async |readyz| {
            if file == "derived.db" {
                // It repairs itself. The log has everything, so nothing is missing.
                return copy.path().join("derived.db.old1").exists()
                    && node.app().derived.trouble().is_none();
            }
            let said = readyz.lines().any(|line| line.starts_with(&format!("{file} is damaged: ")));
            said && open_conditions(&node).contains(&format!("file_damaged:{file}"))
        })
        .await;
        drop(node);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_are_whole_are_not_reported() {
    let dir = directory(&meetings(0, 40)).await;
    let clock = Clock::held(now() as u64 * 1000);
    let node = Node::open(config(dir.path(), &clock)).await.expect("a node");
    let mut checks = 0;
    run_until(&node, &clock, "some checks", async |readyz| {
        checks += 1;
        assert!(!readyz.contains("damaged"), "{readyz}");
        checks > 50
    })
    .await;
    let about_files = |id: &String| id.starts_with("file_damaged") || id.starts_with("history_lost");
    assert!(!open_conditions(&node).iter().any(about_files), "{:?}", open_conditions(&node));
}

/// A read meets the damage before the check does.
#[tokio::test(flavor = "multi_thread")]
async fn damage_is_found_by_the_read_that_meets_it() {
    let dir = directory(&meetings(0, 40)).await;
    // A large file is not checked when it is opened, which is at the first read.
    let connection = rusqlite::Connection::open(dir.path().join("audit.db")).expect("it opens");
    connection
        .execute_batch("CREATE TABLE pad (bytes); INSERT INTO pad VALUES (zeroblob(9000000)); PRAGMA wal_checkpoint(TRUNCATE)")
        .expect("padded");
    let page: i64 = connection
        .query_row("SELECT rootpage FROM sqlite_schema WHERE name = 'audit'", [], |row| row.get(0))
        .expect("a page");
    drop(connection);
    let clock = Clock::held(now() as u64 * 1000);
    let node = Node::open(config(dir.path(), &clock)).await.expect("a node");
    let audit = fs::OpenOptions::new().write(true).open(dir.path().join("audit.db")).expect("the file");
    audit.write_all_at(&[0x55; 4_096], (page as u64 - 1) * 4_096).expect("written");
    damage(&dir.path().join("log.db"));
    let found =
        || -> Vec<&str> { node.app().storage.damage().all().iter().map(|damaged| damaged.file).collect() };
    assert_eq!(found(), [""; 0]);
    node.app().log.read(Seq::ZERO, 10).await.expect_err("it cannot be read");
    assert_eq!(found(), ["log.db"]);
    let page = node.app().audit.page(AuditFilter::default(), i64::MAX, 10).await;
    assert!(page.is_err(), "it cannot be read");
    assert_eq!(found(), ["audit.db", "log.db"]);
    for damaged in node.app().storage.damage().all() {
        assert!(damaged.to_string().starts_with(&format!("{} is damaged: ", damaged.file)), "{damaged}");
        assert!(damaged.remedy().starts_with("Check the disk."), "{damaged}");
    }
    node.app()
        .audit
        .note(audit_entry(), Outcome::Done, None)
        .await
        .expect_err("the page to write is damaged");
}
