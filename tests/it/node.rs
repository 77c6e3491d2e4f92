//! A node as a whole: what it owns, and the order in which it opens and closes.

use std::{path::Path, process};

use roomwatch::{
    cli::serve::{Options, install_tls},
    config::Config,
    data_dir::{DataDir, DataDirError},
    event::{Kind, NewEvent, Seq, Source},
    log::LogError,
    node::Node,
};

/// Returns the configuration of a node that keeps every event.
pub fn config(data_dir: &Path) -> Config {
    install_tls();
    // Test events may be years old; retention would remove them.
    let options = Options {
        data_dir: Some(data_dir.into()),
        dev: Some(true),
        retention_days: Some(0),
        open_conditions: Some(false),
        ..Options::default()
    };
    options.check().expect("options")
}

fn event(id: &str) -> NewEvent {
    NewEvent {
        id: id.into(),
        project: "default".into(),
        source: Source::Webhook,
        received_at: 1,
        kind: Kind::from("room_started"),
        room: None,
        room_sid: None,
        body: r#"{"event":"room_started"}"#.into(),
    }
}

#[tokio::test]
async fn a_second_node_is_told_who_holds_the_directory() {
    let dir = tempfile::tempdir().expect("a directory");
    let node = Node::open(config(dir.path())).await.expect("a node");
    let Err(refused) = Node::open(config(dir.path())).await else { panic!("opened twice") };
    let locked = refused.downcast_ref::<DataDirError>();
    assert!(
        matches!(locked, Some(DataDirError::Locked { pid: Some(pid), .. }) if *pid == process::id()),
        "{refused}"
    );
    assert!(refused.to_string().contains(&process::id().to_string()), "{refused}");
    node.close().await.expect("it closes");
    DataDir::open(dir.path()).expect("the lock is released");
}

#[tokio::test]
async fn a_node_that_is_dropped_releases_the_directory_and_keeps_what_it_acknowledged() {
    let dir = tempfile::tempdir().expect("a directory");
    for round in 1..=3 {
        let node = Node::open(config(dir.path())).await.expect("a node");
        assert_eq!(node.app().log.bounds().last, Seq(round - 1));
        node.app().log.append(vec![event(&format!("EV_{round}"))]).await.expect("appended");
    }
}

#[tokio::test]
async fn a_closed_node_takes_no_event_and_folds_nothing_again() {
    let dir = tempfile::tempdir().expect("a directory");
    let node = Node::open(config(dir.path())).await.expect("a node");
    let app = node.app().clone();
    app.log.append(vec![event("EV_1")]).await.expect("appended");
    app.current().await;
    node.close().await.expect("it closes");
    assert!(matches!(app.log.append(vec![event("EV_2")]).await, Err(LogError::Closed)));
    drop(app);
    let node = Node::open(config(dir.path())).await.expect("a node");
    // From the checkpoint that closing wrote: before the fold has read a single event.
    assert_eq!(node.app().state.read().head(), Seq(1));
}
