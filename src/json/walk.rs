//! One pass over text that must prove to be JSON.
//!
//! The caller decides at each value what to do with it, so the pass finds, checks and cuts at once. Nesting is counted
//! here: a text that is nested deeper than [`DEPTH_MAX`] ends the pass, so the caller may recurse.

use std::borrow::Cow;

use serde::de::IgnoredAny;

/// Maximum depth of nesting. Readers in many languages stop at about that depth, and no LiveKit message comes near it.
pub const DEPTH_MAX: usize = 128;

/// Why a walk ended early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    NotJson,
    TooDeep,
}

/// A value that the walk has come to.
pub enum Value<'a> {
    /// The bracket is passed: read the members.
    Object,
    /// The bracket is passed: read the elements.
    Array,
    /// The whole string is passed.
    Text(Cow<'a, str>),
    /// A number, `true`, `false` or `null` is passed.
    Scalar,
}

/// Characters that are allowed between tokens.
pub const SPACE: [char; 4] = [' ', '\t', '\r', '\n'];

/// A position in a text.
pub struct Walk<'a> {
    text: &'a str,
    /// The text has control characters. LiveKit sends none.
    has_controls: bool,
    at: usize,
    depth: usize,
}

impl<'a> Walk<'a> {
    pub fn new(text: &'a str) -> Walk<'a> {
        let has_controls = text.bytes().fold(false, |found, byte| found | (byte < b' '));
        Walk { text, has_controls, at: 0, depth: 0 }
    }

    pub fn has_controls(&self) -> bool {
        self.has_controls
    }

    /// Returns the position: everything before it has been passed.
    pub fn at(&self) -> usize {
        self.at
    }

    pub fn is_at_end(&self) -> bool {
        self.at == self.text.len()
    }

    /// Passes spaces.
    #[inline]
    pub fn space(&mut self) {
        while matches!(self.byte(), b' ' | b'\t' | b'\r' | b'\n') {
            self.at += 1;
        }
    }

    /// Passes the next value, or the bracket that opens it.
    #[inline]
    pub fn value(&mut self) -> Result<Value<'a>, Stop> {
        match self.byte() {
            b'{' => self.open().map(|()| Value::Object),
            b'[' => self.open().map(|()| Value::Array),
            b'"' => self.text().map(Value::Text),
            _ => self.scalar().map(|()| Value::Scalar),
        }
    }

    /// Passes the bracket that closes an object or array right after the one that opened it. Returns false if there is
    /// a member or an element instead.
    #[inline]
    pub fn closes_empty(&mut self, end: u8) -> bool {
        self.space();
        let empty = self.byte() == end;
        if empty {
            self.close();
        }
        empty
    }

