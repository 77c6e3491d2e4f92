//! Server-sent events, read as the [HTML standard](https://html.spec.whatwg.org/multipage/server-sent-events.html) says:
//! a proxy may cut the stream anywhere and change the ends of its lines.

/// Maximum length of a line. A server that sends a longer one is not Roomwatch.
pub const LINE_BYTES_MAX: usize = 64 << 20;

/// A server-sent event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// Empty for the default type.
    pub event: String,
    pub data: String,
}

/// The state of one connection.
#[derive(Default)]
pub struct Reader {
    /// Bytes of a line that has not ended.
    line: Vec<u8>,
    /// True until the first line, before which a byte order mark may be.
    begun: bool,
    /// True after a CR: an LF that follows belongs to it.
    after_cr: bool,
    message: Message,
    has_data: bool,
    id: String,
    /// The last id of an event, or empty. The next connection continues after it.
    pub last_id: String,
    /// The pause before the next connection, in milliseconds.
    pub retry_ms: Option<u64>,
}

impl Reader {
    /// Reads the next bytes, up to the end of an event. Returns the event, and the number of bytes that were read.
    pub fn read(&mut self, bytes: &[u8]) -> (Option<Message>, usize) {
        let mut read = 0;
        while read < bytes.len() {
            let rest = &bytes[read..];
            if std::mem::take(&mut self.after_cr) && rest[0] == b'\n' {
                read += 1;
                continue;
            }
            let Some(at) = memchr::memchr2(b'\n', b'\r', rest) else {
                self.line.extend_from_slice(rest);
                return (None, bytes.len());
            };
            self.line.extend_from_slice(&rest[..at]);
            self.after_cr = rest[at] == b'\r';
            read += at + 1;
            let line = std::mem::take(&mut self.line);
            if let Some(message) = self.line(&line) {
                return (Some(message), read);
            }
        }
        (None, read)
    }

    /// Returns true if the line that has not ended is too long.
    pub fn is_too_long(&self) -> bool {
        self.line.len() > LINE_BYTES_MAX
    }

    /// Takes one line. Returns the event that it ends.
    fn line(&mut self, line: &[u8]) -> Option<Message> {
        let line = String::from_utf8_lossy(line);
        let is_first = !std::mem::replace(&mut self.begun, true);
        let line = line.strip_prefix('\u{feff}').filter(|_| is_first).unwrap_or(&line);
        if line.is_empty() {
            self.last_id.clone_from(&self.id);
            let message = std::mem::take(&mut self.message);
            return std::mem::take(&mut self.has_data).then_some(message);
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" if !value.contains('\0') => self.id = value.to_owned(),
            "event" => self.message.event = value.to_owned(),
            "data" => {
                if std::mem::replace(&mut self.has_data, true) {
                    self.message.data.push('\n');
                }
                self.message.data.push_str(value);
            }
            "retry" if value.bytes().all(|byte| byte.is_ascii_digit()) => {
                self.retry_ms = value.parse().ok().or(self.retry_ms);
            }
            _ => {}
        }
        None
    }
}

/// The cases of launchdarkly/sse-contract-tests that are about the content of a stream.
#[cfg(test)]
mod tests {
    use super::*;

    /// Reads the chunks, and returns each event as its id, type and data.
    fn events(chunks: &[&[u8]]) -> Vec<(String, String, String)> {
        let mut reader = Reader::default();
        let mut events = Vec::new();
        for chunk in chunks {
            let mut from = 0;
            while from < chunk.len() {
                let (message, read) = reader.read(&chunk[from..]);
                from += read;
                events.extend(message.map(|Message { event, data }| (reader.last_id.clone(), event, data)));
            }
        }
        events
    }

    /// Holds a text to its events, in one chunk and in pieces of one, two and three bytes.
    #[track_caller]
    fn check(text: &str, expected: &[(&str, &str, &str)]) {
        let expected: Vec<_> = expected
            .iter()
            .map(|(id, event, data)| (id.to_string(), event.to_string(), data.to_string()))
            .collect();
        for size in [usize::MAX, 1, 2, 3] {
            let chunks: Vec<_> = text.as_bytes().chunks(size.min(text.len())).collect();
            assert_eq!(events(&chunks), expected, "{text:?} in pieces of {size}");
        }
    }

