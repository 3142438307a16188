//! `convert` and `fn` as a pipeline runs them: files and folders, exit codes, reports for machines, KRM functions.

// The lint knows tests, but not the functions that they share.
#![allow(clippy::unwrap_used)]

#[path = "../command/mod.rs"]
mod command;

mod check;
mod files;
mod krm;
mod reports;

use std::{fs, path::PathBuf};
use tempfile::TempDir;

/// What a run left behind.
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

pub(crate) fn run(args: &[&str], stdin: impl AsRef<[u8]>) -> Run {
    let output = command::run(args, stdin);
    Run {
        code: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A folder with files in it.
pub(crate) struct Folder(TempDir);

impl Folder {
    pub(crate) fn with(files: &[(&str, &str)]) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        for (name, text) in files {
            let path = folder.path(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        folder
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn name(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    pub(crate) fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }
}

/// A Job with a sidecar that asks to be moved.
pub(crate) const JOB: &str = "\
# the nightly one
apiVersion: batch/v1
kind: Job
metadata:
  name: pi
spec:
  backoffLimit: 4
  template:
    metadata:
      annotations:
        native-sidecar.io/containers: sidecar
    spec:
      restartPolicy: Never
      containers:
      - name: pi
        image: perl:5.34.0
      - name: sidecar
        image: busybox:1.36
";

/// The same, converted.
pub(crate) const CONVERTED: &str = "\
# the nightly one
apiVersion: batch/v1
kind: Job
metadata:
  name: pi
spec:
  backoffLimit: 4
  template:
    metadata:
      annotations:
        native-sidecar.io/containers: sidecar
        native-sidecar.io/converted: sidecar
    spec:
      restartPolicy: Never
      initContainers:
      - name: sidecar
        image: busybox:1.36
        restartPolicy: Always
      containers:
      - name: pi
        image: perl:5.34.0
";

/// A pod that is left because of its host port.
pub(crate) const LEFT: &str = "\
apiVersion: v1
kind: Pod
metadata:
  name: left
  namespace: shop
  annotations:
    native-sidecar.io/containers: proxy
spec:
  containers:
  - name: web
    image: web
  - name: proxy
    image: proxy
    ports:
    - containerPort: 80
      hostPort: 80
";

/// Nothing in it concerns us.
pub(crate) const CONFIG_MAP: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata:   {name: c}\n";
