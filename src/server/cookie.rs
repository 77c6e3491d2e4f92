//! The cookie of a sign-in.

use axum::http::{HeaderMap, HeaderValue, header};

use crate::server::front::Front;

/// Returns the sign-in tokens of a request. There may be several: if a cookie of another path or domain has
/// the same name, the browser sends both.
pub fn tokens<'a>(front: &Front, secure: bool, headers: &'a HeaderMap) -> impl Iterator<Item = &'a str> {
    let (wanted, _) = front.cookie(secure);
    let lines = headers.get_all(header::COOKIE).into_iter();
    lines.flat_map(|line| line.to_str().unwrap_or("").split(';')).filter_map(move |pair| {
        let (name, value) = pair.trim().split_once('=')?;
        (name == wanted && !value.is_empty()).then_some(value)
    })
}

/// Returns the `Set-Cookie` that deletes the cookie.
pub fn no_cookie(front: &Front, secure: bool) -> HeaderValue {
    let (name, path) = front.cookie(secure);
    let secure = if secure { "; Secure" } else { "" };
    let text = format!("{name}=; Path={path}; Max-Age=0; HttpOnly; SameSite=Strict{secure}");
    // The path comes from the configured URL, so it is visible ASCII.
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("roomwatch=; Max-Age=0"))
}
