//! Waves: as many calls at once as an API server makes that creates pods for many Jobs.

use crate::{
    program::Setup,
    report::{Form, Report, Tally},
};

/// Waves of as many calls, from one address, one after the other.
async fn waves(form: Form, setup: Setup, calls: usize) -> Report {
    let mut program = setup.start().await;
    let caller = program.caller(form);
    caller.learn().await;
    let mut tally = Tally::default();
    for _ in 0..form.pick(1, 10) {
        caller.hang_up();
        tally.add(caller.wave(calls).await);
    }
    let mut report = Report::of(tally);
    report.figure("evicted", program.metric("native_sidecar_connections_evicted_total").await);
    program.conclude(&mut report);
    report
}

pub(crate) async fn by_default(form: Form, calls: usize) -> Report {
    waves(form, Setup::default(), calls).await
}

pub(crate) async fn with_128_connections(form: Form, calls: usize) -> Report {
    waves(form, Setup::default().with(&["--max-connections", "128"]), calls).await
}

pub(crate) async fn with_64_descriptors(form: Form, calls: usize) -> Report {
    waves(form, Setup::default().descriptors(64), calls).await
}
