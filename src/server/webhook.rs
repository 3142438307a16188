//! The webhook's HTTP side: from a request to `admission::review` and back.

use super::{
    lifecycle::{Lifecycle, Phase},
    metrics::{InFlight, Metrics},
    refusal::Refusal,
    room::{Place, Room, Share, Size},
    seats::Caller,
};
use arc_swap::ArcSwap;
use axum::{
    Router,
    body::{Body, BodyDataStream, HttpBody},
    extract::{Request, State},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::post,
};
use futures::StreamExt;
use http::{HeaderMap, HeaderValue, Version, header};
use native_sidecar_core::{
    admission::{self, Context, NotAReview, Reviewed, Route},
    catalogue::Catalogue,
    conversion::ClusterFacts,
    text::{one_line, shorten},
};
use std::{
    any::Any,
    collections::BTreeSet,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::oneshot,
    task,
    time::{Instant, timeout, timeout_at},
};

/// The largest body that is read. A client may send the API server 3 MiB, possibly as protobuf, which grows as
/// JSON; and nothing but a pod is ever sent here.
pub const BODY_LIMIT: usize = 8 * 1024 * 1024;

/// How much of a body that is too large is read all the same, and thrown away.
const READ_LIMIT: usize = 2 * BODY_LIMIT;

/// Characters of what a client sent in a log line or a refusal. Names have 253 at most.
const QUOTE_LIMIT: usize = 512;

/// What the API server's user is told about a request whose handling panicked.
const PANIC_WARNING: &str = "the pod was left unchanged because of a bug in native-sidecar; its log says where";

/// Everything that answering a request needs.
#[derive(Debug)]
pub struct Webhook {
    /// How a body is answered.
    pub reviewer: Reviewer,
    /// The known sidecars.
    pub catalogue: Arc<Catalogue>,
    /// What is known about the cluster; may be replaced at any time.
    pub facts: Arc<ArcSwap<ClusterFacts>>,
    /// The memory that requests may use.
    pub room: Arc<Room>,
    /// The server's metrics.
    pub metrics: Arc<Metrics>,
    /// The server's phase.
    pub lifecycle: Lifecycle,
    /// How long a request may take.
    pub patience: Patience,
}

/// How long a request may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// From the end of the headers to the end of the body, and once more for a large answer to be taken.
    pub body: Duration,
    /// From the end of the headers to the answer.
    pub request: Duration,
}

/// How a body is answered: [`admission::review`], or what a test puts in its place.
#[derive(Clone, Copy, Debug)]
pub struct Reviewer {
    /// Answers a body.
    pub review: fn(&[u8], Route, Context<'_>) -> Result<Reviewed, NotAReview>,
    /// Answers a body whose review panicked.
    pub allowed_unchanged: fn(&[u8], &str) -> Option<Reviewed>,
}

/// The routes of the webhook.
pub fn router(webhook: Arc<Webhook>) -> Router {
    Router::new()
        .route("/mutate", post(|State(webhook), request| answer(webhook, Route::Annotated, request)))
        .route("/mutate/known", post(|State(webhook), request| answer(webhook, Route::Known, request)))
        .fallback(async |State(webhook), request| refuse(webhook, request, Refusal::UnknownPath).await)
        .method_not_allowed_fallback(async |State(webhook), request| {
            refuse(webhook, request, Refusal::WrongMethod).await
        })
        .layer(middleware::from_fn_with_state(Arc::clone(&webhook), finish))
        .with_state(webhook)
}

async fn answer(webhook: Arc<Webhook>, route: Route, request: Request) -> Result<Response, Refusal> {
    let patience = webhook.patience.request;
    timeout(patience, respond(webhook, route, request)).await.unwrap_or(Err(Refusal::TooSlow))
}

async fn respond(webhook: Arc<Webhook>, route: Route, request: Request) -> Result<Response, Refusal> {
    if let Err(refusal) = require_json(request.headers()) {
        return Err(refuse(webhook, request, refusal).await);
    }
    let caller = request.extensions().get::<Caller>().cloned();
    let (body, place) = read(&webhook, caller.as_ref(), request.into_body()).await?;
    webhook.metrics.body(body.len());
    let (room, patience) = (Arc::clone(&webhook.room), webhook.patience.body);
    let answer = find_answer(webhook, route, body, place).await?;
    let answer = room.for_answer(answer, || expect_taken(caller, patience)).ok_or(Refusal::NoRoom)?;
    Ok(([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], answer).into_response())
}

/// Large reviews run away from the threads that serve connections and health checks. They cannot be stopped, so they
/// keep their room even when nobody waits for them any more.
async fn find_answer(webhook: Arc<Webhook>, route: Route, body: Vec<u8>, place: Place) -> Result<Vec<u8>, Refusal> {
    match webhook.room.for_review(&body).await {
        None => Err(Refusal::TooComplex),
        Some(Size::Small(_place)) => webhook.review(route, &body),
        Some(Size::Large(for_review)) => {
            let review = task::spawn_blocking(move || {
                let _places = (place, for_review);
                let body = body;
                webhook.review(route, &body)
            });
            review.await.unwrap_or(Err(Refusal::Failed))
        }
    }
}

/// Ends the caller's connection unless what is returned is dropped in time.
fn expect_taken(caller: Option<Caller>, patience: Duration) -> Option<oneshot::Sender<()>> {
    let Caller { leave, .. } = caller?;
    let (guard, taken) = oneshot::channel();
    task::spawn(async move {
        if timeout(patience, taken).await.is_err() {
            leave.notify_one();
        }
    });
    Some(guard)
}

/// The API server always says `application/json`; a header that is missing says nothing else.
fn require_json(headers: &HeaderMap) -> Result<(), Refusal> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return Ok(()) };
    let essence = value.to_str().ok().and_then(|value| value.split(';').next()).unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") { Ok(()) } else { Err(Refusal::NotJson) }
}

