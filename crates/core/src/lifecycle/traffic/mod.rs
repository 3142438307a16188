//! Who serves what inside a pod, and who asks for it: one reader for all rules.
//!
//! A container serves a port that it declares, that the kubelet asks it at, or that a flag or variable tells it to listen
//! on. It asks a port of `localhost`, of the pod's own address or a socket in a shared volume that stands in its probes,
//! hooks, command line or variables. Of what a program does by default the catalogue knows a little; what it reads from a
//! file cannot be seen.

mod names;
pub mod text;

use super::{Member, Role, script};
use crate::{
    pod::{Argument, Container, Handler, HttpGetAction, TcpSocketAction, VolumeMount},
    text::{quoted, shorten},
};
use names::Meaning;
use std::{cell::OnceCell, collections::BTreeSet, fmt};

/// Where a container can be asked from inside the pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Address<'p> {
    /// A port of the pod's network.
    Port(i64),
    /// A file or Unix socket in a volume: the volume's name, and the path within it.
    Path(&'p str, &'p str),
}

/// By what a container asks or serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum By<'p> {
    /// `ports`.
    Ports,
    /// What is known of the program.
    Known,
    /// `startupProbe`.
    StartupProbe,
    /// `readinessProbe`.
    ReadinessProbe,
    /// `livenessProbe`.
    LivenessProbe,
    /// `lifecycle.postStart`.
    PostStart,
    /// `lifecycle.preStop`.
    PreStop,
    /// A flag of the command line, as it is written.
    Flag(&'p str),
    /// Another word of the command line, or a script in it.
    CommandLine,
    /// A variable, by its name.
    Variable(&'p str),
}

/// One container asks for something that the pod itself serves, as it seems.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ask<'p> {
    /// The index of the container that asks.
    pub asker: usize,
    /// By what it does.
    pub by: By<'p>,
    /// What it asks for.
    pub address: Address<'p>,
}

/// What the containers of a pod serve and ask, read when somebody wants to know it: a container that nobody asks about
/// costs nothing.
#[derive(Clone, Copy, Debug)]
pub struct Traffic<'l, 'p> {
    members: &'l [Member<'p>],
    read: &'l Read<'p>,
}

/// What has been read so far.
#[derive(Debug, Default)]
pub(super) struct Read<'p> {
    told: OnceCell<Vec<OnceCell<Told<'p>>>>,
    /// Each address with the index of a container that serves it, and whether that is only asked there by its own probe;
    /// sorted.
    served: OnceCell<Vec<(Address<'p>, usize, bool)>>,
    /// Each volume with the index of a container that mounts it; sorted.
    mounted: OnceCell<Vec<(&'p str, usize)>>,
}

/// What one container says; sorted.
#[derive(Debug, Default)]
struct Told<'p> {
    asked: Vec<Ask<'p>>,
    served: Vec<(Address<'p>, By<'p>)>,
}

/// Reads one container.
struct Reader<'p> {
    told: Told<'p>,
    index: usize,
    /// Whether it runs once: then it serves nobody.
    runs_once: bool,
    container: &'p Container<'p>,
    mounts: Mounts<'p>,
    /// Names of variables that hold the pod's own address.
    own_address: BTreeSet<&'p str>,
}

/// The most characters of a path that stand in a sentence.
const LONGEST_PATH: usize = 120;

/// So much of what one container asks is kept: far more than any program does.
const MOST_ASKED: usize = 1000;

/// So many of a container's mounts are looked at for a path.
pub const MOST_MOUNTS: usize = 32;

/// The paths at which a container has volumes, the longest first, and the volumes' names.
#[derive(Debug)]
pub struct Mounts<'p>(Vec<(&'p str, &'p str)>);

// === impl Traffic ===

