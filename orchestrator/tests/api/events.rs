//! Events: modes, duplicates, lists, lifecycle events, traces, hooks.

use reqwest::Method;
use serde_json::{Value, json};

use crate::service::{Answer, Service, send};

const EVENTS: &str = "/v1/namespaces/default/events";

async fn batch(service: &Service, events: &Value) -> Answer {
    let request =
        service.request(Method::POST, EVENTS).header("content-type", "application/cloudevents-batch+json");
    send(request.body(events.to_string())).await
}

fn event(id: &str, data: &Value) -> Value {
    json!({"specversion": "1.0", "id": id, "source": "/test", "type": "direct", "data": data})
}

#[tokio::test]
async fn the_three_modes() {
    let service = Service::new().await;
    let binary = service
        .request(Method::POST, EVENTS)
        .header("ce-id", "b1")
        .header("ce-source", "/test")
        .header("ce-type", "direct")
        .header("ce-specversion", "1.0")
        .header("content-type", "application/json")
        .body(r#"{"orderId":4711}"#);
    let answer = send(binary).await.is(202).json();
    assert_eq!(
        answer["events"],
        json!([{"id": "b1", "source": "/test", "duplicate": false, "mismatch": false, "triggers": ["direct"]}])
    );
    assert_eq!((&answer["accepted"], &answer["duplicates"]), (&json!(1), &json!(0)));
    service.event("s1", "other", &json!(1)).await.is(202);
    let answer = batch(&service, &json!([event("x", &json!(1)), event("y", &json!(2))])).await.is(202).json();
    assert_eq!(answer["accepted"], 2);
    service.post(EVENTS, "{}").await.problem(415, "unsupported-event-format");
    service.event("", "direct", &json!(1)).await.problem(400, "bad-event");
    let tagged = service
        .until("/v1/namespaces/default/executions?tag=orderId:4711", |b| b["items"] != json!([]))
        .await;
    assert_eq!(tagged["items"][0]["trigger"], "direct");
    let id = tagged["items"][0]["id"].as_str().unwrap();
    let shown = service.get(&format!("/v1/namespaces/default/executions/{id}")).await.is(200).json();
    assert_eq!((&shown["event"]["source"], &shown["event"]["id"]), (&json!("/test"), &json!("b1")));
    service.stop().await;
}

#[tokio::test]
async fn duplicates_and_bad_batches() {
    let service = Service::new().await;
    let twice = json!([event("d", &json!(1)), event("d", &json!(1))]);
    let answer = batch(&service, &twice).await.is(202).json();
    assert_eq!((&answer["accepted"], &answer["duplicates"]), (&json!(1), &json!(1)));
    let changed = service.event("d", "direct", &json!(2)).await.is(202).json();
    assert_eq!((&changed["duplicates"], &changed["mismatches"]), (&json!(1), &json!(1)));
    assert_eq!(changed["events"][0]["duplicate"], true);
    let bad = json!([event("ok", &json!(1)), {"specversion": "1.0", "id": "bad"}]);
    let refused = batch(&service, &bad).await.problem(400, "bad-event").json();
    assert!(refused["detail"].as_str().unwrap().contains("event 1"), "{refused}");
    assert!(refused["errors"][0]["pointer"].as_str().unwrap().starts_with("/1"), "{refused}");
    service.get(&format!("{EVENTS}/%2Ftest/ok")).await.problem(404, "not-found");
    let many = Value::Array((0..101).map(|n| event(&n.to_string(), &json!(n))).collect());
    batch(&service, &many).await.problem(413, "event-too-large");
    service.stop().await;
}

#[tokio::test]
async fn lists_are_of_exactly_one_type() {
    let service = Service::new().await;
    for n in 0..5 {
        service.event(&format!("e{n}"), "some.type", &json!(n)).await.is(202);
    }
    service.event("o", "some.type2", &json!(0)).await.is(202);
    let ids = |body: &Value| -> Vec<String> {
        body["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|i| i["event"]["id"].as_str().unwrap().to_owned())
            .collect()
    };
    let (mut seen, mut token) = (Vec::new(), String::new());
    loop {
        let body = service.get(&format!("{EVENTS}?type=some.type&pageSize=2{token}")).await.is(200).json();
        seen.extend(ids(&body));
        let Some(next) = body["nextPageToken"].as_str() else {
            break;
        };
        token = format!("&pageToken={next}");
    }
    assert_eq!(seen, ["e4", "e3", "e2", "e1", "e0"]);
    assert_eq!(ids(&service.get(EVENTS).await.json()).len(), 6);
    assert_eq!(ids(&service.get(&format!("{EVENTS}?since=2100-01-01T00:00:00Z")).await.json()).len(), 0);
    for bad in ["pageSize=0", "since=x", "kind=x", "pageToken=00"] {
        service.get(&format!("{EVENTS}?{bad}")).await.problem(400, "bad-parameter");
    }
    let one = service.get(&format!("{EVENTS}/%2Ftest/e3")).await.is(200);
    assert_eq!(
        (one.header("content-type"), &one.json()["data"]),
        ("application/cloudevents+json", &json!(3))
    );
    service.get(&format!("{EVENTS}/%2Ftest/e3?binding=nothing")).await.problem(404, "not-found");
    service.stop().await;
}

#[tokio::test]
async fn lifecycle_events_are_listed_by_their_type() {
    let service = Service::new().await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(service.run("hello", r#"{"name":"x"}"#).await["id"].as_str().unwrap().to_owned());
    }
    service.run("broken", "{}").await;
    let list = async |kind: &str, query: &str| {
        service.get(&format!("{EVENTS}?type=io.serverlessworkflow.{kind}.v1{query}")).await.is(200).json()
    };
    let completed = list("workflow.completed", "").await;
    let items = completed["items"].as_array().unwrap();
    assert_eq!(items.len(), 3, "{completed}");
    let event = &items[0]["event"];
    assert_eq!(event["data"]["name"], format!("hello-{}.default", ids[2]));
    assert!(event["data"].get("output").is_none());
    let uri = event["data"]["outputUri"].as_str().unwrap();
    let led = send(service.client.get(uri)).await.is(200).json();
    assert_eq!(led["output"], json!({"text": "x"}));
    assert_eq!(list("workflow.faulted", "").await["items"][0]["event"]["data"]["error"]["status"], 400);
    let tasks = list("task.completed", "").await;
    assert_eq!(tasks["items"].as_array().unwrap().len(), 3);
    assert_eq!(tasks["items"][0]["event"]["data"]["task"], "/do/0/greet");
    assert_eq!(list("workflow.odd", "").await["items"], json!([]));
    let (mut seen, mut token) = (0, String::new());
    loop {
        let body = list("workflow.started", &format!("&pageSize=1{token}")).await;
        seen += body["items"].as_array().unwrap().len();
        let Some(next) = body["nextPageToken"].as_str() else {
            break;
        };
        token = format!("&pageToken={next}");
    }
    assert_eq!(seen, 4);
    let path = |text: &str| text.replace('/', "%2F");
    let (source, id) = (event["source"].as_str().unwrap(), event["id"].as_str().unwrap());
    let one = service.get(&format!("{EVENTS}/{}/{}", path(source), path(id))).await.is(200).json();
    assert_eq!(&one, event);
    service.stop().await;
}

#[tokio::test]
async fn a_trace_tells_why() {
    let service = Service::new().await;
    service.event("t1", "direct", &json!({"orderId": 1})).await.is(202);
    let trace = service.get(&format!("{EVENTS}/%2Ftest/t1/trace")).await.is(200).json();
    assert_eq!(trace["event"]["id"], "t1");
    assert_eq!(trace["received"][0]["binding"], "");
    let verdict = |name: &str| {
        trace["triggers"].as_array().unwrap().iter().find(|t| t["name"] == name).unwrap()["matched"].clone()
    };
    assert_eq!((verdict("direct"), verdict("bad")), (json!(true), json!(false)));
    let clause = &trace["triggers"][0]["clauses"][0];
    assert_eq!((&clause["verdict"], &clause["actual"]), (&json!("fail"), &json!("direct")), "{trace}");
    let id = trace["executions"][0]["id"].as_str().unwrap();
    service.get(&format!("/v1/namespaces/default/executions/{id}")).await.is(200);
    service.get(&format!("{EVENTS}/%2Ftest/none/trace")).await.problem(404, "not-found");
    service.stop().await;
}

#[tokio::test]
async fn triggers_are_tested_without_firing() {
    let service = Service::new().await;
    let test = "/v1/namespaces/default/triggers/direct/test";
    let verdict =
        service.post(test, r#"{"event":{"type":"direct","data":{"orderId":7}}}"#).await.is(200).json();
    assert_eq!((&verdict["matched"], &verdict["input"]), (&json!(true), &json!({"orderId": 7})));
    assert_eq!(verdict["tags"]["orderId"], 7);
    let verdict =
        service.post(test, r#"{"specversion":"1.0","id":"a","source":"b","type":"no"}"#).await.is(200).json();
    assert_eq!((&verdict["matched"], &verdict["clauses"][0]["verdict"]), (&json!(false), &json!("fail")));
    service.event("h1", "direct", &json!(1)).await.is(202);
    service.event("h2", "other", &json!(1)).await.is(202);
    let range = r#"{"since":"2000-01-01T00:00:00Z","until":"2100-01-01T00:00:00Z"}"#;
    let past = service.post(test, range).await.is(200).json();
    assert_eq!(
        (&past["examined"], &past["matched"], &past["matches"][0]["id"]),
        (&json!(2), &json!(1), &json!("h1"))
    );
    let draft = json!({
        "trigger": {"kind": "Trigger", "metadata": {"name": "x"},
                    "spec": {"filters": [{"prefix": {"type": "oth"}}], "target": {"workflow": "hello"}}},
        "since": "2000-01-01T00:00:00Z",
    });
    let past = service.post("/v1/namespaces/default/trigger-tests", draft.to_string()).await.is(200).json();
    assert_eq!(past["matched"], 1);
    service.post(test, "{}").await.problem(400, "bad-body");
    service.stop().await;
}

/// A rule over attributes and payload, judged where it fires, where it is traced and where it is tried.
#[tokio::test]
async fn expressions_and_patterns_decide_what_fires() {
    let service = Service::new().await;
    let trigger = r"
kind: Trigger
metadata: {name: ruled}
spec:
  filters: [{sql: 'type IN (''paid'', ''repaid'') AND NOT EXISTS recovered'}]
  data: {order: {country: [de, fr], total: [{numeric: ['>=', 100]}]}}
  target: {workflow: waits}
";
    service.post("/v1/namespaces/default/apply", trigger).await.is(200);
    let check = async |id: &str, kind: &str, data: Value, failing: Option<&str>| {
        let posted = service.event(id, kind, &data).await.is(202).json();
        let fired = posted["events"][0]["triggers"].as_array().unwrap().contains(&json!("ruled"));
        assert_eq!(fired, failing.is_none(), "{posted}");
        let trace =
            service.get(&format!("/v1/namespaces/default/events/%2Ftest/{id}/trace")).await.is(200).json();
        let judged = trace["triggers"].as_array().unwrap();
        let judged = judged.iter().find(|one| one["name"] == "ruled").unwrap();
        let failed: Vec<_> =
            judged["clauses"].as_array().unwrap().iter().filter(|c| c["verdict"] == "fail").collect();
        let paths: Vec<_> = failed.iter().map(|clause| clause["path"].as_str().unwrap()).collect();
        assert_eq!((&judged["matched"], paths.first().copied()), (&json!(fired), failing), "{judged}");
    };
    let order = |country: &str, total: i64| json!({"order": {"country": country, "total": total}});
    check("r1", "paid", order("de", 100), None).await;
    check("r2", "refunded", order("de", 100), Some("/filters/0/sql")).await;
    check("r3", "repaid", order("uk", 100), Some("/data/order/country")).await;
    check("r4", "repaid", order("fr", 99), Some("/data/order/total")).await;
    let draft = json!({"trigger": "ruled", "since": "2020-01-01T00:00:00Z"});
    let past = service.post("/v1/namespaces/default/trigger-tests", draft.to_string()).await.is(200).json();
    assert_eq!((&past["examined"], &past["matched"]), (&json!(4), &json!(1)), "{past}");
    service.stop().await;
}

#[tokio::test]
async fn hooks_are_the_routes_of_http_sources() {
    let service = Service::new().await;
    let put = async |name: &str, spec: &str| {
        let text = format!("{{kind: Source, metadata: {{name: {name}}}, spec: {{http: {spec}}}}}");
        service.put(&format!("/v1/namespaces/default/sources/{name}"), text).await.is(201);
    };
    put("open", "{path: in/open, auth: {none: {}}, maxBody: 1KiB}").await;
    put("shut", "{path: shut, auth: {bearer: {secret: hook}}}").await;
    put("sync", "{path: sync, auth: {none: {}}, respond: output}").await;
    let trigger = "{kind: Trigger, metadata: {name: sync}, spec: {source: sync, target: {workflow: hello}, input: '${ .data }'}}";
    service.put("/v1/namespaces/default/triggers/sync", trigger).await.is(201);
    let answer = service.post("/hooks/default/in/open", r#"{"a":1}"#).await.is(202).json();
    assert_eq!(answer["events"][0]["source"], "/hooks/default/in/open");
    service.post("/hooks/default/in/other", "{}").await.problem(404, "not-found");
    service.post("/hooks/nothing/in/open", "{}").await.problem(404, "not-found");
    service.post("/hooks/default/in/open", "x".repeat(2000)).await.problem(413, "body-too-large");
    let wrong = service.get("/hooks/default/in/open").await.problem(405, "method-not-allowed");
    assert_eq!(wrong.header("allow"), "POST");
    service.put("/v1/namespaces/default/secrets/hook", r#""t0p-secret""#).await.is(204);
    service.post("/hooks/default/shut", "{}").await.is(401);
    let bearer =
        service.request(Method::POST, "/hooks/default/shut").header("authorization", "Bearer t0p-secret");
    send(bearer.body("{}")).await.is(202);
    let output = service.post("/hooks/default/sync", r#"{"name":"x"}"#).await.is(200).json();
    assert_eq!(output, json!({"text": "x"}));
    service.post("/v1/namespaces/default/sources/open/pause", "").await.is(200);
    service.post("/hooks/default/in/open", "{}").await.problem(503, "source-paused");
    let shown = service.get("/v1/namespaces/default/sources/open").await.is(200).json();
    assert_eq!(
        (&shown["status"]["state"], &shown["spec"]["http"]["path"]),
        (&json!("paused"), &json!("in/open"))
    );
    service.post("/v1/namespaces/default/sources/open/resume", "").await.is(200);
    service.post("/hooks/default/in/open", "{}").await.is(202);
    service.stop().await;
}

#[tokio::test]
async fn lifecycle_events_fire_triggers_that_state_their_type() {
    let service = Service::new().await;
    service.run("hello", "{}").await;
    let trigger = "{kind: Trigger, metadata: {name: after}, spec: {filters: [{exact: {type: io.serverlessworkflow.workflow.faulted.v1}}], \
                   target: {workflow: hello}, input: '${ {name: .data.error.title} }'}}";
    service.put("/v1/namespaces/default/triggers/after", trigger).await.is(201);
    service.run("broken", "{}").await;
    let list = "/v1/namespaces/default/executions?trigger=after&status=completed";
    let begun = service.until(list, |b| b["items"] != json!([])).await;
    let id = begun["items"][0]["id"].as_str().unwrap();
    let shown = service.get(&format!("/v1/namespaces/default/executions/{id}")).await.json();
    assert_eq!(shown["output"], json!({"text": "Broken"}));
    // What was stored for the trigger is still listed once.
    let kind = "io.serverlessworkflow.workflow.faulted.v1";
    let listed = service.get(&format!("{EVENTS}?type={kind}")).await.is(200).json();
    assert_eq!(listed["items"].as_array().unwrap().len(), 1, "{listed}");
    assert_eq!(service.get(&format!("{EVENTS}?type=direct")).await.json()["items"], json!([]));
    service.stop().await;
}

#[tokio::test]
async fn a_workflow_that_answers_to_its_own_end_comes_to_rest() {
    let service = Service::new().await;
    let trigger = "{kind: Trigger, metadata: {name: echo}, spec: {filters: [{exact: {type: io.serverlessworkflow.workflow.completed.v1}}], \
                   target: {workflow: hello}}}";
    service.put("/v1/namespaces/default/triggers/echo", trigger).await.is(201);
    service.run("hello", "{}").await;
    let list = "/v1/namespaces/default/executions?trigger=echo&count=true";
    service.until(list, |b| b["total"] == 16).await;
    // A later event is offered after all of theirs: nothing more has come of them.
    service
        .put("/v1/namespaces/default/triggers/echo", trigger.replace("completed", "faulted"))
        .await
        .is(200);
    service.run("broken", "{}").await;
    service.until(list, |b| b["total"] == 17).await;
    service.stop().await;
}

#[tokio::test]
async fn stored_events_are_replayed_to_one_trigger() {
    let service = Service::new().await;
    for n in 0..3 {
        service.event(&format!("r{n}"), "direct", &json!({"orderId": n})).await.is(202);
    }
    service.event("x", "other", &json!(1)).await.is(202);
    let dry = service
        .post(&format!("{EVENTS}/replay"), r#"{"trigger":"direct","dryRun":true}"#)
        .await
        .is(200)
        .json();
    assert_eq!(dry["matched"], 3);
    let begun =
        service.post(&format!("{EVENTS}/replay"), r#"{"trigger":"direct","rate":"1000/s"}"#).await.is(202);
    let done = service.until(begun.header("location"), |b| b["state"] == "completed").await;
    assert_eq!((&done["action"], &done["done"]), (&json!("replay"), &json!(3)), "{done}");
    service
        .until("/v1/namespaces/default/executions?trigger=direct&status=completed&count=true", |b| {
            b["total"] == 6
        })
        .await;
    // What a replay began says so, in lists and in the trace; the batch takes each event once.
    let id = done["id"].as_str().unwrap();
    let tagged = service.get(&format!("/v1/namespaces/default/executions?tag=tidemill-replay:{id}")).await;
    assert_eq!(tagged.is(200).json()["items"].as_array().unwrap().len(), 3);
    let trace = service.get(&format!("{EVENTS}/%2Ftest/r0/trace")).await.is(200).json();
    let replays: Vec<_> =
        trace["executions"].as_array().unwrap().iter().map(|begun| &begun["replay"]).collect();
    assert_eq!(replays, [&json!(null), &json!(id)], "{trace}");
    service.post(&format!("{EVENTS}/replay"), r#"{"trigger":"nothing"}"#).await.problem(404, "not-found");
    service.stop().await;
}
