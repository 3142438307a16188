//! One container in a pod's life: what it is to the kubelet, and what its probes and hooks are.

use super::{Rest, hooks};
use crate::{
    pod::{Container, Handler},
    version::Version,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::ops::Deref;

/// What a container is to the kubelet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// An init container that has to end before the next one starts.
    RunOnce,
    /// An init container with `restartPolicy: Always`.
    Sidecar,
    /// It stands in `containers`.
    Regular,
}

/// A container, and what of it a conversion would change.
#[derive(Debug)]
pub struct Member<'p> {
    /// The container as it is written.
    pub container: &'p Container<'p>,
    /// What it is to the kubelet.
    pub role: Role,
    /// What becomes of its probes and hooks.
    pub changes: Changes<'p>,
    /// Ports that a known program serves without a word about them.
    pub known_ports: Vec<i64>,
}

/// What becomes of the probes and hooks that an order depends on.
#[derive(Debug, Default)]
pub struct Changes<'p> {
    /// `startupProbe`.
    pub startup_probe: Now<'p>,
    /// `lifecycle.postStart`.
    pub post_start: Now<'p>,
    /// `lifecycle.preStop`.
    pub pre_stop: Now<'p>,
}

/// What becomes of one of them.
#[derive(Debug, Default)]
pub enum Now<'p> {
    /// It stays as it is written.
    #[default]
    AsWritten,
    /// It goes.
    Nothing,
    /// It becomes this.
    Set(Box<New<'p>>),
}

/// A probe or hook that a conversion sets.
#[derive(Debug)]
pub struct New<'p> {
    handler: Handler<'p>,
    pace: Pace,
}

/// How often a probe asks. All in seconds but the threshold.
///
/// Source: pkg/apis/core/v1/defaults.go, `SetDefaults_Probe`.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(from = "WrittenPace")]
pub struct Pace {
    /// `initialDelaySeconds`.
    pub initial_delay_seconds: i64,
    /// `periodSeconds`.
    pub period_seconds: i64,
    /// `failureThreshold`.
    pub failure_threshold: i64,
}

/// The same as it is written: what is absent, null or 0 is the default.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WrittenPace {
    initial_delay_seconds: Option<i64>,
    period_seconds: Option<i64>,
    failure_threshold: Option<i64>,
}

/// What has to come about before the container behind starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// It has ended with success.
    Ended,
    /// Its startup probe has succeeded.
    StartupProbe,
    /// Its postStart hook has returned.
    PostStart,
    /// Its process runs.
    Runs,
}

/// Whether a container is started again when it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Restarts {
    /// However it ends.
    Always,
    /// Where it ends with an error.
    OnFailure,
    /// Not at all.
    Never,
}

// === impl Role ===

impl Role {
    /// What `init`, which stands in `initContainers`, is.
    #[must_use]
    pub fn of_init(init: &Container<'_>) -> Self {
        if init.restarts_always() { Self::Sidecar } else { Self::RunOnce }
    }
}

// === impl Member ===

impl<'p> Member<'p> {
    /// `container` as it is written.
    #[must_use]
    pub fn new(container: &'p Container<'p>, role: Role) -> Self {
        Self { container, role, changes: Changes::default(), known_ports: Vec::new() }
    }

    /// The container's name.
    #[must_use]
    pub fn name(&self) -> &'p str {
        &self.container.name
    }

    /// The startup probe. The kubelet refuses one of a run-once init container.
    #[must_use]
    pub fn startup_probe(&self) -> Option<&Handler<'p>> {
        self.changes.startup_probe.or(self.container.startup_probe().map(|probe| probe.handler))
    }

    /// How often the startup probe asks.
    #[must_use]
    pub fn startup_pace(&self) -> Option<Pace> {
        match &self.changes.startup_probe {
            Now::AsWritten => serde_json::from_str(self.container.startup_probe()?.raw.get()).ok(),
            Now::Nothing => None,
            Now::Set(new) => Some(new.pace),
        }
    }

    /// The postStart hook.
    #[must_use]
    pub fn post_start(&self) -> Option<&Handler<'p>> {
        self.changes.post_start.or(self.container.post_start())
    }

    /// The preStop hook.
    #[must_use]
    pub fn pre_stop(&self) -> Option<&Handler<'p>> {
        self.changes.pre_stop.or(self.container.pre_stop())
    }

    /// How long the preStop hook takes, in seconds, where it only waits and says how long.
    #[must_use]
    pub fn pre_stop_seconds(&self) -> Option<i64> {
        hooks::slept_seconds(self.pre_stop()?)
    }

    pub(super) fn gate(&self) -> Gate {
        match self.role {
            Role::RunOnce => Gate::Ended,
            // Only the start of init containers waits for startup probes.
            Role::Sidecar if self.startup_probe().is_some() => Gate::StartupProbe,
            Role::Sidecar | Role::Regular if self.post_start().is_some() => Gate::PostStart,
            Role::Sidecar | Role::Regular => Gate::Runs,
        }
    }

    pub(super) fn restarts(&self, rest: Rest<'_>) -> Restarts {
        // A container's own policy counts from 1.35 on, where it is on by default (KEP-5307).
        let reads_own = rest.kubelet.is_none_or(|kubelet| kubelet >= Version::new(1, 35, 0));
        let own = self.container.restart_policy.as_deref().filter(|_| reads_own && self.role != Role::Sidecar);
        match (self.role, own.unwrap_or(rest.restart_policy)) {
            (Role::Sidecar, _) => Restarts::Always,
            (_, "Never") => Restarts::Never,
            // What has succeeded once is done.
            (Role::RunOnce, _) | (_, "OnFailure") => Restarts::OnFailure,
            _ => Restarts::Always,
        }
    }
}

// === impl Now ===

impl<'p> Now<'p> {
    /// What a probe or hook becomes that is set to `value`; nothing where that is none.
    #[must_use]
    pub fn set(value: &Value) -> Self {
        let pace = Pace::deserialize(value).unwrap_or(Pace::DEFAULT);
        match Handler::deserialize(value.clone()) {
            Ok(handler) => Self::Set(Box::new(New { handler, pace })),
            Err(_) => Self::Nothing,
        }
    }

    fn or<'m>(&'m self, written: Option<&'m Handler<'p>>) -> Option<&'m Handler<'p>> {
        match self {
            Self::AsWritten => written,
            Self::Nothing => None,
            Self::Set(new) => Some(&new.handler),
        }
    }
}

impl<'p> Deref for New<'p> {
    type Target = Handler<'p>;

    fn deref(&self) -> &Self::Target {
        &self.handler
    }
}

// === impl Pace ===

impl Pace {
    const DEFAULT: Self = Self { initial_delay_seconds: 0, period_seconds: 10, failure_threshold: 3 };

    /// How long the probe may go on failing, in seconds, before the container is killed.
    #[must_use]
    pub const fn patience_seconds(self) -> i64 {
        self.initial_delay_seconds.saturating_add(self.period_seconds.saturating_mul(self.failure_threshold))
    }
}

impl From<WrittenPace> for Pace {
    fn from(written: WrittenPace) -> Self {
        let positive = |value: Option<i64>, default| value.filter(|value| *value > 0).unwrap_or(default);
        let WrittenPace { initial_delay_seconds, period_seconds, failure_threshold } = written;
        Self {
            initial_delay_seconds: positive(initial_delay_seconds, Self::DEFAULT.initial_delay_seconds),
            period_seconds: positive(period_seconds, Self::DEFAULT.period_seconds),
            failure_threshold: positive(failure_threshold, Self::DEFAULT.failure_threshold),
        }
    }
}
