//! How long ours takes to be ready, and what it takes while nobody asks for anything.

use crate::{
    certificate::Certificate,
    cores::Cores,
    process::Process,
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

/// Starts ours `times`, and prints the median time and the most memory.
pub(crate) fn measure(cores: &Cores, certificate: &Certificate, times: usize) -> Result<(), Box<dyn Error>> {
    let mut starts = Vec::new();
    for _ in 0..times {
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
        starts.push((begin.elapsed(), process.resident()?));
    }
    starts.sort_unstable();
    let (elapsed, most) = (starts[times / 2].0, starts.iter().map(|(_, resident)| *resident).max().unwrap_or_default());
    println!("start to ready with certificate files {:.1} ms (median of {times})", elapsed.as_secs_f64() * 1000.0);
    println!("idle resident memory {:.1} MiB (most of {times})", MEBIBYTE.of(most));
    Ok(())
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
