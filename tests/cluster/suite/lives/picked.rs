//! Pods to try the model with: picked by hand, in the shape of golden cases, and drawn by lot.

use super::plan::{Place, Plan, PreStop, Program, Then};
use native_sidecar_cases::{Case, all_cases, patched};
use native_sidecar_core::{
    conversion::Decision,
    lifecycle::{Lifecycle, Member, Role},
    pod::Pod,
};
use std::{cmp::Reverse, collections::BTreeSet};

/// So many pods have the shape of a golden case: those with the most to see.
const OF_CASES: usize = 12;

/// So many are drawn by lot.
const BY_LOT: u64 = 12;

/// All of them, each before its conversion.
pub(super) fn plans() -> Vec<Plan> {
    let mut plans = by_hand();
    plans.extend(in_the_shape_of_cases());
    plans.extend((0..BY_LOT).map(|number| Lot::new(number).plan(number)));
    plans
}

fn app() -> Program {
    Program::new("app", Place::Application)
}

fn sidecar(name: &str) -> Program {
    Program::new(name, Place::Moves)
}

fn once(name: &str) -> Program {
    Program::new(name, Place::RunOnce).runs(1.0)
}

fn by_hand() -> Vec<Plan> {
    let job_app = || app().runs(2.0);
    vec![
        Plan::new("job", [job_app(), sidecar("proxy")]).job(),
        Plan::new("job-three", [job_app(), sidecar("one"), sidecar("two"), sidecar("three")]).job(),
        Plan::new("job-slow-sidecars", [job_app(), sidecar("one").stops_after(1.0), sidecar("two").stops_after(2.0)])
            .job(),
        // The last one takes the grace period of all.
        Plan::new("job-deaf", [job_app(), sidecar("one"), sidecar("two").deaf()]).job().grace(4),
        Plan::new(
            "job-hooks",
            [job_app(), sidecar("one").pre_stop(PreStop::Script(1.0)), sidecar("two").pre_stop(PreStop::Action(3))],
        )
        .job(),
        Plan::new("job-hook-too-long", [job_app(), sidecar("proxy").pre_stop(PreStop::Script(6.0)).deaf()])
            .job()
            .grace(3),
        Plan::new(
            "job-no-grace",
            [job_app(), sidecar("one").pre_stop(PreStop::Script(1.0)), sidecar("two").stops_after(1.0)],
        )
        .job()
        .grace(0),
        Plan::new("job-restarted", [app().ends_once(1.0, 1, Then::Succeeds), sidecar("proxy")])
            .job()
            .restart_policy("OnFailure"),
        Plan::new("job-sidecar-ends", [app().runs(6.0), sidecar("proxy").ends_once(1.0, 0, Then::Stays)])
            .job()
            .restart_policy("OnFailure"),
        Plan::new("job-sidecar-fails", [app().runs(6.0), sidecar("proxy").ends_once(1.0, 137, Then::Stays)]).job(),
        Plan::new("sidecar-ends", [app(), sidecar("proxy").ends_once(1.0, 0, Then::Stays)]),
        Plan::new("init", [once("migrate"), app(), sidecar("proxy").ready_after(2.0)]),
        Plan::new(
            "init-fails-once",
            [Program::new("migrate", Place::RunOnce).ends_once(1.0, 1, Then::Succeeds), app(), sidecar("proxy")],
        ),
        Plan::new("two-gates", [app(), sidecar("one").ready_after(2.0), sidecar("two").ready_after(1.0)]),
        Plan::new("hold", [sidecar("proxy").post_start(3.0), app(), Program::new("worker", Place::Application)]),
        Plan::new("hold-late", [app().post_start(2.0), sidecar("proxy").post_start(1.0).ready_after(2.0)]),
        Plan::new("hook-within-delay", [app(), sidecar("proxy").post_start(3.0).ready_after(0.0).delay(4)]),
        Plan::new("delay", [app(), sidecar("proxy").ready_after(0.0).delay(3)]),
        Plan::new("drain", [app().pre_stop(PreStop::Script(3.0)).stops_after(1.0), sidecar("proxy")]),
        Plan::new(
            "drain-both",
            [
                app().pre_stop(PreStop::Action(2)).stops_after(2.0),
                sidecar("one").pre_stop(PreStop::Script(4.0)),
                sidecar("two").pre_stop(PreStop::Exec(1)).stops_after(1.0),
            ],
        )
        .grace(12),
        Plan::new("slow", [app().stops_after(3.0), sidecar("one").stops_after(1.0), sidecar("two").stops_after(1.0)]),
        // What it waited, 1.8 s, counts as 1.
        Plan::new("rounded", [app().stops_after(1.8), sidecar("proxy").deaf()]).grace(5),
        Plan::new("all-deaf", [app().deaf(), sidecar("one").deaf(), sidecar("two").deaf()]).grace(4),
        Plan::new("deaf-application", [app().deaf(), sidecar("one").stops_after(1.0), sidecar("two")]).grace(3),
        Plan::new("hook-too-long", [app().pre_stop(PreStop::Script(5.0)), sidecar("proxy").stops_after(1.0)]).grace(3),
        Plan::new("no-grace", [app().pre_stop(PreStop::Script(4.0)), sidecar("proxy").stops_after(1.0)]).grace(0),
        Plan::new(
            "two-applications",
            [app().stops_after(1.0), Program::new("worker", Place::Application).stops_after(3.0), sidecar("proxy")],
        ),
        Plan::new(
            "deleted-in-init",
            [
                Program::new("early", Place::Native),
                Program::new("migrate", Place::RunOnce).runs(60.0).stops_after(2.0),
                app(),
                sidecar("proxy"),
            ],
        )
        .deleted_while_starting("migrate"),
        Plan::new(
            "deleted-at-the-gate",
            [
                Program::new("early", Place::Native).stops_after(1.0),
                Program::new("gate", Place::Native).ready_after(60.0).stops_after(1.0),
                app(),
                sidecar("proxy"),
            ],
        )
        .deleted_while_starting("gate"),
    ]
}

