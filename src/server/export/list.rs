//! The lists that may be files.

use std::collections::HashMap;

use bytes::Bytes;
use serde_json::value::RawValue;

use crate::derived::DETAIL_ROWS_MAX;

/// Pages of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paging {
    /// One answer has the whole list.
    None,
    /// One answer has the beginning of the list, with at most this number of rows.
    First(usize),
    /// `before` is the place at which the next page begins.
    Before,
    /// The log: the pages go forward, up to the head of the beginning.
    After,
}

/// One list.
pub struct List {
    /// Path of its route.
    pub path: &'static str,
    /// Member of the answer that has the rows.
    pub rows: &'static str,
    /// Name of the file.
    pub name: &'static str,
    pub paging: Paging,
    /// Members of a row, in the order of the columns of CSV.
    pub columns: &'static [&'static str],
}

/// Every list that may be a file. Usage is not among them: its handler writes one short answer.
pub const LISTS: &[List] = &[
    List {
        path: "/api/rooms",
        rows: "rooms",
        name: "rooms",
        paging: Paging::None,
        columns: &[
            "project",
            "name",
            "sid",
            "startedAt",
            "participantCount",
            "publisherCount",
            "agentCount",
            "callCount",
            "trackCounts",
            "recording",
            "stale",
            "lastEventAt",
            "checkedAt",
            "unconfirmedSince",
            "source",
            "metadata",
        ],
    },
    List {
        path: "/api/rooms/{room}/participants",
        rows: "participants",
        name: "participants",
        paging: Paging::None,
        columns: &[
            "project",
            "room",
            "roomSid",
            "sid",
            "identity",
            "name",
            "kind",
            "state",
            "joinedAt",
            "hidden",
            "watcher",
            "region",
            "disconnectReason",
            "permission",
            "tracks",
            "attributes",
            "metadata",
        ],
    },
    List {
        path: "/api/sessions",
        rows: "sessions",
        name: "sessions",
        paging: Paging::Before,
        columns: &[
            "project",
            "room",
            "sid",
            "startedAt",
            "endedAt",
            "endReason",
            "endedBy",
            "participantCount",
            "peak",
            "publisherCount",
            "agentCount",
            "callCount",
            "participantMinutes",
            "agentMinutes",
            "callMinutes",
            "lostConnections",
            "failedAgents",
            "failedCalls",
            "failedRecordings",
            "recorded",
            "recordingOutcome",
            "source",
        ],
    },
    List {
        path: "/api/sessions/{sid}",
        rows: "participations",
        name: "participants",
        paging: Paging::First(DETAIL_ROWS_MAX),
        columns: &[
            "identity",
            "name",
            "sid",
            "kind",
            "joinedAt",
            "leftAt",
            "leftNotBefore",
            "disconnectReason",
            "removedBy",
            "hidden",
            "watcher",
            "source",
        ],
    },
    List {
        path: "/api/events",
        rows: "events",
        name: "events",
        paging: Paging::After,
        columns: &["cursor", "timestamp", "type", "project", "room", "source", "data"],
    },
    List {
        path: "/api/calls",
        rows: "calls",
        name: "calls",
        paging: Paging::Before,
        columns: &[
            "project",
            "room",
            "roomSid",
            "startedAt",
            "endedAt",
            "endedNotBefore",
            "identity",
            "name",
            "number",
            "direction",
            "outcome",
            "answered",
            "status",
            "disconnectReason",
            "trunkNumber",
            "trunkId",
            "callId",
            "participantSid",
        ],
    },
    List {
        path: "/api/egress",
        rows: "egress",
        name: "recordings",
        paging: Paging::Before,
        columns: &[
            "project",
            "room",
            "roomSid",
            "egressId",
            "kind",
            "status",
            "live",
            "beganAt",
            "startedAt",
            "endedAt",
            "durationMs",
            "sizeBytes",
            "outputs",
            "error",
            "details",
        ],
    },
    List {
        path: "/api/agents",
        rows: "agents",
        name: "agents",
        paging: Paging::None,
        columns: &[
            "project",
            "name",
            "live",
            "lastSeenAt",
            "sessionsDay",
            "sessionsWeek",
            "minutesWeek",
            "failuresDay",
            "failuresWeek",
            "rooms",
        ],
    },
    List {
        path: "/api/attention",
        rows: "conditions",
        name: "conditions",
        paging: Paging::None,
        columns: &[
            "project",
            "severity",
            "kind",
            "since",
            "openedAt",
            "endsAt",
            "room",
            "roomSid",
            "participant",
            "egressId",
            "values",
            "acknowledged",
            "id",
            "evidence",
        ],
    },
    List {
        path: "/api/audit",
        rows: "entries",
        name: "audit",
        paging: Paging::Before,
        columns: &["at", "user", "action", "project", "room", "target", "outcome", "code", "reason"],
    },
];

/// The rows of one page. They share its bytes.
pub struct Page {
    pub rows: Vec<Bytes>,
    /// Place of the next page; `None` at the end.
    pub next: Option<String>,
}

impl List {
    /// Reads one page: the answer of the handler.
    pub fn page(&self, text: &Bytes) -> Result<Page, serde_json::Error> {
        let members: HashMap<&str, &RawValue> = serde_json::from_slice(text)?;
        let rows: Vec<&RawValue> = match members.get(self.rows) {
            Some(rows) => serde_json::from_str(rows.get())?,
            None => Vec::new(),
        };
        let next = match members.get("next") {
            Some(next) => serde_json::from_str(next.get())?,
            None => None,
        };
        Ok(Page { rows: rows.iter().map(|row| text.slice_ref(row.get().as_bytes())).collect(), next })
    }
}
