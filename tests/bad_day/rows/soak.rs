//! Everything at once, for long, and whether it leaves anything behind.

use super::{floods, slow};
use crate::{
    caller::{Load, Shape},
    program::Program,
    report::{Form, Report, mebibytes},
    strangers::{Strangers, anywhere},
    support::eventually,
};
use std::time::{Duration, Instant};
use tokio::time::{sleep, timeout};

/// What the memory may have grown by; an allocator keeps some.
const GROWTH: u64 = 10 * 1024 * 1024;

/// Mixed traffic, good and bad, then a minute of rest at most.
pub(crate) async fn soak(form: Form) -> Report {
    let mut program = Program::start().await;
    let callers = [Shape::Small, Shape::Large, Shape::LargeAnswer].map(|shape| program.caller(form).shaped(shape));
    let fresh = program.caller(form).fresh();
    // What is allocated once belongs to the beginning.
    for caller in callers.iter().chain([&fresh]) {
        caller.learn().await;
        caller.stream(Load::brisk(50)).await;
        caller.hang_up();
    }
    let descriptors = at_rest(&program).await;
    let (memory, anonymous) = (program.memory("VmRSS"), program.memory("RssAnon"));

    let time = match form {
        Form::Quick => Duration::from_secs(5),
        Form::Long => Duration::from_mins(10),
        Form::Hour => Duration::from_hours(1),
    };
    let somewhere = |from: usize| move |index| anywhere(from + index);
    let strangers = tokio::join!(
        Strangers::come(2, &program, somewhere(0), slow::large_bodies()),
        Strangers::come(4, &program, somewhere(100), slow::no_reader(&program)),
        Strangers::come(10, &program, somewhere(200), slow::slow_body),
        Strangers::come(10, &program, somewhere(300), slow::idle),
        Strangers::come(1, &program, somewhere(400), floods::plain_text),
    );
    let strangers: [Strangers; 5] = strangers.into();
    let load = Load { at_a_time: 2, ..Load::steady(0) };
    let streams = callers.iter().chain([&fresh]).map(|caller| caller.stream_until(load, sleep(time)));
    let mut report = Report::default();
    for tally in futures::future::join_all(streams).await {
        report.tally.add(tally);
    }
    report.figure("they came", strangers.iter().map(Strangers::came).sum::<usize>());
    drop(strangers);
    callers.iter().chain([&fresh]).for_each(|caller| caller.hang_up());

    let begin = Instant::now();
    let is_small = || program.memory("RssAnon") < anonymous + GROWTH;
    let rests = async {
        while !(is_small() && program.descriptors() == descriptors) {
            sleep(Duration::from_millis(100)).await;
        }
    };
    let _ = timeout(Duration::from_mins(1), rests).await;
    report.require(is_small(), format!("memory is back within {} a minute later", mebibytes(GROWTH)));
    let now = program.descriptors();
    report.require(now == descriptors, format!("{now} descriptors, as many as the {descriptors} of before"));
    report.figure("for", format!("{} s", time.as_secs()));
    report.figure("RSS before", mebibytes(memory));
    report.figure("RSS after", mebibytes(program.memory("VmRSS")));
    report.figure("rested", format!("{:.1} s", begin.elapsed().as_secs_f64()));
    report.figure("descriptors", format!("{descriptors} and {now}"));
    program.conclude(&mut report);
    report
}

/// The descriptors once those of connections are gone: as many, time after time.
async fn at_rest(program: &Program) -> usize {
    let (mut last, mut same) = (0, 0);
    eventually(async || {
        let now = program.descriptors();
        same = if now == last { same + 1 } else { 0 };
        last = now;
        same >= 20
    })
    .await;
    last
}
