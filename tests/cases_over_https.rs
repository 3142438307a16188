//! Every golden case again, over real TLS sockets: HTTP/1.1 and HTTP/2 take turns.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "server/support.rs"]
#[allow(dead_code, reason = "shared with the server's own tests, which use more of it")]
mod server;

use arc_swap::ArcSwap;
use http_body_util::Full;
use hyper::Request;
use native_sidecar::server::{Reviewer, Webhook};
use native_sidecar_core::catalogue::Catalogue;
use std::sync::Arc;

#[tokio::test(flavor = "multi_thread")]
async fn every_case_is_answered_as_recorded() {
    let (ca, folder) = (server::Authority::new(), tempfile::tempdir().unwrap());
    ca.server().write(folder.path());
    let facts = Arc::new(ArcSwap::default());
    let (mut servers, mut connections) = (Vec::new(), Vec::new());
    for reviewer in [Reviewer::default(), Reviewer::observing()] {
        let webhook = Webhook::new(Arc::new(Catalogue::built_in()), Arc::clone(&facts));
        let webhook = Webhook { reviewer, ..webhook };
        let running = server::start_with(server::settings(server::files(folder.path())), webhook).await;
        for protocol in ["http/1.1", "h2"] {
            let client = server::Client::new(&ca.pem(), protocol, None);
            connections.push(client.connect(running.address).await.unwrap());
        }
        servers.push(running);
    }

    let cases: Vec<_> =
        native_sidecar_cases::all_cases().into_iter().filter(native_sidecar_cases::Case::is_a_request).collect();
    assert!(cases.len() > 200);
    for (number, case) in cases.iter().enumerate() {
        facts.store(Arc::new(case.facts.clone()));
        let request = Request::post(format!("https://localhost{}", case.path()))
            .header("host", "localhost")
            .header("content-type", "application/json")
            .body(Full::from(case.request()))
            .unwrap();
        let server = usize::from(case.settings.observe);
        let response = connections[2 * server + number % 2].send(request).await.unwrap();
        assert_eq!(response.status(), 200, "{}", case.name);
        case.check_answer(server::text(response).await.unwrap().as_bytes());
    }
}
