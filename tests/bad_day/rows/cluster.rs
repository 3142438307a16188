//! An API server that is away, for a program that has its certificate from there.

use crate::{
    caller::{Caller, Load, Target},
    mock::{CONFIGURATION, Mock, SECRET},
    program::{Program, Setup},
    report::{Form, Report},
    support::eventually,
};
use base64::{Engine, prelude::BASE64_STANDARD};
use http_body_util::{BodyExt, Full};
use hyper::{
    Request, Response,
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use kube::client::Body;
use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use tempfile::TempDir;
use tokio::{net::TcpListener, task::JoinSet, time::sleep};
use tower::BoxError;

/// The API server in memory, at a port; away when dropped.
struct ApiServer {
    address: SocketAddr,
    _connections: JoinSet<()>,
}

// === impl ApiServer ===

impl ApiServer {
    async fn at(port: u16, mock: &Mock) -> Self {
        let mut listener = None;
        // What the one before has left may still be on its way out.
        eventually(async || {
            listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.ok();
            listener.is_some()
        })
        .await;
        let listener = listener.unwrap();
        let address = listener.local_addr().unwrap();
        let (mut connections, mock) = (JoinSet::new(), mock.clone());
        connections.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let mock = mock.clone();
                let answer = service_fn(move |request| answer(mock.clone(), request));
                connections.spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
            }
        });
        Self { address, _connections: connections }
    }
}

async fn answer(mock: Mock, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, BoxError> {
    let (parts, body) = request.into_parts();
    let body = Body::from(body.collect().await?.to_bytes().to_vec());
    let (parts, body) = mock.client().send(Request::from_parts(parts, body)).await?.into_parts();
    Ok(Response::from_parts(parts, Full::new(body.collect().await?.to_bytes())))
}

fn kubeconfig(folder: &TempDir, server: SocketAddr) -> String {
    let path = folder.path().join("kubeconfig");
    let config = serde_json::json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "test",
        "clusters": [{"name": "test", "cluster": {"server": format!("http://{server}")}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test", "namespace": "sidecars"}}],
        "users": [{"name": "test", "user": {}}],
    });
    fs::write(&path, config.to_string()).unwrap();
    path.display().to_string()
}

fn authority(mock: &Mock) -> String {
    let pem = BASE64_STANDARD.decode(mock.get(SECRET)["data"]["ca.crt"].as_str().unwrap()).unwrap();
    String::from_utf8(pem).unwrap()
}

/// Away for ten minutes, and back; what was spoilt meanwhile is put right.
pub(crate) async fn away(form: Form) -> Report {
    let mock = Mock::shipped();
    let server = ApiServer::at(0, &mock).await;
    let (folder, address) = (tempfile::tempdir().unwrap(), server.address);
    let setup = Setup::default()
        .with(&["--certificate-secret", "native-sidecar-tls", "--namespace", "sidecars"])
        .environment("KUBECONFIG", &kubeconfig(&folder, address))
        .managed();
    let mut program: Program = setup.start().await;
    let target = Target::new(program.address, &authority(&mock)).named("native-sidecar.sidecars.svc");
    let caller = Arc::new(Caller::new(target, form).fresh_ones());
    caller.learn().await;

    drop(server);
    let time = form.pick(Duration::from_secs(3), Duration::from_mins(10));
    let mut tally = caller.stream_until(Load::steady(0), sleep(time)).await;
    mock.edit(CONFIGURATION, |configuration| {
        configuration["webhooks"][0]["clientConfig"]["caBundle"] = "".into();
    });
    let _server = ApiServer::at(address.port(), &mock).await;
    let mended = eventually(async || {
        let configuration = mock.get(CONFIGURATION);
        configuration["webhooks"][0]["clientConfig"]["caBundle"] == mock.get(SECRET)["data"]["ca.crt"]
    });
    tally.add(caller.stream_until(Load::steady(0), mended).await);
    let mut report = Report::of(tally);
    report.figure("away for", format!("{} s", time.as_secs()));
    program.conclude(&mut report);
    report
}
