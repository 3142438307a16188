//! Containers that wait for others of their pod by asking the API server, and look only at what it says about regular
//! ones.

use crate::pod::Container;
use std::collections::{HashMap, HashSet};

/// A wrapper around a container's program that is told by a variable for whom it waits.
struct Wrapper {
    /// The variable: names with commas between them.
    variable: &'static str,
    /// A variable without which the wrapper does not work.
    needs: &'static str,
    /// The program, which proves as much.
    program: &'static str,
}

/// Sources: karlkfi/kubexit, cmd/kubexit/main.go, `onReadyOfAll`; stackanetes/kubernetes-entrypoint (now of Airship),
/// dependencies/container/container.go, `IsResolved`. Both read `status.containerStatuses` alone.
const WRAPPERS: [Wrapper; 2] = [
    Wrapper { variable: "KUBEXIT_BIRTH_DEPS", needs: "KUBEXIT_NAME", program: "kubexit" },
    Wrapper { variable: "DEPENDENCY_CONTAINER", needs: "POD_NAME", program: "kubernetes-entrypoint" },
];

/// What a script calls the status of regular containers, and what it calls that of init containers.
const STATUSES: [(&str, &str); 2] = [
    ("containerStatuses", "initContainerStatuses"),
    // Clients of some languages.
    ("container_statuses", "init_container_statuses"),
];

/// Who waits for whom.
#[derive(Debug, Default)]
pub(in crate::conversion) struct Waiters<'p>(HashMap<&'p str, Vec<Waiter<'p>>>);

/// One container that waits.
#[derive(Clone, Copy, Debug)]
pub(in crate::conversion) struct Waiter<'p> {
    pub(in crate::conversion) container: &'p str,
    /// The variable that says so; `None` where it is the command.
    pub(in crate::conversion) variable: Option<&'static str>,
}

// === impl Waiters ===

impl<'p> Waiters<'p> {
    /// Who of `containers` waits for those called `moved`.
    pub(in crate::conversion) fn of(
        containers: impl Iterator<Item = &'p Container<'p>>,
        moved: impl Iterator<Item = &'p str>,
    ) -> Self {
        let mut waiters = Self(moved.map(|name| (name, Vec::new())).collect());
        for container in containers {
            for wrapper in WRAPPERS.iter().filter(|wrapper| container.may_have_in_env(wrapper.variable)) {
                let names = wrapper.waits_for(container);
                waiters.note(names, Waiter { container: &container.name, variable: Some(wrapper.variable) });
            }
            if asks_for_statuses(container) {
                let names = container.command_line().flat_map(names_asked_for);
                waiters.note(names, Waiter { container: &container.name, variable: None });
            }
        }
        waiters
    }

    fn note<'n>(&mut self, names: impl Iterator<Item = &'n str>, waiter: Waiter<'p>) {
        let names: HashSet<_> = names.collect();
        for name in names {
            if let Some(waiters) = self.0.get_mut(name) {
                waiters.push(waiter);
            }
        }
    }

    /// A container that waits for the one called `name`, and is not that one itself.
    pub(in crate::conversion) fn waiter(&self, name: &str) -> Option<&Waiter<'p>> {
        self.0.get(name)?.iter().find(|waiter| waiter.container != name)
    }
}

// === impl Wrapper ===

impl Wrapper {
    /// The names for which `container` waits.
    fn waits_for<'c>(&self, container: &'c Container<'_>) -> impl Iterator<Item = &'c str> {
        let is_set_up = || container.env().iter().any(|variable| variable.name == self.needs);
        let is_run = || container.command_line().any(|word| word.rsplit('/').next() == Some(self.program));
        let names = container.env_value(self.variable).filter(|_| is_set_up() || is_run()).unwrap_or_default();
        names.split(',').map(str::trim)
    }
}

/// Whether the command asks for the statuses of regular containers, and not for those of init containers.
fn asks_for_statuses(container: &Container<'_>) -> bool {
    STATUSES.iter().any(|(regular, _)| container.may_run(regular))
        && !STATUSES.iter().any(|(_, init)| container.may_run(init))
}

/// The names in `text` that a status is asked for by: `@.name=="proxy"`, `.name == 'proxy'`.
fn names_asked_for(text: &str) -> impl Iterator<Item = &str> {
    let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    text.split("name").skip(1).filter_map(move |behind| {
        let behind = behind.trim_start_matches(|c: char| !is_name(c) && !c.is_ascii_uppercase() && c != ';');
        let end = behind.find(|c: char| !is_name(c)).unwrap_or(behind.len());
        (end > 0).then_some(&behind[..end])
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case(r#""env":[{"name":"KUBEXIT_NAME","value":"app"},{"name":"KUBEXIT_BIRTH_DEPS","value":"log,proxy"}]"#, true)]
    #[case(r#""env":[{"name":"KUBEXIT_NAME","value":"app"},{"name":"KUBEXIT_BIRTH_DEPS","value":"proxy2"}]"#, false)]
    #[case(r#""env":[{"name":"KUBEXIT_NAME","value":"app"},{"name":"KUBEXIT_DEATH_DEPS","value":"proxy"}]"#, false)]
    #[case(r#""env":[{"name":"KUBEXIT_BIRTH_DEPS","value":"proxy"}]"#, false)]
    #[case(r#""command":["/bin/kubexit","app"],"env":[{"name":"KUBEXIT_BIRTH_DEPS","value":"proxy"}]"#, true)]
    #[case(r#""env":[{"name":"POD_NAME","valueFrom":{}},{"name":"DEPENDENCY_CONTAINER","value":"proxy"}]"#, true)]
    #[case(
        r#""args":["kubectl get pod $P -o jsonpath='{.status.containerStatuses[?(@.name==\"proxy\")].ready}'"]"#,
        true
    )]
    #[case(
        r#""args":["kubectl get pod $P -o jsonpath='{.status.containerStatuses[?(@.name==\"other\")].ready}'"]"#,
        false
    )]
    #[case(
        r#""args":["jq '.status.initContainerStatuses[], .status.containerStatuses[] | select(.name==\"proxy\")'"]"#,
        false
    )]
    #[case(r#""args":["-c","[s for s in pod.status.container_statuses if s.name == 'proxy']"]"#, true)]
    #[case(r#""args":["-c","[s for s in pod.status.init_container_statuses if s.name == 'proxy']"]"#, false)]
    #[case(r#""args":["until nc -z localhost 1; do echo proxy; done"]"#, false)]
    fn waits(#[case] fields: &str, #[case] expected: bool) {
        let json = format!(r#"{{"name":"app",{fields}}}"#);
        let container: Container<'_> = serde_json::from_str(&json).unwrap();
        let waiters = Waiters::of([&container].into_iter(), ["proxy"].into_iter());
        assert_eq!(waiters.waiter("proxy").is_some(), expected);
    }
}
