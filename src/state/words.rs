//! Strings and permissions that many entities have in common, kept once.

use std::{collections::HashSet, sync::Arc};

use foldhash::fast::RandomState;

use super::{map::Map, permission::Permission};

/// The shared values of one state. To lose one costs memory only.
#[derive(Clone, Debug, Default)]
pub(super) struct Words {
    texts: HashSet<Arc<str>, RandomState>,
    permissions: Map<Box<str>, Option<Arc<Permission>>>,
}

/// Maximum number of values of each kind that are remembered. At the limit all are dropped, so that unusual input
/// cannot make the tables grow.
const WORDS_MAX: usize = 4_096;

impl Words {
    /// Returns the shared copy of a text.
    pub fn text(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.texts.get(text) {
            return known.clone();
        }
        if self.texts.len() >= WORDS_MAX {
            self.texts.clear();
        }
        let text: Arc<str> = text.into();
        self.texts.insert(text.clone());
        text
    }

    /// Returns the permission in this JSON, or `None` if the JSON is not an object.
    pub fn permission(&mut self, json: &str) -> Option<Arc<Permission>> {
        if let Some(known) = self.permissions.get(json) {
            return known.clone();
        }
        if self.permissions.len() >= WORDS_MAX {
            self.permissions.clear();
        }
        let permission = Permission::parse(json).map(Arc::new);
        self.permissions.insert(json.into(), permission.clone());
        permission
    }
}
