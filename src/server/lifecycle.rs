//! From serving over draining to closing; every part of the server looks at the same phase.

use std::{future, time::Duration};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{mpsc, watch},
};

/// How far the server has come. Phases only ever advance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Ready, and staying.
    Serving,
    /// Told to stop: not ready any more, but every request is served. Connections end with their next answer.
    Draining,
    /// No new connections. Those that are left end with the request they are at.
    Closing,
}

/// The server's phase: one shared value that can be looked at and waited for.
#[derive(Clone, Debug)]
pub struct Lifecycle {
    phase: watch::Sender<Phase>,
}

/// A wish that the server stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Endpoints of a Service may still name it: it serves on for the delay.
    WithDelay,
    /// Whoever sees it at a terminal does not want to wait; requests under way are finished all the same.
    WithoutDelay,
}

/// How long the stages of a shutdown take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drain {
    /// How long to keep serving once told to stop, while the Service's endpoints are being updated.
    pub delay: Duration,
    /// How long to wait after that for requests under way.
    pub timeout: Duration,
}

// === impl Lifecycle ===

impl Lifecycle {
    /// A server that serves.
    #[must_use]
    pub fn new() -> Self {
        Self { phase: watch::Sender::new(Phase::Serving) }
    }

    /// The phase now.
    #[must_use]
    pub fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Advances to `phase`; never goes back.
    pub fn advance(&self, phase: Phase) {
        self.phase.send_if_modified(|now| {
            let later = phase > *now;
            *now = phase.max(*now);
            later
        });
    }

    /// Waits until `phase` or a later one has come.
    pub async fn reached(&self, phase: Phase) {
        // `self` holds the sender, so the channel is open for as long as anybody waits here.
        let _ = self.phase.subscribe().wait_for(|now| *now >= phase).await;
    }
}

impl Default for Lifecycle {
    fn default() -> Self {
        Self::new()
    }
}

// === impl Drain ===

impl Drain {
    /// What is left of it for a stop that was wished for like this.
    pub(super) fn of(self, stop: Stop) -> Self {
        match stop {
            Stop::WithDelay => self,
            Stop::WithoutDelay => Self { delay: Duration::ZERO, ..self },
        }
    }
}

/// Five seconds until the endpoints are updated everywhere, and all of it within the 30 seconds that
/// Kubernetes gives a pod to end.
impl Default for Drain {
    fn default() -> Self {
        Self { delay: Duration::from_secs(5), timeout: Duration::from_secs(20) }
    }
}

/// One message for each SIGTERM and SIGINT that the process receives. `at_terminal`, SIGINT is somebody's Ctrl-C.
///
/// # Errors
///
/// When the system does not let us handle signals.
pub fn signals(at_terminal: bool) -> std::io::Result<mpsc::Receiver<Stop>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    // Once received, it never ends the process any more, as it would where the heap's settings could not be set: std's
    // `exec` undoes what std's beginning has done about it.
    let _ = signal(SignalKind::pipe())?;
    // Two: the first begins the drain, the second ends it; nobody looks at a third.
    let (sender, receiver) = mpsc::channel(2);
    tokio::spawn(async move {
        loop {
            let stop = tokio::select! {
                _ = terminate.recv() => Stop::WithDelay,
                _ = interrupt.recv() => if at_terminal { Stop::WithoutDelay } else { Stop::WithDelay },
            };
            if sender.send(stop).await.is_err() {
                return;
            }
        }
    });
    Ok(receiver)
}

/// Waits for the next message; for ever where the sender is gone.
pub(super) async fn requested(stop: &mut mpsc::Receiver<Stop>) -> Stop {
    match stop.recv().await {
        Some(stop) => stop,
        None => future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_never_go_back() {
        let lifecycle = Lifecycle::new();
        lifecycle.advance(Phase::Closing);
        lifecycle.advance(Phase::Draining);
        assert_eq!(lifecycle.phase(), Phase::Closing);
    }

    #[tokio::test]
    async fn a_later_phase_has_reached_an_earlier_one() {
        let lifecycle = Lifecycle::new();
        lifecycle.advance(Phase::Closing);
        lifecycle.reached(Phase::Draining).await;
    }
}
