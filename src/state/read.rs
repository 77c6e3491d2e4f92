//! Reads values out of LiveKit's JSON for the fold.
//!
//! An authentic event is never refused, so nothing here can fail because of one field: a field that is absent, null or
//! of an unexpected type is its zero value, 64-bit numbers may be strings or numbers, enums stay text, and of a key
//! that is repeated the last value counts. Text is borrowed from the body. What the fold does not need is skipped
//! without being read: that is most of the bytes.

use std::{borrow::Cow, marker::PhantomData};

use crate::json::scan::Scan;

/// A value that can be read from any JSON value. What it was before is dropped.
pub(super) trait Read<'a>: Default {
    fn read(&mut self, from: &mut Scan<'a>);
}

/// A string, or the digits of a number: LiveKit writes an enum value that it does not know as a number.
#[derive(Default)]
pub(super) struct Text<'a>(Cow<'a, str>);

/// An integer, written as a number or as a string of digits. Negative and broken ones are 0.
#[derive(Clone, Copy, Default)]
pub(super) struct Int(pub u64);

/// True only for the JSON value `true`.
#[derive(Clone, Copy, Default)]
pub(super) struct Flag(pub bool);

/// True if the member has any value but null.
#[derive(Clone, Copy, Default)]
pub(super) struct Present(pub bool);

/// An array. Any other value is an empty one.
pub(super) struct List<T>(pub Vec<T>);

/// JSON as it is written.
#[derive(Clone, Copy, Default)]
pub(super) struct Raw<'a>(&'a str);

/// An object that few events have. It is read when it is used, so that the other events do not pay for it.
pub(super) struct Later<'a, T>(&'a str, PhantomData<T>);

/// A flag whose absence differs from `false`.
#[derive(Clone, Copy, Default)]
pub(super) struct OptionalFlag(pub Option<bool>);

/// LiveKit's egress and ingress carry nanoseconds.
pub(super) const NS_PER_MS: u64 = 1_000_000;

impl Int {
    /// Returns unix milliseconds from a pair of members; older senders have only the seconds.
    pub fn millis(ms: Int, secs: Int) -> u64 {
        if ms.0 > 0 { ms.0 } else { secs.0.saturating_mul(1000) }
    }
}

impl<T> Default for Later<'_, T> {
    fn default() -> Self {
        Later("", PhantomData)
    }
}

impl<'a, T: Read<'a>> Later<'a, T> {
    pub fn get(&self) -> T {
        let mut value = T::default();
        value.read(&mut Scan::new(self.0));
        value
    }

    /// Returns the value if it is an object.
    pub fn object(&self) -> Option<T> {
        self.0.starts_with('{').then(|| self.get())
    }
}

impl<'a> From<&'a str> for Text<'a> {
    fn from(text: &'a str) -> Text<'a> {
        Text(Cow::Borrowed(text))
    }
}

impl<T> Default for List<T> {
    fn default() -> Self {
        List(Vec::new())
    }
}

impl std::ops::Deref for Text<'_> {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl Raw<'_> {
    /// Returns the text of the value if it is an object that is not empty.
    pub fn object(&self) -> Option<&str> {
        (self.0.len() > 2 && self.0.starts_with('{')).then_some(self.0)
    }
}

impl<'a> Read<'a> for Text<'a> {
    fn read(&mut self, from: &mut Scan<'a>) {
        self.0 = match from.peek() {
            b'"' => from.string(),
            b'-' | b'0'..=b'9' => {
                let number = from.token();
                let whole = number.parse::<u64>().is_ok() || number.parse::<i64>().is_ok();
                Cow::Borrowed(if whole { number } else { "" })
            }
            _ => {
                from.skip();
                Cow::default()
            }
        };
    }
}

impl<'a> Read<'a> for Int {
    fn read(&mut self, from: &mut Scan<'a>) {
        self.0 = match from.peek() {
            b'"' => from.quoted_digits().unwrap_or_else(|| from.string().parse().unwrap_or(0)),
            b'-' | b'0'..=b'9' => {
                let number = from.token();
                // The cast saturates, and NaN becomes 0.
                number.parse().unwrap_or_else(|_| number.parse::<f64>().unwrap_or(0.0) as u64)
            }
            _ => {
                from.skip();
                0
            }
        };
    }
}

impl<'a> Read<'a> for Raw<'a> {
    fn read(&mut self, from: &mut Scan<'a>) {
        self.0 = from.raw();
    }
}

impl<'a, T> Read<'a> for Later<'a, T> {
    fn read(&mut self, from: &mut Scan<'a>) {
        self.0 = from.raw();
    }
}

impl<'a> Read<'a> for Flag {
    fn read(&mut self, from: &mut Scan<'a>) {
        self.0 = from.raw() == "true";
    }
}

impl<'a> Read<'a> for Present {
    fn read(&mut self, from: &mut Scan<'a>) {
        self.0 = from.raw() != "null";
    }
}

impl<'a> Read<'a> for OptionalFlag {
    fn read(&mut self, from: &mut Scan<'a>) {
        self.0 = match from.raw() {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        };
    }
}

impl<'a, T: Read<'a>> Read<'a> for List<T> {
    fn read(&mut self, from: &mut Scan<'a>) {
        self.0.clear();
        if from.enters(b'[') {
            while from.element() {
                let mut element = T::default();
                element.read(from);
                self.0.push(element);
            }
        }
    }
}

/// Defines what is read of one JSON object: a member is one entry.
macro_rules! object {
    ($(#[$doc:meta])* $name:ident$(<$life:lifetime>)? { $($field:ident: $type:ty = $key:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Default)]
        pub(in crate::state) struct $name$(<$life>)? { $(pub $field: $type,)* }

        impl<'a> $crate::state::read::Read<'a> for $name$(<$life>)? {
            fn read(&mut self, from: &mut $crate::json::scan::Scan<'a>) {
                *self = Self::default();
                if from.enters(b'{') {
                    while let Some(key) = from.key() {
                        match key {
                            $($key => $crate::state::read::Read::read(&mut self.$field, from),)*
                            _ => from.skip(),
                        }
                    }
                }
            }
        }
    };
}
pub(super) use object;
