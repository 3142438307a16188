//! Those who take their time, and what they would like to be kept for them.

use crate::{
    adversaries,
    caller::{API_SERVER, Load, Shape},
    program::{Program, Setup},
    report::{Form, Outcome, Report, Tally, mebibytes},
    strangers::{Stranger, Strangers, anywhere, ask_on_and_on, head, silently, slowly},
    support::{self, NEVER, eventually},
};
use futures::future::BoxFuture;
use std::{
    io,
    net::Ipv4Addr,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpSocket,
    time::{sleep, timeout},
};

/// A server that has not taken a request for so long takes no more of them.
const FULL: Duration = Duration::from_secs(1);

/// Connections at a time, by default.
const CONNECTIONS: usize = 1024;

/// Good calls while strangers do what they do.
async fn among<F>(
    form: Form,
    program: &mut Program,
    shape: Shape,
    (count, source): (usize, impl Fn(usize) -> Ipv4Addr),
    act: impl Fn(Stranger) -> F + Clone + Send + Sync + 'static,
) -> Report
where
    F: Future<Output = io::Result<()>> + Send,
{
    let caller = program.caller(form).shaped(shape);
    caller.learn().await;
    let strangers = Strangers::come(count, program, source, act).await;
    // Where there are more of them than connections, each good call has to wait for its turn.
    let calls = if count > CONNECTIONS { form.calls() / 5 } else { form.calls() };
    let mut report = Report::of(caller.stream(Load::steady(calls)).await);
    report.figure("they came", strangers.came());
    report.figure("evicted", program.metric("native_sidecar_connections_evicted_total").await);
    program.conclude(&mut report);
    report
}

/// As many connections as the program keeps and more; where it keeps many, only the long form has as many addresses.
fn crowd(form: Form) -> (usize, Setup) {
    (form.pick(240, 1_500), form.pick(Setup::default().with(&["--max-connections", "128"]), Setup::default()))
}

pub(crate) async fn slow_body(stranger: Stranger) -> io::Result<()> {
    let mut stream = stranger.tls("http/1.1").await?;
    stream.write_all(head("Content-Length: 60000").as_bytes()).await?;
    stranger.in_place();
    slowly(stream, b" ").await
}

pub(crate) async fn slow_chunks(stranger: Stranger) -> io::Result<()> {
    let mut stream = stranger.tls("http/1.1").await?;
    stream.write_all(head("Transfer-Encoding: chunked").as_bytes()).await?;
    stranger.in_place();
    slowly(stream, b"1\r\n \r\n").await
}

async fn slow_headers(stranger: Stranger) -> io::Result<()> {
    let mut stream = stranger.tls("http/1.1").await?;
    stream.write_all(b"POST /mutate HTTP/1.1\r\nX-Slow: ").await?;
    stranger.in_place();
    slowly(stream, b"a").await
}

/// A `ClientHello` that is said to have 512 bytes and comes one at a time.
async fn slow_handshake(stranger: Stranger) -> io::Result<()> {
    let mut stream = stranger.tcp().await?;
    stream.write_all(&[22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3]).await?;
    stranger.in_place();
    slowly(stream, &[7]).await
}

async fn silence(stranger: Stranger) -> io::Result<()> {
    let stream = stranger.tcp().await?;
    stranger.in_place();
    silently(stream).await
}

pub(crate) async fn idle(stranger: Stranger) -> io::Result<()> {
    let stream = stranger.tls("http/1.1").await?;
    stranger.in_place();
    silently(stream).await
}

/// Default settings, as the first to find it had them.
pub(crate) async fn bodies_of_240_addresses(form: Form) -> Report {
    among(form, &mut Program::start().await, Shape::Small, (240, anywhere), slow_body).await
}

pub(crate) async fn bodies_of_a_crowd(form: Form) -> Report {
    let (count, setup) = crowd(form);
    among(form, &mut setup.start().await, Shape::Small, (count, anywhere), slow_body).await
}

/// The good calls' own address, as a proxy or a node's NAT makes it.
pub(crate) async fn bodies_of_the_same_address(form: Form) -> Report {
    among(form, &mut Program::start().await, Shape::Small, (300, |_| API_SERVER), slow_body).await
}

pub(crate) async fn bodies_of_a_crowd_at_the_same_address(form: Form) -> Report {
    let (count, setup) = crowd(form);
    among(form, &mut setup.start().await, Shape::Small, (count, |_| API_SERVER), slow_body).await
}

pub(crate) async fn headers(form: Form) -> Report {
    let (count, setup) = crowd(form);
    among(form, &mut setup.start().await, Shape::Small, (count, anywhere), slow_headers).await
}

pub(crate) async fn handshakes(form: Form) -> Report {
    let (count, setup) = crowd(form);
    among(form, &mut setup.start().await, Shape::Small, (count, anywhere), slow_handshake).await
}