impl<'l, 'p> Traffic<'l, 'p> {
    pub(super) const fn new(members: &'l [Member<'p>], read: &'l Read<'p>) -> Self {
        Self { members, read }
    }

    /// What the container at `index` asks for.
    #[must_use]
    pub fn asked_by(self, index: usize) -> &'l [Ask<'p>] {
        self.told(index).map_or(&[], |told| &told.asked)
    }

    /// Everything that is asked for, by who asks.
    pub fn asked(self) -> impl Iterator<Item = &'l Ask<'p>> {
        (0..self.members.len()).flat_map(move |index| self.asked_by(index))
    }

    /// What the container at `index` serves, and by what.
    #[must_use]
    pub fn served_by(self, index: usize) -> &'l [(Address<'p>, By<'p>)] {
        self.told(index).map_or(&[], |told| &told.served)
    }

    /// The containers that serve `address`, in their order.
    pub fn servers(self, address: Address<'p>) -> impl Iterator<Item = usize> {
        self.serving(address).map(|(_, index, _)| *index)
    }

    /// Whether the container at `index` serves `address` itself.
    #[must_use]
    pub fn serves(self, index: usize, address: Address<'p>) -> bool {
        let served = self.served();
        let at = served.partition_point(|(other, server, _)| (*other, *server) < (address, index));
        served.get(at).is_some_and(|(other, server, _)| *other == address && *server == index)
    }

    /// The first container behind the one at `index` that serves `address`; `None` where the one at `index` does so
    /// itself, or one in front of it. That a container is asked at a port by its own probe says nothing against another
    /// one that declares the port.
    #[must_use]
    pub fn later_server(self, index: usize, address: Address<'p>) -> Option<usize> {
        let mut others = self.serving(address).filter(|(_, server, is_asked)| !(*server == index && *is_asked));
        let (_, first, _) = others.next()?;
        (*first > index).then_some(*first)
    }

    fn serving(self, address: Address<'p>) -> impl Iterator<Item = &'l (Address<'p>, usize, bool)> {
        let served = self.served();
        let begin = served.partition_point(|(other, ..)| *other < address);
        served[begin..].iter().take_while(move |(other, ..)| *other == address)
    }

    fn told(self, index: usize) -> Option<&'l Told<'p>> {
        let cells = self.read.told.get_or_init(|| self.members.iter().map(|_| OnceCell::new()).collect());
        Some(cells.get(index)?.get_or_init(|| Reader::read(index, &self.members[index])))
    }

    fn served(self) -> &'l [(Address<'p>, usize, bool)] {
        self.read.served.get_or_init(|| {
            let all = (0..self.members.len()).map(|index| self.served_by(index).len()).sum();
            let mut served = Vec::with_capacity(all);
            for index in 0..self.members.len() {
                served.extend(self.served_by(index).iter().map(|(address, by)| (*address, index, is_probe(*by))));
            }
            served.sort_unstable();
            served.dedup();
            served
        })
    }

    /// Whether a container other than the one at `index`, and from `from` on, mounts `volume`.
    #[must_use]
    pub fn is_shared(self, volume: &str, index: usize, from: usize) -> bool {
        let mounted = self.mounted();
        let begin = mounted.partition_point(|mount| *mount < (volume, from));
        mounted[begin..].iter().take_while(|(other, _)| *other == volume).any(|(_, mounting)| *mounting != index)
    }

    fn mounted(self) -> &'l [(&'p str, usize)] {
        self.read.mounted.get_or_init(|| {
            let volumes = |(index, member): (usize, &Member<'p>)| {
                member.container.volume_mounts().iter().map(move |mount| (&*mount.name, index))
            };
            let all = self.members.iter().map(|member| member.container.volume_mounts().len()).sum();
            let mut mounted = Vec::with_capacity(all);
            mounted.extend(self.members.iter().enumerate().flat_map(volumes));
            mounted.sort_unstable();
            mounted.dedup();
            mounted
        })
    }
}

// === impl Reader ===

