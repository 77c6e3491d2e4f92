//! LiveKit's vocabulary in lower snake case.

use std::borrow::Cow;

/// A name out of LiveKit's vocabulary, in lower snake case. Known names cost no memory.
pub type Word = Cow<'static, str>;

/// Returns LiveKit's `UPPER_SNAKE` in lower case, without `prefix`, or `zero` for an empty text: LiveKit leaves an
/// enum's zero value out. Unknown names pass through.
pub(super) fn word(text: &str, prefix: &str, zero: &'static str) -> Word {
    if text.is_empty() {
        return Cow::Borrowed(zero);
    }
    let text = text.strip_prefix(prefix).unwrap_or(text);
    match KNOWN.iter().find(|known| known.eq_ignore_ascii_case(text)) {
        Some(known) => Cow::Borrowed(known),
        None => Cow::Owned(text.to_lowercase()),
    }
}

/// Gives a word of a restored checkpoint its static memory back: reading a checkpoint allocates every word.
pub(super) fn share(word: &mut Word) {
    if let Some(known) = KNOWN.iter().find(|known| **known == *word) {
        *word = Cow::Borrowed(known);
    }
}

/// Words that are not allocated, the frequent ones first.
const KNOWN: &[&str] = &[
    "active",
    "video",
    "camera",
    "microphone",
    "audio",
    "screen_share",
    "screen_share_audio",
    "disconnected",
    "agent",
    "sip",
    "egress",
    "ingress",
    "standard",
    "connector",
    "bridge",
    "joined",
    "joining",
    "unknown",
    "data",
    "starting",
    "ending",
    "complete",
    "failed",
    "aborted",
    "limit_reached",
    "room_composite",
    "web",
    "participant",
    "track_composite",
    "track",
    "rtmp",
    "whip",
    "url",
    "inactive",
    "buffering",
    "publishing",
    "error",
    "file",
    "stream",
    "segments",
    "images",
    "template",
    "media",
    "replay",
];
