//! Certificates that change, and those that should not have.

use crate::{
    caller::{Caller, Load, Target},
    program::{Program, Setup},
    report::{Form, Report},
    support::{Authority, Client, Pair, eventually},
};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tempfile::TempDir;
use tokio::time::timeout;

/// A folder with the certificate of an authority, and a program that looks at it all the time.
struct Installation {
    authority: Authority,
    folder: TempDir,
    program: Program,
    caller: Arc<Caller>,
}

/// What is put in place, and how.
type Bad<'a> = (&'static str, Box<dyn Fn() + 'a>);

/// How a pair gets into a folder.
type Put = fn(&Path, &Pair, usize);

// === impl Installation ===

impl Installation {
    async fn new(form: Form, put: Put) -> Self {
        Self::of(form, Authority::new(), put).await
    }

    async fn of(form: Form, authority: Authority, put: Put) -> Self {
        let folder = tempfile::tempdir().unwrap();
        put(folder.path(), &authority.server(), 0);
        let setup = Setup::default().files(folder.path(), &authority.pem()).with(&["--reload-interval", "20ms"]);
        let program = setup.start().await;
        let caller = program.caller(form).fresh();
        caller.learn().await;
        Self { authority, folder, program, caller }
    }

    /// Waits until new connections get this certificate.
    async fn serves(&self, pair: &Pair) {
        let client = self.program.client("http/1.1");
        eventually(async || {
            let shown = client.handshake(self.program.address).await;
            shown.is_ok_and(|stream| stream.get_ref().1.peer_certificates().unwrap()[0] == pair.der())
        })
        .await;
    }
}

fn in_place(folder: &Path, pair: &Pair, _turn: usize) {
    pair.write(folder);
}

/// As the kubelet does it: all files change at once, by the swap of one symbolic link.
fn by_symlink(folder: &Path, pair: &Pair, turn: usize) {
    let version = format!("..version-{turn}");
    fs::create_dir(folder.join(&version)).unwrap();
    pair.write(&folder.join(&version));
    let new = folder.join("..data_tmp");
    symlink(&version, &new).unwrap();
    fs::rename(new, folder.join("..data")).unwrap();
    for file in ["tls.crt", "tls.key"] {
        if turn == 0 {
            symlink(Path::new("..data").join(file), folder.join(file)).unwrap();
        }
    }
}

async fn rotated(form: Form, put: Put) -> Report {
    let mut installation = Installation::new(form, put).await;
    let turns = form.pick(15, 100);
    let rotations = async {
        for turn in 1..=turns {
            let pair = installation.authority.server();
            put(installation.folder.path(), &pair, turn);
            installation.serves(&pair).await;
        }
    };
    let mut report = Report::of(installation.caller.stream_until(Load::steady(0), rotations).await);
    report.figure("rotations", turns);
    installation.program.conclude(&mut report);
    report
}

pub(crate) async fn rotated_in_place(form: Form) -> Report {
    rotated(form, in_place).await
}

pub(crate) async fn rotated_by_symlink(form: Form) -> Report {
    rotated(form, by_symlink).await
}

/// Each of these is put in place; the one before stays until a good one comes.
pub(crate) async fn bad_pairs(form: Form) -> Report {
    let mut installation = Installation::new(form, in_place).await;
    let (good, folder) = (installation.authority.server(), installation.folder.path().to_owned());
    let (certificate, key) = (folder.join("tls.crt"), folder.join("tls.key"));
    let other = installation.authority.server();
    let bad: [Bad<'_>; 6] = [
        ("no file", Box::new(|| fs::remove_file(&certificate).unwrap())),
        ("an empty file", Box::new(|| fs::write(&certificate, "").unwrap())),
        ("no PEM", Box::new(|| fs::write(&certificate, "not a certificate").unwrap())),
        ("half of a PEM", Box::new(|| fs::write(&key, &good.key[..good.key.len() / 2]).unwrap())),
        ("a folder", Box::new(|| replace_by_folder(&key))),
        ("the key of another", Box::new(|| fs::write(&key, &other.key).unwrap())),
    ];
    let failures = async || installation.program.metric("native_sidecar_certificate_reload_failures_total").await;
    let misfortunes = async {
        for (_, put) in &bad {
            let before = failures().await;
            put();
            eventually(async || failures().await > before).await;
            tokio::time::sleep(Duration::from_millis(form.pick(50, 2_000))).await;
            let _ = fs::remove_dir(&key);
            let pair = installation.authority.server();
            pair.write(&folder);
            installation.serves(&pair).await;
        }
    };
    let mut report = Report::of(installation.caller.stream_until(Load::steady(0), misfortunes).await);
    report.figure("pairs", bad.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", "));
    installation.program.conclude(&mut report);
    report
}

