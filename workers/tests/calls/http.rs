//! `call: http` and http functions against a real server.

use std::net::SocketAddr;
use std::sync::Arc;

use tidemill_dsl::order::{HttpRequest, Outcome};
use tidemill_dsl::program::HttpOutput;
use tidemill_dsl::value::Value;
use tidemill_workers::Function;
use tidemill_workers::egress::Policy;
use tidemill_workers::http::{Auth, CALLS_IN_FLIGHT, HttpFunction, Outbound, perform};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use wiremock::matchers::{
    any, body_json_string, header, header_exists, header_regex, method, path, query_param,
};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::{done, fault, json, order, secrets};

fn outbound(policy: Policy) -> Outbound {
    Outbound::new(policy, Arc::new(Semaphore::new(CALLS_IN_FLIGHT)))
}

fn loopback() -> Policy {
    Policy { allow_loopback: true, ..Policy::default() }
}

fn get(uri: String) -> HttpRequest {
    HttpRequest {
        method: "GET".into(),
        uri,
        headers: Vec::new(),
        authorization: None,
        body: None,
        output: HttpOutput::Content,
        redirect: false,
    }
}

async fn send(request: &HttpRequest) -> Outcome {
    perform(&outbound(loopback()), request).await
}

async fn serve(answer: ResponseTemplate) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(answer).mount(&server).await;
    server
}

#[tokio::test]
async fn the_three_outputs() {
    let answer =
        ResponseTemplate::new(201).insert_header("x-a", "b").set_body_raw("{\"n\": 1}", "application/json");
    let server = serve(answer).await;
    let uri = format!("{}/pet?x=1", server.uri());
    let mut request = get(uri.clone());
    request.authorization = Some("Bearer s3cret-token".into());
    request.headers = vec![("X-Mine".into(), "1".into())];
    assert_eq!(done(send(&request).await), json("{\"n\":1}"));
    request.output = HttpOutput::Raw;
    assert_eq!(done(send(&request).await), json("\"eyJuIjogMX0=\""));
    request.output = HttpOutput::Response;
    let said = done(send(&request).await);
    let pick = |pointer: &str| said.pointer(pointer).cloned();
    assert_eq!(pick("/request/method"), Some("GET".into()));
    assert_eq!(pick("/request/uri"), Some(uri.into()));
    assert_eq!(pick("/request/headers/x-mine"), Some("1".into()));
    assert_eq!(pick("/statusCode"), Some(json("201")));
    assert_eq!(pick("/headers/x-a"), Some("b".into()));
    assert_eq!(pick("/content/n"), Some(json("1")));
    assert!(!said.to_string().contains("s3cret-token"), "{said}");
}

#[tokio::test]
async fn bodies_are_json_unless_said_otherwise() {
    let server = MockServer::start().await;
    let answer = |name: &str| ResponseTemplate::new(200).set_body_string(name);
    let json_type = header("content-type", "application/json");
    Mock::given(json_type)
        .and(body_json_string("{\"a\":1}"))
        .respond_with(answer("json"))
        .mount(&server)
        .await;
    let text = wiremock::matchers::body_string("plain");
    Mock::given(header("content-type", "text/plain"))
        .and(text)
        .respond_with(answer("text"))
        .mount(&server)
        .await;
    let form = wiremock::matchers::body_string("a=1&b=x+y");
    Mock::given(form).respond_with(answer("form")).mount(&server).await;
    for (kind, body, expected) in [
        (None, json("{\"a\":1}"), "json"),
        (Some("text/plain"), json("\"plain\""), "text"),
        (Some("application/x-www-form-urlencoded"), json("{\"a\":1,\"b\":\"x y\"}"), "form"),
    ] {
        let mut request = get(server.uri());
        request.method = "post".into();
        request.body = Some(body);
        request.headers = kind.into_iter().map(|kind| ("Content-Type".to_owned(), kind.to_owned())).collect();
        assert_eq!(done(send(&request).await), expected.into(), "{kind:?}");
    }
}

#[tokio::test]
async fn failed_statuses_are_errors_in_every_output() {
    for status in [300_u16, 304, 400, 404, 429, 500, 503] {
        let answer = ResponseTemplate::new(status)
            .insert_header("retry-after", "9")
            .set_body_string("why: s3cret-token");
        let server = serve(answer).await;
        for output in [HttpOutput::Content, HttpOutput::Raw, HttpOutput::Response] {
            let request = HttpRequest {
                output,
                authorization: Some("Bearer s3cret-token".into()),
                ..get(server.uri())
            };
            let said = fault(send(&request).await);
            assert_eq!(said.status, i64::from(status), "{output:?}");
            assert!(said.kind.ends_with("/communication"), "{said:?}");
            let detail = said.detail.unwrap();
            assert!(detail.contains("retry-after: 9") && !detail.contains("s3cret-token"), "{detail}");
        }
    }
}

