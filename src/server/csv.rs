//! CSV as RFC 4180 has it, safe to open in a spreadsheet.

/// Characters with which a spreadsheet begins a formula, also in their wide forms.
const FORMULA: &[char] =
    &['=', '+', '-', '@', '\t', '\r', '\n', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}'];

/// Writes one line of texts.
pub fn line<T: AsRef<str>>(to: &mut Vec<u8>, cells: impl IntoIterator<Item = T>) {
    for (n, text) in cells.into_iter().enumerate() {
        if n > 0 {
            to.push(b',');
        }
        cell(to, text.as_ref());
    }
    to.extend_from_slice(b"\r\n");
}

/// Writes one cell. A spreadsheet would run a text that begins as a formula does, so an apostrophe comes before it.
pub fn cell(to: &mut Vec<u8>, text: &str) {
    let quoted = text.contains(['"', ',', '\n', '\r']);
    if quoted {
        to.push(b'"');
    }
    if text.starts_with(FORMULA) {
        to.push(b'\'');
    }
    let mut written = 0;
    for (at, c) in text.char_indices() {
        if c != '"' && !is_invisible(c) {
            continue;
        }
        to.extend_from_slice(&text.as_bytes()[written..at]);
        match c {
            '"' => to.extend_from_slice(b"\"\""),
            c => to.extend_from_slice(format!("<U+{:04X}>", u32::from(c)).as_bytes()),
        }
        written = at + c.len_utf8();
    }
    to.extend_from_slice(&text.as_bytes()[written..]);
    if quoted {
        to.push(b'"');
    }
}

/// Returns true for a character that is not seen, but changes the direction of the text or controls a program: a name
/// could look like another one.
pub fn is_invisible(c: char) -> bool {
    match c {
        '\t' | '\n' | '\r' => false,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => true,
        '\u{2028}' | '\u{2029}' | '\u{feff}' => true,
        c => c.is_control(),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_cell_is_quoted_and_is_not_a_formula() {
        for (text, expected) in [
            ("standup", "standup"),
            ("", ""),
            ("a,b", "\"a,b\""),
            ("say \"hi\"", "\"say \"\"hi\"\"\""),
            ("two\nlines", "\"two\nlines\""),
            ("=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0"),
            ("=a,b", "\"'=a,b\""),
            ("+1555", "'+1555"),
            ("-1", "'-1"),
            ("@ada", "'@ada"),
            ("\t=1", "'\t=1"),
            ("\r=1", "\"'\r=1\""),
            ("\n=1", "\"'\n=1\""),
            ("\u{ff1d}1+1", "'\u{ff1d}1+1"),
            ("a\u{202e}fdp.exe", "a<U+202E>fdp.exe"),
            ("\u{202e}\"=1", "\"<U+202E>\"\"=1\""),
            ("a\u{200f}\u{61c}b", "a<U+200F><U+061C>b"),
            ("\0=1\u{1b}[31m\u{85}", "<U+0000>=1<U+001B>[31m<U+0085>"),
            ("\u{feff}=1", "<U+FEFF>=1"),
            ("Zoë 👩‍🚀 नमस्ते", "Zoë 👩‍🚀 नमस्ते"),
        ] {
            let mut line = Vec::new();
            super::line(&mut line, [text, "b"]);
            assert_eq!(String::from_utf8_lossy(&line), format!("{expected},b\r\n"), "{text:?}");
        }
    }
}
