use super::{Event, Lifecycle, schedule::schedule};
use crate::pod::Pod;
use rstest::rstest;

fn with_life<T>(json: &str, tell: impl Fn(&Lifecycle<'_>) -> T) -> T {
    let pod = Pod::parse(json).unwrap();
    tell(&Lifecycle::of(&pod, None))
}

fn name(life: &Lifecycle<'_>, event: Event) -> String {
    let text = format!("{event:?}");
    let verb = text.split('(').next().unwrap_or_default();
    event.member().map_or_else(|| verb.to_owned(), |index| format!("{verb} {}", life.members()[index].name()))
}

fn in_order(life: &Lifecycle<'_>, steps: &[super::Step]) -> String {
    let told = |step: &super::Step| {
        let after: Vec<_> = step.after.iter().map(|event| name(life, *event)).collect();
        format!("{} < {}", after.join(" + "), name(life, step.event))
    };
    steps.iter().skip(1).map(told).collect::<Vec<_>>().join("\n")
}

const POD: &str = r#"{"spec": {"terminationGracePeriodSeconds": 20,
    "initContainers": [
        {"name": "setup"},
        {"name": "proxy", "restartPolicy": "Always", "startupProbe": {"tcpSocket": {"port": 1}},
         "lifecycle": {"postStart": {"exec": {"command": ["x"]}}}},
        {"name": "logs", "restartPolicy": "Always"}],
    "containers": [
        {"name": "one", "lifecycle": {"postStart": {"exec": {"command": ["x"]}}, "preStop": {"sleep": {"seconds": 5}}}},
        {"name": "two", "startupProbe": {"tcpSocket": {"port": 1}}}]}}"#;

#[test]
fn init_containers_start_one_after_the_other_and_hooks_hold_up_regular_ones() {
    assert_eq!(
        with_life(POD, |life| in_order(life, &life.start())),
        "Begins < Starts setup\n\
         Starts setup < Ends setup\n\
         Ends setup < Starts proxy\n\
         Starts proxy < PostStartReturned proxy\n\
         PostStartReturned proxy < Started proxy\n\
         Started proxy < Starts logs\n\
         Starts logs < Starts one\n\
         Starts one < PostStartReturned one\n\
         PostStartReturned one < Starts two"
    );
}

#[test]
fn a_deletion_stops_the_application_first_and_sidecars_in_reverse() {
    assert_eq!(
        with_life(POD, |life| in_order(life, &life.deletion())),
        "TerminationBegins < PreStop one\n\
         PreStop one < PreStopReturned one\n\
         PreStopReturned one < Term one\n\
         Term one < Kill one\n\
         Term one < Ends one\n\
         TerminationBegins < Term two\n\
         Term two < Kill two\n\
         Term two < Ends two\n\
         Ends one + Ends two < ApplicationEnded\n\
         TerminationBegins + ApplicationEnded < Term logs\n\
         Term logs < Kill logs\n\
         Term logs < Ends logs\n\
         TerminationBegins + Ends logs < Term proxy\n\
         Term proxy < Kill proxy\n\
         Term proxy < Ends proxy\n\
         Ends proxy + Ends logs + Ends one + Ends two < PodEnds"
    );
}

#[rstest]
#[case::all_end_at_once(0.0, &[("Term two", 0.0), ("Term one", 5.0), ("Term logs", 5.0), ("Term proxy", 5.0), ("PodEnds", 5.0)])]
#[case::each_takes_four(4.0, &[("Ends two", 4.0), ("Ends one", 9.0), ("Term logs", 9.0), ("Term proxy", 13.0), ("PodEnds", 17.0)])]
#[case::none_ends(f64::INFINITY, &[("Kill one", 20.0), ("Term logs", 20.0), ("Kill logs", 22.0), ("Term proxy", 20.0), ("PodEnds", 22.0)])]
fn times_of_a_deletion(#[case] each_takes: f64, #[case] expected: &[(&str, f64)]) {
    with_life(POD, |life| {
        let times = schedule(&life.deletion(), |_| each_takes);
        for (event, at) in expected {
            let found = times.iter().find(|(other, _)| name(life, **other) == *event).map(|(_, at)| *at);
            assert_eq!(found, Some(*at), "{event}");
        }
    });
}

/// Seen on Kubernetes 1.37.2: the delay is over when the hook is.
#[test]
fn a_startup_probes_delay_runs_while_the_post_start_hook_does() {
    let pod = r#"{"spec": {"initContainers": [{"name": "proxy", "restartPolicy": "Always",
        "startupProbe": {"tcpSocket": {"port": 1}, "initialDelaySeconds": 4},
        "lifecycle": {"postStart": {"exec": {"command": ["x"]}}}}], "containers": [{"name": "app"}]}}"#;
    let times = |hook: f64| {
        with_life(pod, |life| {
            let program = |event| if event == Event::PostStartReturned(0) { hook } else { 0.0 };
            schedule(&life.start(), program)[&Event::Starts(1)]
        })
    };
    assert_eq!((times(3.0), times(6.0)), (4.0, 6.0));
}

#[test]
fn a_deletion_while_an_init_container_runs_stops_it_and_the_sidecar_in_front_of_it_at_once() {
    let pod = r#"{"spec": {"initContainers": [
        {"name": "done"}, {"name": "one", "restartPolicy": "Always"}, {"name": "two", "restartPolicy": "Always"},
        {"name": "migrate"}, {"name": "later", "restartPolicy": "Always"}], "containers": [{"name": "app"}]}}"#;
    let terms = with_life(pod, |life| {
        let order = in_order(life, &life.deletion_while_starting(3));
        order.lines().filter(|line| line.contains("< Term")).map(str::to_owned).collect::<Vec<_>>()
    });
    assert_eq!(
        terms,
        [
            "TerminationBegins < Term migrate",
            "TerminationBegins + ApplicationEnded < Term two",
            "TerminationBegins + Ends two < Term one",
        ]
    );
}

/// Seen on Kubernetes 1.37.2: the hook is given a second. Where the application has ended by itself it is not run.
#[test]
fn a_deletion_without_grace_has_a_second() {
    let pod = r#"{"spec": {"terminationGracePeriodSeconds": 0,
        "initContainers": [{"name": "proxy", "restartPolicy": "Always", "lifecycle": {"preStop": {"exec": {"command": ["x"]}}}}],
        "containers": [{"name": "app", "lifecycle": {"preStop": {"sleep": {"seconds": 5}}}}]}}"#;
    with_life(pod, |life| {
        let deletion = schedule(&life.deletion(), |_| 0.0);
        assert_eq!((deletion[&Event::Term(1)], deletion[&Event::Kill(1)]), (1.0, 3.0));
        let order = in_order(life, &life.after_the_application());
        assert!(order.starts_with("TerminationBegins < ApplicationEnded\nTerminationBegins < Term proxy\n"), "{order}");
    });
}
