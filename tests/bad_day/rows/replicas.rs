//! Two replicas of a Service, of which one goes.

use crate::{
    caller::{Caller, Load, Target},
    program::{Program, Setup},
    report::{Form, Report},
    service::Service,
    support::{Authority, eventually, get},
};
use rustix::process::Signal;
use std::{sync::Arc, time::Duration};
use tempfile::TempDir;
use tokio::time::sleep;

/// How often the Service asks.
const PERIOD: Duration = Duration::from_secs(1);

struct Replicas {
    setup: Setup,
    programs: Vec<Program>,
    service: Service,
    caller: Arc<Caller>,
    /// Of the certificate.
    _folder: TempDir,
}

// === impl Replicas ===

impl Replicas {
    async fn new(form: Form, drain_delay: &str) -> Self {
        let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
        authority.server().write(folder.path());
        let setup = Setup::default().files(folder.path(), &authority.pem()).with(&["--drain-delay", drain_delay]);
        let programs = vec![setup.start().await, setup.start().await];
        let service = Service::of(&programs);
        let caller = Arc::new(Caller::new(Target::new(service.address(), &authority.pem()), form));
        caller.learn().await;
        Self { setup, programs, service, caller, _folder: folder }
    }

    fn concluded(&mut self, mut report: Report) -> Report {
        if let Some(program) = self.programs.last_mut() {
            program.conclude(&mut report);
        }
        report
    }
}

/// Each replica in its turn is told to stop, is no longer sent to once it says so, and comes back as another.
pub(crate) async fn rolling_restart(form: Form) -> Report {
    let mut replicas = Replicas::new(form, form.pick("2s", "5s")).await;
    let Replicas { setup, programs, service, caller, .. } = &mut replicas;
    let rounds = form.pick(1, 5);
    let mut ended_well = true;
    let restarts = async {
        for index in (0..rounds).flat_map(|_| [0, 1]) {
            let program = &mut programs[index];
            program.signal(Signal::TERM);
            let health = program.health;
            eventually(async || get(health, "/readyz").await.0 == 503).await;
            service.leave_out(index);
            ended_well &= program.ended().await.success();
            let next = setup.start().await;
            service.replace(index, &next);
            *program = next;
        }
    };
    let tally = caller.stream_until(Load::steady(0), restarts).await;
    let mut report = Report::of(tally);
    report.figure("restarts", 2 * rounds);
    report.require(ended_well, "each ends by itself and well");
    replicas.concluded(report)
}

/// Killed without a word; the Service sends to it until its next question.
pub(crate) async fn killed(form: Form) -> Report {
    let mut replicas = Replicas::new(form, "0s").await;
    replicas.service.watch(PERIOD);
    let Replicas { setup, programs, service, caller, .. } = &mut replicas;
    let times = form.pick(1, 10);
    let kills = async {
        for _ in 0..times {
            programs[0].signal(Signal::KILL);
            programs[0].ended().await;
            sleep(2 * PERIOD).await;
            programs[0] = setup.start().await;
            service.replace(0, &programs[0]);
            sleep(PERIOD).await;
        }
    };
    let mut report = Report::of(caller.stream_until(Load::steady(0), kills).await);
    report.figure("kills", times);
    replicas.concluded(report)
}

/// Stopped and continued: those it holds wait, and those that come are sent to the other once the Service knows.
pub(crate) async fn stopped(form: Form) -> Report {
    let mut replicas = Replicas::new(form, "0s").await;
    replicas.service.watch(PERIOD);
    let Replicas { programs, caller, .. } = &mut replicas;
    let time = Duration::from_secs(form.pick(2, 10));
    let stop = async {
        for _ in 0..form.pick(1, 3) {
            programs[0].signal(Signal::STOP);
            sleep(time).await;
            programs[0].signal(Signal::CONT);
            sleep(PERIOD).await;
        }
    };
    let mut report = Report::of(caller.stream_until(Load::steady(0), stop).await);
    report.figure("stopped for", format!("{} s", time.as_secs()));
    replicas.concluded(report)
}
