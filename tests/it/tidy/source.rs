//! A Rust file as the rules see it: the paths in its code, its comments and its string literals.

/// One source file. Lines count from 1.
pub struct Source {
    /// Relative to `src/`, for example `server/api/rooms.rs`.
    pub path: String,
    /// Every path in the code: `crate::log::EventLog`, `Instant::now`, `unsafe`. A `use` with braces is one path for each
    /// of its leaves. Test modules are left out.
    pub paths: Vec<(usize, Vec<String>)>,
    /// Number of lines that have code, without test modules.
    pub code_lines: usize,
    /// Comments, string literals and names of functions, test modules included.
    pub texts: Vec<Text>,
}

/// A comment line, a string literal, or the words of a function's name.
#[derive(Debug, PartialEq)]
pub struct Text {
    pub line: usize,
    pub text: String,
    /// The first line of a doc comment.
    pub begins_doc: bool,
}

impl Source {
    pub fn of(path: &str, text: &str) -> Source {
        let (code, mut texts) = strip(text);
        texts.extend(functions(&code));
        let code = without_test_modules(&code);
        let code_lines = code.lines().filter(|line| !line.trim().is_empty()).count();
        Source { path: path.to_owned(), paths: paths(&code), code_lines, texts }
    }

    /// The module of the file, for example `["server", "api", "rooms"]`.
    pub fn module(&self) -> Vec<String> {
        let path = self.path.trim_end_matches(".rs");
        if matches!(path, "lib" | "main") { Vec::new() } else { path.split('/').map(str::to_owned).collect() }
    }
}

/// Returns the code with comments and literals blanked, lines unchanged, and what was blanked.
fn strip(text: &str) -> (String, Vec<Text>) {
    let chars: Vec<char> = text.chars().collect();
    let mut code = String::with_capacity(text.len());
    let mut texts: Vec<Text> = Vec::new();
    let mut line = 1;
    let mut doc_until: Option<usize> = None;
    let mut i = 0;
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    while i < chars.len() {
        let rest = &chars[i..];
        let (length, kind) = match rest {
            ['/', '/', ..] => (rest.iter().position(|c| *c == '\n').unwrap_or(rest.len()), Blank::Comment),
            ['/', '*', ..] => (block_comment(rest), Blank::Comment),
            ['"', ..] => (string(rest), Blank::Literal),
            ['r' | 'b' | 'c', ..] if i == 0 || !is_word(chars[i - 1]) => match prefixed_string(rest) {
                Some(length) => (length, Blank::Literal),
                None => (0, Blank::Literal),
            },
            ['\'', '\\', ..] => {
                (3 + rest[3..].iter().position(|c| *c == '\'').map_or(0, |at| at + 1), Blank::Literal)
            }
            ['\'', _, '\'', ..] => (3, Blank::Literal),
            _ => (0, Blank::Literal),
        };
        if length == 0 {
            line += usize::from(chars[i] == '\n');
            code.push(chars[i]);
            i += 1;
            continue;
        }
        let piece: String = rest[..length].iter().collect();
        for part in piece.split('\n') {
            let doc = kind == Blank::Comment && (part.starts_with("///") || part.starts_with("//!"));
            texts.push(Text {
                line,
                text: part.to_owned(),
                begins_doc: doc && doc_until.is_none_or(|until| until + 1 != line),
            });
            if doc {
                doc_until = Some(line);
            }
            line += 1;
        }
        line -= 1;
        // A literal is something, a comment is nothing.
        code.push_str(if kind == Blank::Literal { "0" } else { " " });
        code.extend(rest[..length].iter().filter(|c| **c == '\n'));
        i += length;
    }
    (code, texts)
}

/// The names of functions, as words.
fn functions(code: &str) -> Vec<Text> {
    let name = |(n, line): (usize, &str)| {
        let (_, after) = line.split_once("fn ")?;
        let end = after.find(|c: char| !c.is_alphanumeric() && c != '_')?;
        Some(Text { line: n + 1, text: after[..end].replace('_', " "), begins_doc: false })
    };
    code.lines().enumerate().filter_map(name).collect()
}

#[derive(Clone, Copy, PartialEq)]
enum Blank {
    Comment,
    Literal,
}

fn block_comment(rest: &[char]) -> usize {
    let (mut depth, mut i) = (0, 0);
    while i < rest.len() {
        match &rest[i..] {
            ['/', '*', ..] => (depth, i) = (depth + 1, i + 2),
            ['*', '/', ..] => (depth, i) = (depth - 1, i + 2),
            _ => i += 1,
        }
        if depth == 0 {
            return i;
        }
    }
    rest.len()
}

fn string(rest: &[char]) -> usize {
    let mut i = 1;
    while i < rest.len() {
        match rest[i] {
            '\\' => i += 2,
            '"' => return i + 1,
            _ => i += 1,
        }
    }
    rest.len()
}

/// `r"…"`, `br#"…"#`, `b"…"`, `c"…"`. `None` if an identifier begins here.
fn prefixed_string(rest: &[char]) -> Option<usize> {
    let raw = rest.iter().take(2).position(|c| *c == 'r');
    let prefix = rest.iter().take_while(|c| matches!(c, 'r' | 'b' | 'c')).count();
    let hashes = rest[prefix..].iter().take_while(|c| **c == '#').count();
    if prefix > 2 || rest.get(prefix + hashes) != Some(&'"') || (hashes > 0 && raw.is_none()) {
        return None;
    }
    if raw.is_none() {
        return Some(prefix + string(&rest[prefix..]));
    }
    let mut end = vec!['"'];
    end.resize(1 + hashes, '#');
    let body = prefix + hashes + 1;
    let length = rest[body..].windows(end.len()).position(|window| window == end)?;
    Some(body + length + end.len())
}

