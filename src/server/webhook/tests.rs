use super::{
    super::{memory_budget::LargeBodyMemory, metrics::Snapshot},
    *,
};
use axum::body::to_bytes;
use http::{Method, StatusCode};
use native_sidecar_core::findings::{Code, Finding};
use rstest::rstest;
use tower::ServiceExt;

const REVIEW: &str = r#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u-1",
    "kind":{"group":"","version":"v1","kind":"Pod"},"operation":"CREATE","namespace":"shop","object":{
    "metadata":{"name":"web","annotations":{"native-sidecar.io/containers":"proxy"}},
    "spec":{"containers":[{"name":"app","image":"app"},{"name":"proxy","image":"proxy"}]}}}}"#;

fn webhook() -> Webhook {
    Webhook { timeouts: PATIENT, ..Webhook::new(Arc::new(Catalogue::built_in()), Arc::default()) }
}

fn reviewed(decision: &'static str) -> Reviewed {
    let findings = vec![Finding::pod(Code::NameNotFound, "no such name")];
    Reviewed { body: b"{}".to_vec(), decision, subject: admission::Subject::default(), findings }
}

/// Timeouts that no test meets.
const PATIENT: RequestTimeouts = RequestTimeouts {
    memory: Duration::from_hours(1),
    body: Duration::from_hours(1),
    answer: Duration::from_hours(1),
    request: Duration::from_hours(1),
    review: Duration::from_hours(1),
};

fn post(path: &str) -> http::request::Builder {
    Request::builder().method(Method::POST).uri(path)
}

async fn send(webhook: &Arc<Webhook>, request: Request) -> (Response<()>, String) {
    let response = router(Arc::clone(webhook)).oneshot(request).await.unwrap();
    let (head, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    (Response::from_parts(head, ()), String::from_utf8(body.to_vec()).unwrap())
}

type Response<T> = http::Response<T>;

#[rstest]
#[case::json(Some("application/json"))]
#[case::with_charset(Some("Application/JSON; charset=utf-8"))]
#[case::not_said(None)]
#[tokio::test]
async fn a_review_is_answered_as_json(#[case] content_type: Option<&str>) {
    let mut request = post("/mutate?timeout=3s");
    if let Some(value) = content_type {
        request = request.header(header::CONTENT_TYPE, value);
    }
    let (response, body) = send(&Arc::new(webhook()), request.body(Body::from(REVIEW)).unwrap()).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()[header::CONTENT_TYPE], "application/json");
    let answer: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(answer["response"]["uid"], "u-1");
    assert_eq!(answer["response"]["allowed"], true);
    assert_eq!(answer["response"]["patchType"], "JSONPatch");
}

#[rstest]
#[case::annotated("/mutate", "/mutate")]
#[case::known("/mutate/known", "/mutate/known")]
#[case::observed("/mutate/observe", "/mutate/observe")]
#[tokio::test]
async fn each_path_has_its_route(#[case] at: &str, #[case] expected: &str) {
    let review = |_: &[u8], route, _: Context<'_>| Ok(Reviewed { body: path(route).into(), ..reviewed("converted") });
    let webhook = Webhook { reviewer: Reviewer { review, ..Reviewer::default() }, ..webhook() };
    let (_, body) = send(&Arc::new(webhook), post(at).body(Body::from(REVIEW)).unwrap()).await;
    assert_eq!(body, expected);
}

#[rstest]
#[case::no_review(post("/mutate").body("{}".into()), 400, "")]
#[case::no_json(post("/mutate").body("hello".into()), 400, "")]
#[case::empty(post("/mutate").body(Body::empty()), 400, "")]
#[case::uid(post("/mutate").body(REVIEW.replace("u-1", &"u".repeat(129)).into()), 400, "129 bytes")]
#[case::version(post("/mutate").body(REVIEW.replace("io/v1", "io/v2").into()), 400, "understands admission.k8s.io/v1")]
#[case::path(post("/").body(REVIEW.into()), 404, "/mutate")]
#[case::below(post("/mutate/known/").body(REVIEW.into()), 404, "/mutate")]
#[case::method(Request::get("/mutate").body(Body::empty()), 405, "POST")]
#[case::large(post("/mutate").body(vec![b' '; BODY_LIMIT + 1].into()), 413, "8388608 bytes")]
#[case::huge(post("/mutate").body(vec![b' '; READ_LIMIT + 1].into()), 413, "8388608 bytes")]
#[case::form(
    post("/mutate").header("content-type", "application/x-www-form-urlencoded").body(REVIEW.into()),
    415,
    "application/json"
)]
#[tokio::test]
async fn a_refusal_is_one_sentence(#[case] request: http::Result<Request>, #[case] status: u16, #[case] part: &str) {
    let webhook = Arc::new(webhook());
    let (response, body) = send(&webhook, request.unwrap()).await;
    assert_eq!(response.status(), status, "{body}");
    assert_eq!(response.headers()[header::CONTENT_TYPE], "text/plain; charset=utf-8");
    assert!(body.contains(part) && body.lines().count() == 1, "{body}");
    let counted = format!("native_sidecar_http_errors_total{{status=\"{status}\"}} 1");
    assert!(webhook.metrics.encode(Snapshot::default()).contains(&counted));
}

