//! The OpenAPI document, from which clients are generated.

use crate::harness::*;

/// `UPDATE=1 cargo test openapi` writes the file. The difference is then reviewed like any change.
#[tokio::test]
async fn the_document_in_docs_is_the_one_that_is_served() {
    let server = Server::start();
    let (status, served) = server.get("/api/openapi.json").await;
    assert_eq!(status, 200);
    let served = serde_json::to_string_pretty(&served).expect("JSON") + "\n";
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/openapi.json");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(path, &served).expect("written");
    }
    let kept = std::fs::read_to_string(path).unwrap_or_default();
    assert!(kept == served, "docs/openapi.json is stale: UPDATE=1 cargo test openapi, then npm run generate");
}
