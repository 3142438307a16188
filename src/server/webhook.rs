//! The webhook's HTTP side: from a request to `admission::review` and back.

use super::{
    connection_permit::Connection,
    fair_pool::{Holder, Progress},
    lifecycle::Lifecycle,
    memory_budget::{BODY_LIMIT, MemoryBudget, MemoryPermit, ReviewPermit, Stage},
    metrics::Metrics,
    refusal::Refusal,
    running_reviews::{RunningReview, RunningReviews, RunsOn},
};
use arc_swap::ArcSwap;
use axum::{
    Router,
    body::{Body, Bytes, HttpBody},
    extract::{Request, State},
    response::{IntoResponse, Response},
    routing::post,
};
use futures::StreamExt;
use http::{HeaderMap, HeaderValue, Version, header};
use http_body_util::BodyExt;
use native_sidecar_core::{
    admission::{self, Context, NotAReview, Reviewed, Route},
    catalogue::Catalogue,
    conversion::ClusterFacts,
    text::{one_line, shorten},
};
use std::{
    any::Any,
    borrow::Cow,
    future,
    net::{IpAddr, Ipv4Addr},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::Poll,
    thread,
    time::Duration,
};
use tokio::{
    sync::oneshot,
    task,
    time::{Instant, sleep, timeout, timeout_at},
};

/// How much of a body that is too large is read all the same, and thrown away.
const READ_LIMIT: usize = 2 * BODY_LIMIT;

/// How much of a body has to come at a time for it to be more than a trickle.
const BLOCK: usize = 16 * 1024;

/// Whose a request is that has no connection, as in some tests.
const UNKNOWN: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

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
    pub memory: MemoryBudget,
    /// What users call the setting of the memory for large bodies: refusals advise to raise it.
    pub memory_setting: &'static str,
    /// The reviews that run at the moment.
    pub running: RunningReviews,
    /// The server's metrics.
    pub metrics: Arc<Metrics>,
    /// The server's phase.
    pub lifecycle: Lifecycle,
    /// How long a request may take.
    pub timeouts: RequestTimeouts,
}

/// How long a request may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestTimeouts {
    /// For there to be memory for a large body.
    pub memory: Duration,
    /// For a body to arrive once there is memory for it.
    pub body: Duration,
    /// For a large answer to be read.
    pub answer: Duration,
    /// From the end of the headers to the answer.
    pub request: Duration,
    /// A review that has run for longer will not end: `/livez` fails, so that the process is started again.
    pub review: Duration,
}