    /// Passes the key of a member and its colon.
    #[inline]
    pub fn key(&mut self) -> Result<Cow<'a, str>, Stop> {
        let key = self.text()?;
        self.space();
        self.pass(b':')?;
        Ok(key)
    }

    /// Passes what follows a member or an element: a comma, which means that another one follows, or the bracket
    /// `end`.
    #[inline]
    pub fn continues(&mut self, end: u8) -> Result<bool, Stop> {
        self.space();
        match self.byte() {
            b',' => {
                self.at += 1;
                Ok(true)
            }
            byte if byte == end => {
                self.close();
                Ok(false)
            }
            _ => Err(Stop::NotJson),
        }
    }

    /// Returns the next byte, or 0 at the end: JSON has a 0 nowhere.
    #[inline]
    fn byte(&self) -> u8 {
        self.text.as_bytes().get(self.at).copied().unwrap_or(0)
    }

    #[inline]
    fn pass(&mut self, byte: u8) -> Result<(), Stop> {
        if self.byte() != byte {
            return Err(Stop::NotJson);
        }
        self.at += 1;
        Ok(())
    }

    #[inline]
    fn open(&mut self) -> Result<(), Stop> {
        if self.depth == DEPTH_MAX {
            return Err(Stop::TooDeep);
        }
        self.depth += 1;
        self.at += 1;
        Ok(())
    }

    #[inline]
    fn close(&mut self) {
        self.depth -= 1;
        self.at += 1;
    }

    /// Passes a string. One with a lone surrogate, which JSON allows and Rust's strings do not, is returned as it is
    /// written.
    #[inline]
    fn text(&mut self) -> Result<Cow<'a, str>, Stop> {
        let text = self.text;
        self.pass(b'"')?;
        let (start, mut plain) = (self.at, !self.has_controls);
        loop {
            let rest = text.as_bytes().get(self.at..).unwrap_or_default();
            let length = memchr::memchr2(b'"', b'\\', rest).ok_or(Stop::NotJson)?;
            self.at += length + 1;
            if rest[length] == b'"' {
                break;
            }
            plain = false;
            self.at += 1;
        }
        let inner = &text[start..self.at - 1];
        if plain {
            return Ok(inner.into());
        }
        let raw = &text[start - 1..self.at];
        serde_json::from_str(raw).map(Cow::Owned).or_else(|_| is_json(raw).map(|()| inner.into()))
    }

    #[inline]
    fn scalar(&mut self) -> Result<(), Stop> {
        let start = self.at;
        while !matches!(self.byte(), b',' | b'}' | b']' | b' ' | b'\t' | b'\r' | b'\n' | 0) {
            self.at += 1;
        }
        match &self.text[start..self.at] {
            "true" | "false" | "null" => Ok(()),
            number => is_json(number),
        }
    }
}

/// Checks a whole text.
pub fn is_json(text: &str) -> Result<(), Stop> {
    serde_json::from_str::<IgnoredAny>(text).map(|_| ()).map_err(|_| Stop::NotJson)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Passes a whole text.
    fn pass(walk: &mut Walk<'_>) -> Result<(), Stop> {
        walk.space();
        match walk.value()? {
            Value::Object if !walk.closes_empty(b'}') => loop {
                walk.key()?;
                pass(walk)?;
                if !walk.continues(b'}')? {
                    return Ok(());
                }
                walk.space();
            },
            Value::Array if !walk.closes_empty(b']') => loop {
                pass(walk)?;
                if !walk.continues(b']')? {
                    return Ok(());
                }
            },
            _ => Ok(()),
        }
    }

    fn passes(text: &str) -> Result<(), Stop> {
        let mut walk = Walk::new(text);
        pass(&mut walk)?;
        walk.space();
        if walk.is_at_end() { Ok(()) } else { Err(Stop::NotJson) }
    }

    #[test]
    fn a_walk_accepts_what_serde_json_accepts() {
        let whole =
            r#" {"a":"b\n","c":[true,false,null,-1.5e+3,0,[],{}, {"b" : "\\\"\u00e9\/é"}],"d":[""]} "#;
        let changes = [
            "", " ", "\n", "\u{b}", "\u{1}", "\0", ",", ":", "\"", "\\", "{", "}", "[", "]", "0", "-", ".",
            "e",
        ];
        let mut valid = 0;
        for (at, old) in whole.char_indices() {
            let (before, after) = (&whole[..at], &whole[at + old.len_utf8()..]);
            for change in changes {
                for text in [format!("{before}{change}{after}"), format!("{before}{change}{old}{after}")] {
                    let expected = is_json(&text);
                    assert_eq!(passes(&text), expected, "{text:?}");
                    valid += usize::from(expected.is_ok());
                }
            }
        }
        assert!(valid > 300, "{valid}");
    }

    #[test]
    fn a_walk_stops_below_the_maximum_depth() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(passes(&nested(DEPTH_MAX)), Ok(()));
        assert_eq!(passes(&nested(DEPTH_MAX + 1)), Err(Stop::TooDeep));
        // Depth counts what is open, not what has been opened.
        let many = format!("[{}0]", "[[]],".repeat(1_000));
        assert_eq!(passes(&many), Ok(()));
    }
}
