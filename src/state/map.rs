//! The maps of the state.

use std::collections::HashMap;

use foldhash::fast::RandomState;

/// A map keyed by sids. LiveKit draws sids at random, so SipHash would cost a tenth of the fold for nothing. The seed
/// still differs between processes.
pub(super) type Map<K, V> = HashMap<K, V, RandomState>;
