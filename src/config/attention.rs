//! The thresholds of conditions: the `[attention]` table of the configuration file.

use serde::{Deserialize, Serialize};

/// The thresholds. 0 turns a kind of condition off.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(as = AttentionRules)]
pub struct AttentionRules {
    /// `livekit_unreachable` and `key_rejected`: seconds without an answer
    pub livekit_unreachable_secs: u32,
    /// `webhooks_missing`: corrections of what a webhook should have reported, within ten minutes
    pub webhooks_missing: u32,
    /// `egress_failed` and `webhook_lost`: hours for which they stay open
    pub failed_hours: u32,
    /// `call_failed` and `agent_failed`: hours for which they stay open
    pub call_failed_hours: u32,
    /// `egress_starting`: seconds without a change
    pub egress_starting_secs: u32,
    /// `egress_orphaned`: seconds after the end of the room
    pub egress_orphaned_secs: u32,
    /// `agent_missing`: seconds for which participants wait
    pub agent_missing_secs: u32,
    /// `agent_alone`: seconds
    pub agent_alone_secs: u32,
    /// `joins_failing`: failures within five minutes
    pub joins_failing: u32,
    /// `connections_lost`: losses within five minutes
    pub connections_lost: u32,
    /// `joins_failing` and `connections_lost`: least multiple of the rate of the three hours before
    pub times_usual: u32,
    /// `room_leftover`: 1 for on
    pub room_leftover: u32,
    /// `room_old`: hours since the room started
    pub room_old_hours: u32,
    /// `follower_behind`: events
    pub follower_behind_events: u32,
    /// `disk_nearly_full`: least free part of the file system, in percent
    pub disk_free_percent: u32,
    /// `disk_nearly_full`: least free space on the file system, in MiB
    pub disk_free_mib: u32,
    /// `disk_nearly_full`: used part of the limit of bytes, in percent
    pub storage_percent: u32,
    /// `limits_reached`: refusals by one limit within `limits_reached_secs`
    pub limits_reached: u32,
    /// `limits_reached`: seconds for which a refusal counts
    pub limits_reached_secs: u32,
    /// `node_gone`, of several nodes: seconds of silence
    pub node_gone_secs: u32,
    /// `node_behind`, of several nodes: seconds without the whole log
    pub node_behind_secs: u32,
    /// `log_away`, of several nodes: seconds for which a node could not reach the log
    pub log_away_secs: u32,
    /// `replica_missing`, of several nodes: seconds for which a NATS server has not had a whole stream
    pub replica_missing_secs: u32,
    /// `bootstrap_old`, of several nodes: hours since the data for new nodes was stored
    pub bootstrap_old_hours: u32,
    /// Rooms that should have an agent
    pub agents: Vec<AgentRule>,
}

impl Default for AttentionRules {
    fn default() -> AttentionRules {
        AttentionRules {
            livekit_unreachable_secs: 20,
            webhooks_missing: 3,
            failed_hours: 24,
            call_failed_hours: 1,
            egress_starting_secs: 60,
            egress_orphaned_secs: 60,
            agent_missing_secs: 30,
            agent_alone_secs: 300,
            joins_failing: 5,
            connections_lost: 10,
            times_usual: 3,
            room_leftover: 1,
            room_old_hours: 12,
            follower_behind_events: 10_000,
            disk_free_percent: 5,
            disk_free_mib: 1_024,
            storage_percent: 95,
            limits_reached: 1,
            limits_reached_secs: 300,
            node_gone_secs: 30,
            node_behind_secs: 30,
            log_away_secs: 10,
            replica_missing_secs: 60,
            bootstrap_old_hours: 2,
            agents: Vec::new(),
        }
    }
}

/// Rooms that should have an agent.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AgentRule {
    /// Without it, the rooms of every project
    #[serde(default)]
    pub project: Option<String>,
    /// Name of a room, or the beginning of names, followed by `*`
    pub rooms: String,
}

impl AgentRule {
    fn has(&self, project: &str, room: &str) -> bool {
        let named = match self.rooms.strip_suffix('*') {
            Some(beginning) => room.starts_with(beginning),
            None => room == self.rooms,
        };
        named && self.project.as_ref().is_none_or(|own| own == project)
    }
}

impl AttentionRules {
    /// Returns true if the room should have an agent.
    pub fn needs_agent(&self, project: &str, room: &str) -> bool {
        self.agents.iter().any(|rule| rule.has(project, room))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_names_rooms_by_their_beginning() {
        let rule = |project: Option<&str>, rooms: &str| AgentRule {
            project: project.map(str::to_owned),
            rooms: rooms.to_owned(),
        };
        let rules = AttentionRules {
            agents: vec![rule(None, "voice-*"), rule(Some("p"), "lobby")],
            ..AttentionRules::default()
        };
        for (project, room, expected) in [
            ("p", "voice-1", true),
            ("q", "voice-", true),
            ("p", "voice", false),
            ("p", "a-voice-1", false),
            ("p", "lobby", true),
            ("q", "lobby", false),
            ("p", "lobby2", false),
        ] {
            assert_eq!(rules.needs_agent(project, room), expected, "{project} {room}");
        }
    }
}
