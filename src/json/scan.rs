//! Reads text that is known to be JSON, and skips most of it.
//!
//! The log holds only text that [`walk`](super::walk) has found to be JSON, so nothing is checked twice. On other text
//! the result is unspecified, but safe.
//!
//! The text is processed once, 64 bytes at a time, without a branch per byte. The result is one bit for each byte: where
//! strings begin and end, and where brackets are outside of strings. To skip a value is to find the next bit.

use std::borrow::Cow;

use wide::u8x16;

/// A position in a text.
pub struct Scan<'a> {
    text: &'a str,
    at: usize,
    block: Block,
    cut: bool,
}

/// The 64 bytes around `at`: one bit each, the lowest for the first byte.
#[derive(Default)]
struct Block {
    /// The position of the next block.
    end: usize,
    /// Quotes that begin or end a string.
    quotes: u64,
    /// `{`, `[`, `]` and `}` outside of strings.
    brackets: u64,
    slashes: u64,
    /// The end of the last block with a backslash in it.
    slashed: usize,
    /// All bits if the block ends inside a string, else 0.
    in_string: u64,
    /// 1 if the next block's first byte is escaped.
    escaped: u64,
}

impl<'a> Scan<'a> {
    pub fn new(text: &'a str) -> Scan<'a> {
        Scan { text, at: 0, block: Block::default(), cut: false }
    }

    /// Returns true if the text ended inside a value: it is not JSON, and what was read of it must be dropped.
    pub fn is_cut(&self) -> bool {
        self.cut
    }

    /// Returns the first byte of the next token, or 0 at the end.
    pub fn peek(&mut self) -> u8 {
        loop {
            match self.byte() {
                b' ' | b'\n' | b'\r' | b'\t' => self.at += 1,
                byte => return byte,
            }
        }
    }

    /// Steps into the next value if it opens with this bracket, else skips it.
    pub fn enters(&mut self, bracket: u8) -> bool {
        let enters = self.peek() == bracket;
        if enters {
            self.at += 1;
        } else {
            self.skip();
        }
        enters
    }

    /// Returns the key of an object's next member, or `None` at its end. The caller then reads or skips the value. Keys
    /// are returned as they are written: no key that the program reads has an escape in it.
    pub fn key(&mut self) -> Option<&'a str> {
        self.at = self.next(|block| block.quotes | block.brackets)?;
        if self.byte() == b'}' {
            self.at += 1;
            return None;
        }
        let key = self.written()?;
        if self.peek() != b':' {
            return self.end();
        }
        self.at += 1;
        Some(key)
    }

    /// Returns true if an array has a next element. The caller then reads or skips it.
    pub fn element(&mut self) -> bool {
        if self.peek() == b',' {
            self.at += 1;
        }
        match self.peek() {
            0 => self.end::<()>().is_some(),
            b']' => {
                self.at += 1;
                false
            }
            _ => true,
        }
    }

