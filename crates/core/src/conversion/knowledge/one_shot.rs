//! Programs that do their work once and end, whoever wrote them.

use crate::{catalogue::is_on, pod::Container};

/// Flags with which a program does its work once.
const FLAGS: [&str; 7] = ["one-time", "once", "one-shot", "oneshot", "run-once", "runonce", "exit-after-auth"];

/// The flag by which the container is told to do its work once, if it is.
pub(in crate::conversion) fn flag(container: &Container<'_>) -> Option<&'static str> {
    // Hardly any container has one of them.
    if !container.flags().any(|name| FLAGS.contains(&name)) {
        return None;
    }
    FLAGS.into_iter().find(|name| container.flag(name).is_some_and(is_on))
}
