//! Data directories of earlier versions, opened by this one.

use std::{path::Path, sync::Arc};

use roomwatch::{
    accounts::Accounts,
    audit::{Audit, AuditFilter},
    clock::Clock,
    cluster::Local,
    derived::{Derived, Options, SessionQuery},
    event::{Epoch, Seq},
    log::Bounds,
    rights::Window,
    token::Secret,
};
use serde_json::json;

use crate::harness::*;

/// Token of the login in `fixtures/data/d9a324f/logins.db`.
const TOKEN: &str = "xfm44UuW4Qekc7WKNdLNL9556RBeY4IVCRihyRBnSJY";

/// A copy of the directory that the commit wrote.
fn written_by(commit: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    let from = format!("{}/fixtures/data/{commit}", env!("CARGO_MANIFEST_DIR"));
    for file in std::fs::read_dir(from).expect("a directory") {
        let file = file.expect("a file");
        std::fs::copy(file.path(), dir.path().join(file.file_name())).expect("copied");
    }
    dir
}

/// A log that has lost the events from which the sessions were derived.
fn log(epoch: u32) -> Bounds {
    Bounds { epoch: Epoch(epoch), first: Seq(40), last: Seq(50) }
}

async fn sessions(derived: &Derived) -> Vec<String> {
    let page = derived.sessions(SessionQuery::newest(Window::all(), 10)).await.expect("sessions");
    page.sessions.into_iter().map(|session| session.sid).collect()
}

#[tokio::test]
async fn sessions_older_than_the_log_outlive_an_upgrade() {
    // The second log is another one, as after a restored backup.
    for (epoch, checkpoint) in [(7, 16), (8, 0)] {
        let dir = written_by("d9a324f");
        for _ in 0..2 {
            let (derived, state) =
                Derived::open(dir.path(), log(epoch), Options::default()).expect("it opens");
            assert_eq!(state.head(), Seq(checkpoint));
            assert_eq!(sessions(&derived).await, ["RM_2", "RM_1"]);
            let standup = derived.session(Window::all(), "RM_1".into(), 0).await.expect("it reads");
            let standup = json!(standup.expect("the session"));
            assert_eq!(standup["session"]["participantCount"], 3);
            // The upgrade has counted the session that has ended, and not the live one.
            let connection = rusqlite::Connection::open(dir.path().join("derived.db")).expect("it opens");
            let mut select =
                connection.prepare("SELECT people_ms > 0 FROM sessions ORDER BY sid").expect("a statement");
            let counted = select.query_map([], |row| row.get::<_, Option<bool>>(0)).expect("rows");
            assert_eq!(counted.collect::<Result<Vec<_>, _>>().expect("values"), [Some(true), None]);
            assert_eq!(standup["participations"].as_array().map(Vec::len), Some(5));
            assert_eq!(standup["tracks"][0]["sid"], "TR_1");
            assert_eq!(standup["egress"][0]["status"], "complete");
            // The names of before are entered into the index in the background.
            let found = async |text: &str| {
                derived.search(Window::all(), text.into(), 10).await.expect("it searches").len()
            };
            until_async("the names are found", async || found("lice").await == 1).await;
            assert_eq!(found("tandu").await, 1);
        }
        assert!(!aside(dir.path()), "no file is put aside");
    }
}

/// The one checkpoint of before is the first step of the ladder.
#[tokio::test]
async fn the_checkpoint_outlives_an_upgrade_with_its_time() {
    let dir = written_by("d9a324f");
    let (derived, state) = Derived::open(dir.path(), log(7), Options::default()).expect("it opens");
    let around = derived.around_time(state.time()).await.expect("it reads");
    let below = around.below.expect("the checkpoint");
    assert_eq!((below.seq, below.at), (Seq(16), state.time()));
    assert!(around.above.is_none());
    let again = derived.restore(Seq(16)).await.expect("it reads").expect("the state");
    assert_eq!(again.checkpoint().len(), state.checkpoint().len());
    assert!(derived.around_time(state.time() - 1).await.expect("it reads").below.is_none());
}

#[tokio::test]
async fn logins_and_the_audit_record_outlive_an_upgrade() {
    let dir = written_by("d9a324f");
    for _ in 0..2 {
        let cluster = Arc::new(Local::open(dir.path()).expect("it opens"));
        let password = Secret::new("correct horse");
        let accounts =
            Accounts::open(cluster, &[], Some(&password), Clock::system()).await.expect("it opens");
        let (login, _) = accounts.find(TOKEN).expect("the login");
        assert_eq!(&*login.user, "operator");
        let audit: Arc<Audit> = Audit::new(dir.path(), Default::default(), Default::default());
        let page = json!(audit.page(AuditFilter::default(), i64::MAX, 10).await.expect("a page"));
        assert_eq!(page["entries"][0]["code"], "forbidden");
        assert_eq!(page["entries"][1]["reason"], "the meeting was over");
    }
    assert!(!aside(dir.path()), "no file is put aside");
}

#[tokio::test]
async fn a_newer_file_stops_the_start_and_says_what_to_do() {
    let dir = Arc::new(tempfile::tempdir().expect("a directory"));
    drop(Start::new().dir(&dir).start());
    let path = dir.path().join("data/derived.db");
    let connection = rusqlite::Connection::open(path).expect("it opens");
    connection.pragma_update(None, "user_version", 99).expect("updated");
    drop(connection);
    let said = Start::new().dir(&dir).fails();
    assert!(said.contains("derived.db was written by a newer Roomwatch (version 99"), "{said}");
    assert!(said.contains("Start that version"), "{said}");
}

fn aside(dir: &Path) -> bool {
    let files = std::fs::read_dir(dir).expect("a directory");
    files.flatten().any(|file| file.file_name().to_string_lossy().contains(".old"))
}