    /// Returns the next string, or an empty one if UTF-8 cannot hold it.
    pub fn string(&mut self) -> Cow<'a, str> {
        let start = self.at;
        let written = self.written().unwrap_or_default();
        match self.block.slashed_between(start, self.at) {
            true => Cow::Owned(unescaped(written)),
            false => Cow::Borrowed(written),
        }
    }

    /// Returns the number in the next string, or `None` if it has anything but digits. Then the string is not passed.
    pub fn quoted_digits(&mut self) -> Option<u64> {
        let digits = self.text.as_bytes().get(self.at + 1..)?;
        let mut number = 0_u64;
        for (length, byte) in digits.iter().enumerate() {
            match byte {
                // 19 digits always fit.
                b'0'..=b'9' if length < 19 => number = number * 10 + u64::from(byte - b'0'),
                b'"' => {
                    self.at += length + 2;
                    return Some(number);
                }
                _ => break,
            }
        }
        None
    }

    /// Returns a number, `true`, `false` or `null` as it is written.
    pub fn token(&mut self) -> &'a str {
        let start = self.at;
        while !matches!(
            self.byte(),
            b',' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t' | b'"' | b'{' | b'[' | 0
        ) {
            self.at += 1;
        }
        self.text
            .get(start..self.at)
            .filter(|token| !token.is_empty())
            .or_else(|| self.end())
            .unwrap_or_default()
    }

    /// Skips the next value.
    pub fn skip(&mut self) {
        match self.peek() {
            b'"' => drop(self.written()),
            b'{' | b'[' => self.pass_nested(),
            _ => drop(self.token()),
        }
    }

    /// Returns the next value as it is written.
    pub fn raw(&mut self) -> &'a str {
        self.peek();
        let start = self.at;
        self.skip();
        self.text.get(start..self.at).unwrap_or_default()
    }

    fn byte(&self) -> u8 {
        self.text.as_bytes().get(self.at).copied().unwrap_or(0)
    }

    /// Notes that the text ended too early.
    fn end<T>(&mut self) -> Option<T> {
        self.at = self.text.len();
        self.cut = true;
        None
    }

    /// Returns the text between the quotes of the next string.
    #[inline(always)]
    fn written(&mut self) -> Option<&'a str> {
        if self.byte() != b'"' {
            return self.end();
        }
        self.at += 1;
        let (start, end) = (self.at, self.next(|block| block.quotes)?);
        self.at = end + 1;
        self.text.get(start..end)
    }

    /// Skips the next object or array, however deep it is.
    fn pass_nested(&mut self) {
        let mut depth = 0_usize;
        while let Some(at) = self.next(|block| block.brackets) {
            self.at = at + 1;
            // `[` and `{` have this bit, `]` and `}` do not.
            if self.text.as_bytes()[at] & 2 != 0 {
                depth += 1;
            } else if depth > 1 {
                depth -= 1;
            } else {
                return;
            }
        }
    }

    /// Returns the position of the next marked byte, from `at` on.
    #[inline(always)]
    fn next(&mut self, marked: impl Fn(&Block) -> u64) -> Option<usize> {
        loop {
            let passed = (self.at + 64).saturating_sub(self.block.end);
            if passed < 64 {
                let marks = marked(&self.block) & (u64::MAX << passed);
                if marks != 0 {
                    return Some(self.block.end - 64 + marks.trailing_zeros() as usize);
                }
            }
            if !self.block.advance(self.text.as_bytes()) {
                return self.end();
            }
        }
    }
}

impl Block {
    /// Moves to the next 64 bytes. Returns false if there are none.
    #[inline(never)]
    fn advance(&mut self, text: &[u8]) -> bool {
        match text.get(self.end..) {
            None | Some([]) => return false,
            Some(rest) => match rest.first_chunk() {
                Some(bytes) => self.mark(bytes),
                None => {
                    let mut bytes = [0; 64];
                    bytes[..rest.len()].copy_from_slice(rest);
                    self.mark(&bytes);
                }
            },
        }
        true
    }

    fn mark(&mut self, bytes: &[u8; 64]) {
        self.end += 64;
        let mut escaped = std::mem::take(&mut self.escaped);
        let (sixteens, _) = bytes.as_chunks();
        let vectors = [0, 1, 2, 3].map(|n| u8x16::new(sixteens[n]));
        self.slashes = marks(&vectors, |bytes| bytes.simd_eq(u8x16::splat(b'\\')));
        if self.slashes != 0 {
            self.slashed = self.end;
            let mut slashes = self.slashes;
            while slashes != 0 {
                let slash = slashes & slashes.wrapping_neg();
                slashes ^= slash;
                if escaped & slash == 0 {
                    escaped |= slash << 1;
                    self.escaped = slash >> 63;
                }
            }
        }
        self.quotes = marks(&vectors, |bytes| bytes.simd_eq(u8x16::splat(b'"'))) & !escaped;
        // Every bit from one quote up to the next: the prefix sum of the quotes, without carry.
        let mut inside = self.quotes;
        for distance in [1, 2, 4, 8, 16, 32] {
            inside ^= inside << distance;
        }
        inside ^= self.in_string;
        self.in_string = if inside >> 63 == 1 { u64::MAX } else { 0 };
        // `[` and `{` differ in one bit, and so do `]` and `}`.
        let (opening, closing) = (u8x16::splat(b'{'), u8x16::splat(b'}'));
        let brackets = |bytes: u8x16| {
            let bytes = bytes | u8x16::splat(b' ');
            bytes.simd_eq(opening) | bytes.simd_eq(closing)
        };
        self.brackets = marks(&vectors, brackets) & !inside;
    }

