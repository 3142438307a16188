//! Rules about lifecycle hooks, classified by what they run.

use super::{Situation, Subject};
use crate::{
    conversion::native_form::{Change, NativeForm},
    pod::{Details, Handler},
};

/// What a preStop hook does, as far as it can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum HookKind {
    /// Ends the sidecar.
    Quit,
    /// Waits, and nothing else.
    Sleep,
    /// Lets the sidecar finish its work without ending it.
    Drain,
    /// Something else.
    Other,
}

/// Kubernetes' default grace period, in seconds.
const GRACE_PERIOD_SECONDS: i64 = 30;

pub(super) fn pre_stop_quit(_: Situation<'_, '_, '_, '_>, subject: Subject<'_, '_, '_, '_>) -> Option<String> {
    // What the vendor keeps in its own native form is not ours to refuse.
    if subject.the_move.selected.entry.is_some_and(|entry| entry.pre_stop.vendor_keeps) {
        return None;
    }
    let name = subject.the_move.name();
    judged(subject, HookKind::Quit).then(|| {
        format!(
            "its preStop hook ends it while the application still drains; set pre-stop.native-sidecar.io/{name}: remove"
        )
    })
}

pub(super) fn pre_stop_sleep(_: Situation<'_, '_, '_, '_>, subject: Subject<'_, '_, '_, '_>) -> Option<String> {
    let name = subject.the_move.name();
    judged(subject, HookKind::Sleep).then(|| {
        format!("its preStop hook only waits, which a native sidecar does not need and which delays the end of Jobs; set pre-stop.native-sidecar.io/{name}: remove")
    })
}

pub(super) fn pre_stop_drain(_: Situation<'_, '_, '_, '_>, subject: Subject<'_, '_, '_, '_>) -> Option<String> {
    judged(subject, HookKind::Drain).then(|| "its preStop hook drains it at the start of termination".into())
}

pub(super) fn pre_stop_early(_: Situation<'_, '_, '_, '_>, subject: Subject<'_, '_, '_, '_>) -> Option<String> {
    let quits = judged(subject, HookKind::Quit)
        && subject.the_move.selected.entry.is_some_and(|entry| entry.pre_stop.vendor_keeps);
    let name = subject.the_move.name();
    (quits || judged(subject, HookKind::Other)).then(|| {
        format!("its preStop hook now runs at the start of termination; check it, and set pre-stop.native-sidecar.io/{name}: keep or remove")
    })
}

pub(super) fn post_start_gates(_: Situation<'_, '_, '_, '_>, subject: Subject<'_, '_, '_, '_>) -> Option<String> {
    let stays =
        subject.the_move.form.post_start.leaves_something(subject.the_move.selected.details.post_start().is_some());
    stays.then(|| "the application now waits for its postStart hook; the hook must not wait for the application".into())
}

/// Source: `pkg/kubelet/kuberuntime/kuberuntime_termination_order.go`: one budget for application and sidecars.
pub(super) fn grace_period_short(situation: Situation<'_, '_, '_, '_>) -> Option<String> {
    let grace = situation.pod.spec.termination_grace_period_seconds.unwrap_or(GRACE_PERIOD_SECONDS);
    let waits = |form: &NativeForm, details: &Details<'_>| {
        details.pre_stop().filter(|_| form.pre_stop == Change::Keep).and_then(slept_seconds)
    };
    let longest =
        situation.plan.moves.iter().filter_map(|the_move| waits(&the_move.form, &the_move.selected.details)).max()?;
    (longest >= grace).then(|| {
        format!("a sidecar's preStop hook waits {longest} s of the pod's {grace} s of grace; raise terminationGracePeriodSeconds or remove the hook")
    })
}

/// Whether the hook that the native form has is of this kind, and nobody has said that it is fine.
fn judged(subject: Subject<'_, '_, '_, '_>, kind: HookKind) -> bool {
    let details = &subject.the_move.selected.details;
    let form = &subject.the_move.form;
    let hook = details.pre_stop().filter(|_| form.pre_stop == Change::Keep && !form.pre_stop_is_wanted);
    hook.is_some_and(|hook| classify(hook) == kind)
}

