//! The program over a log in memory, and over one that is not in the data directory.

use std::fs;

use crate::harness::*;

#[tokio::test]
async fn a_server_over_the_log_in_memory_streams_lists_and_forgets() {
    let server = Start::new().env("ROOMWATCH_LOG_URL", "memory:").start();
    assert!(server.log().contains("every event is lost when this process ends"), "{}", server.log());
    assert_eq!(server.webhook(&event("EV_1", "a")).await, 200);
    assert_eq!(server.webhook(&event("EV_1", "a")).await, 200);
    assert_eq!(server.webhook(&event("EV_2", "a")).await, 200);
    let mut stream = server.stream("?after=start").await;
    stream.connected().await;
    assert_eq!(stream.next().await.data["data"]["id"], "EV_1");
    let second = stream.next().await;
    assert_eq!(second.data["data"]["id"], "EV_2");
    let (_, rooms) = server.get("/api/rooms").await;
    assert_eq!(rooms["rooms"].as_array().map(Vec::len), Some(1), "{rooms}");

    // The next process has another log: cursors of this one are not honoured, and the rooms are gone.
    let mut server = server;
    server.signal("TERM");
    assert_eq!(server.ended(), Some(0));
    let server = server.again().start();
    let mut stream = server.stream_as(&list_token(), "", Some(&second.id)).await;
    assert_eq!(stream.connected().await["reset"], "unknown_epoch");
    let (_, rooms) = server.get("/api/rooms").await;
    assert_eq!(rooms["rooms"].as_array().map(Vec::len), Some(0), "{rooms}");
}

#[tokio::test]
async fn the_log_may_be_on_another_disk_than_what_is_derived_from_it() {
    let elsewhere = tempfile::tempdir().expect("a directory");
    let url = format!("sqlite:{}", elsewhere.path().join("log").display());
    let mut server = Start::new().env("ROOMWATCH_LOG_URL", &url).start();
    assert_eq!(server.webhook(&event("EV_1", "a")).await, 200);
    let log = elsewhere.path().join("log/log.db");
    assert!(fs::metadata(&log).is_ok_and(|file| file.len() > 0));
    assert!(!server.dir.path().join("data/log.db").exists());
    assert!(server.dir.path().join("data/derived.db").exists());
    let refused = Start::new().env("ROOMWATCH_LOG_URL", &url).fails();
    assert!(refused.contains("in use by another Roomwatch"), "{refused}");

    server.signal("TERM");
    assert_eq!(server.ended(), Some(0));
    let server = server.again().start();
    let mut stream = server.stream("?after=start").await;
    stream.connected().await;
    assert_eq!(stream.next().await.data["data"]["id"], "EV_1");
}

#[tokio::test]
async fn the_data_directory_by_another_name_is_locked_once() {
    let server = Start::new().env("ROOMWATCH_LOG_URL", "sqlite:data/../data").start();
    assert_eq!(server.webhook(&event("EV_1", "a")).await, 200);
    assert!(server.dir.path().join("data/log.db").exists());
}