pub(crate) async fn silent(form: Form) -> Report {
    let (count, setup) = crowd(form);
    among(form, &mut setup.start().await, Shape::Small, (count, anywhere), silence).await
}

/// More than are served, wait accepted, and wait of one address.
pub(crate) async fn two_crowds(form: Form) -> Report {
    let setup = Setup::default().with(&["--max-connections", "128"]);
    among(form, &mut setup.start().await, Shape::Small, (3_000, |index| anywhere(index % 2)), silence).await
}

pub(crate) async fn idle_ones(form: Form) -> Report {
    let (count, setup) = crowd(form);
    among(form, &mut setup.start().await, Shape::Small, (count, anywhere), idle).await
}

pub(crate) async fn chunked_of_six_addresses(form: Form) -> Report {
    chunked(form, anywhere).await
}

pub(crate) async fn chunked_of_one_address(form: Form) -> Report {
    chunked(form, |_| anywhere(0)).await
}

/// In the quick form, where good calls wait for longer than a body may take, it may take longer still. In the long form
/// until each has been refused or given up, and has come again.
async fn chunked(form: Form, source: impl Fn(usize) -> Ipv4Addr) -> Report {
    let slower = Setup::default().with(&["--body-timeout", "5m", "--request-timeout", "10m"]);
    let mut program = form.pick(slower, Setup::default()).start().await;
    let caller = program.caller(form).shaped(Shape::Large);
    caller.learn().await;
    let strangers = Strangers::come(6, &program, source, slow_chunks).await;
    let tally = if form.is_quick() {
        caller.stream(Load::steady(form.calls())).await
    } else {
        let again = eventually(async || strangers.came() >= 24);
        caller.stream_until(Load::steady(0), again).await
    };
    let mut report = Report::of(tally);
    report.figure("they came", strangers.came());
    program.conclude(&mut report);
    report
}

/// Reviews with a uid or an apiVersion of 7 MiB, and the answers taken a little at a time.
pub(crate) async fn large_uids(form: Form) -> Report {
    let long = "u".repeat(7 * 1024 * 1024);
    let mut of_long_version = support::review("v");
    of_long_version["apiVersion"] = format!("admission.k8s.io/{long}").into();
    let bodies = [support::review(&long).to_string(), of_long_version.to_string()];
    let act = move |stranger: Stranger| {
        let body = bodies[usize::from(stranger.source.octets()[3] % 2)].clone();
        async move {
            let mut stream = stranger.tls("http/1.1").await?;
            stream.write_all(head(&format!("Content-Length: {}", body.len())).as_bytes()).await?;
            stream.write_all(body.as_bytes()).await?;
            stream.flush().await?;
            stream.read_u8().await?;
            stranger.in_place();
            reads_slowly(stream).await
        }
    };
    among(form, &mut Program::start().await, Shape::LargeAnswer, (4, anywhere), act).await
}

