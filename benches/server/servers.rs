//! The servers that this program is itself, as a child of the measuring one.

use crate::least;
use arc_swap::ArcSwap;
use axum::{Router, body::Bytes, response::IntoResponse, routing::post};
use axum_server::{
    accept::NoDelayAcceptor,
    tls_rustls::{RustlsAcceptor, RustlsConfig},
};
use http::{StatusCode, header};
use native_sidecar::server::{
    BackgroundTasks, CertificateSource, ConnectionSettings, Drain, Reviewer, Server, ServerSettings, Webhook,
    logging::{self, Format},
};
use native_sidecar_core::{
    admission::{Context, NotAReview, Reviewed, Route, Subject},
    catalogue::Catalogue,
    conversion::ClusterFacts,
};
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use std::{
    error::Error,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::{runtime::Runtime, sync::mpsc};

/// Which one, on which port of 127.0.0.1, and the folder of its certificate.
#[derive(clap::Subcommand)]
#[command(hide = true)]
pub(crate) enum Serve {
    /// Reads the body and allows.
    Nothing { port: u16, certificate: PathBuf },
    /// Our server with a review that only reads the uid.
    Shell { port: u16, certificate: PathBuf },
}

// === impl Serve ===

impl Serve {
    /// Until the process is ended.
    pub(crate) fn run(self) -> Result<(), Box<dyn Error>> {
        let runtime = Runtime::new()?;
        match self {
            Self::Nothing { port, certificate } => runtime.block_on(nothing(port, &certificate)),
            Self::Shell { port, certificate } => runtime.block_on(shell(port, &certificate)),
        }
    }
}

/// The same crates as our server has, and nothing of ours.
async fn nothing(port: u16, certificate: &Path) -> Result<(), Box<dyn Error>> {
    let tls = RustlsAcceptor::new(RustlsConfig::from_config(Arc::new(tls(certificate)?)));
    let router = Router::new().route("/mutate", post(allow));
    let server = axum_server::bind(local(port)).acceptor(tls.acceptor(NoDelayAcceptor::new()));
    Ok(server.serve(router.into_make_service()).await?)
}

async fn allow(body: Bytes) -> Result<impl IntoResponse, (StatusCode, String)> {
    let answer = least::allow(&body).map_err(|error| (StatusCode::BAD_REQUEST, error.to_string()))?;
    Ok(([(header::CONTENT_TYPE, "application/json")], answer))
}

fn tls(certificate: &Path) -> Result<ServerConfig, Box<dyn Error>> {
    let chain = CertificateDer::pem_file_iter(certificate.join("tls.crt"))?.collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_file(certificate.join("tls.key"))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

async fn shell(port: u16, certificate: &Path) -> Result<(), Box<dyn Error>> {
    logging::begin(Format::Json, "info")?;
    let facts = Arc::new(ArcSwap::from_pointee(ClusterFacts::default()));
    let webhook = Webhook::new(Arc::new(Catalogue::built_in()), facts);
    let webhook = Webhook { reviewer: Reviewer { review: only_uid, ..Reviewer::default() }, ..webhook };
    let server = Server::bind(settings(port, certificate), webhook).await?;
    // Nobody tells it to stop: the process is ended.
    let (_stop, stopped) = mpsc::channel(1);
    Ok(server.run(stopped).await?)
}

fn settings(port: u16, certificate: &Path) -> ServerSettings {
    ServerSettings {
        listen: vec![local(port)],
        health_listen: vec![local(0)],
        certificate: CertificateSource::Files {
            certificate: certificate.join("tls.crt"),
            key: certificate.join("tls.key"),
        },
        trusted: None,
        client_ca: None,
        client_names: Vec::new(),
        reload_interval: Duration::from_secs(10),
        connections: ConnectionSettings::default(),
        drain: Drain::default(),
        background: BackgroundTasks::default(),
    }
}

/// What `nothing` does, in the place of our review. Whoever asks for nonsense gets an empty answer.
// It has to look like a review, which can fail.
#[expect(clippy::unnecessary_wraps)]
fn only_uid(body: &[u8], _: Route, _: Context<'_>) -> Result<Reviewed, NotAReview> {
    let body = least::allow(body).unwrap_or_default();
    Ok(Reviewed { body, decision: "unchanged", subject: Subject::default(), findings: Vec::new() })
}

fn local(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}