/// How a body is answered: [`admission::review`], or what a test puts in its place.
#[derive(Clone, Copy, Debug)]
pub struct Reviewer {
    /// Answers a body.
    pub review: fn(&[u8], Route, Context<'_>) -> Result<Reviewed, NotAReview>,
    /// Answers a body whose review panicked.
    pub allowed_unchanged: fn(&[u8], &str) -> Option<Reviewed>,
}

/// A body of which a part may have come.
struct IncomingBody {
    body: Body,
    declared: Option<usize>,
    collected: Collected,
    blocks: Arc<Blocks>,
}

/// How many [`BLOCK`]s of a body have come.
#[derive(Debug, Default)]
struct Blocks(AtomicUsize);

/// What has come of a body. An ordinary one comes in one piece, which is not copied.
#[derive(Default)]
struct Collected {
    first: Bytes,
    all: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Received {
    All,
    MoreThanLimit,
}

/// The routes of the webhook.
pub fn router(webhook: Arc<Webhook>) -> Router {
    Router::new()
        .route("/mutate", post(|State(webhook), request| answer(webhook, Route::Annotated, request)))
        .route("/mutate/known", post(|State(webhook), request| answer(webhook, Route::Known, request)))
        .route("/mutate/observe", post(|State(webhook), request| answer(webhook, Route::Observed, request)))
        .fallback(async |State::<Arc<Webhook>>(webhook), request: Request| {
            refuse(&webhook, request, &Refusal::UnknownPath)
        })
        .method_not_allowed_fallback(async |State::<Arc<Webhook>>(webhook), request: Request| {
            refuse(&webhook, request, &Refusal::WrongMethod)
        })
        .with_state(webhook)
}

async fn answer(webhook: Arc<Webhook>, route: Route, request: Request) -> Response {
    let connection = connection(&request);
    let answered = timeout(webhook.timeouts.request, respond(&webhook, route, request, connection.as_ref())).await;
    let answered = answered.unwrap_or(Err(Refusal::TooSlow));
    answered.unwrap_or_else(|refusal| webhook.refused(&refusal, connection.as_deref()))
}

fn refuse(webhook: &Webhook, request: Request, refusal: &Refusal) -> Response {
    let connection = connection(&request);
    drain(request.into_body(), webhook.timeouts.body);
    webhook.refused(refusal, connection.as_deref())
}

/// None in tests that have no socket.
fn connection(request: &Request) -> Option<Arc<Connection>> {
    request.extensions().get().cloned()
}

async fn respond(
    webhook: &Arc<Webhook>,
    route: Route,
    request: Request,
    connection: Option<&Arc<Connection>>,
) -> Result<Response, Refusal> {
    if let Err(refusal) = require_json(request.headers()) {
        drain(request.into_body(), webhook.timeouts.body);
        return Err(refusal);
    }
    let version = request.version();
    let client = connection.map_or(UNKNOWN, |connection| connection.peer.ip());
    let (body, permit) = webhook.read(request.into_body(), client).await?;
    let _reviewed = connection.map(Connection::begin_review);
    let _timed = webhook.metrics.time_review();
    webhook.metrics.body(body.len());
    if version == Version::HTTP_2 {
        run_woken_task().await;
    }
    let answer = webhook.review_within_memory(route, body, permit, client).await?;
    let permit = timeout(webhook.timeouts.memory, webhook.memory.acquire_for_answer(answer.len(), client)).await;
    let permit = permit.ok().flatten().ok_or_else(|| webhook.overloaded())?;
    let limit = webhook.timeouts.answer;
    let answer = permit.keep_for(answer, |memory| end_unless_taken(connection.cloned(), memory, limit));
    let mut response = Response::new(Body::from(answer));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

/// Lets the task run that this one has woken last: the HTTP/2 connection's own, if reading the body woke it. The runtime
/// keeps that task for this worker, where it would have to wait for the review, and with it all other requests of the
/// connection.
async fn run_woken_task() {
    let mut yielded = false;
    future::poll_fn(|context| {
        if yielded {
            return Poll::Ready(());
        }
        yielded = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Ends the connection unless what is returned is dropped in time, and before others ask for the answer's `memory`.
fn end_unless_taken(
    connection: Option<Arc<Connection>>,
    memory: Holder,
    limit: Duration,
) -> Option<oneshot::Sender<()>> {
    let connection = connection?;
    let (guard, taken) = oneshot::channel();
    task::spawn(async move {
        tokio::select! {
            _ = taken => return,
            () = memory.is_wanted() => {}
            () = sleep(limit) => {}
        }
        connection.end();
    });
    Some(guard)
}

/// The API server always says `application/json`; a header that is missing says nothing else.
fn require_json(headers: &HeaderMap) -> Result<(), Refusal> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return Ok(()) };
    let essence = value.to_str().ok().and_then(|value| value.split(';').next()).unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") { Ok(()) } else { Err(Refusal::NotJson) }
}

/// Reads the rest of a body to its end and throws it away, without anybody waiting for it: clients that are still
/// sending when the answer comes tend not to look at it.
fn drain(body: Body, limit: Duration) {
    if body.size_hint().lower() == 0 && body.is_end_stream() {
        return;
    }
    task::spawn(timeout(limit, async {
        let (mut pieces, mut left) = (body.into_data_stream(), READ_LIMIT);
        while let Some(Ok(piece)) = pieces.next().await {
            let Some(less) = left.checked_sub(piece.len()) else { return };
            left = less;
        }
    }));
}

fn log(reviewed: &Reviewed, route: Route, elapsed: Duration) {
    let subject = &reviewed.subject;
    let mut codes: Vec<_> = reviewed.findings.iter().map(|finding| finding.code.as_str()).collect();
    codes.sort_unstable();
    codes.dedup();
    tracing::info!(
        uid = &*quote(&subject.uid),
        namespace = &*quote(&subject.namespace),
        pod = &*quote(&subject.pod),
        owner = &*quote(&subject.owner),
        decision = reviewed.decision,
        findings = codes.join(","),
        duration_ms = elapsed.as_secs_f64() * 1000.0,
        dry_run = subject.dry_run,
        route = path(route),
        "reviewed"
    );
}

/// What a client sent, short enough for a log line, and such that everything in it can be seen.
fn quote(text: &str) -> Cow<'_, str> {
    if text.len() <= QUOTE_LIMIT {
        let line = one_line(text);
        return if line.len() <= QUOTE_LIMIT { line } else { shorten(&line, QUOTE_LIMIT).into() };
    }
    // Before it is looked at closely: it may have megabytes.
    shorten(&one_line(&shorten(text, QUOTE_LIMIT)), QUOTE_LIMIT).into()
}

const fn path(route: Route) -> &'static str {
    match route {
        Route::Annotated => "/mutate",
        Route::Known => "/mutate/known",
        Route::Observed => "/mutate/observe",
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
            memory: MemoryBudget::default(),
            memory_setting: "memory for large bodies",
            running: RunningReviews::default(),
            metrics: Arc::default(),
            lifecycle: Lifecycle::new(),
            timeouts: RequestTimeouts::default(),
        }
    }

