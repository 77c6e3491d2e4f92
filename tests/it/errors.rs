//! Every error code has a paragraph in docs/errors.md.

use std::{collections::BTreeSet, path::Path};

use roomwatch::{
    config::{Answer, Limit},
    token::Reject,
};

/// The codes in the source: the first literal after the construction of an error, if it looks like a code.
fn codes(dir: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            codes(&path, found);
            continue;
        }
        // Its errors are LiveKit's.
        if path.ends_with("cli/demo/livekit.rs") {
            continue;
        }
        let text = std::fs::read_to_string(&path).expect("text");
        let text = text.split("#[cfg(test)]").next().expect("a part");
        for made in ["bad_request(", "not_found(", "Error::new(", "StatusCode::"] {
            for (at, _) in text.match_indices(made) {
                let after = &text[at + made.len()..];
                let Some((before, rest)) = after.split_once('"') else { continue };
                let code = rest.split('"').next().expect("a literal");
                let near = before
                    .chars()
                    .all(|c| c.is_whitespace() || c == ',' || c == '_' || c.is_ascii_uppercase())
                    || before.trim_start().starts_with("StatusCode::") && before.matches(',').count() == 1;
                let is_code = code.len() > 3 && code.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
                if near && is_code {
                    found.insert(code.to_owned());
                }
            }
        }
    }
}

#[test]
fn every_code_is_explained() {
    let mut found = BTreeSet::new();
    codes(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
    assert!(found.len() > 30, "the codes are no longer found: {found:?}");
    for limit in Limit::ALL {
        match limit.answer() {
            Answer::Error(_, code, _) | Answer::Bye(code) => {
                found.insert(code.into());
            }
            Answer::Http => {}
        }
    }
    for reject in [
        Reject::Missing,
        Reject::Malformed,
        Reject::Algorithm,
        Reject::UnknownKey,
        Reject::Signature,
        Reject::Expired,
        Reject::NotYetValid,
        Reject::TooLong,
        Reject::OtherBody,
        Reject::OtherUse,
    ] {
        found.insert(reject.code().into());
    }
    let page = include_str!("../../docs/errors.md");
    let explained: BTreeSet<_> = page.lines().filter_map(|line| line.strip_prefix("### ")).collect();
    let missing: Vec<_> = found.iter().filter(|code| !explained.contains(code.as_str())).collect();
    assert!(missing.is_empty(), "docs/errors.md does not explain {missing:?}");
}
