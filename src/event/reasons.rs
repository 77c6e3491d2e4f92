//! LiveKit's disconnect reasons that mean trouble. Events have them in upper case, entities and the history in lower case.
//!
//! Each list is a macro that passes its names on, so that SQL can have them too.

/// Reasons for which a participant leaves without the wish to.
macro_rules! lost_reasons {
    ($list:ident) => {
        $list!("connection_timeout", "signal_close", "state_mismatch", "media_failure")
    };
}

/// Reasons for which a phone call ends without a conversation, and that are not the caller's wish.
macro_rules! call_failures {
    ($list:ident) => {
        $list!("sip_trunk_failure", "user_unavailable", "user_rejected", "join_failure", "media_failure")
    };
}

pub(crate) use call_failures;
pub(crate) use lost_reasons;

macro_rules! names {
    ($($name:literal),*) => { [$($name),*] };
}

pub fn is_lost(reason: &str) -> bool {
    lost_reasons!(names).iter().any(|name| name.eq_ignore_ascii_case(reason))
}

pub fn is_call_failure(reason: &str) -> bool {
    call_failures!(names).iter().any(|name| name.eq_ignore_ascii_case(reason))
}
