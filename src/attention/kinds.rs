//! The kinds of conditions. To add one, add a line to the table, a rule to `find` or `occurred`, a section to
//! docs/attention.md, and its words to the dashboard.

use crate::state::entity::condition::Severity::{self, Critical, Notice, Warning};

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $name:literal, $severity:ident;)*) => {
        /// The kind of a condition.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Kind { $($(#[$doc])* $kind),* }

        impl Kind {
            pub const ALL: &'static [Kind] = &[$(Kind::$kind),*];

            pub fn name(self) -> &'static str {
                match self { $(Kind::$kind => $name),* }
            }

            pub fn severity(self) -> Severity {
                match self { $(Kind::$kind => $severity),* }
            }
        }
    };
}

kinds! {
    /// LiveKit's API does not answer.
    LivekitUnreachable = "livekit_unreachable", Critical;
    /// LiveKit refuses the project's API key.
    KeyRejected = "key_rejected", Critical;
    /// Webhooks do not arrive: comparison with LiveKit found what they should have reported.
    WebhooksMissing = "webhooks_missing", Critical;
    /// A webhook could not be stored, so its event may be lost.
    WebhookLost = "webhook_lost", Critical;
    /// A recording or a stream failed.
    EgressFailed = "egress_failed", Critical;
    /// A recording or a stream does not begin.
    EgressStarting = "egress_starting", Warning;
    /// A recording or a stream runs for a room that has ended.
    EgressOrphaned = "egress_orphaned", Warning;
    /// Participants wait in a room without the agent that it should have.
    AgentMissing = "agent_missing", Critical;
    /// An agent is alone in a room.
    AgentAlone = "agent_alone", Warning;
    /// More participants than usual cannot connect.
    JoinsFailing = "joins_failing", Critical;
    /// More participants than usual lose their connection.
    ConnectionsLost = "connections_lost", Warning;
    /// A phone call failed.
    CallFailed = "call_failed", Warning;
    /// An agent ended with an error.
    AgentFailed = "agent_failed", Critical;
    /// LiveKit lists an empty room for longer than its timeouts allow.
    RoomLeftover = "room_leftover", Notice;
    /// A room has been live for very long.
    RoomOld = "room_old", Notice;
    /// The wall clock of this machine has jumped.
    ClockJumped = "clock_jumped", Warning;
    /// A follower of the log is behind, or has failed.
    FollowerBehind = "follower_behind", Warning;
    /// The disk, or the part of it that our files may use, is nearly full.
    DiskNearlyFull = "disk_nearly_full", Critical;
    /// A file of Roomwatch is damaged.
    FileDamaged = "file_damaged", Critical;
    /// Rows of the history were lost with a damaged file.
    HistoryLost = "history_lost", Notice;
    /// A limit has refused readers.
    LimitsReached = "limits_reached", Warning;
    /// A node of the deployment has fallen silent.
    NodeGone = "node_gone", Critical;
    /// A node of the deployment does not follow the log.
    NodeBehind = "node_behind", Warning;
    /// Nodes of the deployment could not reach their log for a time.
    LogAway = "log_away", Critical;
    /// A NATS server does not have the whole of a stream.
    ReplicaMissing = "replica_missing", Warning;
    /// The derived data that new nodes begin with is old.
    BootstrapOld = "bootstrap_old", Warning;
}