fn classify(hook: &Handler<'_>) -> HookKind {
    let text = match hook {
        Handler { sleep: Some(_), .. } => return HookKind::Sleep,
        Handler { http_get: Some(request), .. } => request.path.to_lowercase(),
        Handler { exec: Some(exec), .. } => exec.command.join(" ").to_lowercase(),
        _ => return HookKind::Other,
    };
    let words: Vec<&str> = text.split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))).collect();
    let has = |word: &str| words.contains(&word);
    let kills = words.iter().any(|word| matches!(*word, "kill" | "pkill" | "killall")) && !text.contains("usr2");
    let quits = ["quitquitquit", "shutdown", "--shutdown", "graceful_shutdown", "quit", "stop", "exit", "poweroff"];
    if kills || (has("revoke") && has("token")) || quits.iter().any(|word| has(word)) {
        return HookKind::Quit;
    }
    if words.iter().any(|word| word.contains("drain")) || text.contains("usr2") {
        return HookKind::Drain;
    }
    if has("sleep") || has("wait") { HookKind::Sleep } else { HookKind::Other }
}

/// How long a hook that only waits does so, in seconds, where that is plain.
fn slept_seconds(hook: &Handler<'_>) -> Option<i64> {
    if let Some(sleep) = &hook.sleep {
        return Some(sleep.seconds);
    }
    let text = hook.exec.as_ref().filter(|_| classify(hook) == HookKind::Sleep)?.command.join(" ");
    let mut words = text.split_whitespace().skip_while(|word| !word.ends_with("sleep")).skip(1);
    words.next()?.trim_end_matches([';', 's']).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case(r#"{"httpGet":{"path":"/quitquitquit","port":9091}}"#, HookKind::Quit)]
    #[case(r#"{"httpGet":{"path":"/shutdown","port":3500}}"#, HookKind::Quit)]
    #[case(r#"{"exec":{"command":["curl","-X","POST","localhost:15020/quitquitquit"]}}"#, HookKind::Quit)]
    #[case(r#"{"exec":{"command":["sh","-c","sleep 5; kill 1"]}}"#, HookKind::Quit)]
    #[case(r#"{"exec":{"command":["/bin/sh","-c","sleep 5 && vault token revoke -self"]}}"#, HookKind::Quit)]
    #[case(r#"{"exec":{"command":["/cloud-sql-proxy","shutdown"]}}"#, HookKind::Quit)]
    #[case(r#"{"exec":{"command":["nginx","-s","quit"]}}"#, HookKind::Quit)]
    #[case(r#"{"exec":{"command":["killall","-USR2","kuma-dp"]}}"#, HookKind::Drain)]
    #[case(r#"{"exec":{"command":["pilot-agent","request","POST","drain"]}}"#, HookKind::Drain)]
    #[case(r#"{"httpGet":{"path":"/drain_listeners?graceful","port":15000}}"#, HookKind::Drain)]
    #[case(r#"{"exec":{"command":["sleep","10"]}}"#, HookKind::Sleep)]
    #[case(r#"{"sleep":{"seconds":10}}"#, HookKind::Sleep)]
    #[case(
        r#"{"exec":{"command":["sh","-c","while [ $(ss -tln | wc -l) -ne 1 ]; do sleep 1; done"]}}"#,
        HookKind::Sleep
    )]
    #[case(r#"{"exec":{"command":["/flush-logs"]}}"#, HookKind::Other)]
    fn hooks_are_told_apart_by_what_they_run(#[case] json: &str, #[case] kind: HookKind) {
        assert_eq!(classify(&serde_json::from_str(json).unwrap()), kind);
    }

    #[rstest]
    #[case(r#"{"sleep":{"seconds":10}}"#, Some(10))]
    #[case(r#"{"exec":{"command":["/bin/sleep","25"]}}"#, Some(25))]
    #[case(r#"{"exec":{"command":["sh","-c","sleep 25;"]}}"#, Some(25))]
    #[case(r#"{"exec":{"command":["sh","-c","sleep $N"]}}"#, None)]
    #[case(r#"{"exec":{"command":["/flush"]}}"#, None)]
    fn waits_are_measured(#[case] json: &str, #[case] seconds: Option<i64>) {
        assert_eq!(slept_seconds(&serde_json::from_str(json).unwrap()), seconds);
    }
}
