//! Compares egress and ingress, which LiveKit lists by themselves.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Map, Value, json};

use super::{About, Compare, Compared, DIFFERS, Doubts, LISTED, UNLISTED, about};
use crate::{
    event::{Kind, Seq},
    livekit::{integer, text as id},
};

impl Compare<'_> {
    /// Returns when an egress or ingress last changed, by our clock.
    fn changed_at(&self, started_at: u64, updated_at_ns: u64) -> u64 {
        self.state.ours(self.project, started_at.max(updated_at_ns / 1_000_000))
    }

    /// Compares the egress of a project. An egress that ended after `since` and is unknown is reported too: its recording
    /// exists. `asked_for` returns true for the ids that the list would have: none if it was cut. The first list ends
    /// nothing by what it lacks (`may_end`).
    pub fn egress(
        &self,
        listed: &[Map<String, Value>],
        since: u64,
        asked_for: impl Fn(&str) -> bool,
        may_end: bool,
        doubts: &mut Doubts,
    ) -> Compared {
        let mut ask_again = Vec::new();
        let ids: Vec<&str> = listed.iter().filter_map(|info| id(info, "egressId")).collect();
        let rooms: Vec<&str> = listed.iter().filter_map(|info| id(info, "roomId")).collect();
        let mut draft = self.draft(&rooms, &ids);
        let known: BTreeMap<Arc<str>, _> = self
            .state
            .egress(self.project)
            .map(|egress| (egress.egress_id.clone(), egress.clone()))
            .collect();
        for egress in known.values().filter(|egress| asked_for(&egress.egress_id)) {
            if ids.contains(&&*egress.egress_id) {
                doubts.is_there(&egress.egress_id);
                continue;
            }
            let recent = self.changed_at(egress.started_at, egress.updated_at_ns);
            let mut again = false;
            let has_vanished = self.has_vanished(&egress.egress_id, recent, doubts, &mut again);
            if again || (has_vanished && !may_end) {
                ask_again.push(egress.egress_id.clone());
            }
            if !has_vanished || !may_end {
                continue;
            }
            let info = json!({
                "egressId": &*egress.egress_id,
                "roomId": egress.room_sid.as_deref().unwrap_or(""),
                "roomName": egress.room.as_deref().unwrap_or(""),
                "status": format!("EGRESS_{}", egress.status.to_uppercase()),
            });
            let room = egress.room.as_deref().unwrap_or("");
            draft.offer(
                about(Kind::EgressEnded, room, &egress.egress_id, egress.last_seq, UNLISTED),
                egress_members(room, egress.room_sid.as_deref(), info),
            );
        }
        for info in listed {
            let Some(egress_id) = id(info, "egressId") else { continue };
            let room = id(info, "roomName").unwrap_or("");
            let known = known.get(egress_id);
            let ended = matches!(
                id(info, "status"),
                Some("EGRESS_COMPLETE" | "EGRESS_FAILED" | "EGRESS_ABORTED" | "EGRESS_LIMIT_REACHED")
            );
            let (kind, why) = match known {
                Some(_) if ended => (Kind::EgressEnded, LISTED),
                Some(_) => (Kind::EgressUpdated, LISTED),
                None if ended => (Kind::EgressEnded, LISTED),
                None => (Kind::EgressStarted, LISTED),
            };
            let touched = known.map_or_else(|| self.tombstone(egress_id), |egress| Seq(egress.last_seq));
            let about = About { touched, ..about(kind, room, egress_id, 0, why) };
            let members = egress_members(room, id(info, "roomId"), Value::Object(info.clone()));
            if known.is_none() && ended {
                let ended_at = integer(info, "endedAt").max(integer(info, "updatedAt")) / 1_000_000;
                if self.state.ours(self.project, ended_at) >= since
                    && self.state.tombstone(self.project, egress_id).is_none()
                {
                    draft.append(about, members);
                }
            } else {
                draft.offer(about, members);
            }
        }
        Compared { corrections: draft.finish(), ask_again }
    }

    /// Compares the ingress of a project. LiveKit lists every configured ingress; only those that stream are live.
    /// `asked_for` returns true for the ids that the list would have: none if it was cut. The first list ends nothing by
    /// what it lacks (`may_end`).
    pub fn ingress(
        &self,
        listed: &[Map<String, Value>],
        asked_for: impl Fn(&str) -> bool,
        may_end: bool,
        doubts: &mut Doubts,
    ) -> Compared {
        let mut ask_again = Vec::new();
        let ids: Vec<&str> = listed.iter().filter_map(|info| id(info, "ingressId")).collect();
        let rooms: Vec<&str> =
            listed.iter().filter_map(|info| id(info.get("state")?.as_object()?, "roomId")).collect();
        let mut draft = self.draft(&rooms, &ids);
        let known: BTreeMap<Arc<str>, _> = self
            .state
            .ingress(self.project)
            .map(|ingress| (ingress.ingress_id.clone(), ingress.clone()))
            .collect();
        for ingress in known.values().filter(|ingress| asked_for(&ingress.ingress_id)) {
            if ids.contains(&&*ingress.ingress_id) {
                doubts.is_there(&ingress.ingress_id);
                continue;
            }
            let recent = self.changed_at(ingress.started_at, ingress.updated_at_ns);
            let mut again = false;
            let has_vanished = self.has_vanished(&ingress.ingress_id, recent, doubts, &mut again);
            if again || (has_vanished && !may_end) {
                ask_again.push(ingress.ingress_id.clone());
            }
            if !has_vanished || !may_end {
                continue;
            }
            let room = ingress.room.as_deref().unwrap_or("");
            let info = json!({
                "ingressId": &*ingress.ingress_id,
                "name": &*ingress.name,
                "roomName": room,
                // As new as what is known: the fold ignores an older one.
                "state": { "updatedAt": ingress.updated_at_ns.to_string() },
            });
            draft.offer(
                about(Kind::IngressEnded, room, &ingress.ingress_id, ingress.last_seq, UNLISTED),
                ingress_members(room, info),
            );
        }
        for info in listed {
            let Some(ingress_id) = id(info, "ingressId") else { continue };
            let known = known.get(ingress_id);
            let state = info.get("state").and_then(Value::as_object);
            let status = state.and_then(|state| id(state, "status")).unwrap_or("ENDPOINT_INACTIVE");
            let live = matches!(status, "ENDPOINT_BUFFERING" | "ENDPOINT_PUBLISHING");
            let (kind, why) = match known {
                Some(_) if live => (Kind::IngressStarted, DIFFERS),
                Some(known) => {
                    if self.asked.is_too_recent(self.changed_at(known.started_at, known.updated_at_ns)) {
                        continue;
                    }
                    (Kind::IngressEnded, LISTED)
                }
                None if status == "ENDPOINT_PUBLISHING" => (Kind::IngressStarted, LISTED),
                None => continue,
            };
            let touched = known.map_or_else(|| self.tombstone(ingress_id), |ingress| Seq(ingress.last_seq));
            let room = id(info, "roomName").unwrap_or("");
            let about = About { touched, ..about(kind, room, ingress_id, 0, why) };
            draft.offer(about, ingress_members(room, Value::Object(info.clone())));
        }
        Compared { corrections: draft.finish(), ask_again }
    }
}

/// Returns the members of an egress event, which names its room in `room` too.
fn egress_members(room: &str, room_sid: Option<&str>, info: Value) -> Map<String, Value> {
    let mut members = Map::from_iter([("egressInfo".to_owned(), info)]);
    if let Some(sid) = room_sid.filter(|sid| !sid.is_empty() && !room.is_empty()) {
        members.insert("room".into(), json!({ "sid": sid, "name": room }));
    }
    members
}

fn ingress_members(room: &str, info: Value) -> Map<String, Value> {
    let mut members = Map::from_iter([("ingressInfo".to_owned(), info)]);
    if !room.is_empty() {
        members.insert("room".into(), json!({ "name": room }));
    }
    members
}
