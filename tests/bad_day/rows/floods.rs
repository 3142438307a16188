//! Floods: much of what is cheap to send. Each has a few senders only, since they have the machine's processors to
//! share with the program and with those who call it.

use crate::{
    caller::{Load, Shape, probe},
    frames::{
        CONTINUATION, DATA, END_HEADERS, END_STREAM, Frames, HEADERS, PING, RST_STREAM, SETTINGS, WINDOW_UPDATE, frame,
        post, post_of, window,
    },
    program::Program,
    report::{Form, Report, Tally, mebibytes},
    strangers::{Stranger, Strangers, anywhere, ask_on_and_on, head},
    support,
};
use std::{
    io, iter,
    net::SocketAddr,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::sleep,
};

/// Senders of a flood.
const SENDERS: usize = 4;
/// Those who have as many answers kept for them as they can.
const HOLDERS: usize = 256;
/// What the program may take for all of that.
const HELD_LIMIT: u64 = 64 * 1024 * 1024;
/// Frames that are sent at once.
const FRAMES: usize = 64;
/// Less than the time after which a connection counts as idle.
const NEARLY_IDLE: Duration = Duration::from_millis(300);
/// Lines that a flood may cost, beside those of the good calls, however much of it there is: strangers are summed up.
const LOG_LIMIT: u64 = 64 * 1024;

