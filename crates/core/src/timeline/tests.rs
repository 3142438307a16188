use super::*;
use crate::{
    catalogue::Catalogue,
    conversion::{ClusterFacts, Known},
    intent::Mode,
};
use rstest::rstest;
use std::sync::LazyLock;

static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(Catalogue::built_in);

fn timeline(json: &str, containers: Option<&str>) -> Timeline {
    let facts = ClusterFacts::default();
    let settings = Settings {
        catalogue: &CATALOGUE,
        facts: &facts,
        known: Known::Stay,
        mode: Mode::Convert,
        containers,
        workload: None,
    };
    Timeline::of(json, settings)
}

fn of_job(containers: &str) -> String {
    let owner = r#"{"kind": "Job", "name": "j", "controller": true}"#;
    format!(
        r#"{{"metadata": {{"annotations": {{}}, "ownerReferences": [{owner}]}},
            "spec": {{"restartPolicy": "Never", "terminationGracePeriodSeconds": 20, "containers": [{containers}]}}}}"#
    )
}

const PROXY: &str = r#"{"name": "proxy", "image": "i", "args": ["--listen=:81"], "ports": [{"containerPort": 81}],
    "lifecycle": {"preStop": {"sleep": {"seconds": 7}}}}"#;
const APP: &str = r#"{"name": "app", "image": "i", "env": [{"name": "URL", "value": "http://localhost:81"}]}"#;

#[test]
fn a_job_hangs_on_its_sidecar_and_ends_once_it_is_native() {
    let Timeline { before, after, owner, native, .. } = timeline(&of_job(&format!("{APP}, {PROXY}")), Some("proxy"));
    assert_eq!((owner.as_deref(), &*native), (Some("Job"), &["proxy".to_owned()][..]));
    let before = before.unwrap().end.unwrap();
    assert_eq!((before.waits_for, before.endless), (vec!["app".into(), "proxy".into()], vec!["proxy".to_owned()]));
    assert_eq!((before.stops.len(), before.latest_seconds), (0, None));
    let after = after.unwrap().end.unwrap();
    assert_eq!((&after.waits_for, &after.endless), (&vec!["app".to_owned()], &Vec::new()));
    // SIGTERM when the hook has returned, SIGKILL when the grace period is over.
    assert_eq!(after.stops[0].term, Span { earliest: 7, latest: 7 });
    assert_eq!(after.latest_seconds, Some(20));
}

#[test]
fn a_deletion_takes_two_seconds_more_where_the_application_takes_all_of_the_grace_period() {
    let after = timeline(&of_job(&format!("{APP}, {PROXY}")), Some("proxy")).after.unwrap();
    let stops: Vec<_> =
        after.deletion.stops.iter().map(|stop| (&*stop.container, stop.term, stop.kill.latest)).collect();
    assert_eq!(stops, [("app", Span { earliest: 0, latest: 0 }, 20), ("proxy", Span { earliest: 7, latest: 20 }, 22)]);
    assert_eq!(after.deletion.ends, Span { earliest: 7, latest: 22 });
}

#[rstest]
#[case::behind("", &[("app", "proxy", Meets::NotStarted)], &[("app", "proxy", Meets::Running)])]
#[case::with_a_probe(
    r#", "startupProbe": {"tcpSocket": {"port": 81}}"#,
    &[("app", "proxy", Meets::NotStarted)],
    &[("app", "proxy", Meets::StartupProbePassed)]
)]
fn who_asks_meets_what_is_there_by_then(
    #[case] probe: &str,
    #[case] before: &[(&str, &str, Meets)],
    #[case] after: &[(&str, &str, Meets)],
) {
    let proxy = PROXY.replace("\"image\": \"i\"", &format!("\"image\": \"i\"{probe}"));
    let timeline = timeline(&of_job(&format!("{APP}, {proxy}")), Some("proxy"));
    let met = |life: &Option<Life>| -> Vec<_> {
        let traffic = life.as_ref().unwrap().traffic.iter();
        traffic.map(|asked| (asked.asker.clone(), asked.server.clone(), asked.at_start.unwrap())).collect()
    };
    let owned = |all: &[(&str, &str, Meets)]| -> Vec<_> {
        all.iter().map(|(asker, server, meets)| ((*asker).to_owned(), (*server).to_owned(), *meets)).collect()
    };
    assert_eq!(met(&timeline.before), owned(before));
    assert_eq!(met(&timeline.after), owned(after));
}