    /// How many reviews have run for so long that they will not end.
    pub(super) fn endless_reviews(&self) -> usize {
        self.running.longer_than(self.timeouts.review)
    }

    /// Logs each review that will not end, once.
    pub(super) fn report_endless_reviews(&self) {
        for body in self.running.report(self.timeouts.review) {
            let allowed_unchanged = self.reviewer.allowed_unchanged;
            // On a thread of its own: what keeps the review from ending may keep this from ending too.
            thread::spawn(move || {
                let identified = catch_unwind(|| allowed_unchanged(&body, "")).ok().flatten();
                let uid = identified.map(|reviewed| quote(&reviewed.subject.uid).into_owned());
                tracing::error!(uid, bytes = body.len(), "a review does not end; please report this bug with the pod");
            });
        }
    }

    /// The request's body, and the permit for the memory that it takes.
    async fn read(&self, body: Body, client: IpAddr) -> Result<(Bytes, MemoryPermit), Refusal> {
        let declared = body.size_hint().exact().map(|length| usize::try_from(length).unwrap_or(usize::MAX));
        let mut incoming = IncomingBody { body, declared, collected: Collected::default(), blocks: Arc::default() };
        let read = if declared.is_some_and(|length| length > BODY_LIMIT) {
            Err(Refusal::BodyTooLarge(BODY_LIMIT))
        } else {
            self.collect(&mut incoming, client).await
        };
        match read {
            Ok(permit) => {
                permit.begin_work();
                Ok((incoming.collected.into_bytes(), permit))
            }
            Err(refusal) => {
                drain(incoming.body, self.timeouts.body);
                Err(refusal)
            }
        }
    }

    async fn collect(&self, incoming: &mut IncomingBody, client: IpAddr) -> Result<MemoryPermit, Refusal> {
        let mut end = Instant::now() + self.timeouts.body;
        let mut held = None;
        for stage in Stage::ALL {
            let began = Instant::now();
            let acquiring = self.memory.acquire_for_body(stage, incoming.declared, client);
            let permit = self.acquire(acquiring, held.as_ref(), &incoming.blocks).await?;
            // While it waits for memory, nobody reads what the client sends.
            end += began.elapsed();
            if self.receive(incoming, stage.limit(), &permit, end).await? == Received::All {
                return Ok(permit);
            }
            held = Some(permit);
        }
        Err(Refusal::BodyTooLarge(BODY_LIMIT))
    }

    /// Waits for more memory for a body; unless others ask for what it has `held` until now.
    async fn acquire(
        &self,
        acquiring: impl Future<Output = MemoryPermit>,
        held: Option<&MemoryPermit>,
        blocks: &Blocks,
    ) -> Result<MemoryPermit, Refusal> {
        let mut acquiring = pin!(timeout(self.timeouts.memory, acquiring));
        let acquired = match held {
            Some(held) => held.unless_given_up(acquiring, blocks).await,
            None => Some(acquiring.as_mut().await),
        };
        acquired.and_then(Result::ok).ok_or_else(|| self.overloaded())
    }

    /// Receives until the end of the body, or until more than `limit` has come; unless others ask for its memory while
    /// nothing comes.
    async fn receive(
        &self,
        incoming: &mut IncomingBody,
        limit: usize,
        permit: &MemoryPermit,
        end: Instant,
    ) -> Result<Received, Refusal> {
        let blocks = Arc::clone(&incoming.blocks);
        let receiving = pin!(timeout_at(end, incoming.receive(limit)));
        let received = permit.unless_given_up(receiving, &*blocks).await;
        received.ok_or_else(|| self.overloaded())?.unwrap_or(Err(Refusal::BodyTooSlow))
    }

    /// Large reviews run on threads of their own. They cannot be interrupted, so they keep their memory even when
    /// nobody waits for them any more.
    async fn review_within_memory(
        self: &Arc<Self>,
        route: Route,
        body: Bytes,
        for_body: MemoryPermit,
        client: IpAddr,
    ) -> Result<Vec<u8>, Refusal> {
        let permit = self.memory.acquire_for_review(&body, client).await;
        match permit.ok_or(Refusal::TooComplex(self.memory_setting))? {
            ReviewPermit::Small(_permit) if self.running.thread_for_small() == RunsOn::Worker => {
                self.review(route, &body, RunsOn::Worker)
            }
            ReviewPermit::Small(for_review) | ReviewPermit::Large(for_review) => {
                let webhook = Arc::clone(self);
                let review = task::spawn_blocking(move || {
                    let _permits = (for_body, for_review);
                    let body = body;
                    webhook.review(route, &body, RunsOn::BlockingThread)
                });
                review.await.unwrap_or(Err(Refusal::Failed))
            }
        }
    }

