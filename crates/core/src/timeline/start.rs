//! The containers in their order, and what each of them holds up.

use crate::lifecycle::{Lifecycle, Member, Pace, Restarts, Role, describe};
use serde::Serialize;

/// A container, in the order in which they start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Started {
    /// Its name.
    pub name: String,
    /// What it is to the kubelet.
    pub role: Role,
    /// What has to come about before the next one starts; nothing where this one only has to be started.
    pub holds: Vec<Hold>,
    /// Whether it is started again when it ends.
    pub restarts: Restarts,
}

/// Something that holds up the next container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Hold {
    /// What has to come about.
    pub by: HoldBy,
    /// What the hook runs or the probe asks.
    pub what: Option<String>,
    /// How often the probe asks, and how long.
    pub patience: Option<Patience>,
}

/// What holds up the next container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum HoldBy {
    /// The container has to end with success.
    End,
    /// Its postStart hook has to return.
    PostStart,
    /// Its startup probe has to succeed.
    StartupProbe,
}

/// How often a probe asks. All in seconds but the threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Patience {
    /// `initialDelaySeconds`.
    pub initial_delay_seconds: i64,
    /// `periodSeconds`.
    pub period_seconds: i64,
    /// `failureThreshold`.
    pub failure_threshold: i64,
    /// How long it may go on failing before the container is killed and started again.
    pub total_seconds: i64,
}

/// The containers of `life` in their order.
pub(super) fn containers(life: &Lifecycle<'_>) -> Vec<Started> {
    let started = |(index, member): (usize, &Member<'_>)| Started {
        name: member.name().to_owned(),
        role: member.role,
        holds: holds(member),
        restarts: life.restarts(index),
    };
    life.members().iter().enumerate().map(started).collect()
}

/// The same as the steps of [`Lifecycle::start`] say.
fn holds(member: &Member<'_>) -> Vec<Hold> {
    if member.role == Role::RunOnce {
        return vec![Hold { by: HoldBy::End, what: None, patience: None }];
    }
    let post_start = member.post_start().map(describe::handler);
    let hook = post_start.map(|what| Hold { by: HoldBy::PostStart, what: Some(what), patience: None });
    // Only the start of init containers waits for startup probes.
    let probe = member.startup_probe().filter(|_| member.role == Role::Sidecar).map(|handler| Hold {
        by: HoldBy::StartupProbe,
        what: Some(describe::handler(handler)),
        patience: member.startup_pace().map(Patience::from),
    });
    hook.into_iter().chain(probe).collect()
}

// === impl Patience ===

impl From<Pace> for Patience {
    fn from(pace: Pace) -> Self {
        Self {
            initial_delay_seconds: pace.initial_delay_seconds,
            period_seconds: pace.period_seconds,
            failure_threshold: pace.failure_threshold,
            total_seconds: pace.patience_seconds(),
        }
    }
}
