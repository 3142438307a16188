//! HTTP/2 by hand (RFC 9113): what no client library would send.

use super::strangers::Stranger;
use std::{io, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf, split},
    net::TcpStream,
    time::sleep,
};
use tokio_rustls::client::TlsStream;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

/// `SETTINGS_INITIAL_WINDOW_SIZE`.
const INITIAL_WINDOW: [u8; 2] = [0, 4];

/// Between two writes of a flood: it is to be one of the server, not of the machine that both share.
const PACE: Duration = Duration::from_millis(5);

/// One frame.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// The fields of a POST of JSON to `/mutate` (RFC 7541): indexed where they are in the static table, else literal.
pub(crate) fn post() -> Vec<u8> {
    let mut block = vec![0x83, 0x87];
    let mut field = |name: &[u8], value: &str| {
        block.extend(name);
        block.push(u8::try_from(value.len()).unwrap());
        block.extend(value.as_bytes());
    };
    field(&[0x04], "/mutate");
    field(&[0x01], "localhost");
    field(&[0x0f, 0x10], "application/json");
    block
}

/// The same for a body of this length.
pub(crate) fn post_of(length: usize) -> Vec<u8> {
    let (mut block, length) = (post(), length.to_string());
    block.extend([0x0f, 0x0d, u8::try_from(length.len()).unwrap()]);
    block.extend(length.as_bytes());
    block
}

/// A setting of the window that each request's answer has.
pub(crate) fn window(size: u32) -> Vec<u8> {
    let mut setting = INITIAL_WINDOW.to_vec();
    setting.extend(size.to_be_bytes());
    setting
}

/// A connection on which the stranger says what it likes.
pub(crate) struct Frames {
    reader: ReadHalf<TlsStream<TcpStream>>,
    writer: WriteHalf<TlsStream<TcpStream>>,
}

// === impl Frames ===

impl Frames {
    /// Begins HTTP/2 with these settings.
    pub(crate) async fn begin(stranger: &Stranger, settings: &[u8]) -> io::Result<Self> {
        let (reader, writer) = split(stranger.tls("h2").await?);
        let mut frames = Self { reader, writer };
        frames.send(PREFACE).await?;
        frames.send(&frame(SETTINGS, 0, 0, settings)).await?;
        Ok(frames)
    }

    pub(crate) async fn send(&mut self, frames: &[u8]) -> io::Result<()> {
        self.writer.write_all(frames).await?;
        self.writer.flush().await
    }

    /// Sends what `next` gives until the server ends it, and reads all that comes meanwhile, so that it does not wait.
    pub(crate) async fn flood(self, stranger: &Stranger, mut next: impl FnMut() -> Vec<u8>) -> io::Result<()> {
        let Self { mut reader, mut writer } = self;
        let send = async {
            loop {
                writer.write_all(&next()).await?;
                writer.flush().await?;
                stranger.in_place();
                sleep(PACE).await;
            }
        };
        let read = async {
            let mut bytes = [0; 4096];
            while reader.read(&mut bytes).await? > 0 {}
            Err(io::ErrorKind::ConnectionAborted.into())
        };
        tokio::select! {
            ended = send => ended,
            ended = read => ended,
        }
    }

    /// The same without reading.
    pub(crate) async fn flood_unread(
        mut self,
        stranger: &Stranger,
        mut next: impl FnMut() -> Vec<u8>,
    ) -> io::Result<()> {
        loop {
            stranger.in_place();
            self.send(&next()).await?;
            sleep(PACE).await;
        }
    }
}