#[test]
fn a_client_that_runs_once_is_no_server() {
    let pod = r#"{"spec": {"initContainers": [{"name": "wait", "image": "i", "command": ["psql", "-h", "localhost", "-p", "81"]}],
        "containers": [APP, PROXY]}}"#;
    let before = timeline(&pod.replace("APP", APP).replace("PROXY", PROXY), None).before.unwrap();
    assert_eq!(before.traffic[0].server, "proxy");
    assert!(before.end.is_none(), "its containers are restarted for ever");
}

#[test]
fn an_observed_pod_has_the_life_that_it_would_have() {
    let pod = of_job(&format!("{APP}, {PROXY}"))
        .replace(r#""annotations": {}"#, r#""annotations": {"native-sidecar.io/mode": "observe"}"#);
    let observed = timeline(&pod, Some("proxy"));
    assert_eq!(observed.decision, Decision::WouldConvert);
    assert!(observed.after.is_some_and(|after| after.end.unwrap().latest_seconds.is_some()));
}

#[test]
fn what_cannot_be_read_has_no_life() {
    let Timeline { before, after, reasons, .. } = timeline(r#"{"spec": {"containers": 5}}"#, Some("a"));
    assert!(before.is_none() && after.is_none());
    assert!(reasons[0].starts_with("unreadable-pod: "), "{reasons:?}");
}

#[test]
fn what_is_known_to_end_by_itself_does_not_hold_up_a_job() {
    let once = r#"{"name": "sync", "image": "i", "args": ["--one-time"]}"#;
    let blocked = timeline(&of_job(&format!("{APP}, {once}")), Some("sync"));
    assert_eq!(blocked.decision, Decision::Blocked);
    let end = blocked.before.unwrap().end.unwrap();
    assert_eq!((end.endless.len(), end.latest_seconds), (0, Some(0)));
}

#[test]
fn what_does_not_act_on_sigterm_runs_until_it_is_killed() {
    let tail = r#"{"name": "logs", "image": "i", "command": ["tail", "-F", "/log"]}"#;
    let after = timeline(&of_job(&format!("{APP}, {tail}")), Some("logs")).after.unwrap();
    let deletion = after.deletion;
    assert_eq!(deletion.stops[1].ignores_term.as_deref(), Some("tail"));
    assert_eq!(deletion.ends, Span { earliest: 20, latest: 22 });
    let shares =
        of_job(&format!("{APP}, {tail}")).replace(r#""spec": {"#, r#""spec": {"shareProcessNamespace": true, "#);
    let after = timeline(&shares, Some("logs")).after.unwrap();
    assert_eq!(after.deletion.ends, Span { earliest: 0, latest: 22 });
}

#[test]
fn what_the_pod_asks_for_as_a_whole_counts_instead() {
    let pod = r#"{"spec": {"resources": {"requests": {"cpu": "3", "example.com/gpu": "9"}},
        "containers": [{"name": "a", "resources": {"requests": {"cpu": "1", "memory": "1Gi"}}}]}}"#;
    let requests = timeline(pod, None).before.unwrap().requests;
    let requests: Vec<_> = requests.iter().map(|(name, request)| format!("{name} {request}")).collect();
    assert_eq!(requests, ["cpu 3", "memory 1Gi"]);
}

#[test]
fn bars_follow_the_order_of_the_start_and_of_the_end() {
    let after = timeline(&of_job(&format!("{APP}, {PROXY}")), Some("proxy")).after.unwrap();
    let Chart { lanes, ticks, all_run, ends } = after.chart;
    assert_eq!((lanes.len(), ticks, all_run, ends), (2, 6, 0, 4));
    assert_eq!(lanes[0], Lane { starts: 0, opens: 0, told: Some(5), ends: Some(6) });
    assert_eq!(lanes[1], Lane { starts: 0, opens: 0, told: None, ends: Some(4) });
}

#[test]
fn a_long_delay_takes_no_more_of_the_bars_than_a_short_one() {
    let of = |delay: &str| {
        let probe =
            format!(r#""startupProbe": {{"tcpSocket": {{"port": 81}}, "initialDelaySeconds": {delay}}}, "image""#);
        let proxy = PROXY.replace(r#""image""#, &probe);
        timeline(&of_job(&format!("{APP}, {proxy}")), Some("proxy")).after.unwrap().chart
    };
    assert_eq!(of("2"), of("2000"));
    assert_eq!(of("2").lanes[1].starts, 1);
}