impl<'p> Reader<'p> {
    /// Reads `member`, which has this index.
    fn read(index: usize, member: &Member<'p>) -> Told<'p> {
        let container = member.container;
        let own_address = container.env().iter().filter(|var| var.is_pod_ip()).map(|var| &*var.name).collect();
        let (mounts, runs_once) = (Mounts::whole(container), member.role == Role::RunOnce);
        let mut reader = Self { told: Told::default(), index, runs_once, container, mounts, own_address };
        for port in container.ports() {
            reader.serve_port(port.container_port, By::Ports);
        }
        for port in &member.known_ports {
            reader.serve_port(*port, By::Known);
        }
        reader.read_probes(member);
        reader.read_command_line();
        reader.read_variables();
        let Told { mut asked, mut served } = reader.told;
        asked.sort();
        asked.dedup();
        served.sort();
        served.dedup();
        asked.shrink_to_fit();
        served.shrink_to_fit();
        Told { asked, served }
    }

    fn serve(&mut self, address: Address<'p>, by: By<'p>) {
        if !self.runs_once {
            self.told.served.push((address, by));
        }
    }

    fn serve_port(&mut self, port: i64, by: By<'p>) {
        if (1..=65535).contains(&port) {
            self.serve(Address::Port(port), by);
        }
    }

    fn ask_port(&mut self, port: i64, by: By<'p>) {
        self.ask(Address::Port(port), by);
    }

    /// Files and sockets are read from what the pod says, so that their paths live as long; a hook that a conversion sets
    /// names none.
    fn ask_path(&mut self, path: &'p str, by: By<'p>) {
        if let Some(address) = self.in_volume(path) {
            self.ask(address, by);
        }
    }

    fn ask(&mut self, address: Address<'p>, by: By<'p>) {
        let ask = Ask { asker: self.index, by, address };
        let asked = &mut self.told.asked;
        if asked.len() < MOST_ASKED && asked.last() != Some(&ask) {
            asked.push(ask);
        }
    }

    fn in_volume(&self, path: &'p str) -> Option<Address<'p>> {
        self.mounts.find(path).map(|(volume, rest)| Address::Path(volume, rest))
    }

    fn read_probes(&mut self, member: &Member<'p>) {
        // A run-once init container has none that count.
        if self.runs_once {
            return;
        }
        let container = self.container;
        let probe = |probe: Option<crate::pod::Probe<'p>>| probe.map(|probe| probe.handler);
        let readiness = probe(container.readiness_probe());
        let liveness = probe(container.liveness_probe());
        for (by, handler) in [
            (By::StartupProbe, member.startup_probe()),
            (By::ReadinessProbe, readiness),
            (By::LivenessProbe, liveness),
            (By::PostStart, member.post_start()),
            (By::PreStop, member.pre_stop()),
        ] {
            let Some(handler) = handler else { continue };
            if let Some(exec) = &handler.exec {
                self.read_own_addresses(&script::text_of(&exec.command), by);
            }
            for port in asked_by(handler, container) {
                self.ask_port(port, by);
                // What the kubelet asks is meant to be the container itself, unless another one declares the port.
                let by_kubelet = handler.exec.is_none() && is_probe(by);
                if by_kubelet {
                    self.serve_port(port, by);
                }
            }
        }
        for (by, handler) in
            [(By::StartupProbe, probe(container.startup_probe())), (By::PostStart, container.post_start())]
        {
            let words = handler.and_then(|handler| handler.exec.as_ref()).map_or(&[][..], |exec| &exec.command);
            for path in words.iter().flat_map(|word| text::sockets_in(word)) {
                self.ask_path(path, by);
            }
        }
    }

    fn read_command_line(&mut self) {
        let words: Vec<&'p str> = self.container.command_line().collect();
        // `psql -h localhost -p 5432`. What goes on running may be told so where to listen.
        if self.runs_once {
            for port in text::ports_behind_hosts(words.iter().copied()) {
                self.ask_port(port, By::CommandLine);
            }
        }
        if let Some(script) = script::in_command_line(&words) {
            self.read_text(script, By::CommandLine);
            return;
        }
        for argument in self.container.arguments() {
            match argument {
                Argument::Flag(flag, value) => {
                    self.read_named(flag.trim_start_matches('-'), value.unwrap_or_default(), By::Flag(flag));
                }
                Argument::Word(word) => self.read_text(word, By::CommandLine),
            }
        }
    }

    fn read_variables(&mut self) {
        let mut hosts = BTreeSet::new();
        for var in self.container.env() {
            let value = var.value.as_deref().unwrap_or_default();
            let is_host = || text::is_own_host(value) || var.is_pod_ip();
            if let Some(stem) = names::stem(&var.name, &["HOST", "ADDR", "ADDRESS", "SERVER"]).filter(|_| is_host()) {
                hosts.insert(stem);
            }
            self.read_named(&var.name, value, By::Variable(&var.name));
        }
        for var in self.container.env() {
            let Some(stem) = names::stem(&var.name, &["PORT"]) else { continue };
            let value = var.value.as_deref().unwrap_or_default();
            if let Some(port) = text::number(value).filter(|_| !stem.is_empty() && hosts.contains(stem)) {
                self.ask_port(port, By::Variable(&var.name));
            }
        }
    }

    /// The value of a flag or variable.
    fn read_named(&mut self, name: &'p str, value: &'p str, by: By<'p>) {
        // Nothing else can hold an address.
        if !value.bytes().any(|byte| byte.is_ascii_digit() || matches!(byte, b':' | b'/' | b'.'))
            && value != "localhost"
        {
            return;
        }
        let meaning = names::meaning(name);
        if value.bytes().all(|byte| byte.is_ascii_digit()) {
            match (meaning, text::number(value)) {
                (Meaning::Serves, Some(port)) => self.serve_port(port, by),
                (Meaning::Asks, Some(port)) => self.ask_port(port, by),
                _ => {}
            }
            return;
        }
        if let Some(port) = listening(value, meaning) {
            self.serve_port(port, by);
            return;
        }
        if meaning == Meaning::Serves {
            if let Some(address) = text::sockets_in(value).next().and_then(|path| self.in_volume(path)) {
                self.serve(address, by);
            }
            return;
        }
        self.read_text(value, by);
    }

    /// What stands in a word or a script.
    fn read_text(&mut self, value: &'p str, by: By<'p>) {
        for port in text::ports_in(value) {
            self.ask_port(port, by);
        }
        for path in text::sockets_in(value) {
            self.ask_path(path, by);
        }
        // `INSTANCE=tcp:5432` and `INSTANCE?port=5432`, as database proxies are told where to listen.
        for mark in ["=tcp:", "?port=", "&port="] {
            if let Some((_, behind)) = value.split_once(mark) {
                let port = behind.rsplit_once(':').map_or(behind, |(_, port)| port);
                if let Some(port) = text::number(port) {
                    self.serve_port(port, by);
                }
            }
        }
        self.read_own_addresses(value, by);
    }

    /// The ports in `text` that follow a variable with the pod's own address.
    fn read_own_addresses(&mut self, text: &str, by: By<'p>) {
        if self.own_address.is_empty() {
            return;
        }
        let own = behind_variables(text).filter(|(name, _)| self.own_address.contains(name));
        for (_, port) in own.collect::<Vec<_>>() {
            self.ask_port(port, by);
        }
    }
}

const fn is_probe(by: By<'_>) -> bool {
    matches!(by, By::StartupProbe | By::ReadinessProbe | By::LivenessProbe)
}

/// The port of an address to listen on: `:8080`, `0.0.0.0:8080`, and with a name that says so also `127.0.0.1:8080`.
fn listening(value: &str, meaning: Meaning) -> Option<i64> {
    if meaning == Meaning::Asks {
        return None;
    }
    let value = value.split_once("://").map_or(value, |(_, rest)| rest);
    let (host, port) = value.rsplit_once(':')?;
    let is_any = matches!(host, "" | "*" | "0.0.0.0" | "[::]" | "::");
    let is_own = || meaning == Meaning::Serves && text::is_own_host(host);
    let port = text::number(port).filter(|_| port.bytes().all(|byte| byte.is_ascii_digit()))?;
    (is_any || is_own()).then_some(port)
}

/// The variables that a port follows, as in `$(NAME):8080`, `${NAME}:8080` and `$NAME:8080`, and that port.
fn behind_variables(text: &str) -> impl Iterator<Item = (&str, i64)> {
    text.split('$').skip(1).filter_map(|rest| {
        let rest = rest.strip_prefix(['(', '{']).unwrap_or(rest);
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_')?;
        let (name, rest) = rest.split_at(end);
        let rest = rest.strip_prefix([')', '}']).unwrap_or(rest);
        Some((name, text::number(rest.strip_prefix([':', ' '])?)?))
    })
}

/// The ports of the pod that a probe or hook asks.
#[must_use]
pub fn asked_by(handler: &Handler<'_>, container: &Container<'_>) -> Vec<i64> {
    match handler {
        Handler { exec: Some(exec), .. } => text::ports_in(&script::text_of(&exec.command)),
        _ => asked_by_kubelet(handler, container).into_iter().collect(),
    }
}

/// The port of the pod that the kubelet itself asks.
fn asked_by_kubelet(handler: &Handler<'_>, container: &Container<'_>) -> Option<i64> {
    let is_local = |host: &str| host.is_empty() || text::is_own_host(host);
    match handler {
        Handler { http_get: Some(HttpGetAction { host, port, .. }), .. }
        | Handler { tcp_socket: Some(TcpSocketAction { host, port }), .. } => {
            container.port_number(port).filter(|_| is_local(host))
        }
        Handler { grpc: Some(grpc), .. } => Some(grpc.port),
        _ => None,
    }
}

// === impl Mounts ===

impl<'p> Mounts<'p> {
    /// The first [`MOST_MOUNTS`] of `container`.
    #[must_use]
    pub fn of(container: &'p Container<'_>) -> Self {
        Self::sorted(container.volume_mounts().iter())
    }

    /// Those at which a whole volume is mounted: a part of it has paths of its own.
    fn whole(container: &'p Container<'_>) -> Self {
        Self::sorted(container.volume_mounts().iter().filter(|mount| mount.is_whole))
    }

    fn sorted<'a: 'p>(mounts: impl Iterator<Item = &'p VolumeMount<'a>>) -> Self {
        let path = |mount: &'p VolumeMount<'a>| mount.mount_path.trim_end_matches('/');
        let mut mounts: Vec<_> = mounts.take(MOST_MOUNTS).map(|mount| (path(mount), &*mount.name)).collect();
        mounts.retain(|(path, _)| !path.is_empty());
        mounts.sort_by_key(|(path, _)| std::cmp::Reverse(path.len()));
        Self(mounts)
    }

    /// The volume in which the container has `path`, and the path within what it mounts of it.
    #[must_use]
    pub fn find<'t>(&self, path: &'t str) -> Option<(&'p str, &'t str)> {
        self.0.iter().find_map(|(mount, volume)| {
            let rest = path.strip_prefix(mount)?;
            (rest.is_empty() || rest.starts_with('/')).then(|| (*volume, rest.trim_start_matches('/')))
        })
    }
}

// === impl Address ===

impl Address<'_> {
    /// The port, if it is one.
    #[must_use]
    pub const fn port(&self) -> Option<i64> {
        match self {
            Self::Port(port) => Some(*port),
            Self::Path(..) => None,
        }
    }
}

