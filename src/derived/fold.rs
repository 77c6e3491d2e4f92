//! The form of a text in which it is searched.

use icu_normalizer::DecomposingNormalizerBorrowed;
use rusqlite::{Connection, functions::FunctionFlags};

/// Returns a text in a form in which texts are equal that differ only in case, accents, or width. `web/src/ui/fold.ts` is
/// the same for the browser, and fixtures/fold.json has examples for both.
pub(super) fn fold(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    let mut folded = String::with_capacity(text.len());
    let apart = DecomposingNormalizerBorrowed::new_nfkd().normalize_iter(text.chars());
    for c in apart.flat_map(char::to_lowercase) {
        match c {
            // Accents, and the vowel signs of Hebrew and Arabic.
            '\u{300}'..='\u{36f}' | '\u{591}'..='\u{5c7}' | '\u{64b}'..='\u{65f}' | '\u{670}' => {}
            // Letters that are not a letter and an accent in Unicode.
            'ß' => folded.push_str("ss"),
            'æ' => folded.push_str("ae"),
            'œ' => folded.push_str("oe"),
            'þ' => folded.push_str("th"),
            'ø' => folded.push('o'),
            'ł' => folded.push('l'),
            'đ' | 'ð' => folded.push('d'),
            'ħ' => folded.push('h'),
            'ı' => folded.push('i'),
            'ς' => folded.push('σ'),
            c => folded.push(c),
        }
    }
    folded
}

/// Adds the SQL function `contains(text, folded)`. The LIKE of SQLite ignores the case of ASCII letters only.
pub(super) fn add_contains(connection: &Connection) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    connection.create_scalar_function("contains", 2, flags, |arguments| {
        let text = arguments.get_raw(0).as_str_or_null()?;
        let folded = arguments.get_raw(1).as_str()?;
        // A text of nothing but accents would match everything.
        Ok(text.is_some_and(|text| !folded.is_empty() && fold(text).contains(folded)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_and_accents_do_not_count() {
        #[derive(serde::Deserialize)]
        struct Examples {
            found: Vec<(String, String)>,
            missing: Vec<(String, String)>,
        }
        let examples: Examples =
            serde_json::from_str(include_str!("../../fixtures/fold.json")).expect("examples");
        // A text of nothing but accents matches nothing.
        let contains = |text: &str, part: &str| !fold(part).is_empty() && fold(text).contains(&fold(part));
        for (text, part) in examples.found {
            assert!(contains(&text, &part), "{part} is not found in {text}");
        }
        for (text, part) in examples.missing {
            assert!(!contains(&text, &part), "{part} is found in {text}");
        }
    }
}
