//! The webhooks that are compared, each a process of its own.

use crate::{certificate::Certificate, cores::Cores, process::Process};
use std::{
    env,
    error::Error,
    io::{self, ErrorKind},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub(crate) enum Webhook {
    Nothing,
    Shell,
    Ours,
    Go,
}

/// A webhook that was started.
pub(crate) struct Running {
    pub(crate) kind: Webhook,
    pub(crate) process: Process,
    pub(crate) address: SocketAddr,
    /// How it was started, for people to read.
    command: String,
}

// === impl Webhook ===

impl Webhook {
    pub(crate) const ALL: [Self; 4] = [Self::Nothing, Self::Shell, Self::Ours, Self::Go];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Shell => "shell",
            Self::Ours => "ours",
            Self::Go => "go",
        }
    }

    /// Whether it moves the container that the sample asks to be moved.
    pub(crate) const fn moves(self) -> bool {
        matches!(self, Self::Ours | Self::Go)
    }

    /// `None` where this machine cannot run it.
    fn command(self, certificate: &Certificate, port: u16) -> Result<Option<Command>, Box<dyn Error>> {
        match self {
            Self::Nothing | Self::Shell => myself(self, certificate, port).map(Some),
            Self::Ours => Ok(Some(ours(certificate, port, free_port()?))),
            Self::Go => go(certificate, port),
        }
    }
}

// === impl Running ===

impl Running {
    /// `None` where this machine cannot run it.
    pub(crate) fn start(
        kind: Webhook,
        cores: &Cores,
        certificate: &Certificate,
    ) -> Result<Option<Self>, Box<dyn Error>> {
        let port = free_port()?;
        let Some(mut command) = kind.command(certificate, port)? else { return Ok(None) };
        // Nobody keeps log lines, but those who write them are to write them.
        let process = Process(cores.spawn(command.stdin(Stdio::null()).stderr(Stdio::null()))?);
        let command = format!("{command:?}");
        Ok(Some(Self { kind, process, address: (Ipv4Addr::LOCALHOST, port).into(), command }))
    }

    /// An error if it has ended.
    pub(crate) fn require_running(&mut self) -> Result<(), Box<dyn Error>> {
        let Some(status) = self.process.0.try_wait()? else { return Ok(()) };
        Err(format!("{} ended with {status} instead of serving; it was started as {}", self.kind.name(), self.command)
            .into())
    }
}

/// A port of 127.0.0.1 on which nobody listens.
pub(crate) fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// `native-sidecar serve` as in production.
pub(crate) fn ours(certificate: &Certificate, port: u16, health: u16) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_native-sidecar"));
    command.arg("serve").arg("--tls-cert").arg(certificate.chain()).arg("--tls-key").arg(certificate.key());
    command.arg("--listen").arg(format!("127.0.0.1:{port}"));
    command.arg("--health-listen").arg(format!("127.0.0.1:{health}"));
    command
}

/// This program, as the server `webhook`.
fn myself(webhook: Webhook, certificate: &Certificate, port: u16) -> Result<Command, Box<dyn Error>> {
    let mut command = Command::new(env::current_exe()?);
    command.arg(webhook.name()).arg(port.to_string()).arg(certificate.folder());
    Ok(command)
}

fn go(certificate: &Certificate, port: u16) -> Result<Option<Command>, Box<dyn Error>> {
    let Some(program) = build_go()? else { return Ok(None) };
    let mut command = Command::new(program);
    command.arg("-port").arg(port.to_string()).arg("-certificates").arg(certificate.folder());
    Ok(Some(command))
}

/// The Go webhook's program; `None` where there is no Go.
fn build_go() -> Result<Option<PathBuf>, Box<dyn Error>> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/server/go");
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench-server-go");
    let mut build = Command::new("go");
    build.args(["build", "-mod=readonly", "-trimpath", "-o"]).arg(&program).arg(".").current_dir(source);
    match build.env("CGO_ENABLED", "0").env("GOWORK", "off").status() {
        Ok(status) if status.success() => Ok(Some(program)),
        Ok(status) => Err(format!("go build of benches/server/go ended with {status}; what it says is above").into()),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            println!("there is no Go here, so the Go webhook is left out");
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}
