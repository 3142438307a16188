//! What a person at a terminal meets: the commands on a pseudo terminal, with the keys that are pressed there.

// A test that cannot go on has failed.
#![allow(clippy::unwrap_used, clippy::panic)]

use pty_process::{
    Size,
    blocking::{Command, Pty, open},
};
use rstest::rstest;
use rustix::process::{Pid, Signal, kill_process};
use std::{
    fs::File,
    io::{Read, Write},
    os::fd::AsFd,
    process::{Child, ExitStatus},
    sync::mpsc,
    thread,
    time::Duration,
};

/// What the terminal sends for the keys.
const CTRL_C: &[u8] = b"\x03";
const CTRL_D: &[u8] = b"\x04";

/// Nothing that is waited for takes so long.
const NEVER: Duration = Duration::from_mins(2);

/// A command on a terminal of its own; killed when dropped.
struct Terminal {
    pty: Pty,
    child: Child,
    output: mpsc::Receiver<Vec<u8>>,
    seen: Vec<u8>,
}

impl Terminal {
    fn run(arguments: &[&str]) -> Self {
        let (pty, pts) = open().unwrap();
        pty.resize(Size::new(24, 80)).unwrap();
        let command = Command::new(env!("CARGO_BIN_EXE_native-sidecar")).env_clear().env("NO_COLOR", "1");
        let child = command.args(arguments).spawn(pts).unwrap();
        let output = chunks(File::from(pty.as_fd().try_clone_to_owned().unwrap()));
        Self { pty, child, output, seen: Vec::new() }
    }

    fn serve(arguments: &[&str]) -> Self {
        let listening = ["serve", "--listen", "localhost:0", "--health-listen", "localhost:0"];
        Self::run(&[&listening, arguments].concat())
    }

    fn press(&mut self, keys: &[u8]) {
        self.pty.write_all(keys).unwrap();
    }

    fn terminate(&self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
    }

    /// Reads on until the screen has shown `text`.
    fn shows(&mut self, text: &str) {
        while !self.screen().contains(text) {
            assert!(self.read(), "it ends without {text:?}: {}", self.screen());
        }
    }

    /// Everything that the screen shows until the command ends, and how it ends.
    fn ended(mut self) -> (String, ExitStatus) {
        while self.read() {}
        let status = self.child.wait().unwrap();
        (self.screen(), status)
    }

    /// Waits for more, and says whether there is any.
    fn read(&mut self) -> bool {
        match self.output.recv_timeout(NEVER) {
            Ok(chunk) => self.seen.extend_from_slice(&chunk),
            Err(mpsc::RecvTimeoutError::Disconnected) => return false,
            Err(mpsc::RecvTimeoutError::Timeout) => panic!("nothing more comes: {}", self.screen()),
        }
        true
    }

    fn screen(&self) -> String {
        String::from_utf8_lossy(&self.seen).replace("\r\n", "\n")
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What comes from a terminal, until nobody has it open any more, which Linux says with an error.
fn chunks(mut terminal: File) -> mpsc::Receiver<Vec<u8>> {
    let (sender, chunks) = mpsc::channel();
    thread::spawn(move || {
        let mut some = [0; 4096];
        while let Ok(read @ 1..) = terminal.read(&mut some) {
            let _ = sender.send(some[..read].to_vec());
        }
    });
    chunks
}

#[test]
fn log_lines_are_text_and_ctrl_c_does_not_wait() {
    let mut terminal = Terminal::serve(&["--drain-delay", "1h"]);
    terminal.shows("serving version=");
    assert!(!terminal.screen().contains("{\""), "{}", terminal.screen());
    terminal.press(CTRL_C);
    let (screen, status) = terminal.ended();
    assert!(status.success() && screen.contains("stopped"), "{screen}");
}

#[test]
fn log_lines_are_what_they_are_told_to_be() {
    let mut terminal = Terminal::serve(&["--log-format", "json"]);
    terminal.shows("\"message\":\"serving\"");
    terminal.press(CTRL_C);
    assert!(terminal.ended().1.success());
}

/// As the kubelet stops a container that has a terminal.
#[test]
fn a_terminal_does_not_change_what_sigterm_does() {
    let mut terminal = Terminal::serve(&["--drain-delay", "1h"]);
    terminal.shows("serving version=");
    terminal.terminate();
    terminal.shows("draining: no longer ready, serving while endpoints are updated");
    terminal.press(CTRL_C);
    let (screen, status) = terminal.ended();
    assert!(status.code() == Some(1) && screen.contains("told to stop a second time"), "{screen}");
}

/// Nobody has to guess what a command without arguments is doing.
#[rstest]
#[case(&["review"])]
#[case(&["review", "-"])]
fn who_reads_from_a_terminal_says_so(#[case] arguments: &[&str]) {
    let mut terminal = Terminal::run(arguments);
    terminal.shows("native-sidecar: reading standard input; end it with Ctrl-D");
    terminal.press(b"{}\n");
    terminal.press(CTRL_D);
    let (screen, status) = terminal.ended();
    assert!(status.code() == Some(1) && screen.contains("not an AdmissionReview"), "{screen}");
}

/// The table has lines of up to 266 columns.
#[rstest]
#[case(&["catalogue"])]
#[case(&["explain"])]
#[case(&["explain", "engine-container"])]
#[case(&["timeline", "samples/cloud-sql-proxy-job.json"])]
#[case(&["serve", "--help"])]
fn nothing_is_wider_than_the_terminal(#[case] arguments: &[&str]) {
    let (screen, status) = Terminal::run(arguments).ended();
    assert!(status.success(), "{screen}");
    // A path in an explanation stays whole, and has a line of its own.
    let fits = |line: &str| line.chars().count() <= 80 || line.split_whitespace().count() == 1;
    assert!(screen.lines().all(fits), "{screen}");
}
