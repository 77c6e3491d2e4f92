//! Lists are read in the order of an index: a page costs as much as its rows, however many rows there are.

use std::sync::Arc;

use rusqlite::{Connection, ToSql};

use super::{
    EgressQuery, SessionQuery, egress,
    schema::STORE,
    session_list::{self, SessionPlace, SessionPosition},
    sessions::Conditions,
};
use crate::{
    event::Seq,
    rights::{Sight, Window},
    state::State,
};

fn windows() -> Vec<(&'static str, Window)> {
    let window = |sight: Sight, projects: &[&str], rooms: &[&str]| {
        let window = Window::resolve(&sight, projects, rooms, &State::default(), Seq::ZERO);
        window.unwrap_or_else(|_| panic!("in sight"))
    };
    let project: Arc<str> = "one".into();
    vec![
        ("everything", Window::all()),
        ("one project", window(Sight::Project(project), &[], &[])),
        ("two projects", window(Sight::All, &["one", "two"], &[])),
        ("a room", window(Sight::All, &["one"], &["standup"])),
    ]
}

fn plan(connection: &Connection, sql: &str, values: &[&dyn ToSql]) -> String {
    let mut explain = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).expect("SQL");
    let steps = explain.query_map(values, |row| row.get::<_, String>(3)).expect("a plan");
    steps.collect::<Result<Vec<_>, _>>().expect("text").join("; ")
}

#[test]
fn no_page_of_a_list_is_sorted() {
    let dir = tempfile::tempdir().expect("a directory");
    let connection = STORE.open(dir.path()).expect("it opens");
    for (name, window) in windows() {
        for is_later_page in [false, true] {
            let mut query = SessionQuery::newest(window.clone(), 50);
            let place = SessionPlace { key: 9, started_at: 9, sid: "RM_9".into(), project: "one".into() };
            query.before = is_later_page.then_some(SessionPosition { place, now: 9 });
            for ascending in [false, true] {
                query.order.ascending = ascending;
                let (sql, conditions) = session_list::listing(&query);
                let plan = plan(&connection, &sql, &conditions.values());
                assert!(
                    plan.starts_with("SEARCH s USING INDEX") || plan.starts_with("SCAN s USING INDEX"),
                    "sessions of {name}: {plan}"
                );
                assert!(!plan.contains("B-TREE"), "sessions of {name}: {plan}");
            }
            let query = EgressQuery {
                window: window.clone(),
                room: None,
                statuses: Vec::new(),
                from: None,
                to: None,
                before: is_later_page.then(|| (9, "EG_9".into(), "one".into())),
                limit: 50,
            };
            let mut conditions = Conditions::of(&window);
            let sql = egress::listing(&mut conditions, &query);
            let plan = plan(&connection, &sql, &conditions.values());
            assert!(!plan.contains("B-TREE"), "egress of {name}: {plan}");
        }
    }
}
