//! A bad day, as tests: one misfortune at a time happens to the program itself, while a bounded stream of good reviews
//! is sent as an API server sends them; and each of these is counted, right, wrong or lost.
//!
//! `cargo test --test bad_day` runs the quick forms, which look for losses; `scripts/reliability` runs the long forms
//! on a release build and prints the table of `docs/reliability.md`. Rows whose names contain one of the arguments are
//! run where there are arguments.
//!
//! Unlike other test programs this one has a harness of its own: the rows must not run side by side, since each may use
//! all of the machine, and what they tell is a table.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_in_result,
    clippy::unwrap_used,
    reason = "in tests a panic is the report"
)]

#[path = "../../crates/core/tests/cost/adversaries.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod adversaries;
#[path = "../server/balancer.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod balancer;
mod caller;
mod frames;
mod group;
#[path = "../cluster_module/mock.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod mock;
mod program;
mod report;
mod rows;
mod service;
mod strangers;
#[path = "../server/support.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod support;

use report::{Form, Report, Row};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::{
    env,
    panic::{self, AssertUnwindSafe},
    process::ExitCode,
    time::{Duration, Instant},
};
use tokio::runtime;

/// Which form is run: `long`, or `hour` for a soak of an hour.
const FORM: &str = "NATIVE_SIDECAR_BAD_DAY";

/// Options of other harnesses that take a value, as `cargo test` hands them to all.
const VALUED: [&str; 6] = ["--test-threads", "--skip", "--format", "--color", "--logfile", "-Z"];

/// The head of the table.
const TABLE: &str = "\
| Row | What happens | Promise | Sent | Wrong | Lost | Other figures |
|---|---|---|---|---|---|---|";

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let has = |option: &str| arguments.iter().any(|argument| argument == option);
    let filters = filters(&arguments);
    // No row is ignored before it is run.
    let is_chosen = |row: &&Row| {
        !has("--ignored") && (filters.is_empty() || filters.iter().any(|filter| row.name.contains(*filter)))
    };
    let rows: Vec<_> = rows::ROWS.iter().filter(is_chosen).collect();
    if has("--list") {
        for row in rows {
            println!("{}: test", row.name);
        }
        return ExitCode::SUCCESS;
    }
    raise_descriptors();
    run(&rows, form())
}

/// The arguments that are neither an option of other harnesses nor the value of one.
fn filters(arguments: &[String]) -> Vec<&String> {
    let mut before = "";
    let mut filters = Vec::new();
    for argument in arguments {
        if !argument.starts_with('-') && !VALUED.contains(&before) {
            filters.push(argument);
        }
        before = argument;
    }
    filters
}

fn form() -> Form {
    match env::var(FORM).as_deref() {
        Ok("long") => Form::Long,
        Ok("hour") => Form::Hour,
        Ok("" | "quick") | Err(_) => Form::Quick,
        Ok(other) => panic!("{FORM}={other:?}; expected quick, long or hour"),
    }
}

fn run(rows: &[&Row], form: Form) -> ExitCode {
    println!("\nrunning {} rows", rows.len());
    let begin = Instant::now();
    let (mut table, mut failed, mut ignored) = (vec![TABLE.to_owned()], Vec::new(), 0);
    for row in rows {
        let begin = Instant::now();
        let Some(report) = happen(row, form) else {
            println!("row {} ... FAILED: it panicked", row.name);
            failed.push(row.name);
            continue;
        };
        table.push(report.markdown(row));
        if let Some(why) = &report.skipped {
            println!("row {} ... ignored, {why}", row.name);
            ignored += 1;
            continue;
        }
        let kept = report.keeps(row.promise);
        let verdict = if kept { "ok" } else { "FAILED" };
        println!("row {} ... {verdict} ({:.1} s): {report}", row.name, begin.elapsed().as_secs_f64());
        if !kept {
            failed.push(row.name);
        }
    }
    if !form.is_quick() {
        println!("\n{}", table.join("\n"));
    }
    if !failed.is_empty() {
        println!("\nfailures:\n    {}", failed.join("\n    "));
    }
    let verdict = if failed.is_empty() { "ok" } else { "FAILED" };
    println!(
        "\ntest result: {verdict}. {} passed; {} failed; {ignored} ignored; 0 measured; {} filtered out; finished in \
         {:.2}s\n",
        rows.len() - failed.len() - ignored,
        failed.len(),
        rows::ROWS.len() - rows.len(),
        begin.elapsed().as_secs_f64()
    );
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// None if it panics. All that the row has begun ends with its runtime.
fn happen(row: &Row, form: Form) -> Option<Report> {
    let runtime = runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let report = panic::catch_unwind(AssertUnwindSafe(|| runtime.block_on((row.run)(form)))).ok();
    runtime.shutdown_timeout(Duration::from_secs(1));
    report
}

/// Rows hold thousands of sockets.
fn raise_descriptors() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
}
