//! The event types that a reader asks for: patterns, compiled once.
//!
//! Clients choose the patterns, and every event is compared with them. So the answer for each type that LiveKit has is
//! computed when the filter is made. An event of such a type costs a look at one bit, whatever the patterns are. A type
//! that is new in LiveKit is compared with each pattern, in time linear in the type's own length.

use std::collections::BTreeSet;

use crate::event::Kind;

/// Event types, as one or more patterns. An event matches if one of them matches its type.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Types {
    patterns: BTreeSet<Pattern>,
    /// One bit for each name in [`Kind::KNOWN`]: set if a pattern matches it.
    known: u64,
}

impl Types {
    pub fn new(patterns: &[String]) -> Types {
        const { assert!(Kind::KNOWN.len() <= 64, "one bit for each known type") };
        let patterns: BTreeSet<_> = patterns.iter().map(|text| Pattern::new(text)).collect();
        let matched = |name: &str| patterns.iter().any(|pattern| pattern.matches(name));
        let known = Kind::KNOWN.iter().enumerate().filter(|(_, name)| matched(name));
        let known = known.fold(0, |bits, (index, _)| bits | 1 << index);
        Types { patterns, known }
    }

    /// Returns true if the type `wire` matches. `known` is its index in [`Kind::KNOWN`], if it is there.
    pub fn matches(&self, known: Option<usize>, wire: &str) -> bool {
        match known {
            Some(index) => self.known >> index & 1 == 1,
            None => self.patterns.iter().any(|pattern| pattern.matches(wire)),
        }
    }
}

/// A pattern in which `*` stands for any run of characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Pattern {
    /// The texts before, between and after the stars. Only the first and the last may be empty.
    parts: Box<[Box<str>]>,
    /// Length of all parts. A shorter text cannot match.
    length: usize,
}

impl Pattern {
    fn new(text: &str) -> Pattern {
        let last = text.matches('*').count();
        let parts = text.split('*').enumerate();
        // Stars in a row are one star.
        let parts = parts.filter(|(i, part)| *i == 0 || *i == last || !part.is_empty());
        let parts: Box<[Box<str>]> = parts.map(|(_, part)| part.into()).collect();
        Pattern { length: parts.iter().map(|part| part.len()).sum(), parts }
    }

    /// Each part is found at its first place after the part before it. So no byte of the text is compared twice, and the
    /// number of parts is at most the length of the text plus two.
    fn matches(&self, text: &str) -> bool {
        let (first, middle, last) = match &*self.parts {
            [first, middle @ .., last] => (first, middle, last),
            [one] => return **one == *text,
            [] => return false,
        };
        if text.len() < self.length {
            return false;
        }
        let rest = text.strip_prefix(&**first).and_then(|rest| rest.strip_suffix(&**last));
        let Some(mut rest) = rest else { return false };
        for part in middle {
            #[cfg(test)]
            tests::COMPARED.with(|compared| compared.set(compared.get() + 1));
            let Some(at) = rest.find(&**part) else { return false };
            rest = &rest[at + part.len()..];
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use proptest::prelude::*;

    use super::*;

    thread_local! {
        /// Number of comparisons of a part of a pattern with a text.
        pub static COMPARED: Cell<usize> = const { Cell::new(0) };
    }

    #[test]
    fn a_star_matches_any_characters() {
        for (pattern, text, expected) in [
            ("track_*", "track_published", true),
            ("track_*", "track_", true),
            ("track_*", "room_started", false),
            ("*", "", true),
            ("***", "", true),
            ("*_*ed", "room_started", true),
            ("*started", "room_started", true),
            ("room*started*", "room_started", true),
            ("room", "room_started", false),
            ("", "x", false),
            ("", "", true),
            ("a*a", "a", false),
            ("a**b***c", "aXbYbZc", true),
            ("a*b*c", "aXbYbZ", false),
            ("*é*", "café", true),
        ] {
            assert_eq!(Pattern::new(pattern).matches(text), expected, "{pattern} on {text}");
        }
    }

    /// The plain definition: a star takes nothing, or one more character.
    fn matches_slowly(pattern: &[char], text: &[char]) -> bool {
        match (pattern, text) {
            ([], text) => text.is_empty(),
            (['*', rest @ ..], text) => {
                matches_slowly(rest, text) || (!text.is_empty() && matches_slowly(pattern, &text[1..]))
            }
            ([one, rest @ ..], [first, text @ ..]) => one == first && matches_slowly(rest, text),
            (_, []) => false,
        }
    }

    proptest! {
        #[test]
        fn it_is_the_plain_definition_in_linear_time(pattern in "[ab*]{0,12}", text in "[ab]{0,12}") {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            COMPARED.set(0);
            let matched = Pattern::new(&pattern).matches(&text);
            prop_assert!(COMPARED.get() <= text.len() + 2);
            prop_assert_eq!(matched, matches_slowly(&chars(&pattern), &chars(&text)));
        }
    }

    #[test]
    fn a_known_type_costs_nothing_and_a_new_one_its_own_length() {
        let patterns: Vec<_> = (0..100).map(|i| format!("{}x{i}", "*a*b".repeat(500))).collect();
        let (types, all) = (Types::new(&patterns), Types::new(&["*".into(), "room_*".into()]));
        COMPARED.set(0);
        for (index, name) in Kind::KNOWN.iter().enumerate() {
            assert!(!types.matches(Some(index), name) && all.matches(Some(index), name), "{name}");
        }
        assert_eq!(COMPARED.get(), 0, "known types need no comparison");
        assert!(!types.matches(None, &"ab".repeat(20)));
        assert_eq!(COMPARED.get(), 0, "a pattern longer than the type is not compared");
        let stars: Vec<_> = (0..100).map(|i| format!("{}{i}", "*".repeat(2_000))).collect();
        let stars = Types::new(&stars);
        assert!(!stars.matches(None, "room_exploded"));
        assert!(COMPARED.get() <= 100 * "room_exploded".len());
    }
}
