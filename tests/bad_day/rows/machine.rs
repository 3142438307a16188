//! A machine that is short of something, or whose clock is wrong.

use super::slow;
use crate::{
    caller::Load,
    group::Group,
    program::{MEMORY_LIMIT, Program, Setup},
    report::{Form, Report},
    strangers::{Strangers, anywhere},
    support::eventually,
};
use rustix::process::{Pid, Signal, kill_process};
use std::{fs, path::Path, time::Duration};
use tokio::{task::JoinSet, time::sleep};

/// Where Debian has it.
const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";

/// A tenth of one processor, or what looks like it.
pub(crate) async fn little_cpu(form: Form) -> Report {
    let mut program = Program::start().await;
    // A handshake each: more than a tenth of a processor can do at this pace.
    let caller = program.caller(form).fresh();
    caller.learn().await;
    let mut throttle = JoinSet::new();
    let limited = program.group().is_some_and(|group| group.limit_cpu(10).is_ok());
    if !limited {
        throttle.spawn(now_and_then(program.pid()));
    }
    let mut report = Report::of(caller.stream(Load::brisk(form.pick(60, 1_000))).await);
    let times = program.group().filter(|_| limited).and_then(Group::throttled);
    report.require(times != Some(0), "the process is throttled at all");
    report.figure("throttled by", times.map_or_else(|| "signals".to_owned(), |times| format!("cgroup, {times} times")));
    throttle.shutdown().await;
    program.signal(Signal::CONT);
    program.conclude(&mut report);
    report
}

async fn now_and_then(pid: Pid) {
    loop {
        let _ = kill_process(pid, Signal::STOP);
        sleep(Duration::from_millis(90)).await;
        let _ = kill_process(pid, Signal::CONT);
        sleep(Duration::from_millis(10)).await;
    }
}

/// Fewer descriptors than there are strangers who would like one.
pub(crate) async fn few_descriptors(form: Form) -> Report {
    let mut program = Setup::default().descriptors(64).start().await;
    let caller = program.caller(form).fresh();
    caller.learn().await;
    let strangers = Strangers::come(48, &program, anywhere, slow::idle).await;
    let mut report = Report::of(caller.stream(Load::steady(form.calls())).await);
    report.figure("they came", strangers.came());
    program.conclude(&mut report);
    report
}

/// All at once that takes memory, in a pod's limit.
pub(crate) async fn little_memory(form: Form) -> Report {
    let mut program = Program::start().await;
    let limited = program.group().is_some_and(|group| group.limit_memory(MEMORY_LIMIT).is_ok());
    let caller = program.caller(form);
    caller.learn().await;
    let somewhere = |from: usize| move |index| anywhere(from + index);
    let strangers = tokio::join!(
        Strangers::come(20, &program, somewhere(0), slow::large_bodies()),
        Strangers::come(40, &program, somewhere(100), slow::no_reader(&program)),
        Strangers::come(60, &program, somewhere(200), slow::slow_body),
        Strangers::come(6, &program, somewhere(300), slow::slow_chunks),
    );
    let strangers: [Strangers; 4] = strangers.into();
    let mut report = Report::of(caller.stream(Load::steady(form.calls())).await);
    report.figure("they came", strangers.iter().map(Strangers::came).sum::<usize>());
    report.figure("limited by", if limited { "cgroup" } else { "nothing but this row" });
    program.conclude(&mut report);
    report
}

/// The clock goes forward and back, by hours and by weeks.
pub(crate) async fn stepped_clock(form: Form) -> Report {
    if !Path::new(FAKETIME).exists() {
        return Report::skipped(format!("there is no {FAKETIME}"));
    }
    let folder = tempfile::tempdir().unwrap();
    let offset = folder.path().join("offset");
    fs::write(&offset, "+0").unwrap();
    let setup = Setup::default()
        .environment("LD_PRELOAD", FAKETIME)
        .environment("FAKETIME_TIMESTAMP_FILE", offset.to_str().unwrap())
        .environment("FAKETIME_NO_CACHE", "1")
        .environment("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .environment("DONT_FAKE_MONOTONIC", "1");
    let mut program = setup.start().await;
    let caller = program.caller(form);
    caller.learn().await;
    let steps = ["+2h", "-2h", "+28d", "-28d", "+0"];
    let misfortunes = async {
        for step in steps {
            let before = day_and_hour(&program);
            fs::write(&offset, step).unwrap();
            eventually(async || day_and_hour(&program) != before).await;
            sleep(Duration::from_millis(form.pick(100, 3_000))).await;
        }
    };
    let mut report = Report::of(caller.stream_until(Load::steady(0), misfortunes).await);
    report.figure("steps", steps.join(", "));
    program.conclude(&mut report);
    report
}

/// Of the last line that is whole, such as `2026-03-01T12`.
fn day_and_hour(program: &Program) -> Option<String> {
    let log = program.log();
    let line: serde_json::Value = log.lines().rev().find_map(|line| serde_json::from_str(line).ok())?;
    Some(line["timestamp"].as_str()?.chars().take(13).collect())
}