/// The address as it is named in a sentence.
impl fmt::Display for Address<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Port(port) => write!(f, "port {port}"),
            Self::Path(volume, path) => write!(f, "{:?} in volume {}", shorten(path, LONGEST_PATH), quoted(volume)),
        }
    }
}

// === impl By ===

/// What does it, as it is named in a sentence.
impl fmt::Display for By<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ports => f.write_str("ports"),
            Self::Known => f.write_str("its program"),
            Self::StartupProbe => f.write_str("its startup probe"),
            Self::ReadinessProbe => f.write_str("its readiness probe"),
            Self::LivenessProbe => f.write_str("its liveness probe"),
            Self::PostStart => f.write_str("its postStart hook"),
            Self::PreStop => f.write_str("its preStop hook"),
            Self::Flag(name) => write!(f, "its flag {name}"),
            Self::CommandLine => f.write_str("its command"),
            Self::Variable(name) => write!(f, "its variable {name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{lifecycle::Lifecycle, pod::Pod};
    use rstest::rstest;

    /// What the first container asks and serves, as `flag name: port 1`.
    fn told(container: &str, tell: impl Fn(Traffic<'_, '_>) -> Vec<String>) -> Vec<String> {
        let json = format!(r#"{{"spec":{{"containers":[{container}]}}}}"#);
        let pod = Pod::parse(&json).unwrap();
        tell(Lifecycle::of(&pod, None).traffic())
    }

    #[rstest]
    #[case(r#"{"args":["--upstream=http://127.0.0.1:8080/"]}"#, &["its flag --upstream: port 8080"])]
    #[case(r#"{"args":["-app-port","3000"]}"#, &["its flag -app-port: port 3000"])]
    #[case(r#"{"args":["redis://localhost"]}"#, &["its command: port 6379"])]
    #[case(r#"{"env":[{"name":"REDIS_ADDR","value":"localhost:6379"}]}"#, &["its variable REDIS_ADDR: port 6379"])]
    #[case(
        r#"{"env":[{"name":"DB_PORT","value":"5432"},{"name":"DB_HOST","value":"127.0.0.1"}]}"#,
        &["its variable DB_PORT: port 5432"]
    )]
    #[case(r#"{"env":[{"name":"DB_PORT","value":"5432"},{"name":"DB_HOST","value":"db"}]}"#, &[])]
    #[case(
        r#"{"env":[{"name":"IP","valueFrom":{"fieldRef":{"fieldPath":"status.podIP"}}}],"args":["http://$(IP):81/"]}"#,
        &["its command: port 81"]
    )]
    #[case(
        r#"{"env":[{"name":"IP","valueFrom":{"fieldRef":{"fieldPath":"status.hostIP"}}}],"args":["http://$(IP):81/"]}"#,
        &[]
    )]
    #[case(r#"{"livenessProbe":{"grpc":{"port":9}}}"#, &["its liveness probe: port 9"])]
    #[case(r#"{"lifecycle":{"postStart":{"exec":{"command":["nc","-z","localhost","7"]}}}}"#, &["its postStart hook: port 7"])]
    #[case(
        r#"{"args":["--to=unix:/run/a/x.sock"],"volumeMounts":[{"name":"v","mountPath":"/run"},{"name":"w","mountPath":"/run/a/"}]}"#,
        &[r#"its flag --to: "x.sock" in volume "w""#]
    )]
    #[case(r#"{"args":["--listen=:4180","--port=1"]}"#, &[])]
    fn what_a_container_asks(#[case] container: &str, #[case] asks: &[&str]) {
        let asked = |traffic: Traffic<'_, '_>| {
            traffic.asked_by(0).iter().map(|ask| format!("{}: {}", ask.by, ask.address)).collect()
        };
        assert_eq!(told(container, asked), asks);
    }

    #[rstest]
    #[case(r#"{"ports":[{"containerPort":80}]}"#, &["port 80 by ports"])]
    #[case(r#"{"args":["--web.listen-address=:9100"]}"#, &["port 9100 by its flag --web.listen-address"])]
    #[case(r#"{"args":["--http-address","127.0.0.1:4180"]}"#, &["port 4180 by its flag --http-address"])]
    #[case(r#"{"args":["--redis.addr=127.0.0.1:6379"]}"#, &[])]
    #[case(r#"{"env":[{"name":"HTTP_PORT","value":"8080"}]}"#, &["port 8080 by its variable HTTP_PORT"])]
    #[case(r#"{"args":["-instances=p:r:i=tcp:0.0.0.0:3306"]}"#, &["port 3306 by its flag -instances"])]
    #[case(r#"{"args":["p:r:i?port=5433"]}"#, &["port 5433 by its command"])]
    #[case(r#"{"readinessProbe":{"httpGet":{"port":90,"path":"/"}}}"#, &["port 90 by its readiness probe"])]
    #[case(r#"{"readinessProbe":{"httpGet":{"port":90,"path":"/","host":"db"}}}"#, &[])]
    #[case(
        r#"{"args":["--listen=unix:/run/x"],"volumeMounts":[{"name":"v","mountPath":"/run"}]}"#,
        &[r#""x" in volume "v" by its flag --listen"#]
    )]
    fn what_a_container_serves(#[case] container: &str, #[case] serves: &[&str]) {
        let served = |traffic: Traffic<'_, '_>| {
            traffic.served_by(0).iter().map(|(address, by)| format!("{address} by {by}")).collect()
        };
        assert_eq!(told(container, served), serves);
    }
}