/// Blanks `#[cfg(test)] mod … { … }`, as rustfmt writes it.
fn without_test_modules(code: &str) -> String {
    let mut out = String::with_capacity(code.len());
    let mut lines = code.lines().peekable();
    while let Some(line) = lines.next() {
        let tests = line == "#[cfg(test)]" && lines.peek().is_some_and(|next| next.starts_with("mod "));
        out.push_str(if tests { "" } else { line });
        out.push('\n');
        if tests {
            for line in lines.by_ref() {
                out.push('\n');
                if line == "}" || line.ends_with(';') && line.starts_with("mod ") {
                    break;
                }
            }
        }
    }
    out
}

enum Token {
    Word(String),
    Sep,
    Char(char),
}

/// Every path in the code.
fn paths(code: &str) -> Vec<(usize, Vec<String>)> {
    let mut tokens: Vec<(usize, Token)> = Vec::new();
    for (n, line) in code.lines().enumerate() {
        let mut chars = line.chars().peekable();
        while let Some(c) = chars.next() {
            let token = if c.is_alphanumeric() || c == '_' {
                let mut word = String::from(c);
                while let Some(c) = chars.next_if(|c| c.is_alphanumeric() || *c == '_') {
                    word.push(c);
                }
                Token::Word(word)
            } else if c == ':' && chars.next_if_eq(&':').is_some() {
                Token::Sep
            } else if c.is_whitespace() {
                continue;
            } else {
                Token::Char(c)
            };
            tokens.push((n + 1, token));
        }
    }
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        match tokens[at].1 {
            Token::Word(_) => at = tree(&tokens, at, &[], &mut found),
            _ => at += 1,
        }
    }
    found
}

/// Reads a path or a tree of paths at `at`, and returns the position after it.
fn tree(
    tokens: &[(usize, Token)],
    mut at: usize,
    before: &[String],
    found: &mut Vec<(usize, Vec<String>)>,
) -> usize {
    let mut path = before.to_vec();
    let line = tokens.get(at).map_or(0, |(line, _)| *line);
    while let Some((_, token)) = tokens.get(at) {
        match token {
            Token::Word(word) => path.push(word.clone()),
            Token::Char('{') if !path.is_empty() => {
                at += 1;
                loop {
                    match tokens.get(at) {
                        Some((_, Token::Char('}'))) => return at + 1,
                        Some((_, Token::Word(_))) => at = tree(tokens, at, &path, found),
                        Some(_) => at += 1,
                        None => return at,
                    }
                }
            }
            _ => break,
        }
        at += 1;
        match tokens.get(at) {
            Some((_, Token::Sep)) => at += 1,
            _ => break,
        }
    }
    found.push((line, path));
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths_of(text: &str) -> Vec<String> {
        let source = Source::of("x.rs", text);
        source.paths.into_iter().map(|(line, path)| format!("{line} {}", path.join("::"))).collect()
    }

    #[test]
    fn a_use_is_one_path_for_each_leaf() {
        assert_eq!(
            paths_of("use crate::{\n    event::{Event, Seq},\n    log::sqlite::*,\n};\n"),
            ["1 use", "2 crate::event::Event", "2 crate::event::Seq", "3 crate::log::sqlite"]
        );
    }

    #[test]
    fn paths_in_code_are_found_and_those_in_comments_and_literals_are_not() {
        let text = "/// crate::a::B\nfn f<'a>(x: &'a str) { // crate::c\n    let s = \"crate::d\\\" crate::e\"; let c = '\"';\n    \
                    let r = r#\"crate::f\"#;\n    crate::g::h(b'x')\n}\n/* crate::i\n crate::j */\nstd::time::Instant::now();\n";
        let found = paths_of(text);
        let crates: Vec<_> = found.iter().filter(|path| path.contains("::")).collect();
        assert_eq!(crates, ["5 crate::g::h", "9 std::time::Instant::now"]);
    }

    #[test]
    fn test_modules_have_no_paths_and_no_lines_of_code() {
        let text = "fn f() {}\n\n#[cfg(test)]\nmod tests {\n    use crate::a;\n}\n\n// A comment.\nfn g() { crate::b::c() }\n";
        let source = Source::of("x.rs", text);
        assert_eq!(source.code_lines, 2);
        assert!(source.paths.iter().all(|(_, path)| path != &["crate", "a"]));
        assert!(source.paths.contains(&(9, vec!["crate".into(), "b".into(), "c".into()])));
    }

    #[test]
    fn texts_are_comments_literals_and_names_with_their_lines() {
        let source = Source::of(
            "x.rs",
            "/// One.\n/// Two.\nfn a_name() {\n    g(\"three\");\n}\n/// Four.\nfn h() {}\n",
        );
        let texts: Vec<_> = source.texts.iter().map(|t| (t.line, &*t.text, t.begins_doc)).collect();
        assert_eq!(
            texts,
            [
                (1, "/// One.", true),
                (2, "/// Two.", false),
                (4, "\"three\"", false),
                (6, "/// Four.", true),
                (3, "a name", false),
                (7, "h", false)
            ]
        );
    }
}