/// The request's body, and the place that it takes.
async fn read(webhook: &Webhook, caller: Option<&Caller>, body: Body) -> Result<(Vec<u8>, Place), Refusal> {
    let patience = webhook.patience.body;
    let end = Instant::now() + patience;
    let declared = body.size_hint().exact().map(|length| usize::try_from(length).unwrap_or(usize::MAX));
    if declared.is_some_and(|length| length > BODY_LIMIT) {
        return Err(drained(body, end, Refusal::BodyTooLarge(BODY_LIMIT)).await);
    }
    let share = caller.map_or_else(Share::new, |caller| caller.share.clone());
    // Not all of the time, so that there is some to listen to the rest of a body for which there was no room.
    let Ok(place) = timeout(patience / 2, webhook.room.for_body(declared, &share)).await else {
        return Err(drained(body, end, Refusal::NoRoom).await);
    };
    let collected = timeout_at(end, collect(body, declared)).await.unwrap_or(Err(Refusal::BodyTooSlow))?;
    Ok((collected, place))
}

async fn collect(body: Body, declared: Option<usize>) -> Result<Vec<u8>, Refusal> {
    let mut pieces = body.into_data_stream();
    // Costs nothing until it is written to, and never moves.
    let mut collected = Vec::with_capacity(declared.unwrap_or(BODY_LIMIT));
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|_| Refusal::BodyBroken)?;
        if collected.len() + piece.len() > BODY_LIMIT {
            drop(collected);
            drain(pieces).await;
            return Err(Refusal::BodyTooLarge(BODY_LIMIT));
        }
        collected.extend_from_slice(&piece);
    }
    Ok(collected)
}

/// `refusal`, after the body was read to its end and thrown away: clients that are still sending when the answer comes
/// tend not to look at it.
async fn drained(body: Body, end: Instant, refusal: Refusal) -> Refusal {
    if body.size_hint().lower() <= READ_LIMIT as u64 {
        let _ = timeout_at(end, drain(body.into_data_stream())).await;
    }
    refusal
}

async fn drain(mut pieces: BodyDataStream) {
    let mut left = READ_LIMIT;
    while let Some(Ok(piece)) = pieces.next().await {
        let Some(less) = left.checked_sub(piece.len()) else { return };
        left = less;
    }
}

async fn refuse(webhook: Arc<Webhook>, request: Request, refusal: Refusal) -> Refusal {
    let end = Instant::now() + webhook.patience.body;
    drained(request.into_body(), end, refusal).await
}

