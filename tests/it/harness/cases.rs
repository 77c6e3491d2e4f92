//! The number of cases that a property is tried with.

/// Returns `PROPTEST_CASES` if it is set, as in `make nightly`, and `normally` otherwise.
pub fn cases(normally: u32) -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(normally)
}