    fn review(&self, route: Route, body: &Bytes, runs_on: RunsOn) -> Result<Vec<u8>, Refusal> {
        let running = self.running.begin(body.clone(), runs_on);
        let outcome = self.guarded(route, body, &running);
        let elapsed = running.elapsed();
        drop(running);
        let reviewed = outcome?;
        self.metrics.answered(&reviewed);
        log(&reviewed, route, elapsed);
        Ok(reviewed.body)
    }

    /// The review, with panics caught: one pod that we cannot handle must not cost the others their answer.
    /// Nothing that a review sees is changed by it, so nothing is left half done by a panic.
    fn guarded(&self, route: Route, body: &[u8], running: &RunningReview<'_>) -> Result<Reviewed, Refusal> {
        let facts = self.facts.load();
        let context = Context { catalogue: &self.catalogue, facts: &facts };
        match catch_unwind(AssertUnwindSafe(|| (self.reviewer.review)(body, route, context))) {
            Ok(reviewed) => reviewed.map_err(|error| Refusal::NotAReview(quote(&error.to_string()).into_owned())),
            Err(panic) => self.recover(body, message(&*panic), running).ok_or(Refusal::Failed),
        }
    }

    fn recover(&self, body: &[u8], panic: &str, running: &RunningReview<'_>) -> Option<Reviewed> {
        self.metrics.panicked();
        let recovery = || (self.reviewer.allowed_unchanged)(body, PANIC_WARNING);
        let recovered = catch_unwind(AssertUnwindSafe(recovery)).ok().flatten();
        let uid = recovered.as_ref().map(|reviewed| quote(&reviewed.subject.uid).into_owned());
        let duration_ms = running.elapsed().as_secs_f64() * 1000.0;
        tracing::error!(uid, panic = &*quote(panic), duration_ms, "the review panicked; please report this bug");
        recovered
    }

    /// The response to a request that is refused, which is counted and logged.
    fn refused(&self, refusal: &Refusal, from: Option<&Connection>) -> Response {
        self.metrics.refused(refusal);
        refusal.log(from.map(|connection| connection.peer));
        refusal.into_response()
    }

    const fn overloaded(&self) -> Refusal {
        Refusal::Overloaded(self.memory_setting)
    }
}

// === impl IncomingBody ===

impl IncomingBody {
    async fn receive(&mut self, limit: usize) -> Result<Received, Refusal> {
        while self.collected.len() <= limit {
            let Some(frame) = self.body.frame().await else { return Ok(Received::All) };
            let frame = frame.map_err(|_| Refusal::BodyBroken)?;
            // Trailers say nothing.
            if let Ok(piece) = frame.into_data() {
                self.collected.add(piece, self.declared);
                self.blocks.0.store(self.collected.len() / BLOCK, Ordering::Relaxed);
            }
        }
        Ok(Received::MoreThanLimit)
    }
}

// === impl Blocks ===

impl Progress for Blocks {
    fn progress(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

// === impl Collected ===

impl Collected {
    fn len(&self) -> usize {
        self.first.len() + self.all.len()
    }

    fn add(&mut self, piece: Bytes, declared: Option<usize>) {
        if self.len() == 0 {
            self.first = piece;
            return;
        }
        if self.all.is_empty() {
            // Costs nothing until it is written to, and never moves.
            self.all.reserve_exact(declared.unwrap_or(BODY_LIMIT).min(BODY_LIMIT));
        }
        self.all.extend_from_slice(&std::mem::take(&mut self.first));
        self.all.extend_from_slice(&piece);
    }

    fn into_bytes(self) -> Bytes {
        if self.all.is_empty() { self.first } else { self.all.into() }
    }
}

// === impl RequestTimeouts ===

/// Longer than the API server ever waits would serve nobody, but its timeout is for the webhook's owner to set
/// (1 to 30 seconds), so ours only has to end what is stuck.
impl Default for RequestTimeouts {
    fn default() -> Self {
        Self {
            memory: Duration::from_secs(5),
            body: Duration::from_secs(10),
            answer: Duration::from_secs(10),
            request: Duration::from_secs(15),
            review: Duration::from_secs(10),
        }
    }
}

// === impl Reviewer ===

impl Reviewer {
    /// Every pod is only observed.
    #[must_use]
    pub fn observing() -> Self {
        // Whoever creates the pod has not asked for it, so nobody is warned.
        let unwarned = |body: &[u8], _: &str| admission::allowed_unchanged(body, None);
        Self { review: admission::observe, allowed_unchanged: unwarned }
    }
}

impl Default for Reviewer {
    fn default() -> Self {
        let warned = |body: &[u8], warning: &str| admission::allowed_unchanged(body, Some(warning));
        Self { review: admission::review, allowed_unchanged: warned }
    }
}

#[cfg(test)]
mod tests;
