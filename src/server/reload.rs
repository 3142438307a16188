//! Files that are put to use again whenever their content changes.
//!
//! By polling the content, not by file events: the kubelet replaces a Secret's files by swapping a symlink
//! two directories up, which watchers of the file itself never see.

use super::metrics::Metrics;
use std::{
    fmt::Display,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::{
    fs,
    time::{MissedTickBehavior, interval},
};

/// Reads that disagree this often are a file that is being written to, and the next poll will see it finished.
const ATTEMPTS: usize = 3;

/// Files, and what is done with their contents.
pub(super) struct Reload<A> {
    files: Vec<PathBuf>,
    apply: A,
    seen: Contents,
}

/// What the files hold, or why that cannot be told. Comparable, so that an error too is only reported when it
/// is a new one.
type Contents = Result<Vec<Vec<u8>>, UnreadableFile>;

/// A file that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot read {}: {reason}", path.display())]
pub struct UnreadableFile {
    path: PathBuf,
    reason: String,
}

// === impl Reload ===

impl<A, E> Reload<A>
where
    A: Fn(&[Vec<u8>]) -> Result<(), E>,
    E: From<UnreadableFile> + Display,
{
    /// Reads `files` and applies their contents for the first time.
    ///
    /// # Errors
    ///
    /// When a file cannot be read, or its content not be used.
    pub(super) async fn begin(files: Vec<PathBuf>, apply: A) -> Result<Self, E> {
        let seen = read(&files).await;
        apply(seen.as_ref().map_err(UnreadableFile::clone)?)?;
        Ok(Self { files, apply, seen })
    }

    /// Looks at the files every `period`, for ever.
    pub(super) async fn run(mut self, period: Duration, metrics: &Metrics) {
        let mut ticks = interval(period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Some(Err(error)) = self.poll().await {
                metrics.reload_failed();
                tracing::error!(error = error.to_string(), "changed files cannot be used; serving with those before");
            }
        }
    }

    /// Applies the contents if they have changed; `None` if they have not.
    async fn poll(&mut self) -> Option<Result<(), E>> {
        let found = read(&self.files).await;
        if found == self.seen {
            return None;
        }
        self.seen = found;
        Some(match &self.seen {
            Ok(contents) => (self.apply)(contents),
            Err(error) => Err(error.clone().into()),
        })
    }
}

/// The contents of all files as they stood at one moment: read again if a swap came in between.
async fn read(files: &[PathBuf]) -> Contents {
    let mut found = read_once(files).await;
    for _ in 1..ATTEMPTS {
        let again = read_once(files).await;
        if again == found {
            break;
        }
        found = again;
    }
    found
}

async fn read_once(files: &[PathBuf]) -> Contents {
    let mut contents = Vec::with_capacity(files.len());
    for path in files {
        contents.push(fs::read(path).await.map_err(|error| UnreadableFile::new(path, &error))?);
    }
    Ok(contents)
}

// === impl UnreadableFile ===

impl UnreadableFile {
    fn new(path: &Path, error: &std::io::Error) -> Self {
        Self { path: path.to_owned(), reason: error.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[tokio::test]
    async fn a_change_is_applied_once() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "one").unwrap();
        let applied = Mutex::new(Vec::new());
        let apply = |contents: &[Vec<u8>]| {
            applied.lock().unwrap().push(String::from_utf8_lossy(&contents[0]).into_owned());
            Ok::<_, UnreadableFile>(())
        };
        let mut reload = Reload::begin(vec![file.clone()], apply).await.unwrap();
        assert!(reload.poll().await.is_none());
        std::fs::write(&file, "two").unwrap();
        assert!(reload.poll().await.unwrap().is_ok());
        assert!(reload.poll().await.is_none());
        std::fs::remove_file(&file).unwrap();
        assert!(reload.poll().await.unwrap().is_err());
        assert!(reload.poll().await.is_none());
        assert_eq!(*applied.lock().unwrap(), ["one", "two"]);
    }

    #[tokio::test]
    async fn the_first_read_must_succeed() {
        let begun = Reload::begin(vec!["/nowhere/tls.crt".into()], |_: &[Vec<u8>]| Ok::<_, UnreadableFile>(())).await;
        let error = begun.err().unwrap().to_string();
        assert!(error.starts_with("cannot read /nowhere/tls.crt: "), "{error}");
    }
}
