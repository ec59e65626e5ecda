//! MinIO twoWay: entries at the bucket follow the triggers, drift is repaired, and what is not ours is left alone, over
//! kills of both sides. Against a real server.

use std::sync::{Arc, Mutex};

use tidemill_integration_tests::server::Server;

use crate::minio::{
    LIMIT, RECONCILE, WEBHOOK, base, hook, reaches, source, source_at, status, tags, trigger,
};
use crate::minio_server::{Minio, TOKEN};
use crate::partner::{Asked, Partner};
use crate::support::{BASE, LOOPBACK, apply, folder, post, try_apply, until};

const FOREIGN: &str = "<QueueConfiguration><Id>somebody else</Id><Queue>arn:minio:sqs::F:webhook</Queue><Event>s3:ObjectRemoved:*</Event></QueueConfiguration>";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heavy_entries_follow_the_triggers() {
    let Some(minio) = Minio::new("entries follow the triggers") else { return };
    let folder = folder();
    let mut server = Server::start(folder.path(), &[LOOPBACK, RECONCILE]).await;
    let mut minio = minio.webhook("W", &hook(&server, "called")).webhook("F", "http://127.0.0.1:9/");
    minio.start().await;
    let hand = minio.hand();
    hand.bucket("photos");
    hand.write_document("photos", FOREIGN);
    // A target that calls another source already would leave this one silent.
    apply(&server, &(base() + &source(&minio, "other", WEBHOOK))).await;
    let refused = try_apply(&server, &source(&minio, "called", WEBHOOK)).await;
    assert_eq!(refused.status, 422);
    let told = refused.json()["errors"][0]["message"].to_string();
    assert!(told.contains("calls the source `other` already"), "{told}");
    assert_eq!(delete(&server, "/sources/other").await, 204);
    let triggers = trigger("a", "called", "") + &trigger("b", "called", "");
    apply(&server, &(base() + &source(&minio, "called", WEBHOOK) + &triggers)).await;
    // (entry a, entry b, the foreign one)
    let entries = || {
        let document = hand.document("photos");
        ["tidemill.default.called.a<", "tidemill.default.called.b<", "somebody else<"]
            .map(|id| document.contains(id))
    };
    for repaired in [false, true] {
        if repaired {
            hand.write_document("photos", FOREIGN);
        }
        until("both entries are there", LIMIT, async || entries() == [true, true, true]).await;
        reaches(&server, "/triggers/a", "syncState", "inSync").await;
    }
    let shown = status(&server, "/triggers/a").await;
    let facts = ["integration", "ruleHome", "firesFrom"].map(|name| shown[name].as_str().unwrap());
    assert_eq!(facts, ["twoWay", "both", "source"]);
    assert_eq!(shown["generation"], shown["observedGeneration"], "{shown}");
    let relations = status(&server, "/sources/called").await["relations"].to_string();
    assert!(relations.contains(r#"{"id":"somebody else","syncState":"foreign"}"#), "{relations}");

    // A record that cannot be read is set aside; the one beside it goes on.
    let good = r#"{"eventTime":"2026-01-01T00:00:00Z","eventName":"s3:ObjectCreated:Put","s3":{"bucket":{"name":"photos"},"object":{"key":"by+hand"}}}"#;
    assert_eq!(called(&server, TOKEN, &format!(r#"{{"Records":[{{}},{good}]}}"#)).await.0, 202);
    assert_eq!(tags(&server, "a", "key").await, ["by hand"]);
    assert_eq!(status(&server, "/sources/called").await["lastError"]["code"], "poison-record");

    assert_eq!(delete(&server, "/triggers/b").await, 204);
    assert_eq!(entries(), [true, false, true]);
    post(&server, "/triggers/a/pause").await;
    until("a paused rule has no entry", LIMIT, async || entries() == [false, false, true]).await;
    post(&server, "/triggers/a/resume").await;
    until("a resumed rule has one", LIMIT, async || entries() == [true, false, true]).await;

    minio.kill();
    reaches(&server, "/triggers/a", "syncState", "unreachable").await;
    assert_eq!(delete(&server, "/triggers/a").await, 202);
    server.kill();
    server.restart().await;
    assert_eq!(status(&server, "/triggers/a").await["state"], "deleting");
    assert_eq!(called(&server, TOKEN, NOTHING).await, (410, "no-rule".to_owned()));
    assert_eq!(called(&server, "wrong", NOTHING).await.0, 401);
    // The one that no rule wants, and the caller without the token.
    let refused = status(&server, "/sources/called").await["refused"].clone();
    assert_eq!(refused, 2);
    assert!(server.metric("tidemill_source_refused_total").await >= 1.0);
    minio.start().await;
    until("the trigger is gone", LIMIT, async || missing(&server, "/triggers/a").await).await;
    until("its entry is gone", LIMIT, async || entries() == [false, false, true]).await;

    // By force it goes at once, and its entry is left to whoever has the server.
    apply(&server, &trigger("b", "called", "")).await;
    reaches(&server, "/triggers/b", "syncState", "inSync").await;
    minio.kill();
    reaches(&server, "/triggers/b", "syncState", "unreachable").await;
    assert_eq!(delete(&server, "/triggers/b").await, 202);
    assert_eq!(delete(&server, "/triggers/b?force=true").await, 204);
    assert!(missing(&server, "/triggers/b").await);
    assert_eq!(delete(&server, "/sources/called?force=true").await, 204);
    server.kill();
    server.restart().await;
    assert!(missing(&server, "/triggers/b").await && missing(&server, "/sources/called").await);
    minio.start().await;
    until("the entries are shown", LIMIT, async || entries() == [false, true, true]).await;
}

/// A server that was just started says that there are no entries until it has its targets. A real one does so for a few
/// milliseconds, so this one stands in for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_its_targets_yet_loses_no_foreign_entry() {
    // The document, and how many looks at it show none.
    let bucket = Arc::new(Mutex::new((
        format!("<NotificationConfiguration>{FOREIGN}</NotificationConfiguration>"),
        2,
    )));
    let document = bucket.clone();
    let answer = move |asked: &Asked, _: usize| {
        let mut document = document.lock().unwrap();
        let body = match &asked.head {
            head if !head.contains("?notification") => {
                return "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_owned();
            }
            head if head.starts_with("PUT") => {
                document.0 = String::from_utf8(asked.body.clone()).unwrap();
                String::new()
            }
            _ if document.1 > 0 => {
                document.1 -= 1;
                "<NotificationConfiguration></NotificationConfiguration>".to_owned()
            }
            _ => document.0.clone(),
        };
        format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())
    };
    let stand_in = Partner::start(None, answer).await;
    let folder = folder();
    let server = Server::start(folder.path(), &[LOOPBACK, RECONCILE]).await;
    let source = source_at(stand_in.address, "called", WEBHOOK);
    apply(&server, &(base() + &source + &trigger("a", "called", ""))).await;
    let written = || bucket.lock().unwrap().0.contains("tidemill.default.called.a<");
    until("the entry is written", LIMIT, async || written()).await;
    assert!(bucket.lock().unwrap().0.contains(FOREIGN), "{:?}", bucket.lock().unwrap());
}

async fn delete(server: &Server, path: &str) -> u16 {
    server.client().call("DELETE", &format!("{BASE}{path}"), &[], b"").await.unwrap().status
}

async fn missing(server: &Server, path: &str) -> bool {
    server.client().get(&format!("{BASE}{path}")).await.unwrap().0 == 404
}

/// A notification without records.
const NOTHING: &str = r#"{"Records":[]}"#;

/// A call of the hook with a token; status and code.
async fn called(server: &Server, token: &str, body: &str) -> (u16, String) {
    let authorization = format!("Bearer {token}");
    let headers = [("content-type", "application/json"), ("authorization", &*authorization)];
    let path = "/hooks/default/called";
    let answer = server.client().call("POST", path, &headers, body.as_bytes()).await.unwrap();
    (answer.status, answer.json()["code"].as_str().unwrap_or_default().to_owned())
}