#[tokio::test]
async fn no_answer_is_a_communication_error() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let said = fault(send(&get(format!("http://{address}/"))).await);
    assert_eq!(said.status, 500);
    assert!(said.kind.ends_with("/communication"), "{said:?}");
}

#[tokio::test]
async fn redirects_are_followed_only_when_asked_for() {
    let (server, other) = (MockServer::start().await, MockServer::start().await);
    let to = |status: u16, place: String| ResponseTemplate::new(status).insert_header("location", place);
    Mock::given(path("/one")).respond_with(to(302, "/two".into())).mount(&server).await;
    let two = Mock::given(path("/two")).and(header("authorization", "Bearer x-token"));
    two.respond_with(to(307, format!("{}/three", other.uri()))).mount(&server).await;
    let open = Mock::given(path("/three")).and(header_exists("authorization"));
    open.respond_with(ResponseTemplate::new(500)).mount(&other).await;
    Mock::given(path("/three"))
        .respond_with(ResponseTemplate::new(200).set_body_string("there"))
        .mount(&other)
        .await;
    Mock::given(path("/loop")).respond_with(to(302, "/loop".into())).mount(&server).await;

    let mut request = get(format!("{}/one", server.uri()));
    request.authorization = Some("Bearer x-token".into());
    assert_eq!(fault(send(&request).await).status, 302);
    request.redirect = true;
    assert_eq!(done(send(&request).await), "there".into());
    request.uri = format!("{}/loop", server.uri());
    let said = fault(send(&request).await);
    assert!(said.status == 302 && said.to_string().contains("`http-redirects`"), "{said}");
}

#[tokio::test]
async fn answers_beyond_the_cap_are_refused_by_name() {
    let server = serve(ResponseTemplate::new(200).set_body_bytes(vec![b'1'; 2 * 1024 * 1024 + 1])).await;
    let said = fault(send(&get(server.uri())).await);
    assert!(said.to_string().contains("`task-output`"), "{said}");
}

#[tokio::test]
async fn addresses_are_judged() {
    let server = serve(ResponseTemplate::new(200)).await;
    let own: SocketAddr = *server.address();
    let port = own.port();
    let allow = |texts: &[&str]| Policy {
        allow: texts.iter().map(|t| t.parse().unwrap()).collect(),
        ..Policy::default()
    };
    let own = Policy { own_listeners: vec![own], ..allow(&["127.0.0.0/8", "localhost"]) };
    let check = async |policy: &Policy, uri: String, expected: Option<&str>| {
        let said = perform(&outbound(policy.clone()), &get(uri.clone())).await;
        match (said, expected) {
            (Outcome::Done(_), None) => {}
            (Outcome::Failed(fault), Some(part)) => {
                assert!(fault.to_string().contains(part), "{uri}: {fault}");
                assert_eq!(fault.status, 403, "{uri}");
            }
            (said, _) => panic!("{uri}: {said:?}, expected {expected:?}"),
        }
    };
    check(&allow(&[]), format!("http://127.0.0.1:{port}/"), Some("`egress.allow`")).await;
    check(&allow(&[]), format!("http://localhost:{port}/"), Some("`egress.allow`")).await;
    check(&allow(&[]), format!("http://[::ffff:127.0.0.1]:{port}/"), Some("`egress.allow`")).await;
    check(&allow(&[]), format!("http://2130706433:{port}/"), Some("`egress.allow`")).await;
    check(&allow(&[]), "http://169.254.169.254/latest".into(), Some("metadata")).await;
    check(&allow(&["127.0.0.1/32"]), format!("http://127.0.0.1:{port}/"), None).await;
    check(&allow(&["127.0.0.1/32"]), format!("http://localhost:{port}/"), None).await;
    check(&allow(&["localhost"]), format!("http://localhost:{port}/"), None).await;
    check(&own, format!("http://127.0.0.1:{port}/"), Some("listener of this server")).await;
    check(&own, format!("http://localhost:{port}/"), Some("listener of this server")).await;
    check(&allow(&[]), "ftp://example.org/".into(), Some("only http and https")).await;
}

