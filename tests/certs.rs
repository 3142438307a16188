//! Certificates by hand: `certs/make` and `certs/make-client`, run as a person does.

// A test that cannot go on has failed.
#![allow(clippy::unwrap_used, clippy::panic)]

use rstest::rstest;
use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    process::{Command, Output},
};
use tempfile::TempDir;

/// What a script makes: its name, and that of the pair it makes beside the CA.
#[derive(Clone, Copy, Debug)]
struct Script {
    name: &'static str,
    pair: &'static str,
}

/// The scripts need nothing but openssl, which a machine of a user's may lack; that of CI has it.
fn is_without_openssl() -> bool {
    let lacks = Command::new("openssl").arg("version").output().is_err();
    if lacks {
        eprintln!("not tested: openssl is not installed");
    }
    lacks
}

const SERVING: Script = Script { name: "make", pair: "tls" };
const CLIENT: Script = Script { name: "make-client", pair: "client" };

// === impl Script ===

impl Script {
    fn run(self, folder: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("certs").join(self.name);
        let mut command = Command::new(script);
        command.arg(folder).args(arguments).envs(environment.iter().copied());
        for variable in ["DAYS_CA", "DAYS_SERVING", "DAYS_CLIENT", "CLIENT_NAME", "SERVICE"] {
            if environment.iter().all(|(name, _)| *name != variable) {
                command.env_remove(variable);
            }
        }
        command.output().unwrap()
    }

    /// What the script says when it goes well.
    fn makes(self, folder: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> String {
        let output = self.run(folder, arguments, environment);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{said}");
        said
    }

    /// What the script says when it refuses, having changed nothing.
    fn refuses(self, folder: &Path, environment: &[(&str, &str)]) -> String {
        let before = files(folder);
        let output = self.run(folder, &[], environment);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.starts_with(&format!("certs/{}: ", self.name)) && said.lines().count() == 1, "{said}");
        assert_eq!(files(folder), before, "{said}");
        said
    }
}

fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    entries
        .map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap_or_default()))
        .collect()
}

fn openssl(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new("openssl").current_dir(folder).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn made(script: Script) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    script.makes(folder.path(), &[], &[]);
    folder
}

#[rstest]
#[case(SERVING)]
#[case(CLIENT)]
fn the_next_certificate_is_from_the_ca_that_is_there(#[case] script: Script) {
    if is_without_openssl() {
        return;
    }
    let folder = made(script);
    let before = files(folder.path());
    let said = script.makes(folder.path(), &[], &[]);
    assert!(said.contains("from the CA that was there"), "{said}");
    let after = files(folder.path());
    let pair = ["crt", "key"].map(|extension| format!("{}.{extension}", script.pair));
    for (name, content) in &before {
        assert_eq!(after[name] != *content, pair.contains(name), "{name}");
    }
    assert_eq!(before.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>());
    openssl(folder.path(), &["verify", "-CAfile", "ca.crt", &pair[0]]);
    let of_certificate = openssl(folder.path(), &["x509", "-in", &pair[0], "-noout", "-pubkey"]);
    assert_eq!(of_certificate, openssl(folder.path(), &["pkey", "-in", &pair[1], "-pubout"]));
}

#[test]
fn a_renewed_certificate_is_for_the_same_names() {
    if is_without_openssl() {
        return;
    }
    let names = |folder: &Path| openssl(folder, &["x509", "-in", "tls.crt", "-noout", "-ext", "subjectAltName"]);
    let folder = tempfile::tempdir().unwrap();
    SERVING.makes(folder.path(), &["hooks.tools.svc", "10.0.0.7", "::1"], &[]);
    let before = names(folder.path());
    assert!(before.contains("DNS:hooks.tools.svc, IP Address:10.0.0.7, IP Address:0:0:0:0:0:0:0:1"), "{before}");
    SERVING.makes(folder.path(), &[], &[]);
    assert_eq!(names(folder.path()), before);
    SERVING.makes(folder.path(), &["other.tools.svc"], &[]);
    assert!(names(folder.path()).contains("DNS:other.tools.svc\n"));
}

#[test]
fn a_renewed_client_is_called_the_same() {
    if is_without_openssl() {
        return;
    }
    let name = |folder: &Path| openssl(folder, &["x509", "-in", "client.crt", "-noout", "-subject"]);
    let folder = tempfile::tempdir().unwrap();
    CLIENT.makes(folder.path(), &[], &[("CLIENT_NAME", "front")]);
    CLIENT.makes(folder.path(), &[], &[]);
    assert!(name(folder.path()).contains("front"));
    CLIENT.makes(folder.path(), &[], &[("CLIENT_NAME", "back")]);
    assert!(name(folder.path()).contains("back"));
}

/// A new CA has to be trusted before it is of any use, so none is made where there was one.
#[rstest]
#[case::certificate("ca.crt", "ca.key is there without ca.crt")]
#[case::key("ca.key", "ca.crt is there without ca.key")]
fn half_a_ca_is_not_replaced(#[values(SERVING, CLIENT)] script: Script, #[case] missing: &str, #[case] says: &str) {
    if is_without_openssl() {
        return;
    }
    let folder = made(script);
    fs::remove_file(folder.path().join(missing)).unwrap();
    let said = script.refuses(folder.path(), &[]);
    assert!(said.contains(says) && said.contains("or name another folder"), "{said}");
}

#[rstest]
#[case::without_a_ca(&["ca.crt", "ca.key"], "is there without the CA that signed it")]
#[case::of_another_ca(&[], "is not from the CA beside it")]
fn the_pair_of_another_ca_is_not_replaced(
    #[values(SERVING, CLIENT)] script: Script,
    #[case] removed: &[&str],
    #[case] says: &str,
) {
    if is_without_openssl() {
        return;
    }
    let (folder, other) = (made(script), made(script));
    for file in ["ca.crt", "ca.key"] {
        fs::copy(other.path().join(file), folder.path().join(file)).unwrap();
    }
    for file in removed {
        fs::remove_file(folder.path().join(file)).unwrap();
    }
    let said = script.refuses(folder.path(), &[]);
    assert!(said.contains(says) && said.contains("move"), "{said}");
}

#[rstest]
fn the_key_of_another_ca_is_not_used(#[values(SERVING, CLIENT)] script: Script) {
    if is_without_openssl() {
        return;
    }
    let (folder, other) = (made(script), made(script));
    fs::copy(other.path().join("ca.key"), folder.path().join("ca.key")).unwrap();
    assert!(script.refuses(folder.path(), &[]).contains("is not the key of"));
    fs::write(folder.path().join("ca.key"), "no key").unwrap();
    assert!(script.refuses(folder.path(), &[]).contains("is no private key"));
}

/// What is trusted through a CA ends with it.
#[rstest]
#[case(SERVING, "DAYS_SERVING")]
#[case(CLIENT, "DAYS_CLIENT")]
fn no_certificate_outlives_its_ca(#[case] script: Script, #[case] days: &str) {
    if is_without_openssl() {
        return;
    }
    let folder = made(script);
    let said = script.refuses(folder.path(), &[(days, "4000")]);
    assert!(said.contains("ends before a certificate of 4000 days would"), "{said}");
    script.makes(folder.path(), &[], &[(days, "30")]);
}

#[test]
fn names_that_are_none_are_told() {
    if is_without_openssl() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let output = SERVING.run(folder.path(), &["10.0.0.300"], &[]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && said.contains("are the names right?"), "{said}");
    SERVING.makes(folder.path(), &["10.0.0.30"], &[]);
}
