//! The promises of every implementation of what a deployment shares.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::until::PATIENCE;
use bytes::Bytes;
use futures_util::future::join_all;
use roomwatch::cluster::{Cluster, ClusterError, Expected, Map, MapChange, Watch};

pub fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

/// The keys and values of changes; a deleted entry has none.
pub fn seen(changes: Vec<MapChange>) -> Vec<(String, Option<String>)> {
    let text = |value: Bytes| String::from_utf8(value.to_vec()).expect("text");
    changes
        .into_iter()
        .map(|change| (change.key.into(), change.entry.map(|entry| text(entry.value))))
        .collect()
}

/// Waits until a watch has told of these changes, and of nothing else. On several nodes they may come one after the other.
async fn tells(watch: &mut dyn Watch, expected: &[(&str, Option<&str>)]) {
    let expected: BTreeMap<_, _> =
        expected.iter().map(|(key, value)| ((*key).to_owned(), value.map(str::to_owned))).collect();
    let mut told = BTreeMap::new();
    while told != expected {
        let changes = tokio::time::timeout(PATIENCE, watch.next()).await;
        told.extend(seen(changes.unwrap_or_else(|_| panic!("{told:?} instead of {expected:?}"))));
        assert!(told.keys().all(|key| expected.contains_key(key)), "{told:?} instead of {expected:?}");
    }
}

/// The promises of every implementation. A watch falls behind by `keys`, at most 9,999.
pub async fn cluster_story(cluster: &dyn Cluster, keys: usize) {
    join_all(Map::ALL.map(|map| maps(cluster, map, keys))).await;
    leases(cluster).await;
    blobs(cluster).await;
}

async fn maps(cluster: &dyn Cluster, map: Map, keys: usize) {
    let value = async |key: &str| cluster.get(map, key).await.expect("an answer").map(|entry| entry.value);
    let mut watch = cluster.watch(map);
    assert_eq!(seen(watch.next().await), []);

    // Compare and set.
    let first = cluster.put(map, "a", bytes("1"), Expected::Nothing).await.expect("put");
    let put = cluster.put(map, "a", bytes("2"), Expected::Nothing).await;
    assert_eq!(put, Err(ClusterError::Conflict));
    let second = cluster.put(map, "a", bytes("2"), Expected::Revision(first)).await.expect("put");
    assert!(second > first);
    let put = cluster.put(map, "a", bytes("3"), Expected::Revision(first)).await;
    assert_eq!(put, Err(ClusterError::Conflict));
    assert_eq!(value("a").await, Some(bytes("2")));
    let delete = cluster.delete(map, "a", Expected::Revision(first)).await;
    assert_eq!(delete, Err(ClusterError::Conflict));
    cluster.put(map, "b", bytes(""), Expected::Anything).await.expect("put");

    // A watch tells of every key that changed, with its last value.
    tells(&mut *watch, &[("a", Some("2")), ("b", Some(""))]).await;
    cluster.delete(map, "a", Expected::Revision(second)).await.expect("deleted");
    cluster.delete(map, "a", Expected::Anything).await.expect("deleted already");
    assert_eq!(value("a").await, None);
    tells(&mut *watch, &[("a", None)]).await;
    let quiet = tokio::time::timeout(Duration::from_millis(20), watch.next()).await;
    assert!(quiet.is_err(), "nothing has changed");

    // A new watch begins with what is there, and one that fell behind catches up.
    for n in 0..keys {
        cluster.put(map, &format!("{n:04}"), bytes("x"), Expected::Anything).await.expect("put");
    }
    let mut late = cluster.watch(map);
    assert_eq!(late.next().await.len(), keys + 1);
    // It may get every entry again, or only what is new, and on several nodes the last of them a little later.
    let mut caught_up = BTreeSet::new();
    while caught_up.iter().filter(|(key, _)| key != "b").count() < keys {
        caught_up.extend(seen(watch.next().await));
    }
    assert!(caught_up.iter().all(|(key, value)| value.as_deref() == Some(if key == "b" { "" } else { "x" })));
    assert!(caught_up.len() <= keys + 1);
    for n in 0..keys {
        cluster.delete(map, &format!("{n:04}"), Expected::Anything).await.expect("deleted");
    }
    cluster.delete(map, "b", Expected::Anything).await.expect("deleted");
}

async fn leases(cluster: &dyn Cluster) {
    let held = cluster.lease("job").await;
    let _other = cluster.lease("another job").await;
    let waiting = tokio::time::timeout(Duration::from_millis(20), cluster.lease("job")).await;
    assert!(waiting.is_err(), "two hold one job");
    drop(held);
    let again = cluster.lease("job").await;
    let lost = tokio::time::timeout(Duration::from_millis(20), again.lost()).await;
    assert!(lost.is_err(), "the lease was lost");
}

async fn blobs(cluster: &dyn Cluster) {
    let dir = tempfile::tempdir().expect("a directory");
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    let put = async |name: &str, content: &[u8]| {
        std::fs::write(&from, content).expect("a file");
        cluster.put_blob(name, &from).await
    };
    let get = async |name: &str| {
        let found = cluster.get_blob(name, &to).await.expect("an answer");
        found.then(|| std::fs::read(&to).expect("a file"))
    };
    assert_eq!(cluster.blobs().await, Ok(Vec::new()));
    assert_eq!(get("b-1").await, None);
    put("b-1", b"old").await.expect("put");
    put("b-1", b"new").await.expect("put");
    put("a.zst", b"").await.expect("put");
    let large: Vec<u8> = (0..3_000_000_u32).map(|n| (n / 7) as u8).collect();
    put("large", &large).await.expect("put");
    assert_eq!(get("b-1").await.as_deref(), Some(&b"new"[..]));
    assert_eq!(get("a.zst").await.as_deref(), Some(&b""[..]));
    assert!(get("large").await.is_some_and(|got| got == large));
    assert_eq!(cluster.blobs().await, Ok(vec!["a.zst".into(), "b-1".into(), "large".into()]));
    for name in ["", "../a", "a/b", ".a", "A", "a\0"] {
        assert!(put(name, b"x").await.is_err(), "{name:?}");
    }
    for name in ["a.zst", "b-1", "large", "b-1"] {
        cluster.delete_blob(name).await.expect("deleted");
    }
    assert_eq!(cluster.blobs().await, Ok(Vec::new()));
}
