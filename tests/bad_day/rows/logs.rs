//! Logs that nobody takes.

use crate::{
    caller::{Load, probe},
    program::{Log, Setup},
    report::{Form, Report, Tally},
};

async fn logging_to(form: Form, log: Log) -> Report {
    let mut program = Setup::default().log(log).start().await;
    let caller = program.caller(form);
    caller.learn().await;
    // A pipe takes 64 KiB, which are less than 300 lines.
    let mut report = Report::of(caller.stream(Load::brisk(form.pick(600, 5_000))).await);
    let mut probes = Tally::default();
    for _ in 0..20 {
        if probes.is_hopeless() {
            break;
        }
        probe(program.health, "/readyz", form.patience(), &mut probes).await;
    }
    report.tally.add(probes);
    program.conclude(&mut report);
    report
}

pub(crate) async fn unread(form: Form) -> Report {
    logging_to(form, Log::Unread).await
}

pub(crate) async fn full(form: Form) -> Report {
    logging_to(form, Log::Full).await
}

pub(crate) async fn gone(form: Form) -> Report {
    logging_to(form, Log::Gone).await
}
