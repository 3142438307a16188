//! How long ours takes to be ready, and what it takes while nobody asks for anything.

use crate::{
    certificate::Certificate,
    cores::Cores,
    process::{Memory, Process},
    table::MEBIBYTE,
    webhooks::{free_port, ours},
};
use std::{
    error::Error,
    io::{Read, Write},
    net::{Ipv4Addr, TcpStream},
    process::Stdio,
    time::{Duration, Instant},
};

/// Longer than any start takes.
const PATIENCE: Duration = Duration::from_secs(10);

/// One start.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Start {
    elapsed: Duration,
    memory: Memory,
}

/// Starts ours some `times`, each time until it is ready.
pub(crate) fn measure(cores: &Cores, certificate: &Certificate, times: usize) -> Result<Vec<Start>, Box<dyn Error>> {
    (0..times).map(|_| once(cores, certificate)).collect()
}

/// Prints the start that took the median time, and the memory of the one that took most.
pub(crate) fn print(mut starts: Vec<Start>) {
    starts.sort_unstable();
    let median = starts.get(starts.len() / 2).copied().unwrap_or_default().elapsed;
    let most = starts.iter().map(|start| start.memory).max().unwrap_or_default();
    println!("start to ready with certificate files {:.1} ms", median.as_secs_f64() * 1000.0);
    println!(
        "idle resident memory {:.1} MiB, {:.1} MiB of it not in files",
        MEBIBYTE.of(most.resident),
        MEBIBYTE.of(most.anonymous)
    );
}

fn once(cores: &Cores, certificate: &Certificate) -> Result<Start, Box<dyn Error>> {
    let health = free_port()?;
    let begin = Instant::now();
    let mut process = Process(cores.spawn(ours(certificate, free_port()?, health).stderr(Stdio::null()))?);
    while !is_ready(health) {
        if let Some(status) = process.0.try_wait()? {
            return Err(format!("native-sidecar serve ended with {status} instead of becoming ready").into());
        }
        if begin.elapsed() > PATIENCE {
            return Err(format!("native-sidecar serve was not ready within {PATIENCE:?}").into());
        }
    }
    Ok(Start { elapsed: begin.elapsed(), memory: process.memory()? })
}

fn is_ready(port: u16) -> bool {
    let ask = || {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).map(|()| answer)
    };
    ask().is_ok_and(|answer: [u8; 12]| answer.ends_with(b" 200"))
}
