//! CSV as RFC 4180 has it, safe to open in a spreadsheet.

/// Characters that turn the direction of the text after them: a name could then look like another one.
const TURNING: &[char] = &[
    '\u{202a}', '\u{202b}', '\u{202c}', '\u{202d}', '\u{202e}', '\u{2066}', '\u{2067}', '\u{2068}',
    '\u{2069}',
];

/// Writes one line.
pub fn line<T: AsRef<str>>(to: &mut String, cells: impl IntoIterator<Item = T>) {
    for (n, text) in cells.into_iter().enumerate() {
        if n > 0 {
            to.push(',');
        }
        cell(to, text.as_ref());
    }
    to.push_str("\r\n");
}

/// Writes one cell. A spreadsheet would run a text that begins as a formula does, so an apostrophe comes before it.
fn cell(to: &mut String, text: &str) {
    let quoted = text.contains(['"', ',', '\n', '\r']);
    if quoted {
        to.push('"');
    }
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        to.push('\'');
    }
    for c in text.chars() {
        match c {
            '"' => to.push_str("\"\""),
            c if TURNING.contains(&c) => to.push_str(&format!("<U+{:04X}>", u32::from(c))),
            c => to.push(c),
        }
    }
    if quoted {
        to.push('"');
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
            ("a\u{202e}fdp.exe", "a<U+202E>fdp.exe"),
        ] {
            let mut line = String::new();
            super::line(&mut line, [text, "b"]);
            assert_eq!(line, format!("{expected},b\r\n"), "{text:?}");
        }
    }
}