fn replace_by_folder(path: &PathBuf) {
    fs::remove_file(path).unwrap();
    fs::create_dir(path).unwrap();
}

/// A pair of the same authority that expired years ago, while the one that is served has not.
pub(crate) async fn expired(form: Form) -> Report {
    let folder = tempfile::tempdir().unwrap();
    let (ca, good, expired) = expired_pair();
    good.write(folder.path());
    let setup = Setup::default().files(folder.path(), &ca).with(&["--reload-interval", "20ms"]);
    let mut program = setup.start().await;
    let caller = program.caller(form).fresh();
    caller.learn().await;
    expired.write(folder.path());
    // It is said, whatever is then done about it.
    eventually(async || program.log().lines().any(|line| line.contains("expired"))).await;
    let mut report = Report::of(caller.stream(Load::steady(form.calls())).await);
    program.conclude(&mut report);
    report
}

/// The authority, a pair that is valid and one that has expired.
fn expired_pair() -> (String, Pair, Pair) {
    let mut params = CertificateParams::new([]).unwrap();
    params.distinguished_name.push(DnType::CommonName, "another test CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let sign = |last_year: Option<i32>| {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        if let Some(year) = last_year {
            params.not_after = date_time_ymd(year, 1, 1);
        }
        Pair { certificate: params.signed_by(&key, &issuer).unwrap().pem(), key: key.serialize_pem() }
    };
    (issuer.pem(), sign(None), sign(Some(2020)))
}

/// Two client CAs, of which one is withdrawn: whoever came by it goes, and nobody else notices.
pub(crate) async fn client_ca_withdrawn(form: Form) -> Report {
    let (server, stays, goes) = (Authority::new(), Authority::new(), Authority::new());
    let folder = tempfile::tempdir().unwrap();
    server.server().write(folder.path());
    let bundle = folder.path().join("client-ca.crt");
    fs::write(&bundle, stays.pem() + &goes.pem()).unwrap();
    let arguments = ["--client-ca", bundle.to_str().unwrap(), "--reload-interval", "20ms"];
    let mut program = Setup::default().files(folder.path(), &server.pem()).with(&arguments).start().await;
    let target = Target::with_identity(program.address, &server.pem(), Some(&stays.client("api-server")));
    let caller = Arc::new(Caller::new(target, form));
    caller.learn().await;

    let client = Client::new(&server.pem(), "http/1.1", Some(&goes.client("somebody")));
    let mut open = client.connect(program.address).await.unwrap();
    assert_eq!(open.send(crate::support::request("open")).await.unwrap().status(), 200);
    let mut ended = false;
    let withdrawal = async {
        fs::write(&bundle, stays.pem()).unwrap();
        eventually(async || client.ask(program.address, "new").await.is_err()).await;
        ended = timeout(form.patience(), eventually(async || open.is_let_go().await)).await.is_ok();
    };
    let mut tally = caller.stream_until(Load::steady(0), Box::pin(withdrawal)).await;
    tally.add(caller.stream(Load::steady(form.calls())).await);
    let mut report = Report::of(tally);
    report.require(ended, "open connections of the CA that was withdrawn end");
    program.conclude(&mut report);
    report
}
