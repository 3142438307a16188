//! `native-sidecar serve` as a process of its own, with limits of its own.

use super::{
    caller::{Caller, Target},
    group::Group,
    report::{Form, Report, mebibytes},
    support::{self, Client, eventually, get},
};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, ChildStderr, Command, ExitStatus, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
};
use tempfile::TempDir;

/// Joins the groups, takes the limit of descriptors, and becomes the program, which does not outlive this one where that
/// can be had: a test that is interrupted is not to leave a stopped or throttled process behind.
const WRAPPER: &str = r#"
for door in $1; do echo $$ >"$door"; done
[ -z "$2" ] || ulimit -n "$2"
shift 2
[ ! -x /usr/bin/setpriv ] || exec /usr/bin/setpriv --pdeathsig KILL "$@"
exec "$@"
"#;

/// The most that a pod of the manifests may use.
pub(crate) const MEMORY_LIMIT: u64 = 256 * 1024 * 1024;

/// How the process is to be started.
#[derive(Clone, Debug, Default)]
pub(crate) struct Setup {
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    /// Open files at a time.
    descriptors: Option<u32>,
    log: Log,
    /// The CA of the certificate in files; a throw-away certificate is made without.
    ca: Option<String>,
}

/// Where the log goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Log {
    #[default]
    File,
    /// A pipe that is open and that nobody reads.
    Unread,
    /// A device that has no space left.
    Full,
    /// A pipe whose reader has gone.
    Gone,
}

/// The process; killed when dropped.
#[derive(Debug)]
pub(crate) struct Program {
    child: Child,
    /// Dropped after the process has ended.
    group: Option<Group>,
    folder: TempDir,
    unread: Option<ChildStderr>,
    pub(crate) address: SocketAddr,
    pub(crate) health: SocketAddr,
    ca: String,
}

// === impl Setup ===

impl Setup {
    pub(crate) fn with(mut self, arguments: &[&str]) -> Self {
        self.arguments.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        self
    }

    pub(crate) fn descriptors(self, descriptors: u32) -> Self {
        Self { descriptors: Some(descriptors), ..self }
    }

    pub(crate) fn log(self, log: Log) -> Self {
        Self { log, ..self }
    }

    pub(crate) fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The certificate of `folder`, which `ca` has signed.
    pub(crate) fn files(self, folder: &Path, ca: &str) -> Self {
        let path = |file: &str| folder.join(file).display().to_string();
        let setup = self.with(&["--tls-cert", &path("tls.crt"), "--tls-key", &path("tls.key")]);
        Self { ca: Some(ca.to_owned()), ..setup }
    }

    /// The certificate comes from the cluster, and its CA is known once it is ready.
    pub(crate) fn managed(self) -> Self {
        Self { ca: Some(String::new()), ..self }
    }

    /// Starts it and waits until it is ready.
    pub(crate) async fn start(&self) -> Program {
        let mut program = self.spawn();
        let health = program.health;
        eventually(async || tokio::net::TcpStream::connect(health).await.is_ok()).await;
        eventually(async || get(health, "/readyz").await.0 == 200).await;
        if program.ca.is_empty() {
            program.ca = fs::read_to_string(program.path("ca.crt")).unwrap_or_default();
        }
        program
    }

    fn spawn(&self) -> Program {
        let folder = tempfile::tempdir().unwrap();
        let (address, health) = (free_address(), free_address());
        let group = Group::new();
        let doors = group.as_ref().map(Group::doors).unwrap_or_default();
        let descriptors = self.descriptors.map(|count| count.to_string()).unwrap_or_default();
        let mut command = Command::new("/bin/sh");
        command.env_clear().envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.args(["-c", WRAPPER, "sh", &doors, &descriptors]);
        command.args([env!("CARGO_BIN_EXE_native-sidecar"), "serve"]);
        command.args(["--listen", &address.to_string(), "--health-listen", &health.to_string()]);
        if self.ca.is_none() {
            command.arg("--throwaway-ca").arg(folder.path().join("ca.crt"));
        }
        let stderr = match self.log {
            Log::File => File::create(folder.path().join("log")).unwrap().into(),
            Log::Unread | Log::Gone => Stdio::piped(),
            Log::Full => File::options().write(true).open("/dev/full").unwrap().into(),
        };
        command.args(&self.arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr);
        let mut child = command.spawn().unwrap();
        let unread = child.stderr.take().filter(|_| self.log == Log::Unread);
        Program { child, group, folder, unread, address, health, ca: self.ca.clone().unwrap_or_default() }
    }
}

// === impl Program ===

impl Program {
    /// With default settings.
    pub(crate) async fn start() -> Self {
        Setup::default().start().await
    }

    /// The CA that has signed its certificate.
    pub(crate) fn ca(&self) -> &str {
        &self.ca
    }

    /// The API server, at 127.0.0.2.
    pub(crate) fn caller(&self, form: Form) -> Arc<Caller> {
        Arc::new(Caller::new(Target::new(self.address, &self.ca), form))
    }

    /// A TLS client of the program.
    pub(crate) fn client(&self, protocol: &str) -> Client {
        Client::new(&self.ca, protocol, None)
    }

    pub(crate) fn group(&self) -> Option<&Group> {
        self.group.as_ref()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    pub(crate) async fn ended(&mut self) -> ExitStatus {
        support::ended(&mut self.child).await
    }

    /// Bytes of the log so far; none where it does not go to a file.
    pub(crate) fn log_bytes(&self) -> Option<u64> {
        Some(fs::metadata(self.path("log")).ok()?.len())
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// Bytes of a line of `/proc/PID/status`.
    pub(crate) fn memory(&self, field: &str) -> u64 {
        let status = self.proc("status");
        let line =
            status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':')?.trim().strip_suffix(" kB"));
        line.unwrap_or_else(|| panic!("no {field} in\n{status}")).trim().parse::<u64>().unwrap() * 1024
    }

    /// Open files.
    pub(crate) fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }

    fn proc(&self, file: &str) -> String {
        fs::read_to_string(format!("/proc/{}/{file}", self.child.id())).unwrap()
    }

    /// What a counter or gauge stands at, all labels together.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        let (_, body) = get(self.health, "/metrics").await;
        let lines = body.lines().filter(|line| line.starts_with(name));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    /// What every row tells and promises.
    pub(crate) fn conclude(&mut self, report: &mut Report) {
        let ended = self.child.try_wait().unwrap();
        report.require(ended.is_none(), format!("the process is still there: {ended:?}"));
        if ended.is_some() {
            return;
        }
        let resident = self.memory("VmHWM");
        report.figure("peak RSS", mebibytes(resident));
        let sockets = self.group().and_then(Group::peak_of_sockets);
        if let Some(sockets) = sockets {
            report.figure("sockets", mebibytes(sockets));
        }
        let all = resident + sockets.unwrap_or_default();
        report.require(all < MEMORY_LIMIT, format!("{} are less than a pod may use", mebibytes(all)));
        if let Some(bytes) = self.log_bytes() {
            report.figure("log", format!("{} KiB", bytes / 1024));
        }
    }

    fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // A stopped one ends by this too.
        let _ = self.child.kill();
        let _ = self.child.wait();
        drop(self.unread.take());
    }
}

/// A port that nobody listens on. It lies below those that the system gives to clients (`ip_local_port_range`), or a
/// connection that begins meanwhile could have it.
fn free_address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    loop {
        let port = 12_000 + (NEXT.fetch_add(1, Ordering::Relaxed) + (std::process::id() % 16_000) as u16) % 16_000;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}