    /// Returns true if there is a backslash between these two positions. The second is in this block. If the first is
    /// not, the answer may be true without one.
    #[inline]
    fn slashed_between(&self, start: usize, end: usize) -> bool {
        let before = (start + 64).saturating_sub(self.end).min(63);
        let after = self.end.saturating_sub(end).min(63 - before);
        // The first position is in this block, or in an earlier one.
        if before > 0 { self.slashes >> before << (before + after) != 0 } else { self.slashed > start }
    }
}

/// Returns one bit for each byte that `found` turns into ones.
fn marks(vectors: &[u8x16; 4], found: impl Fn(u8x16) -> u8x16) -> u64 {
    vectors.iter().rev().fold(0, |marks, bytes| marks << 16 | u64::from(found(*bytes).to_bitmask()))
}

/// Resolves the escapes of a string's text.
fn unescaped(written: &str) -> String {
    let mut text = String::with_capacity(written.len());
    let mut rest = written;
    while let Some((plain, escaped)) = rest.split_once('\\') {
        text.push_str(plain);
        text.push(match escaped.as_bytes().first() {
            Some(byte @ (b'"' | b'\\' | b'/')) => char::from(*byte),
            Some(b'n') => '\n',
            Some(b't') => '\t',
            Some(b'r') => '\r',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            // A code point by its number, perhaps in two halves: rare, so serde_json does it.
            _ => return serde_json::from_str(&format!("\"{written}\"")).unwrap_or_default(),
        });
        rest = &escaped[1..];
    }
    text.push_str(rest);
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    /// Reads everything into a tree.
    fn value(from: &mut Scan<'_>) -> Value {
        match from.peek() {
            b'{' => {
                let mut members = serde_json::Map::new();
                from.enters(b'{');
                while let Some(key) = from.key() {
                    members.insert(key.to_owned(), value(from));
                }
                Value::Object(members)
            }
            b'[' => {
                let mut elements = Vec::new();
                from.enters(b'[');
                while from.element() {
                    elements.push(value(from));
                }
                Value::Array(elements)
            }
            b'"' => from.string().into_owned().into(),
            _ => serde_json::from_str(from.token()).unwrap_or_default(),
        }
    }

    /// Texts with quotes, backslashes and brackets at every position of a block.
    fn texts() -> Vec<String> {
        let parts =
            ["", "plain", "\"", "\\", "\\\\\"", "{[}]", "é€😀", "\n\t\u{8}\u{c}\r/", "\u{1}", "a\\\"{b"];
        let mut texts = Vec::new();
        for shift in 0..70 {
            for (n, part) in parts.iter().enumerate() {
                let all = serde_json::json!({
                    "x".repeat(shift): [part, {"k": parts[(n + shift) % parts.len()]}, [], {}, null, true, -1.5e3, [[[part]]]],
                    "last": part.repeat(shift % 13),
                });
                texts.push(all.to_string());
                texts.push(serde_json::to_string_pretty(&all).expect("JSON"));
            }
        }
        texts
    }

    #[test]
    fn a_scan_reads_and_skips_what_serde_json_reads() {
        for text in texts() {
            let mut scan = Scan::new(&text);
            assert_eq!(value(&mut scan), serde_json::from_str::<Value>(&text).expect("JSON"), "{text}");
            assert_eq!((scan.peek(), scan.is_cut()), (0, false), "{text}");
            let mut scan = Scan::new(&text);
            assert_eq!((scan.raw(), scan.is_cut()), (&*text, false));
        }
    }

    #[test]
    fn a_text_that_ends_too_early_is_cut() {
        for text in texts().into_iter().step_by(7) {
            for end in (0..text.len()).filter(|end| text.is_char_boundary(*end)) {
                let mut scan = Scan::new(&text[..end]);
                value(&mut scan);
                assert!(scan.is_cut(), "{}", &text[..end]);
            }
        }
        for text in
            ["", "{", "}", "]", "\\", "\"", "{\"a\"", "{\"a\":", "{\"a\" 1}", "[,", "{]", "{\"\\", "nul"]
        {
            value(&mut Scan::new(text));
            Scan::new(text).skip();
        }
    }
}
