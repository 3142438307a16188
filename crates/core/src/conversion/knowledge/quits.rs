//! What containers do to end a sidecar beside them.

use crate::{
    catalogue::{Entry, Image},
    lifecycle::{
        hooks::{self, HookKind},
        process,
        script::{self, Command, base_name},
        traffic::text,
    },
    pod::Container,
};
use std::collections::BTreeMap;

/// How some containers ask sidecars to end, and who does.
#[derive(Debug, Default)]
pub(in crate::conversion) struct Quits<'p> {
    by_port: BTreeMap<i64, &'p str>,
    /// By a word of a command that kills.
    by_name: BTreeMap<String, &'p str>,
}

/// Wrappers that end the mesh proxy when the program that they run has ended.
///
/// Source: redboxllc/scuttle and monzo/envoy-preflight (`ISTIO_QUIT_API`, `ENVOY_ADMIN_API`); linkerd/linkerd-await
/// (`--shutdown`).
const WRAPPERS: [&str; 3] = ["scuttle", "envoy-preflight", "linkerd-await"];

/// So many names of processes that are killed are kept.
const MOST_NAMES: usize = 1000;

/// Variables by which such a wrapper is told so.
const VARIABLES: [&str; 3] = ["ISTIO_QUIT_API", "ENVOY_ADMIN_API", "ENVOY_KILL_API"];

// === impl Quits ===

impl<'p> Quits<'p> {
    /// What `containers` do.
    pub(in crate::conversion) fn of(containers: impl Iterator<Item = &'p Container<'p>>) -> Self {
        let mut quits = Self::default();
        for container in containers {
            quits.read(container);
        }
        quits
    }

    /// Whether anybody asks for an end at any port.
    pub(in crate::conversion) fn ask_ports(&self) -> bool {
        !self.by_port.is_empty()
    }

    /// Who asks for an end at `port`.
    pub(in crate::conversion) fn at_port(&self, port: i64) -> Option<&'p str> {
        self.by_port.get(&port).copied()
    }

    /// Who kills processes called `name`.
    pub(in crate::conversion) fn kills(&self, name: &str) -> Option<&'p str> {
        self.by_name.get(name).copied()
    }

    fn read(&mut self, container: &'p Container<'p>) {
        match process::script(container) {
            Some(text) => {
                // What kills may get its argument from another command: `kill $(pidof x)`.
                let commands: Vec<_> = script::commands(text).collect();
                self.read_commands(container, &commands);
            }
            None => self.read_words(container, &container.command_line().collect::<Vec<_>>()),
        }
    }

    fn read_commands(&mut self, container: &'p Container<'p>, commands: &[Command<'_>]) {
        let kills = |command: &Command<'_>| is_kill(command) && hooks::of_words(&command.words) == Some(HookKind::Quit);
        let any_kills = commands.iter().any(kills);
        for command in commands {
            self.read_words(container, &command.words);
            let finds = matches!(command.program(), "pidof" | "pgrep");
            if kills(command) || (any_kills && finds) {
                let room = MOST_NAMES.saturating_sub(self.by_name.len());
                for word in command.arguments().iter().take(room) {
                    self.by_name.entry(plain(base_name(word))).or_insert(&container.name);
                }
            }
        }
    }

    /// A request to the pod itself whose words tell a program to end.
    fn read_words(&mut self, container: &'p Container<'p>, words: &[&str]) {
        // `trap "curl …/quitquitquit" EXIT` runs what stands behind it.
        let words = if words.first() == Some(&"trap") { &words[1..] } else { words };
        if hooks::of_words(words) != Some(HookKind::Quit) {
            return;
        }
        for port in text::ports_in(&words.join(" ")) {
            self.by_port.entry(port).or_insert(&container.name);
        }
    }
}

/// Who of `containers` runs behind a wrapper that ends the mesh proxy, and which wrapper.
pub(in crate::conversion) fn mesh_wrapper<'p>(
    mut containers: impl Iterator<Item = &'p Container<'p>>,
) -> Option<(&'p str, &'static str)> {
    containers.find_map(|container| {
        let has = |such: &dyn Fn(&str) -> bool| container.command_line().any(such);
        let wrapper = WRAPPERS.into_iter().find(|wrapper| has(&|word| base_name(word) == *wrapper));
        // linkerd-await ends the proxy only when it is told to.
        let ends = |wrapper: &&str| *wrapper != "linkerd-await" || has(&|word| word.contains("shutdown"));
        let told = || VARIABLES.into_iter().find(|name| container.env_value(name).is_some());
        Some((&*container.name, wrapper.filter(ends).or_else(told)?))
    })
}

/// Names by which the processes of `container`, a sidecar of `entry`, may be called.
pub(in crate::conversion) fn process_names(container: &Container<'_>, entry: Option<&Entry>) -> Vec<String> {
    let program = container.command_line().find(|word| !word.starts_with('-') && !script::is_shell(word));
    let image = Image::parse(container.image()).product();
    let names = [program.map(base_name), Some(&*container.name), Some(image)];
    let known = entry.into_iter().flat_map(|entry| &entry.processes).map(String::as_str);
    names.into_iter().flatten().chain(known).map(plain).filter(|name| !name.is_empty()).collect()
}

fn is_kill(command: &Command<'_>) -> bool {
    matches!(command.program(), "kill" | "pkill" | "killall")
}

/// A name without what tells two spellings of it apart.
fn plain(name: &str) -> String {
    let name = name.get(..128).unwrap_or(name);
    name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}