#[tokio::test]
async fn a_redirect_is_judged_again() {
    let secret = serve(ResponseTemplate::new(200)).await;
    let target = format!("http://127.0.0.2:{}/", secret.address().port());
    let server = serve(ResponseTemplate::new(302).insert_header("location", target)).await;
    let policy = Policy { allow: vec!["127.0.0.1/32".parse().unwrap()], ..Policy::default() };
    let request = HttpRequest { redirect: true, ..get(server.uri()) };
    let said = fault(perform(&outbound(policy), &request).await);
    assert!(said.to_string().contains("127.0.0.2") && said.status == 403, "{said}");
}

#[tokio::test]
async fn a_rewrite_keeps_host_path_and_query() {
    let server = MockServer::start().await;
    let asked = Mock::given(method("GET")).and(path("/v2/pet/1")).and(query_param("q", "a b"));
    let asked = asked.and(header("host", "petstore.swagger.io"));
    asked.respond_with(ResponseTemplate::new(200).set_body_string("pet")).mount(&server).await;
    let to = server.uri().parse().unwrap();
    let policy = Policy { rewrite: [("petstore.swagger.io".to_owned(), to)].into(), ..loopback() };
    let uri = "https://petstore.swagger.io/v2/pet/1?q=a%20b";
    let request = HttpRequest { output: HttpOutput::Response, ..get(uri.into()) };
    let said = done(perform(&outbound(policy.clone()), &request).await);
    assert_eq!(said.pointer("/request/uri"), Some(&uri.into()));
    assert_eq!(said.get("content"), Some(&"pet".into()));
    let judged = Policy { allow_loopback: false, ..policy };
    let said = fault(perform(&outbound(judged), &request).await);
    assert!(said.to_string().contains("`egress.allow`"), "{said}");
}

#[tokio::test]
async fn a_function_is_posted_with_who_asks() {
    let server = MockServer::start().await;
    let mut asked = order(7, json("{\"a\":1}"));
    asked.attempt = 2;
    let key = asked.idempotency_key();
    Mock::given(method("POST"))
        .and(body_json_string("{\"a\":1}"))
        .and(header("idempotency-key", key.as_str()))
        .and(header("tidemill-execution", asked.execution.to_string().as_str()))
        .and(header("tidemill-task", "/do/0/a"))
        .and(header("tidemill-attempt", "2"))
        .and(header_regex("traceparent", "^00-[0-9a-f]{32}-[0-9a-f]{16}-01$"))
        .and(header("authorization", "Basic YW5uOnB3"))
        .respond_with(ResponseTemplate::new(200).set_body_raw("{\"ok\":true}", "application/json"))
        .mount(&server)
        .await;
    let mut function = HttpFunction::new(server.uri(), outbound(loopback()), secrets());
    function.auth = Some(Auth::Basic("pair".into()));
    assert_eq!(done(function.call(asked.clone(), CancellationToken::new()).await), json("{\"ok\":true}"));
    function.auth = Some(Auth::Bearer("absent".into()));
    let sent = server.received_requests().await.unwrap().len();
    assert_eq!(fault(function.call(asked, CancellationToken::new()).await).status, 403);
    assert_eq!(server.received_requests().await.unwrap().len(), sent);
}

/// 202 with `tidemill-callback: accepted` means that the answer comes later; the request names where to.
#[tokio::test]
async fn functions_may_answer_later() {
    let later = Some("accepted");
    for (status, said, expected) in [
        (202, later, Outcome::Later),
        (202, None, Outcome::Done(json("{}"))),
        (200, later, Outcome::Done(json("{}"))),
    ] {
        let asked = order(1, json("{}"));
        let path = format!(
            "/v1/namespaces/{}/executions/{}/tasks/{}",
            asked.namespace, asked.execution, asked.visit
        );
        let answer = ResponseTemplate::new(status).set_body_raw("{}", "application/json");
        let answer = match said {
            Some(said) => answer.insert_header("tidemill-callback", said),
            None => answer,
        };
        let server = MockServer::start().await;
        let asks = Mock::given(header("tidemill-callback", path.as_str()));
        asks.respond_with(answer).mount(&server).await;
        let function = HttpFunction::new(server.uri(), outbound(loopback()), secrets());
        assert_eq!(function.call(asked, CancellationToken::new()).await, expected, "{status} {said:?}");
    }
}

#[tokio::test]
async fn too_many_open_calls_are_shed_by_name() {
    let none = Outbound::new(loopback(), Arc::new(Semaphore::new(0)));
    let said = fault(perform(&none, &get("http://127.0.0.1:9/".into())).await);
    assert!(said.status == 503 && said.to_string().contains("`http-calls-in-flight`"), "{said}");
    assert_eq!(done(send(&get(serve(ResponseTemplate::new(204)).await.uri())).await), Value::Null);
}