/// Runs after every request: counts and logs refusals, and asks HTTP/1.1 clients to let go of a draining server.
async fn finish(State(webhook): State<Arc<Webhook>>, request: Request, next: Next) -> Response {
    let version = request.version();
    let peer = request.extensions().get::<Caller>().map(|caller| caller.peer);
    let mut response = next.run(request).await;
    let status = response.status();
    if status.is_client_error() || status.is_server_error() {
        webhook.metrics.refused(status);
    }
    if let Some(refusal) = response.extensions_mut().remove::<Refusal>() {
        let (peer, reason) = (peer.map(tracing::field::display), refusal.to_string());
        tracing::info!(peer, status = status.as_u16(), reason, "request refused");
    }
    // HTTP/2 has no such header; its connections are sent GOAWAY.
    if version < Version::HTTP_2 && webhook.lifecycle.phase() > Phase::Serving {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

fn log(reviewed: &Reviewed, route: Route, elapsed: Duration) {
    let subject = &reviewed.subject;
    let codes: BTreeSet<_> = reviewed.findings.iter().map(|finding| finding.code.as_str()).collect();
    tracing::info!(
        uid = quote(&subject.uid),
        namespace = quote(&subject.namespace),
        pod = quote(&subject.pod),
        owner = quote(&subject.owner),
        decision = reviewed.decision,
        findings = codes.into_iter().collect::<Vec<_>>().join(","),
        duration_ms = elapsed.as_secs_f64() * 1000.0,
        dry_run = subject.dry_run,
        route = path(route),
        "reviewed"
    );
}

/// What a client sent, short enough for a log line.
fn quote(text: &str) -> String {
    shorten(&one_line(text), QUOTE_LIMIT)
}

const fn path(route: Route) -> &'static str {
    match route {
        Route::Annotated => "/mutate",
        Route::Known => "/mutate/known",
    }
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("not a text")
}

// === impl Webhook ===

impl Webhook {
    /// A webhook that answers from `catalogue` and `facts`.
    #[must_use]
    pub fn new(catalogue: Arc<Catalogue>, facts: Arc<ArcSwap<ClusterFacts>>) -> Self {
        Self {
            reviewer: Reviewer::default(),
            catalogue,
            facts,
            room: Arc::default(),
            metrics: Arc::default(),
            lifecycle: Lifecycle::new(),
            patience: Patience::default(),
        }
    }

    fn review(&self, route: Route, body: &[u8]) -> Result<Vec<u8>, Refusal> {
        let in_flight = self.metrics.begin();
        let reviewed = self.guarded(route, body, &in_flight)?;
        self.metrics.answered(&reviewed);
        log(&reviewed, route, in_flight.elapsed());
        Ok(reviewed.body)
    }

    /// The review, with panics caught: one pod that we cannot handle must not cost the others their answer.
    /// Nothing that a review sees is changed by it, so nothing is left half done by a panic.
    fn guarded(&self, route: Route, body: &[u8], in_flight: &InFlight<'_>) -> Result<Reviewed, Refusal> {
        let facts = self.facts.load();
        let context = Context { catalogue: &self.catalogue, facts: &facts };
        match catch_unwind(AssertUnwindSafe(|| (self.reviewer.review)(body, route, context))) {
            Ok(reviewed) => reviewed.map_err(|error| Refusal::NotAReview(quote(&error.to_string()))),
            Err(panic) => self.recover(body, message(&*panic), in_flight).ok_or(Refusal::Failed),
        }
    }

    fn recover(&self, body: &[u8], panic: &str, in_flight: &InFlight<'_>) -> Option<Reviewed> {
        self.metrics.panicked();
        let recovery = || (self.reviewer.allowed_unchanged)(body, PANIC_WARNING);
        let recovered = catch_unwind(AssertUnwindSafe(recovery)).ok().flatten();
        let uid = recovered.as_ref().map(|reviewed| quote(&reviewed.subject.uid));
        let duration_ms = in_flight.elapsed().as_secs_f64() * 1000.0;
        tracing::error!(uid, panic, duration_ms, "the review panicked; please report this bug");
        recovered
    }
}

// === impl Patience ===

/// Longer than the API server ever waits would serve nobody, but its timeout is for the webhook's owner to set
/// (1 to 30 seconds), so ours only has to end what is stuck.
impl Default for Patience {
    fn default() -> Self {
        Self { body: Duration::from_secs(10), request: Duration::from_secs(15) }
    }
}

// === impl Reviewer ===

impl Default for Reviewer {
    fn default() -> Self {
        Self { review: admission::review, allowed_unchanged: admission::allowed_unchanged }
    }
}

#[cfg(test)]
mod tests;
