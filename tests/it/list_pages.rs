//! Pages of the lists of the history. Their order and their cursors are made of facts: nodes of a deployment may have other
//! row numbers for the same rows, and a reader goes on with the next page elsewhere.

use std::{collections::BTreeSet, sync::Arc};

use roomwatch::token::{Claims, Secret, sign};
use serde_json::{Value, json};

use crate::harness::{KEY, SECRET, Server, Start, client, operators, until_async, webhook_claims};

const T: u64 = 1_787_486_400;
const BETA: (&str, &str) = ("APIbetakey", "the-secret-of-beta");
/// Sessions of each project. Three begin in the same second.
const SESSIONS: u64 = 12;

/// A server in this directory.
fn start(dir: &Arc<tempfile::TempDir>) -> Server {
    let file = format!(
        "reconcile_secs = 0\n\
         [[projects]]\nname = \"alpha\"\nurl = \"http://127.0.0.1:9\"\n\
         keys = [{{ key = \"{KEY}\", secret = \"{SECRET}\" }}]\n\
         [[projects]]\nname = \"beta\"\nurl = \"http://127.0.0.1:9\"\n\
         keys = [{{ key = \"{}\", secret = \"{}\" }}]\n{}",
        BETA.0,
        BETA.1,
        operators::users()
    );
    let start = Start::new().on_disk().dir(dir).env("LIVEKIT_API_KEY", "").env("LIVEKIT_API_SECRET", "");
    start.file(&file).start()
}

async fn send(server: &Server, (key, secret): (&str, &str), body: Value) {
    let body = body.to_string();
    let claims = Claims { iss: key.into(), ..webhook_claims(body.as_bytes()) };
    let token = sign(&claims, &Secret::new(secret));
    let request = client().post(server.url("/api/webhooks/livekit")).header("authorization", token);
    let request = request.header("content-type", "application/webhook+json");
    assert_eq!(request.body(body).send().await.expect("an answer").status(), 200);
}

/// Sessions of both projects with the same sids, each with a phone call and a recording, and all over.
async fn fill(server: &Server) {
    for n in 0..SESSIONS {
        let at = T + n / 3;
        for key in [(KEY, SECRET), BETA] {
            let room = json!({ "sid": format!("RM_{n:02}"), "name": format!("room-{}", n % 2),
                "creationTime": at.to_string() });
            let event = |kind: &str, more: Value| {
                let mut event = json!({ "event": kind, "id": format!("EV_{}_{n}_{kind}", key.0),
                    "createdAt": at.to_string(), "room": room });
                event
                    .as_object_mut()
                    .expect("an object")
                    .extend(more.as_object().expect("an object").clone());
                event
            };
            let phone = json!({ "sid": format!("PA_{n:02}"), "identity": format!("sip_{n}"), "kind": "SIP",
                "state": "ACTIVE", "joinedAt": at.to_string() });
            let egress = json!({ "egressId": format!("EG_{n:02}"), "roomId": room["sid"], "roomName": room["name"],
                "status": "EGRESS_COMPLETE", "startedAt": format!("{at}000000000"), "endedAt": format!("{at}000000000"),
                "updatedAt": format!("{at}000000000") });
            for body in [
                event("room_started", json!({})),
                event("participant_joined", json!({ "participant": phone })),
                event("egress_ended", json!({ "egressInfo": egress })),
                event("room_finished", json!({})),
            ] {
                send(server, key, body).await;
            }
        }
    }
}

/// Gives all rows other numbers. Of sessions and of egress that began at the same time, the last is the first now.
fn number_otherwise(path: &std::path::Path) {
    let file = rusqlite::Connection::open(path).expect("it opens");
    for (table, order, of) in [
        (
            "sessions",
            "started_at, sid DESC, project DESC",
            &["participations", "tracks", "calls", "agents"][..],
        ),
        ("egress", "began_at, egress DESC, project DESC", &[]),
    ] {
        let mut sql = format!(
            "CREATE TEMP TABLE numbers AS
             SELECT id AS old, 100000 + 7 * row_number() OVER (ORDER BY {order}) AS new FROM {table};
             UPDATE {table} SET id = (SELECT new FROM numbers WHERE old = id);"
        );
        for other in of {
            sql += &format!("UPDATE {other} SET session = (SELECT new FROM numbers WHERE old = session);");
        }
        file.execute_batch(&(sql + "DROP TABLE numbers;")).expect("numbered");
    }
}

async fn text(server: &Server, cookie: &str, path: &str) -> String {
    let request =
        client().get(server.url(path)).header("cookie", cookie).header("accept", "application/json");
    let answer = request.send().await.expect("an answer");
    assert_eq!(answer.status(), 200, "{path}");
    answer.text().await.expect("a text")
}

