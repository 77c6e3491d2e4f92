//! Conditions: our own events open, acknowledge and close them.

use std::sync::Arc;

use serde::Deserialize;

use super::Fold;
use crate::state::{
    change::{Change, Entity, Fact},
    entity::condition::{About, Acknowledged, Condition, bits},
};

/// Maximum number of open conditions of one project. Those beyond it are not opened.
pub const CONDITIONS_MAX: usize = 1_000;
/// A condition is opened at most once in this time, in milliseconds of event time.
pub const REOPENED_AFTER_MS: u64 = 60_000;

/// The body of `roomwatch.condition_opened`, `_closed`, `_acknowledged` and `_unacknowledged`.
#[derive(Deserialize)]
struct Body {
    condition: About,
    by: Option<Box<str>>,
    until: Option<u64>,
    reason: Option<Box<str>>,
}

impl Fold<'_> {
    /// Applies an event about a condition. Other events of our own change nothing.
    pub(super) fn condition(&mut self) {
        let Some(what) = self.event.kind.as_str().strip_prefix("roomwatch.condition_") else { return };
        let Ok(body) = serde_json::from_slice::<Body>(&self.event.body) else { return };
        let now = self.now;
        self.project.opened.retain(|_, at| now.saturating_sub(*at) < REOPENED_AFTER_MS);
        self.project.quiet.retain(|_, quiet| quiet.until.is_some_and(|until| until > now));
        match what {
            "opened" => self.open(body.condition),
            "closed" => self.close(&body.condition.id),
            "acknowledged" => {
                let acknowledged = Acknowledged {
                    by: body.by.unwrap_or_default(),
                    at: self.event.received_at,
                    until: body.until,
                    reason: body.reason,
                };
                if body.until.is_some() {
                    self.project.quiet.insert(body.condition.id.clone(), acknowledged.clone());
                }
                self.acknowledge(&body.condition.id, Some(acknowledged));
            }
            "unacknowledged" => {
                self.project.quiet.remove(&body.condition.id);
                self.acknowledge(&body.condition.id, None);
            }
            _ => {}
        }
    }

    fn open(&mut self, about: About) {
        let conditions = &self.project.conditions;
        if conditions.contains_key(&about.id) || conditions.len() >= CONDITIONS_MAX {
            return;
        }
        let id = about.id.clone();
        let condition = Arc::new(Condition {
            project: self.event.project.clone(),
            room: self.event.room.clone(),
            room_sid: self.event.room_sid.clone(),
            opened_at: self.event.received_at,
            last_seq: self.event.seq.0,
            acknowledged: self.project.quiet.get(&id).cloned(),
            about,
        });
        if condition.about.kind == "agent_missing"
            && let Some(room_sid) = condition.room_sid.clone()
        {
            let (project, at) = (condition.project.clone(), condition.opened_at);
            self.applied.facts.push(Fact::AgentMissing { project, room_sid, at });
        }
        self.project.opened.insert(id.clone(), self.event.received_at);
        self.project.conditions.insert(id, condition.clone());
        self.applied.changes.push(Change::set(Entity::Condition(condition)));
    }

    fn acknowledge(&mut self, id: &str, acknowledged: Option<Acknowledged>) {
        let Some(condition) = self.project.conditions.get_mut(id) else { return };
        if condition.acknowledged != acknowledged {
            let condition = Arc::make_mut(condition);
            condition.acknowledged = acknowledged;
            condition.last_seq = self.event.seq.0;
            let condition = Entity::Condition(Arc::new(condition.clone()));
            self.applied.changes.push(Change::patch(condition, bits::ACKNOWLEDGED));
        }
    }

    fn close(&mut self, id: &str) {
        if let Some(condition) = self.project.conditions.remove(id) {
            self.applied.changes.push(Change::delete(Entity::Condition(condition)));
        }
    }
}
