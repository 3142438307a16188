//! Lines on their way to standard error, which a thread of their own writes: whoever logs never waits for a reader.
//!
//! In place of `tracing-appender`, whose queue is bounded in lines but not in bytes, allocates for each line, says nothing
//! of what it drops, and at the end of a process whose queue is full waits for a tenth of a second and then writes to
//! standard output. Here a line is copied once, behind those that wait already, and the thread takes all of them at once:
//! two buffers that change places.
//!
//! What does not fit is dropped and counted, and so is everything after it until the thread takes what waits. So the
//! line that says how many are missing stands where they are missing.

use jiff::Timestamp;
use prometheus_client::metrics::counter::Counter;
use std::{
    io::{self, ErrorKind, Write},
    mem,
    sync::{Condvar, LazyLock, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

/// Bytes that wait at most, beside as many that are being written: the lines of two seconds with a thousand new pods
/// in each.
const MOST_BYTES: usize = 1024 * 1024;
/// Lines that wait at most.
const MOST_LINES: usize = 8 * 1024;
/// What is kept of a buffer that was larger.
const KEPT_BYTES: usize = 64 * 1024;
/// Written in one call, so that a reader that is slow can be told from one that has stalled.
const PIECE: usize = 16 * 1024;
/// How long the end of the process waits for a reader that takes nothing.
const PATIENCE: Duration = Duration::from_secs(2);
/// Before another try at a standard error that somebody has set not to block.
const PAUSE: Duration = Duration::from_millis(10);

/// Lines that wait to be written.
#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    /// There is something to write.
    filled: Condvar,
    /// Something has been written.
    written: Condvar,
    dropped: LazyLock<Counter>,
}

#[derive(Debug)]
struct State {
    waiting: Waiting,
    /// Whether a line did not fit since the thread took what waits.
    is_full: bool,
    thread: Thread,
    /// How many pieces have been written, to see whether any is.
    pieces: u64,
}

/// Lines, each with its end, and how many have been dropped behind them.
#[derive(Debug)]
struct Waiting {
    text: Vec<u8>,
    lines: usize,
    dropped: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Thread {
    Missing,
    Busy,
    Idle,
}

/// Puts into a queue what is written, which has to be whole lines.
#[derive(Clone, Copy, Debug)]
pub(super) struct QueueWriter<'q>(pub(super) &'q Queue);

/// Where the thread writes to.
#[derive(Debug)]
struct Output<W> {
    writer: W,
    /// Says how many lines are missing.
    notice: fn(Timestamp, u64) -> Vec<u8>,
    /// What could not be written, and has not been said.
    lost: u64,
    /// Whether a line was begun and could not be ended.
    is_within_line: bool,
}
// === impl Queue ===

impl Queue {
    pub(super) const fn new() -> Self {
        Self {
            state: Mutex::new(State { waiting: Waiting::new(), is_full: false, thread: Thread::Missing, pieces: 0 }),
            filled: Condvar::new(),
            written: Condvar::new(),
            dropped: LazyLock::new(Counter::default),
        }
    }

    /// Begins to write to `writer`, and what `notice` makes of the number of missing lines.
    ///
    /// # Errors
    ///
    /// When the system has no thread for it.
    pub(super) fn begin<W>(&'static self, writer: W, notice: fn(Timestamp, u64) -> Vec<u8>) -> io::Result<()>
    where
        W: Write + Send + 'static,
    {
        self.state().thread = Thread::Busy;
        let thread = move || {
            let mut output = Output::new(writer, notice);
            let mut waiting = Waiting::new();
            loop {
                self.take(&mut waiting);
                self.write(&waiting, &mut output);
            }
        };
        let begun = thread::Builder::new().name("log".to_owned()).spawn(thread);
        begun.map(drop).inspect_err(|_| self.state().thread = Thread::Missing)
    }

    /// How many lines have been dropped.
    pub(super) fn dropped(&self) -> &Counter {
        &self.dropped
    }

    /// Appends the last words of the process, for which there is always room, unless nobody would write them.
    pub(super) fn push_last(&self, line: &str) -> bool {
        let mut state = self.state();
        let is_begun = state.thread != Thread::Missing;
        if is_begun {
            state.waiting.text.extend_from_slice(line.as_bytes());
            self.append(state, b"\n");
        }
        is_begun
    }

    /// Waits until all lines are written, or nobody reads them.
    pub(super) fn flush(&self) {
        let mut state = self.state();
        while state.thread == Thread::Busy {
            let pieces = state.pieces;
            let (later, waited) = self.written.wait_timeout(state, PATIENCE).unwrap_or_else(PoisonError::into_inner);
            if waited.timed_out() && later.pieces == pieces {
                return;
            }
            state = later;
        }
    }

    fn push(&self, lines: &[u8]) {
        let mut state = self.state();
        if state.is_full || !state.waiting.has_room(lines.len()) {
            state.is_full = true;
            state.waiting.dropped += 1;
            drop(state);
            self.dropped.inc();
            return;
        }
        self.append(state, lines);
    }

    fn append(&self, mut state: MutexGuard<'_, State>, line: &[u8]) {
        state.waiting.text.extend_from_slice(line);
        state.waiting.lines += 1;
        if state.thread == Thread::Idle {
            state.thread = Thread::Busy;
            drop(state);
            self.filled.notify_one();
        }
    }

    /// Waits for lines, and takes all of them into `taken`, of which only the memory is of use.
    fn take(&self, taken: &mut Waiting) {
        taken.clear();
        let mut state = self.state();
        while state.waiting.lines == 0 {
            state.thread = Thread::Idle;
            self.written.notify_all();
            state = self.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        mem::swap(&mut state.waiting, taken);
        state.is_full = false;
    }

    fn write<W: Write>(&self, lines: &Waiting, output: &mut Output<W>) {
        let missing_before = mem::take(&mut output.lost);
        output.say_missing(missing_before);
        let written = output.write(&lines.text, &mut || {
            self.state().pieces += 1;
            self.written.notify_all();
        });
        if written < lines.text.len() {
            let ends = lines.text[..written].split(|byte| *byte == b'\n').count() - 1;
            let lost = lines.lines.saturating_sub(ends) as u64;
            output.lost += lost;
            self.dropped.inc_by(lost);
        }
        output.say_missing(lines.dropped);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that is done with it can panic half way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Waiting ===

impl Waiting {
    const fn new() -> Self {
        Self { text: Vec::new(), lines: 0, dropped: 0 }
    }

    const fn has_room(&self, bytes: usize) -> bool {
        self.lines < MOST_LINES && self.text.len() + bytes <= MOST_BYTES
    }

    fn clear(&mut self) {
        self.text.clear();
        self.text.shrink_to(KEPT_BYTES);
        (self.lines, self.dropped) = (0, 0);
    }
}

// === impl QueueWriter ===

impl Write for QueueWriter<'_> {
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        self.0.push(lines);
        Ok(lines.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

// === impl Output ===

impl<W: Write> Output<W> {
    const fn new(writer: W, notice: fn(Timestamp, u64) -> Vec<u8>) -> Self {
        Self { writer, notice, lost: 0, is_within_line: false }
    }

    fn say_missing(&mut self, lines: u64) {
        if lines > 0 {
            let notice = (self.notice)(Timestamp::now(), lines);
            if self.write(&notice, &mut || {}) < notice.len() {
                self.lost += lines;
            }
        }
    }

    /// Writes `text` as far as that is possible; how far is returned. `progress` is called now and then.
    fn write(&mut self, text: &[u8], progress: &mut dyn FnMut()) -> usize {
        if mem::take(&mut self.is_within_line) && self.write(b"\n", &mut || {}) == 0 {
            self.is_within_line = true;
            return 0;
        }
        let mut written = 0;
        while written < text.len() {
            let piece = &text[written..text.len().min(written + PIECE)];
            match self.writer.write(piece) {
                Ok(bytes) if bytes > 0 => {
                    written += bytes;
                    progress();
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(PAUSE),
                // There is nowhere to say it: a full disk, or a reader that has gone.
                Ok(_) | Err(_) => break,
            }
        }
        self.is_within_line = text[..written].last().is_some_and(|last| *last != b'\n');
        written
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes so many bytes, then none for as long as it is full.
    #[derive(Default)]
    struct Disk {
        text: Vec<u8>,
        room: usize,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let taken = bytes.len().min(self.room);
            self.room -= taken;
            self.text.extend_from_slice(&bytes[..taken]);
            if taken == 0 { Err(ErrorKind::StorageFull.into()) } else { Ok(taken) }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn output(room: usize) -> Output<Disk> {
        Output::new(Disk { text: Vec::new(), room }, |_, lines| format!("{lines} missing\n").into_bytes())
    }

    fn step(queue: &Queue, output: &mut Output<Disk>) {
        let mut waiting = Waiting::new();
        queue.take(&mut waiting);
        queue.write(&waiting, output);
    }

    fn text(output: &Output<Disk>) -> &str {
        std::str::from_utf8(&output.writer.text).unwrap()
    }

    #[test]
    fn what_does_not_fit_is_said_where_it_is_missing() {
        let (queue, mut output) = (Queue::new(), output(usize::MAX));
        let long = vec![b'x'; MOST_BYTES];
        queue.push(b"first\n");
        queue.push(&long);
        queue.push(b"short, and behind one that is missing\n");
        step(&queue, &mut output);
        queue.push(b"later\n");
        step(&queue, &mut output);
        assert_eq!(text(&output), "first\n2 missing\nlater\n");
        assert_eq!(queue.dropped().get(), 2);
    }

    #[test]
    fn lines_are_bounded_too() {
        let (queue, mut output) = (Queue::new(), output(usize::MAX));
        (0..MOST_LINES + 3).for_each(|_| queue.push(b"\n"));
        step(&queue, &mut output);
        assert_eq!(text(&output), "\n".repeat(MOST_LINES) + "3 missing\n");
    }

    #[test]
    fn what_a_full_disk_did_not_take_is_said_later() {
        let (queue, mut output) = (Queue::new(), output(9));
        (0..3).for_each(|_| queue.push(b"a line\n"));
        step(&queue, &mut output);
        queue.push(b"lost as well\n");
        step(&queue, &mut output);
        assert_eq!((text(&output), queue.dropped().get()), ("a line\na ", 3));
        output.writer.room = usize::MAX;
        queue.push(b"the next\n");
        step(&queue, &mut output);
        assert_eq!(text(&output), "a line\na \n3 missing\nthe next\n");
        assert_eq!(queue.dropped().get(), 3);
    }

    #[test]
    fn a_burst_does_not_keep_its_memory() {
        let (queue, mut waiting) = (Queue::new(), Waiting::new());
        queue.push(&vec![b'\n'; MOST_BYTES]);
        queue.take(&mut waiting);
        queue.push(b"\n");
        queue.take(&mut waiting);
        assert!(queue.state().waiting.text.capacity() <= KEPT_BYTES);
    }

    #[test]
    fn nobody_waits_for_a_thread_that_there_is_not() {
        let queue = Queue::new();
        queue.push(b"\n");
        queue.flush();
        assert!(!queue.push_last("the last words"));
    }
}