/// Reads every page of a list. Returns the addresses of the pages with their texts.
async fn pages(server: &Server, cookie: &str, path: &str, expected: usize) -> Vec<(String, String)> {
    let (mut rows, mut before, mut pages) = (Vec::new(), String::new(), Vec::new());
    loop {
        let page = format!("{path}limit=5{before}");
        let said = text(server, cookie, &page).await;
        let answer: Value = serde_json::from_str(&said).expect("JSON");
        let list = ["sessions", "egress", "calls"].iter().find_map(|name| answer[name].as_array());
        for row in list.expect("a list") {
            let sid = ["sid", "egressId", "participantSid"].iter().find_map(|name| row[name].as_str());
            rows.push(format!("{} {}", row["project"], sid.expect("a sid")));
        }
        pages.push((page, without_the_present(said)));
        assert!(pages.len() <= 5, "{path}: it does not end");
        let Some(next) = answer["next"].as_str() else { break };
        before = format!("&before={next}");
    }
    assert_eq!(rows.len(), expected, "{path}: {rows:?}");
    assert_eq!(rows.iter().collect::<BTreeSet<_>>().len(), expected, "{path}: a row came twice: {rows:?}");
    pages
}

/// The cursor of a first page of sessions has the time of its request, so that live sessions keep their durations.
fn without_the_present(page: String) -> String {
    let answer: Value = serde_json::from_str(&page).expect("JSON");
    match answer["next"].as_str().filter(|_| !answer["sessions"].is_null()) {
        Some(next) => {
            let parts: Vec<_> = next.rsplitn(4, '-').collect();
            let masked = next.replace(parts[2], "now");
            page.replace(next, &masked)
        }
        None => page,
    }
}

#[tokio::test]
async fn a_page_and_its_cursor_are_the_same_with_other_row_numbers() {
    let dir = Arc::new(tempfile::tempdir().expect("a directory"));
    let mut server = start(&dir);
    fill(&server).await;
    let cookie = operators::login(&server, "otto").await;
    let end = format!("-{}", SESSIONS * 2 * 4);
    until_async("all of it is folded", async || {
        let page: Value = serde_json::from_str(&text(&server, &cookie, "/api/events").await).expect("JSON");
        page["last"].as_str().is_some_and(|cursor| cursor.ends_with(&end))
    })
    .await;
    let mut paths = vec![
        ("/api/egress?".to_owned(), 24),
        ("/api/egress?room=room-1&".to_owned(), 12),
        ("/api/egress?project=beta&".to_owned(), 12),
        ("/api/egress?status=complete&".to_owned(), 24),
        ("/api/calls?".to_owned(), 24),
        ("/api/calls?project=beta&".to_owned(), 12),
        ("/api/sessions?room=room-1&project=alpha&".to_owned(), 6),
        ("/api/sessions?project=beta&".to_owned(), 12),
        ("/api/sessions?roomContains=1&".to_owned(), 12),
    ];
    for sort in ["started", "duration", "participants", "peak", "agents", "calls", "trouble", "minutes"] {
        for order in ["asc", "desc"] {
            paths.push((format!("/api/sessions?sort={sort}&order={order}&"), 24));
        }
    }
    let mut before = Vec::new();
    for (path, expected) in &paths {
        before.extend(pages(&server, &cookie, path, *expected).await);
    }
    for path in ["/api/sessions?format=csv", "/api/egress?format=csv", "/api/calls?format=csv"] {
        before.push((path.to_owned(), text(&server, &cookie, path).await));
    }

    server.signal("TERM");
    server.ended();
    number_otherwise(&dir.path().join("data/derived.db"));
    let server = start(&dir);
    for (path, page) in before {
        let again = text(&server, &cookie, &path).await;
        let again = if path.contains("csv") { again } else { without_the_present(again) };
        assert_eq!(again, page, "{path}");
    }
    let file = rusqlite::Connection::open(dir.path().join("data/derived.db")).expect("it opens");
    let least: i64 = file
        .query_row("SELECT min((SELECT min(id) FROM egress), (SELECT min(id) FROM sessions))", [], |row| {
            row.get(0)
        })
        .expect("a number");
    assert!(least > 100_000, "the rows have kept their other numbers: {least}");
}

#[tokio::test]
async fn cursors_with_row_numbers_of_an_earlier_version_are_refused() {
    let server = Server::start();
    for path in [
        "/api/sessions?before=started-19f-5-19f",
        "/api/egress?before=19f-5",
        "/api/calls?before=19f-5-PA_1",
        // The text is shorter than its length says.
        "/api/egress?before=19f-ff-alpha",
        // Another way to write a number.
        "/api/egress?before=%2B19f-5-alphaEG_1",
        "/api/egress?before=19F-5-alphaEG_1",
    ] {
        let (status, answer) = server.get(path).await;
        assert_eq!((status, &answer["error"]["code"]), (400, &json!("bad_cursor")), "{path}");
    }
    assert_eq!(server.get("/api/egress?before=19f-5-alphaEG_1").await.0, 200);
}