/// Good calls and probes during a flood.
async fn during<F>(form: Form, addresses: usize, act: impl Fn(Stranger) -> F + Clone + Send + Sync + 'static) -> Report
where
    F: Future<Output = io::Result<()>> + Send,
{
    let mut program = Program::start().await;
    flood(form, &mut program, (SENDERS.max(addresses.min(64)), addresses), act).await
}

async fn flood<F>(
    form: Form,
    program: &mut Program,
    (senders, addresses): (usize, usize),
    act: impl Fn(Stranger) -> F + Clone + Send + Sync + 'static,
) -> Report
where
    F: Future<Output = io::Result<()>> + Send,
{
    let caller = program.caller(form).fresh();
    caller.learn().await;
    let begin = Instant::now();
    let strangers = Strangers::come(senders, program, move |index| anywhere(index % addresses), act).await;
    let calls = caller.stream(Load::steady(form.calls()));
    let (mut tally, probes) = tokio::join!(calls, probes(form, program.health));
    tally.add(probes);
    let mut report = Report::of(tally);
    report.figure("they came", strangers.came());
    report.figure("for", format!("{:.1} s", begin.elapsed().as_secs_f64()));
    drop(strangers);
    let of_calls: usize = program.log().lines().filter(|line| line.contains("\"reviewed\"")).map(str::len).sum();
    let of_strangers = program.log_bytes().unwrap_or_default().saturating_sub(of_calls as u64);
    report.require(of_strangers < LOG_LIMIT, format!("{} KiB of log are less than 64", of_strangers / 1024));
    program.conclude(&mut report);
    report
}

/// A kubelet's probe now and then.
async fn probes(form: Form, health: SocketAddr) -> Tally {
    let mut tally = Tally::default();
    for _ in 0..form.pick(10, 100) {
        if tally.is_hopeless() {
            break;
        }
        probe(health, "/readyz", form.patience(), &mut tally).await;
        sleep(Duration::from_millis(50)).await;
    }
    tally
}

pub(crate) async fn plain_text(stranger: Stranger) -> io::Result<()> {
    let mut stream = stranger.tcp().await?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await?;
    let _ = stream.read(&mut [0; 64]).await;
    stranger.in_place();
    // A reset, or the addresses' ports would be used up before the minute in which each waits to be free again.
    stream.set_zero_linger()
}

async fn connect_and_close(stranger: Stranger) -> io::Result<()> {
    let stream = stranger.tcp().await?;
    stranger.in_place();
    stream.set_zero_linger()
}

async fn distrustful(stranger: Stranger) -> io::Result<()> {
    let stream = stranger.tcp().await?;
    let other = support::Authority::new().pem();
    let config = crate::caller::Target::new(stream.peer_addr()?, &other).config();
    let _ = tokio_rustls::TlsConnector::from(config).connect("localhost".try_into().unwrap(), stream).await;
    stranger.in_place();
    Ok(())
}

pub(crate) async fn failed_handshakes(form: Form) -> Report {
    during(form, SENDERS, plain_text).await
}

pub(crate) async fn failed_handshakes_of_many(form: Form) -> Report {
    // A sender changes its address each time: there are as many as it has time for.
    let next = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let act = move |stranger: Stranger| {
        let source = anywhere(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
        plain_text(stranger.at(source))
    };
    during(form, SENDERS, act).await
}

pub(crate) async fn distrust(form: Form) -> Report {
    during(form, SENDERS, distrustful).await
}

pub(crate) async fn connections(form: Form) -> Report {
    during(form, 1, connect_and_close).await
}

pub(crate) async fn health(form: Form) -> Report {
    let mut program = Program::start().await;
    let health = program.health;
    let act = move |stranger: Stranger| async move {
        let stream = stranger.tcp_to(health).await?;
        stranger.in_place();
        stream.set_zero_linger()
    };
    flood(form, &mut program, (SENDERS, 1), act).await
}

/// As many as there are places for, which say nothing.
pub(crate) async fn health_held(form: Form) -> Report {
    let mut program = Program::start().await;
    let health = program.health;
    let act = move |stranger: Stranger| async move {
        let stream = stranger.tcp_to(health).await?;
        stranger.in_place();
        crate::strangers::silently(stream).await
    };
    flood(form, &mut program, (200, 1), act).await
}

/// As many, none of which is idle for long or slow.
pub(crate) async fn health_busy(form: Form) -> Report {
    let mut program = Program::start().await;
    let health = program.health;
    let act = move |stranger: Stranger| async move {
        let stream = stranger.tcp_to(health).await?;
        let request = "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n";
        ask_on_and_on(&stranger, stream, iter::repeat(request), Some(NEARLY_IDLE)).await
    };
    flood(form, &mut program, (200, 1), act).await
}

pub(crate) async fn metrics(form: Form) -> Report {
    let mut program = Program::start().await;
    let health = program.health;
    let act = move |stranger: Stranger| async move {
        let stream = stranger.tcp_to(health).await?;
        let request = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";
        ask_on_and_on(&stranger, stream, iter::repeat(request), None).await
    };
    flood(form, &mut program, (16, 1), act).await
}

/// Requests that are no reviews, on connections that are kept.
pub(crate) async fn refusals(form: Form) -> Report {
    let act = async |stranger: Stranger| {
        let stream = stranger.tls("http/1.1").await?;
        let request = head("Content-Length: 2") + "{}";
        ask_on_and_on(&stranger, stream, iter::repeat(&request), None).await
    };
    during(form, SENDERS, act).await
}

/// The ids of a client's streams, from the first on.
fn streams() -> impl FnMut() -> u32 {
    let mut next = 1;
    move || {
        next += 2;
        next - 2
    }
}

fn many(mut next: impl FnMut() -> Vec<u8>) -> Vec<u8> {
    (0..FRAMES).flat_map(|_| next()).collect()
}

pub(crate) async fn rapid_reset(form: Form) -> Report {
    during(form, SENDERS, async |stranger: Stranger| {
        let mut stream = streams();
        let frames = Frames::begin(&stranger, &[]).await?;
        let mut next = move || {
            let id = stream();
            let mut frames = frame(HEADERS, END_HEADERS | END_STREAM, id, &post());
            frames.extend(frame(RST_STREAM, 0, id, &8_u32.to_be_bytes()));
            frames
        };
        frames.flood(&stranger, move || many(&mut next)).await
    })
    .await
}

pub(crate) async fn continuation(form: Form) -> Report {
    during(form, SENDERS, async |stranger: Stranger| {
        let mut frames = Frames::begin(&stranger, &[]).await?;
        frames.send(&frame(HEADERS, END_STREAM, 1, &post())).await?;
        // A field of 200 bytes that is not to be remembered.
        let mut field = vec![0x10, 1, b'x', 0x7f, 73];
        field.extend([b'y'; 200]);
        let next = frame(CONTINUATION, 0, 1, &field);
        frames.flood(&stranger, move || many(|| next.clone())).await
    })
    .await
}

pub(crate) async fn settings(form: Form) -> Report {
    during(form, SENDERS, async |stranger: Stranger| {
        let frames = Frames::begin(&stranger, &[]).await?;
        frames.flood(&stranger, || many(|| frame(SETTINGS, 0, 0, &window(65_535)))).await
    })
    .await
}

pub(crate) async fn pings(form: Form) -> Report {
    during(form, SENDERS, async |stranger: Stranger| {
        let frames = Frames::begin(&stranger, &[]).await?;
        frames.flood(&stranger, || many(|| frame(PING, 0, 0, &[7; 8]))).await
    })
    .await
}

pub(crate) async fn pings_unread(form: Form) -> Report {
    during(form, 16, async |stranger: Stranger| {
        let frames = Frames::begin(&stranger, &[]).await?;
        frames.flood_unread(&stranger, || many(|| frame(PING, 0, 0, &[7; 8]))).await
    })
    .await
}

/// Answers that have no room in the window, and a byte more of it now and then.
pub(crate) async fn windows(form: Form) -> Report {
    let review = Shape::LargeAnswer.review("w").to_string();
    let act = move |stranger: Stranger| {
        let review = review.clone();
        async move {
            let mut frames = Frames::begin(&stranger, &window(0)).await?;
            let mut stream = streams();
            for _ in 0..32 {
                let id = stream();
                frames.send(&frame(HEADERS, END_HEADERS, id, &post_of(review.len()))).await?;
                frames.send(&frame(DATA, END_STREAM, id, review.as_bytes())).await?;
            }
            let mut sent = 0_u32;
            let next = move || {
                sent += 1;
                frame(WINDOW_UPDATE, 0, 1 + 2 * (sent % 32), &1_u32.to_be_bytes())
            };
            frames.flood(&stranger, next).await
        }
    };
    let mut program = Program::start().await;
    let mut report = flood(form, &mut program, (HOLDERS, HOLDERS), act).await;
    let peak = program.memory("VmHWM");
    report.require(peak < HELD_LIMIT, format!("{} are less than {}", mebibytes(peak), mebibytes(HELD_LIMIT)));
    report
}

pub(crate) async fn empty_data(form: Form) -> Report {
    during(form, SENDERS, async |stranger: Stranger| {
        let mut frames = Frames::begin(&stranger, &[]).await?;
        frames.send(&frame(HEADERS, END_HEADERS, 1, &post())).await?;
        frames.flood(&stranger, || many(|| frame(DATA, 0, 1, &[]))).await
    })
    .await
}
