//! Logs that are not the ones that readers know: lost ends, restored backups, other contents.

use std::{
    fs::{self, File},
    path::Path,
    time::{Duration, SystemTime},
};

use roomwatch::{derived::Derived, event::Seq};

use crate::harness::*;

/// A change of the data directory while the server is stopped. The second directory is a copy from before the last events.
type Damage = fn(&Path, &Path);

const FILES: [&str; 3] = ["log.db", "log.db-wal", "log.witness"];

/// Copies over the present file, if there is one, as `cp` does: it keeps its inode.
fn restore(data: &Path, backup: &Path, file: &str) {
    match backup.join(file).exists() {
        true => drop(fs::copy(backup.join(file), data.join(file)).expect("copied")),
        false => drop(fs::remove_file(data.join(file))),
    }
}

fn sql(data: &Path, sql: &str) {
    let file = rusqlite::Connection::open(data.join("log.db")).expect("the file");
    file.execute_batch(sql).expect("executed");
}

fn write_at_another_time(file: &Path) {
    let later = SystemTime::now() + Duration::from_secs(3600);
    File::options().write(true).open(file).expect("it opens").set_modified(later).expect("set");
}

const DAMAGES: &[(&str, Damage)] = &[
    ("the end of the WAL is lost", |data, _| {
        let wal = File::options().write(true).open(data.join("log.db-wal")).expect("it opens");
        let length = wal.metadata().expect("a file").len();
        // Each event has its own transaction, which is longer than this.
        wal.set_len(length - 5000).expect("cut");
    }),
    ("the WAL is lost", |data, _| fs::remove_file(data.join("log.db-wal")).expect("removed")),
    ("the log is restored in place", |data, backup| {
        restore(data, backup, "log.db");
        restore(data, backup, "log.db-wal");
    }),
    ("the log is restored as a new file", |data, backup| {
        fs::remove_file(data.join("log.db")).expect("removed");
        restore(data, backup, "log.db");
        restore(data, backup, "log.db-wal");
    }),
    ("the log and its witness are restored, and not what is derived", |data, backup| {
        FILES.iter().for_each(|file| restore(data, backup, file));
    }),
    ("everything is restored", |data, backup| {
        for file in fs::read_dir(backup).expect("a directory") {
            restore(data, backup, &file.expect("a file").file_name().to_string_lossy());
        }
        // The backup is an hour old: files that are copied have the time of the copy.
        write_at_another_time(&data.join("log.witness"));
    }),
    ("the newest event is cut off", |data, _| {
        sql(data, "DELETE FROM events WHERE seq = (SELECT max(seq) FROM events)");
    }),
    ("the newest event is another one", |data, _| {
        sql(data, "UPDATE events SET id = zeroblob(16) WHERE seq = (SELECT max(seq) FROM events)");
    }),
    ("the witness is lost", |data, _| fs::remove_file(data.join("log.witness")).expect("removed")),
    ("the witness is damaged", |data, _| fs::write(data.join("log.witness"), [7; 44]).expect("written")),
    ("everything but the log is lost", |data, _| {
        for file in fs::read_dir(data).expect("a directory") {
            let file = file.expect("a file");
            if !file.file_name().to_string_lossy().starts_with("log.db") {
                fs::remove_file(file.path()).expect("removed");
            }
        }
    }),
    ("there is another log", |data, _| {
        FILES.iter().for_each(|file| drop(fs::remove_file(data.join(file))));
    }),
];

#[tokio::test(flavor = "multi_thread")]
async fn no_reader_resumes_over_events_that_the_log_has_lost() {
    for (what, damage) in DAMAGES {
        let mut server = Start::new().on_disk().start();
        let data = server.dir.path().join("data");
        let backup = tempfile::tempdir().expect("a directory");
        assert_eq!(server.webhook(&event("EV_1", "a")).await, 200);
        for file in fs::read_dir(&data).expect("a directory") {
            let file = file.expect("a file");
            fs::copy(file.path(), backup.path().join(file.file_name())).expect("copied");
        }
        let mut stream = server.stream("").await;
        stream.connected().await;
        for id in ["EV_2", "EV_3"] {
            assert_eq!(server.webhook(&event(id, id)).await, 200);
        }
        let mut told = stream.next().await.id;
        while stream_id(&told) < 3 {
            told = stream.next().await.id;
        }
        until("it is derived", || Derived::last_of(&data).is_some_and(|last| last.seq == Seq(3)));
        server.kill();
        damage(&data, backup.path());

        let server = server.again().start();
        let mut stream = server.stream_as(&list_token(), "", Some(&told)).await;
        let connected = stream.connected().await;
        assert_eq!(connected["resumed"], false, "{what}: {connected}");
        assert_eq!(connected["reset"], "unknown_epoch", "{what}: {connected}");
        assert_eq!(server.webhook(&event("EV_4", "a")).await, 200, "{what}");

        // The new epoch stays.
        let told = stream.next().await.id;
        let mut server = server;
        server.kill();
        let server = server.again().start();
        let mut stream = server.stream_as(&list_token(), "", Some(&told)).await;
        assert_eq!(stream.connected().await["resumed"], true, "{what}");
    }
}

/// The seq in a cursor.
fn stream_id(cursor: &str) -> u64 {
    cursor.split_once('-').expect("a cursor").1.parse().expect("a seq")
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_resume_after_a_kill_a_restart_and_a_change_of_permissions() {
    let mut server = Start::new().on_disk().start();
    let mut stream = server.stream("").await;
    stream.connected().await;
    for (n, signal) in ["KILL", "TERM", "KILL"].iter().enumerate() {
        assert_eq!(server.webhook(&event(&format!("EV_{n}"), "a")).await, 200);
        let told = stream.next().await.id;
        server.signal(signal);
        server.ended();
        for file in fs::read_dir(server.dir.path().join("data")).expect("a directory") {
            let path = file.expect("a file").path();
            let permissions = path.metadata().expect("a file").permissions();
            fs::set_permissions(&path, permissions).expect("set");
        }
        server = server.again().start();
        stream = server.stream_as(&list_token(), "", Some(&told)).await;
        assert_eq!(stream.connected().await["resumed"], true, "after {signal}");
    }
}
