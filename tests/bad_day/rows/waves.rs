//! Waves: as many calls at once as an API server makes that creates pods for many Jobs.

use crate::{
    caller::Caller,
    program::{Program, Setup},
    report::{Form, Report, Tally},
};
use std::{net::Ipv4Addr, sync::Arc};

/// Waves of as many calls, one after the other, of each of the callers at once.
async fn waves(form: Form, mut program: Program, callers: &[Arc<Caller>], calls: usize) -> Report {
    for caller in callers {
        caller.learn().await;
    }
    let mut tally = Tally::default();
    // The first leaves the connections behind that a caller keeps.
    for _ in 0..form.pick(2, 10) {
        if tally.is_hopeless() {
            break;
        }
        let waves = callers.iter().map(|caller| caller.wave(calls));
        futures::future::join_all(waves).await.into_iter().for_each(|wave| tally.add(wave));
    }
    let mut report = Report::of(tally);
    report.figure("evicted", program.metric("native_sidecar_connections_evicted_total").await);
    program.conclude(&mut report);
    report
}

pub(crate) async fn by_default(form: Form, calls: usize) -> Report {
    let program = Program::start().await;
    let callers = [program.caller(form)];
    waves(form, program, &callers, calls).await
}

pub(crate) async fn with_128_connections(form: Form, calls: usize) -> Report {
    let program = Setup::default().with(&["--max-connections", "128"]).start().await;
    let callers = [program.caller(form)];
    waves(form, program, &callers, calls).await
}

/// Three API servers: what each keeps idle is more than there are descriptors.
pub(crate) async fn with_64_descriptors(form: Form) -> Report {
    let program = Setup::default().descriptors(64).start().await;
    let callers = [2, 3, 4].map(|last| program.caller(form).at(Ipv4Addr::new(127, 0, 0, last)));
    waves(form, program, &callers, 110).await
}
