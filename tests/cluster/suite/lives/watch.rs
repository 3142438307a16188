//! What the containers of a pod say, each through a pipe of its own.

use super::plan::Plan;
use std::{
    fs::{self, File, OpenOptions},
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

/// Reads what the containers of one pod say.
pub(super) struct Watch {
    folder: PathBuf,
    names: Vec<String>,
    said: Arc<Mutex<Vec<Said>>>,
    over: Arc<AtomicBool>,
}

/// What a container said.
#[derive(Clone, Debug)]
pub(super) struct Said {
    pub(super) name: String,
    /// Seconds since the machine was started.
    pub(super) at: f64,
    pub(super) word: Word,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// The kernel started its first process.
    Starts,
    PostStart,
    PostStartReturned,
    /// From now on its startup probe succeeds.
    Ready,
    /// Its startup probe asked: too early.
    AskedTooEarly,
    /// Its startup probe asked, and succeeded.
    Asked,
    PreStop,
    PreStopReturned,
    Term,
    /// It is still there.
    Beat,
    /// It is about to end.
    Ends,
    /// No process of it is left, as the pipe tells.
    Gone,
}

/// The same clock as the containers'.
pub(super) fn now() -> f64 {
    let uptime = fs::read_to_string("/proc/uptime").unwrap();
    uptime.split(' ').next().unwrap().parse().unwrap()
}

// === impl Watch ===

impl Watch {
    /// Makes the folder that the pod's containers share with us.
    pub(super) fn new(folder: PathBuf, plan: &Plan) -> Self {
        fs::create_dir_all(&folder).unwrap();
        let names: Vec<_> = plan.programs.iter().map(|program| program.name.clone()).collect();
        for (file, script) in plan.programs.iter().flat_map(super::plan::Program::scripts) {
            fs::write(folder.join(file), script).unwrap();
        }
        let pipes = names.iter().map(|name| folder.join(name));
        assert!(Command::new("mkfifo").args(pipes).status().unwrap().success());
        let watch = Self { folder, names, said: Arc::default(), over: Arc::default() };
        for name in &watch.names {
            let (path, name) = (watch.folder.join(name), name.clone());
            let (said, over) = (Arc::clone(&watch.said), Arc::clone(&watch.over));
            thread::spawn(move || read(&path, &name, &said, &over));
        }
        watch
    }

    /// All that was said, in the order of its times.
    pub(super) fn said(&self) -> Vec<Said> {
        let mut said = self.said.lock().unwrap().clone();
        said.sort_by(|one, other| one.at.total_cmp(&other.at));
        said
    }

    pub(super) fn count(&self, name: &str, word: Word) -> usize {
        self.said.lock().unwrap().iter().filter(|said| said.name == name && said.word == word).count()
    }

    /// Whether nothing of any container is left.
    pub(super) fn all_gone(&self) -> bool {
        self.names.iter().all(|name| self.count(name, Word::Gone) == self.count(name, Word::Starts))
    }
}

impl Drop for Watch {
    /// Readers wait for a container to open its pipe; they get one that does and says nothing.
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        for name in &self.names {
            drop(OpenOptions::new().read(true).write(true).open(self.folder.join(name)));
        }
        drop(fs::remove_dir_all(&self.folder));
    }
}

/// Reads until nobody has the pipe open any more, again and again: a container may be started again.
fn read(path: &Path, name: &str, said: &Mutex<Vec<Said>>, over: &AtomicBool) {
    // Kept open, so that a container that comes while the pipe is opened anew finds a reader.
    let mut keeper = None;
    while !over.load(Ordering::SeqCst) {
        let Ok(pipe) = File::open(path) else { return };
        if keeper.is_none() {
            keeper = pipe.try_clone().ok();
        }
        let mut runs = false;
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            let new = Said::parse(name, &line).unwrap_or_else(|| panic!("{name}: what does {line:?} mean?"));
            runs |= new.word == Word::Starts;
            said.lock().unwrap().push(new);
        }
        if runs {
            said.lock().unwrap().push(Said { name: name.to_owned(), at: now(), word: Word::Gone });
        }
    }
}

// === impl Said ===

impl Said {
    fn parse(name: &str, line: &str) -> Option<Self> {
        let mut parts = line.split(' ');
        let at: f64 = parts.next()?.parse().ok()?;
        let word = match parts.next()? {
            "starts" => Word::Starts,
            "post-start" => Word::PostStart,
            "post-start-returned" => Word::PostStartReturned,
            "ready" => Word::Ready,
            "no" => Word::AskedTooEarly,
            "yes" => Word::Asked,
            "pre-stop" => Word::PreStop,
            "pre-stop-returned" => Word::PreStopReturned,
            "term" => Word::Term,
            "beat" => Word::Beat,
            "ends" => Word::Ends,
            _ => return None,
        };
        // The kernel counts these in hundredths of seconds, whatever its own clock counts in.
        let ticks = parts.next().and_then(|ticks| ticks.parse::<f64>().ok());
        Some(Self { name: name.to_owned(), at: ticks.map_or(at, |ticks| ticks / 100.0), word })
    }
}
