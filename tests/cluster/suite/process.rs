//! `native-sidecar serve` as a process of this machine.

use super::{
    certificates::Pair,
    cluster::{PATIENCE, note},
};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use std::{
    env, fs,
    io::{Read, Write},
    iter,
    net::{IpAddr, TcpListener, TcpStream},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// A running webhook; killed when dropped.
pub(crate) struct Process {
    child: Child,
    folder: TempDir,
    host: IpAddr,
    pub(crate) port: u16,
    health: u16,
}

/// A folder like a mounted Secret: all files change at once, by the swap of one symbolic link.
pub(crate) struct SecretFolder(PathBuf);

// === impl Process ===

impl Process {
    /// Starts the webhook on an address with a certificate from files.
    pub(crate) fn start(host: IpAddr, pair: &Pair, arguments: &[&str]) -> Self {
        Self::start_with(host, free_port(host), pair, |command| {
            command.args(arguments);
        })
    }

    /// The same on a port of the test's choice and with more arguments.
    pub(crate) fn start_with(host: IpAddr, port: u16, pair: &Pair, arguments: impl FnOnce(&mut Command)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let secret = SecretFolder(folder.path().join("tls"));
        secret.write(pair);
        let mut command = Self::command();
        command.arg("--tls-cert").arg(secret.0.join("tls.crt")).arg("--tls-key").arg(secret.0.join("tls.key"));
        command.args(["--reload-interval", "1s"]);
        arguments(&mut command);
        // As the throw-away kubeconfig of a test is not this webhook's own.
        command.env_remove("KUBECONFIG");
        Self::spawn(command, folder, host, port)
    }

    /// The command, to which arguments may be added.
    pub(crate) fn command() -> Command {
        let mut command = Self::program();
        command.arg("serve");
        command
    }

    /// The program under test, without arguments.
    pub(crate) fn program() -> Command {
        let program =
            env::var_os("NATIVE_SIDECAR_PROGRAM").unwrap_or_else(|| env!("CARGO_BIN_EXE_native-sidecar").into());
        Command::new(program)
    }

    /// Returns when it is ready.
    pub(crate) fn spawn(command: Command, folder: TempDir, host: IpAddr, port: u16) -> Self {
        let mut process = Self::launch(command, folder, host, port);
        process.wait_until_ready();
        process
    }

    /// Returns at once: for one that may never be ready.
    pub(crate) fn launch(mut command: Command, folder: TempDir, host: IpAddr, port: u16) -> Self {
        let health = free_port([127, 0, 0, 1].into());
        command.args(["--listen", &format!("{host}:{port}"), "--health-listen", &format!("127.0.0.1:{health}")]);
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let child = command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        Self { child, folder, host, port, health }
    }

    /// Whether it says that it is ready.
    pub(crate) fn is_ready(&self) -> bool {
        http_get(self.health, "/readyz").is_some_and(|(status, _)| status == 200)
    }

    /// Asks it to end, as the kubelet does.
    pub(crate) fn terminate(&self) {
        let sent = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success(), "the process could not be asked to end");
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// What the process has written.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Whether this build makes certificates itself.
    pub(crate) fn manages_certificates() -> bool {
        let output = Self::command().arg("--help").output().unwrap();
        let manages = String::from_utf8_lossy(&output.stdout).contains("NATIVE_SIDECAR_CERTIFICATE_SECRET");
        if !manages {
            note("this build does not manage certificates, so that was not looked at");
        }
        manages
    }

    /// The files that the certificate is read from.
    pub(crate) fn secret(&self) -> SecretFolder {
        SecretFolder(self.folder.path().join("tls"))
    }

    /// The sum of all samples of a metric whose labels contain a text.
    pub(crate) fn metric(&self, name: &str, labels: &str) -> f64 {
        let body = self.metrics().unwrap();
        let samples = body.lines().filter(|line| line.starts_with(name) && line.contains(labels));
        samples.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    /// What Prometheus would read; nothing while the process starts.
    pub(crate) fn metrics(&self) -> Option<String> {
        Some(http_get(self.health, "/metrics")?.1)
    }

    /// Whether the certificate is for this name and from an authority of the bundle.
    pub(crate) fn serves_as(&self, name: &'static str, bundle: &str) -> bool {
        serves((self.host, self.port), ServerName::try_from(name).unwrap(), bundle)
    }

    /// Whether the certificate is for the address and from an authority of the bundle.
    pub(crate) fn serves(&self, bundle: &str) -> bool {
        serves((self.host, self.port), self.host.into(), bundle)
    }

    pub(crate) fn wait_until_ready(&mut self) {
        let start = Instant::now();
        while !self.is_ready() {
            let ended = self.child.try_wait().unwrap();
            let late = start.elapsed() > PATIENCE;
            assert!(ended.is_none() && !late, "not ready, ended: {ended:?}, log:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = self.log();
            let last: Vec<_> = log.lines().rev().take(10).collect();
            eprintln!("--- the last lines of native-sidecar's log, newest first:\n{}", last.join("\n"));
        }
    }
}

/// A port that nobody listens on, given to nobody else of this program. It lies below those that the system gives to
/// clients (`ip_local_port_range`), or a connection that begins meanwhile could have it before the process that is told.
pub(crate) fn free_port(host: IpAddr) -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(20_000);
    let port = || NEXT.fetch_add(1, Ordering::Relaxed);
    let is_free = |port: &u16| TcpListener::bind((host, *port)).is_ok();
    iter::repeat_with(port).take_while(|port| *port < 32_000).find(is_free).unwrap()
}

fn http_get(port: u16, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let status = answer.split(' ').nth(1)?.parse().ok()?;
    Some((status, answer.split_once("\r\n\r\n")?.1.to_owned()))
}

/// Whether a server's certificate is for this name and from an authority of the bundle.
fn serves(address: (IpAddr, u16), name: ServerName<'static>, bundle: &str) -> bool {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(CertificateDer::pem_slice_iter(bundle.as_bytes()).map(Result::unwrap));
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let mut connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    connection.complete_io(&mut stream).is_ok() && !connection.is_handshaking()
}

// === impl SecretFolder ===

impl SecretFolder {
    pub(crate) fn write(&self, pair: &Pair) {
        let Self(folder) = self;
        let version = folder.join(super::cluster::unique("..version"));
        fs::create_dir_all(&version).unwrap();
        fs::write(version.join("tls.crt"), &pair.certificate).unwrap();
        fs::write(version.join("tls.key"), &pair.key).unwrap();
        replace_link(&folder.join("..data"), version.file_name().unwrap().as_ref());
        for file in ["tls.crt", "tls.key"] {
            let link = folder.join(file);
            if !link.exists() {
                symlink(Path::new("..data").join(file), link).unwrap();
            }
        }
    }
}

/// Replaces a symbolic link in one step, as the kubelet does.
fn replace_link(link: &Path, target: &Path) {
    let new = link.with_file_name("..data_tmp");
    symlink(target, &new).unwrap();
    fs::rename(new, link).unwrap();
}
