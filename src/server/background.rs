//! Tasks that have to run for as long as the server does.
//!
//! A certificate that nobody renews any more, or facts that nobody asks for, would be noticed weeks later. So the end of
//! such a task is the end of the server: it drains, and the process ends with an error and is started again.

use native_sidecar_core::text::one_line;
use std::collections::HashMap;
use tokio::task::{Id, JoinSet};

/// Tasks that have to run for as long as the server does; they end when this is dropped.
#[derive(Debug, Default)]
pub struct BackgroundTasks {
    tasks: JoinSet<()>,
    names: HashMap<Id, &'static str>,
}

/// A background task that has ended, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the background task {name} {how}, so the server stopped, to be started again; please report this bug")]
pub struct TaskFailure {
    /// The task's name.
    pub name: &'static str,
    /// `ended`, or the panic.
    pub how: String,
}

// === impl BackgroundTasks ===

impl BackgroundTasks {
    /// Begins a task, which is never to end. Its name is a label's value in the metrics.
    pub fn spawn(&mut self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let id = self.tasks.spawn(task).id();
        self.names.insert(id, name);
    }

    /// The names of all tasks.
    pub(super) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.names.values().copied()
    }

    /// Waits until a task has ended.
    pub(super) async fn failure(&mut self) -> TaskFailure {
        match self.tasks.join_next_with_id().await {
            Some(Ok((id, ()))) => self.failed(id, "ended".to_owned()),
            Some(Err(error)) => self.failed(error.id(), one_line(&format!("failed: {error}")).into_owned()),
            None => std::future::pending().await,
        }
    }

    fn failed(&self, id: Id, how: String) -> TaskFailure {
        TaskFailure { name: self.names.get(&id).copied().unwrap_or("unknown"), how }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;
    use std::future;

    #[tokio::test]
    async fn tasks_that_run_are_no_failure() {
        let mut tasks = BackgroundTasks::default();
        assert!(tasks.failure().now_or_never().is_none(), "there are none");
        tasks.spawn("endless", future::pending());
        assert!(tasks.failure().now_or_never().is_none());
        assert_eq!(tasks.names().collect::<Vec<_>>(), ["endless"]);
    }

    #[tokio::test]
    async fn a_failure_names_the_task_in_one_line() {
        let mut tasks = BackgroundTasks::default();
        tasks.spawn("endless", future::pending());
        tasks.spawn("short", future::ready(()));
        assert_eq!(tasks.failure().await, TaskFailure { name: "short", how: "ended".to_owned() });
        tasks.spawn("broken", async { panic!("on two\nlines") });
        let failure = tasks.failure().await;
        assert_eq!(failure.name, "broken");
        assert!(failure.how.contains("on two") && failure.to_string().lines().count() == 1, "{failure}");
    }
}