    #[test]
    fn basic_parsing() {
        check("data: Hello\n\n", &[("", "", "Hello")]);
        check("data: testtest\n\ndata:test\n\n", &[("", "", "testtest"), ("", "", "test")]);
        check("data: Hello\ndata:World\n\n", &[("", "", "Hello\nWorld")]);
        check("data:\n\n", &[("", "", "")]);
        check("event: greeting\ndata: Hello\n\n", &[("", "greeting", "Hello")]);
        check("id: abc\ndata: Hello\n\n", &[("abc", "", "Hello")]);
        check("data: Hello\nid: abc\nevent: greeting\n\n", &[("abc", "greeting", "Hello")]);
        check("id: a\0bc\ndata: Hello\n\n", &[("", "", "Hello")]);
        check("id: abc\ndata: first\n\ndata: second\n\n", &[("abc", "", "first"), ("abc", "", "second")]);
        check("id: abc\ndata: first\n\nid: \ndata: second\n\n", &[("abc", "", "first"), ("", "", "second")]);
        check("event: greeting\ncolor: blue\ndata: Hello\n\n", &[("", "greeting", "Hello")]);
        check("event:  greeting\ndata:  Hello\n\n", &[("", " greeting", " Hello")]);
        check("data\n\ndata\ndata\n\n", &[("", "", ""), ("", "", "\n")]);
        check("data: €豆腐\n\n", &[("", "", "€豆腐")]);
        check("event: greeting\n\ndata: Hello\n\n", &[("", "", "Hello")]);
        check("id: abc\n\ndata: Hello\n\n", &[("abc", "", "Hello")]);
        check(":Hello\n:\n\n:World\ndata: Hello\n:Hello\n\n", &[("", "", "Hello")]);
        check("data: Hello\n\nid: def\ndata: Goodbye", &[("", "", "Hello")]);
        let many: String = (0..100).map(|n| format!("data: message {n}\n\n")).collect();
        let texts: Vec<_> = (0..100).map(|n| format!("message {n}")).collect();
        check(&many, &texts.iter().map(|text| ("", "", &**text)).collect::<Vec<_>>());
        let large = "x".repeat(5 << 20);
        let halves = [format!("data: {large}"), format!("{large}\n\n")];
        assert_eq!(events(&[halves[0].as_bytes(), halves[1].as_bytes()])[0].2.len(), 10 << 20);
    }

    #[test]
    fn ends_of_lines() {
        for end in ["\n", "\r\n", "\r"] {
            let text = |lines: &str| lines.replace('\n', end);
            check(
                &text("data: event 1\n\ndata: event 2 line 1\ndata: event 2 line 2\n\n"),
                &[("", "", "event 1"), ("", "", "event 2 line 1\nevent 2 line 2")],
            );
            check(&text("data:\ndata: line2\ndata: line3\n\n"), &[("", "", "\nline2\nline3")]);
            check(&text("data: line1\ndata:\ndata: line3\n\n"), &[("", "", "line1\n\nline3")]);
            check(
                &text("data: event 1\n\n\n\ndata: event 2\n\n"),
                &[("", "", "event 1"), ("", "", "event 2")],
            );
        }
        let cut: [&[u8]; 6] =
            [b"data: Hello\r", b"\ndata: World\r", b"\n\r\ndata: OK\r", b"\n", b"\r", b"\n"];
        let expected = ["Hello\nWorld", "OK"].map(|data| (String::new(), String::new(), data.to_owned()));
        assert_eq!(events(&cut), expected);
    }

    #[test]
    fn byte_order_marks() {
        check("\u{feff}data: Hello\n\n", &[("", "", "Hello")]);
        check("\u{feff}event: greeting\nid: abc\ndata: Hello\n\n", &[("abc", "greeting", "Hello")]);
        check("data: First\n\ndata: \u{feff}Second\n\n", &[("", "", "First"), ("", "", "\u{feff}Second")]);
        check("\u{feff}data: \u{feff}Hello\n\n", &[("", "", "\u{feff}Hello")]);
        check("\u{feff}:comment\ndata: Hello\n\n", &[("", "", "Hello")]);
        check("\u{feff}data:\n\n", &[("", "", "")]);
    }

    #[test]
    fn retry_is_digits_only() {
        for (text, expected) in [
            ("retry: 1500\n\n", Some(1500)),
            ("retry:\n\n", None),
            ("retry: +5\n\n", None),
            ("retry: 5s\n\n", None),
            ("retry: 20\nretry: x\n\n", Some(20)),
        ] {
            let mut reader = Reader::default();
            reader.read(text.as_bytes());
            assert_eq!(reader.retry_ms, expected, "{text:?}");
        }
    }
}
