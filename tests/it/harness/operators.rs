//! Operators: users with roles, and requests with a cookie.

use std::sync::LazyLock;

use roomwatch::{accounts::hash, token::Secret};
use serde_json::{Value, json};

use super::server::{Server, client};

pub const PASSWORD: &str = "correct horse battery staple";
static HASH: LazyLock<Secret> = LazyLock::new(|| hash(&Secret::new(PASSWORD)).expect("a hash"));

/// A `[[users]]` of a configuration. All users have the same password.
pub fn user(name: &str, role: &str) -> String {
    format!("[[users]]\nname = \"{name}\"\nrole = \"{role}\"\npassword_hash = \"{}\"\n", HASH.reveal())
}

pub fn users() -> String {
    user("ada", "admin") + &user("otto", "operator") + &user("vera", "viewer")
}

pub async fn post(
    server: &Server,
    path: &str,
    headers: &[(&str, &str)],
    body: Value,
) -> (u16, reqwest::header::HeaderMap, Value) {
    let mut request = client().post(server.url(path)).json(&body);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = request.send().await.expect("an answer");
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    (status, headers, answer.json().await.unwrap_or(Value::Null))
}

pub async fn get(
    server: &Server,
    path: &str,
    headers: &[(&str, &str)],
) -> (u16, reqwest::header::HeaderMap, Value) {
    let mut request = client().get(server.url(path)).header("accept", "application/json");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = request.send().await.expect("an answer");
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    (status, headers, answer.json().await.unwrap_or(Value::Null))
}

/// Signs in, and returns the cookie as a browser sends it back.
pub async fn login(server: &Server, name: &str) -> String {
    let (status, headers, body) =
        post(server, "/api/login", &[], json!({ "user": name, "password": PASSWORD })).await;
    assert_eq!(status, 200, "{body}");
    cookie(&headers)
}

/// The `Cookie` header that sends back what an answer set.
pub fn cookie(headers: &reqwest::header::HeaderMap) -> String {
    let text = headers["set-cookie"].to_str().expect("text");
    text.split(';').next().expect("a pair").to_owned()
}