async fn reads_slowly(mut stream: impl tokio::io::AsyncRead + Unpin) -> io::Result<()> {
    let mut little = [0; 512];
    while stream.read(&mut little).await? > 0 {
        sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

/// As small a receive buffer as there is, so that what is answered stays with the server.
async fn narrow(stranger: &Stranger, target: std::net::SocketAddr) -> io::Result<tokio::net::TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(1)?;
    socket.bind((stranger.source, 0).into())?;
    socket.connect(target).await
}

pub(crate) async fn no_readers(form: Form) -> Report {
    let mut program = Program::start().await;
    let act = no_reader(&program);
    among(form, &mut program, Shape::Small, (100, anywhere), act).await
}

/// Sends reviews with large answers as long as it can, and reads none. In place when the server has had enough.
pub(crate) fn no_reader(
    program: &Program,
) -> impl Fn(Stranger) -> BoxFuture<'static, io::Result<()>> + Clone + Send + Sync + 'static {
    let target = program.address;
    let body = large_answer();
    let request = Arc::new(head(&format!("Content-Length: {}", body.len())) + &body);
    move |stranger| {
        let request = Arc::clone(&request);
        Box::pin(async move {
            let stream = narrow(&stranger, target).await?;
            let mut stream = stranger.tls_over(stream, "http/1.1").await?;
            while let Ok(sent) = timeout(FULL, stream.write_all(request.as_bytes())).await {
                sent?;
            }
            stranger.in_place();
            timeout(Duration::from_secs(30), stream.write_all(b" ")).await?
        })
    }
}

/// One after the other.
pub(crate) async fn dear_reviews(form: Form) -> Report {
    let bodies = adversaries::all().into_iter().map(|dear| (dear.write)(60 * 1024));
    let requests: Arc<[_]> = bodies.map(|body| head(&format!("Content-Length: {}", body.len())) + &body).collect();
    let act = move |stranger: Stranger| {
        let requests = Arc::clone(&requests);
        async move {
            let stream = stranger.tls("http/1.1").await?;
            ask_on_and_on(&stranger, stream, requests.iter().cycle(), None).await
        }
    };
    among(form, &mut Program::start().await, Shape::Small, (16, anywhere), act).await
}

/// A body below 64 KiB whose patch is as large as that of 500 containers.
fn large_answer() -> String {
    let mut review = support::review("much");
    let names: Vec<_> = (0..500).map(|index| format!("s{index}")).collect();
    let pod = &mut review["request"]["object"];
    let containers = pod["spec"]["containers"].as_array_mut().unwrap();
    containers.truncate(1);
    containers.extend(names.iter().map(|name| serde_json::json!({"name": name, "image": "busybox"})));
    pod["metadata"]["annotations"]["native-sidecar.io/containers"] = names.join(",").into();
    review.to_string()
}

/// Refused by its headers: nobody has sent a byte of the body, and no limit of time is near.
pub(crate) async fn too_large_by_its_own_word(form: Form) -> Report {
    let never = format!("{}s", NEVER.as_secs());
    let setup = Setup::default().with(&["--body-timeout", &never, "--request-timeout", &never]);
    let mut program = setup.start().await;
    let mut tally = Tally::default();
    for expects in ["", "\r\nExpect: 100-continue"] {
        let begin = Instant::now();
        let asked = timeout(form.patience(), ask_by_headers(&program, expects)).await;
        let outcome = match asked {
            Err(_) => Outcome::Late,
            Ok(Ok(status)) if status.starts_with("HTTP/1.1 413 ") => Outcome::Right,
            Ok(Ok(status)) => Outcome::Wrong(status),
            Ok(Err(error)) => Outcome::Lost(error.to_string()),
        };
        tally.count(outcome, begin.elapsed());
    }
    let mut report = Report::of(tally);
    program.conclude(&mut report);
    report
}

async fn ask_by_headers(program: &Program, expects: &str) -> io::Result<String> {
    let mut stream = program.client("http/1.1").handshake(program.address).await?;
    let length = format!("Content-Length: {}{expects}", 9 << 20);
    stream.write_all(head(&length).as_bytes()).await?;
    let mut answer = [0; 1024];
    let read = stream.read(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer[..read]).lines().next().unwrap_or_default().to_owned())
}

/// 20 bodies of 8 MiB at a time, and what is left of them once they are answered.
pub(crate) async fn burst(form: Form) -> Report {
    let mut program = Program::start().await;
    let caller = program.caller(form);
    caller.learn().await;
    let before = program.memory("RssAnon");
    let strangers = Strangers::come(20, &program, anywhere, large_bodies()).await;
    // Several times, as an allocator keeps more with each.
    let bodies = form.pick(60, 400);
    let answered = eventually(async || strangers.came() > bodies);
    let mut report = Report::of(caller.stream_until(Load::steady(0), answered).await);
    report.figure("bodies", bodies);
    drop(strangers);
    caller.hang_up();
    // Pages of the program's own file are the system's, and without optimizing there are many.
    let (limit, field) = (30, form.pick("RssAnon", "VmRSS"));
    let begin = Instant::now();
    let is_small = || program.memory(field) < limit * 1024 * 1024;
    while !is_small() && begin.elapsed() < Duration::from_mins(1) {
        sleep(Duration::from_millis(100)).await;
    }
    report.require(is_small(), format!("{field} is below {limit} MiB a minute later"));
    report.figure("anonymous before", mebibytes(before));
    report.figure("anonymous after", mebibytes(program.memory("RssAnon")));
    report.figure("RSS after", mebibytes(program.memory("VmRSS")));
    report.figure("rested", format!("{:.1} s", begin.elapsed().as_secs_f64()));
    program.conclude(&mut report);
    report
}

/// The largest pods there are; in place once they are answered.
pub(crate) fn large_bodies() -> impl Fn(Stranger) -> BoxFuture<'static, io::Result<()>> + Clone + Send + Sync + 'static
{
    let mut review = support::review("large");
    let notes = "n".repeat((8 << 20) - 2 * review.to_string().len());
    review["request"]["object"]["metadata"]["annotations"]["example.com/notes"] = notes.into();
    let body = Arc::new(head(&format!("Content-Length: {}", review.to_string().len())) + &review.to_string());
    move |stranger| {
        let body = Arc::clone(&body);
        Box::pin(async move {
            let mut stream = stranger.tls("http/1.1").await?;
            stream.write_all(body.as_bytes()).await?;
            stream.flush().await?;
            stream.read_u8().await?;
            Ok(())
        })
    }
}