#[tokio::test]
async fn what_is_only_observed_is_counted_as_such() {
    let webhook = Arc::new(Webhook { reviewer: Reviewer::observing(), ..webhook() });
    let blocked =
        REVIEW.replace(r#""image":"proxy""#, r#""image":"proxy","ports":[{"containerPort":80,"hostPort":80}]"#);
    for body in [REVIEW.to_owned(), blocked] {
        let (response, body) = send(&webhook, post("/mutate").body(body.into()).unwrap()).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert!(body.contains(r#""allowed":true"#) && !body.contains("patch"), "{body}");
    }
    let metrics = webhook.metrics.encode(Snapshot::default());
    for (decision, count) in [("would-convert", 1), ("would-block", 1), ("converted", 0), ("blocked", 0)] {
        let counted = format!("native_sidecar_reviews_total{{decision=\"{decision}\"}} {count}\n");
        assert!(metrics.contains(&counted), "{counted}{metrics}");
    }
}

#[tokio::test]
async fn a_wrong_method_is_told_the_right_one() {
    let request = Request::get("/mutate/known").body(Body::empty()).unwrap();
    let (response, _) = send(&Arc::new(webhook()), request).await;
    assert_eq!(response.headers()[header::ALLOW], "POST");
}

#[tokio::test]
async fn a_large_body_is_reviewed_too() {
    let padded = format!("{REVIEW}{}", " ".repeat(BODY_LIMIT - REVIEW.len()));
    let (response, body) = send(&Arc::new(webhook()), post("/mutate").body(padded.into()).unwrap()).await;
    assert_eq!(response.status(), StatusCode::OK, "{body}");
}

/// Without a declared length the limit is only met while reading.
#[tokio::test]
async fn an_endless_body_is_cut_off() {
    let piece = || Ok::<_, std::io::Error>(Bytes::from_static(&[b' '; 8192]));
    let endless = Body::from_stream(futures::stream::repeat_with(piece));
    let (response, _) = send(&Arc::new(webhook()), post("/mutate").body(endless).unwrap()).await;
    assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn a_body_that_breaks_off_is_refused() {
    let pieces = [Ok(Bytes::from_static(b"{")), Err(std::io::Error::other("gone"))];
    let broken = Body::from_stream(futures::stream::iter(pieces));
    let (response, _) = send(&Arc::new(webhook()), post("/mutate").body(broken).unwrap()).await;
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
}

#[rstest]
#[case::body(RequestTimeouts { body: Duration::from_millis(1), ..PATIENT }, 408)]
#[case::request(RequestTimeouts { request: Duration::from_millis(1), ..PATIENT }, 503)]
#[tokio::test]
async fn a_body_that_never_comes_is_refused(#[case] timeouts: RequestTimeouts, #[case] status: u16) {
    let never = Body::from_stream(futures::stream::pending::<Result<Bytes, std::io::Error>>());
    let webhook = Webhook { timeouts, ..webhook() };
    let (response, _) = send(&Arc::new(webhook), post("/mutate").body(never).unwrap()).await;
    assert_eq!(response.status(), status);
}

#[rstest]
#[case::small(REVIEW.to_owned())]
#[case::large(format!("{REVIEW}{}", " ".repeat(256 * 1024)))]
#[tokio::test]
async fn a_panic_leaves_the_pod_unchanged(#[case] review: String) {
    let reviewer = Reviewer { review: |_, _, _| panic!("a bug"), ..Reviewer::default() };
    let webhook = Arc::new(Webhook { reviewer, ..webhook() });
    let (response, body) = send(&webhook, post("/mutate").body(review.into()).unwrap()).await;
    assert_eq!(response.status(), StatusCode::OK);
    let answer: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(answer["response"]["uid"], "u-1");
    assert_eq!(answer["response"]["allowed"], true);
    assert!(answer["response"].get("patch").is_none());
    let warning = answer["response"]["warnings"][0].as_str().unwrap();
    assert!(warning.contains("left unchanged"), "{warning}");
    let metrics = webhook.metrics.encode(Snapshot::default());
    assert!(metrics.contains("native_sidecar_panics_total 1\n"));
    assert!(metrics.contains("native_sidecar_reviews_total{decision=\"failed\"} 1\n"));
    assert_eq!(webhook.running.count(), 0);
}

#[tokio::test]
async fn where_all_is_observed_a_panic_warns_nobody() {
    let reviewer = Reviewer { review: |_, _, _| panic!("a bug"), ..Reviewer::observing() };
    let webhook = Arc::new(Webhook { reviewer, ..webhook() });
    let (_, body) = send(&webhook, post("/mutate").body(REVIEW.into()).unwrap()).await;
    let answer: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(answer["response"]["allowed"], true);
    assert!(answer["response"].get("warnings").is_none(), "{body}");
}

/// Where there is no memory for a body, nobody reads it, so that the wait is none of the client's time to send it.
#[tokio::test(start_paused = true)]
async fn the_wait_for_memory_is_not_the_bodys_time() {
    let memory = MemoryBudget::new(LargeBodyMemory::mebibytes(24).unwrap());
    let permit = memory.acquire_for_body(Stage::Large, None, UNKNOWN).await;
    let second = Duration::from_secs(1);
    let timeouts = RequestTimeouts { memory: 3 * second, body: 2 * second, ..PATIENT };
    let webhook = Arc::new(Webhook { memory, timeouts, ..webhook() });
    let end = futures::stream::once(async move {
        tokio::time::sleep(second).await;
        Bytes::from(REVIEW)
    });
    let large = futures::stream::iter([Bytes::from(" ".repeat(Stage::Small.limit() + 1))]);
    let body = Body::from_stream(large.chain(end).map(Ok::<_, std::io::Error>));
    let answer = tokio::spawn(router(Arc::clone(&webhook)).oneshot(post("/mutate").body(body).unwrap()));
    tokio::time::sleep(5 * second / 2).await;
    drop(permit);
    assert_eq!(answer.await.unwrap().unwrap().status(), StatusCode::OK);
}

#[rstest]
#[case::no_uid(false)]
#[case::twice(true)]
#[tokio::test]
async fn a_panic_without_a_uid_is_an_error(#[case] twice: bool) {
    let no_uid: fn(&[u8], &str) -> Option<Reviewed> = |_, _| None;
    let allowed_unchanged = if twice { |_: &[u8], _: &str| panic!("the same bug again") } else { no_uid };
    let reviewer = Reviewer { review: |_, _, _| panic!("{}", "a bug"), allowed_unchanged };
    let webhook = Arc::new(Webhook { reviewer, ..webhook() });
    let (response, body) = send(&webhook, post("/mutate").body(REVIEW.into()).unwrap()).await;
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert!(body.contains("bug"), "{body}");
    assert!(webhook.metrics.encode(Snapshot::default()).contains("native_sidecar_panics_total 1\n"));
}

#[tokio::test]
async fn answers_are_counted() {
    let review = |_: &[u8], _, _: Context<'_>| Ok(reviewed("blocked"));
    let webhook = Arc::new(Webhook { reviewer: Reviewer { review, ..Reviewer::default() }, ..webhook() });
    send(&webhook, post("/mutate").body(REVIEW.into()).unwrap()).await;
    let metrics =
        webhook.metrics.encode(Snapshot { expiry: "2030-01-01T00:00:00Z".parse().ok(), ..Snapshot::default() });
    for line in [
        "native_sidecar_reviews_total{decision=\"blocked\"} 1",
        "native_sidecar_reviews_total{decision=\"converted\"} 0",
        "native_sidecar_findings_total{code=\"name-not-found\"} 1",
        "native_sidecar_review_duration_seconds_count 1",
        "native_sidecar_request_body_bytes_bucket{le=\"1024.0\"} 1",
        "native_sidecar_certificate_expiry_timestamp_seconds 1893456000.0",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} is not in\n{metrics}");
    }
}

#[test]
fn every_label_value_is_there_from_the_start() {
    let metrics = Metrics::new().encode(Snapshot::default());
    for code in Code::ALL {
        assert!(metrics.contains(&format!("findings_total{{code=\"{code}\"}} 0\n")), "{code}");
    }
    for decision in admission::DECISIONS {
        assert!(metrics.contains(&format!("reviews_total{{decision=\"{decision}\"}} 0\n")), "{decision}");
    }
    for status in super::super::STATUSES {
        assert!(metrics.contains(&format!("http_errors_total{{status=\"{}\"}} 0\n", status.as_u16())), "{status}");
    }
    assert!(metrics.contains("native_sidecar_build_info{version=\""));
    assert!(metrics.contains("native_sidecar_certificate_expiry_timestamp_seconds NaN\n"));
    assert!(metrics.ends_with("# EOF\n"));
}

/// Who sends it must not choose how long our log lines are.
#[tokio::test]
async fn a_refusal_quotes_no_more_than_a_line() {
    let body = format!(r#"{{"kind":"{}","request":{{}}}}"#, "k".repeat(100_000));
    let (_, text) = send(&Arc::new(webhook()), post("/mutate").body(body.into()).unwrap()).await;
    assert!(text.contains("kkk") && text.chars().count() <= QUOTE_LIMIT + 1, "{}", text.len());
}