/// Golden cases that are converted, each shape once: which containers there are, which move, and what holds what back.
fn in_the_shape_of_cases() -> Vec<Plan> {
    let mut shapes = BTreeSet::new();
    let plans = all_cases().into_iter().filter_map(|case| shaped(&case));
    let mut plans: Vec<_> = plans.filter(|plan| shapes.insert((plan.restart_policy, shape(plan)))).collect();
    let has = |program: &Program| {
        let Program { ready_after, post_start, pre_stop, .. } = program;
        1 + usize::from(ready_after.is_some()) + usize::from(post_start.is_some()) + usize::from(pre_stop.is_some())
    };
    plans.sort_by_key(|plan| Reverse(plan.programs.iter().map(has).sum::<usize>()));
    plans.truncate(OF_CASES);
    plans
}

fn shape(plan: &Plan) -> Vec<String> {
    let of = |program: &Program| {
        let Program { place, ready_after, post_start, pre_stop, .. } = program;
        format!("{place:?} {} {} {}", ready_after.is_some(), post_start.is_some(), pre_stop.is_some())
    };
    plan.programs.iter().map(of).collect()
}

fn shaped(case: &Case) -> Option<Plan> {
    let conversion = case.convert();
    if conversion.decision != Decision::Converted {
        return None;
    }
    let (before, after) = (Pod::parse(&case.pod).ok()?, patched(&case.pod, &conversion.patch).to_string());
    let after = Pod::parse(&after).ok()?;
    let (before, after) = (Lifecycle::of(&before, None), Lifecycle::of(&after, None));
    let names: BTreeSet<_> = before.members().iter().map(Member::name).collect();
    if names.len() > 6 || names.len() != before.members().len() || names.len() != after.members().len() {
        return None;
    }
    let ends = matches!(before.rest().restart_policy, "Never" | "OnFailure");
    let program = |member: &Member<'_>| {
        let later = after.members().iter().find(|other| other.name() == member.name())?;
        let place = match (member.role, later.role) {
            (Role::RunOnce, Role::RunOnce) => Place::RunOnce,
            (Role::Sidecar, Role::Sidecar) => Place::Native,
            (Role::Regular, Role::Sidecar) => Place::Moves,
            (Role::Regular, Role::Regular) => Place::Application,
            _ => return None,
        };
        let mut program = Program::new(member.name(), place);
        if place == Place::RunOnce || (place == Place::Application && ends) {
            return Some(program.runs(1.0));
        }
        program.ready_after = later.startup_probe().map(|_| 1.0);
        program.post_start = later.post_start().map(|_| 1.0);
        program.pre_stop = later.pre_stop().map(|_| PreStop::Script(2.0));
        Some(program)
    };
    let programs: Option<Vec<_>> = before.members().iter().map(program).collect();
    let listed = after.members().iter().map(|member| member.name().to_owned()).collect();
    // What the API server and the test put behind it must find room.
    let name: String = case.name.chars().take(40).collect();
    let plan = Plan { listed, ..Plan::new(name.trim_end_matches('-'), programs?) };
    Some(if ends { plan.job() } else { plan })
}

// === Drawn by lot ===

/// Numbers that look random and are the same each time.
struct Lot(u64);

impl Lot {
    const fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(0x1234_5678_9ABC_DEF1))
    }

    /// One of these.
    fn of<T: Copy, const N: usize>(&mut self, choices: &[T; N]) -> T {
        // Xorshift: https://www.jstatsoft.org/article/view/v008i14
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let number = usize::try_from(self.0 >> 33).unwrap();
        choices[number % N]
    }

    fn plan(&mut self, number: u64) -> Plan {
        let is_job = self.of(&[true, false]);
        let mut programs = Vec::new();
        for index in 0..self.of(&[0, 0, 1]) {
            programs.push(once(&format!("init-{index}")));
        }
        for index in 0..self.of(&[1, 1, 2]) {
            let application = Program::new(&format!("app-{index}"), Place::Application);
            let application = self.with_hooks(application);
            programs.push(if is_job { application.runs(self.of(&[1.0, 2.0])) } else { application });
        }
        for index in 0..self.of(&[1, 2, 2, 3]) {
            let sidecar = Program::new(&format!("sidecar-{index}"), Place::Moves);
            let ready_after = self.of(&[None, None, Some(0.0), Some(1.0)]);
            let mut sidecar = self.with_hooks(Program { ready_after, ..sidecar });
            if self.of(&[false, false, false, true]) {
                sidecar = sidecar.deaf();
            }
            programs.push(sidecar);
        }
        let grace = self.of(&[3, 5, 8]);
        let plan = Plan::new(&format!("lot-{number}"), programs).grace(grace);
        if is_job { plan.job() } else { plan }
    }

    fn with_hooks(&mut self, program: Program) -> Program {
        let post_start = self.of(&[None, None, None, Some(1.0)]);
        let pre_stop =
            self.of(&[None, None, Some(PreStop::Script(1.0)), Some(PreStop::Script(2.0)), Some(PreStop::Action(2))]);
        let stops_after = self.of(&[0.0, 0.0, 1.0, 2.0]);
        Program { post_start, pre_stop, stops_after: Some(stops_after), ..program }
    }
}
