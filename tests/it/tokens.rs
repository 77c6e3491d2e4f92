//! Tokens as LiveKit's SDKs write them. LiveKit accepts all of these.

use roomwatch::{cli::serve::Options, clock::Clock, node::Node, token::Secret};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinSet};

use crate::harness::*;

/// A time at which the recorded tokens are valid, in unix seconds.
const NOW: u64 = 1_800_000_000;

/// Serves one project at the time [`NOW`].
async fn serve(dir: &std::path::Path) -> (String, JoinSet<()>) {
    let options = Options {
        data_dir: Some(dir.into()),
        livekit_api_key: Some(KEY.into()),
        livekit_api_secret: Some(Secret::new(SECRET)),
        ..Options::default()
    };
    let mut config = options.check().expect("options");
    config.clock = Clock::held(NOW * 1000);
    let node = Node::open(config).await.expect("a node");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { node.run(listener, std::future::pending()).await.expect("it serves") });
    (url, tasks)
}

/// The user of a token and the grants that decide what the user sees, or the status if it is refused.
async fn me(url: &str, token: &str) -> Result<(String, Value), u16> {
    let answer = client().get(format!("{url}/api/me")).bearer_auth(token).send().await.expect("an answer");
    if answer.status() != 200 {
        return Err(answer.status().as_u16());
    }
    let me: Value = answer.json().await.expect("JSON");
    let user = me["user"].as_str().expect("text").to_owned();
    let mut grants = me["grants"].as_object().expect("an object").clone();
    grants.retain(|name, _| name.starts_with("room"));
    Ok((user, Value::Object(grants)))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tokens_of_the_oldest_and_the_newest_official_sdks_are_accepted() {
    let dir = tempfile::tempdir().expect("a directory");
    let (url, _tasks) = serve(dir.path()).await;
    let text = include_str!("../../fixtures/tokens/official.json");
    let sdks: Vec<Value> = serde_json::from_str(text).expect("JSON");
    assert_eq!(sdks.len(), 10);
    for sdk in sdks {
        let of = format!("{} {}", sdk["sdk"], sdk["version"]);
        for (name, user, grants) in [
            ("list", "APItestkey/", json!({ "roomList": true })),
            ("join", "APItestkey/alice", json!({ "roomJoin": true, "room": "standup" })),
            ("admin", "APItestkey/ada", json!({ "roomAdmin": true, "room": "standup" })),
        ] {
            let token = sdk[name].as_str().expect("a token");
            assert_eq!(me(&url, token).await, Ok((user.to_owned(), grants)), "{name} of {of}");
        }
    }
}

/// Claims in the shapes of the sources of other SDKs: pabloFuente/livekit-server-sdk-dotnet `AccessToken.ToJwt`,
/// livekit/server-sdk-ruby `AccessToken#to_jwt`, agence104/livekit-server-sdk-php `AccessToken::getToken` with the public
/// fields of its `VideoGrant`. And times of a program that divides milliseconds by 1000.
const SHAPES: &[(&str, &str)] = &[
    (
        ".NET",
        r#"{"sub":"alice","jti":"alice","iss":"APItestkey","nbf":1799999990,"iat":1799999990,"exp":1800021590,
            "video":{"roomCreate":false,"roomList":false,"roomRecord":false,"roomAdmin":false,"roomJoin":true,
                "room":"standup","canPublish":true,"canSubscribe":true,"canPublishData":true,"canPublishSources":[],
                "canUpdateOwnMetadata":false,"ingressAdmin":false,"hidden":false,"recorder":false,"agent":false},
            "sip":{"admin":false,"call":false},"name":"","metadata":"","sha256":"","kind":"","roomConfig":{}}"#,
    ),
    (
        "Ruby",
        r#"{"exp":1800014400,"nbf":1800000000,"iss":"APItestkey","sub":"alice","name":null,"metadata":null,
            "sha256":null,"video":{"roomJoin":true,"room":"standup"}}"#,
    ),
    (
        "PHP",
        r#"{"exp":1800021600,"nbf":1799999995,"iss":"APItestkey","sub":"alice","jti":"alice","video":{
            "roomCreate":null,"roomJoin":true,"roomList":null,"roomRecord":null,"roomAdmin":null,"room":"standup",
            "canPublish":null,"canSubscribe":null,"canPublishData":null,"hidden":null,"recorder":null},"metadata":null}"#,
    ),
    (
        "times with a fraction",
        r#"{"exp":1800000060.75,"nbf":1799999999.999,"iat":1799999999.999,"iss":"APItestkey","sub":"alice",
            "video":{"roomJoin":true,"room":"standup"}}"#,
    ),
    (
        "only `jti`, and zeros",
        r#"{"exp":1.8000006e9,"nbf":0,"iss":"APItestkey","sub":"","jti":"alice",
            "video":{"roomJoin":true,"room":"standup"}}"#,
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn claims_in_the_shapes_of_other_sdks_are_accepted_and_say_nothing_where_they_are_empty() {
    let dir = tempfile::tempdir().expect("a directory");
    let (url, _tasks) = serve(dir.path()).await;
    let signed = |claims: &str| raw_token(json!({ "alg": "HS256", "typ": "JWT" }), claims, SECRET);
    for (sdk, claims) in SHAPES {
        let expected = ("APItestkey/alice".to_owned(), json!({ "roomJoin": true, "room": "standup" }));
        assert_eq!(me(&url, &signed(claims)).await, Ok(expected), "{sdk}");
    }
    // Empty values grant nothing and do not extend a token. The leeway of 60 s is not rounded up.
    for claims in [
        r#"{"iss":"APItestkey","exp":null,"video":{"roomList":true}}"#,
        r#"{"iss":"APItestkey","exp":0,"video":{"roomList":true}}"#,
        r#"{"iss":"APItestkey","exp":1799999939.9,"video":{"roomList":true}}"#,
        r#"{"iss":"APItestkey","exp":1800000600,"nbf":1800000061.5,"video":{"roomList":true}}"#,
        r#"{"iss":"APItestkey","exp":1800000600,"video":null}"#,
        r#"{"iss":"","exp":1800000600,"video":{"roomList":true}}"#,
        r#"["APItestkey","",1800000600,null,"",null,{"roomList":true}]"#,
    ] {
        assert_eq!(me(&url, &signed(claims)).await, Err(401), "{claims}");
    }
}
