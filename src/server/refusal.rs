//! Answers that are no `AdmissionReview`: a status and one sentence for whoever called.

use super::strangers::{Kind, STRANGERS};
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header::CONTENT_TYPE};
use std::net::SocketAddr;
use tracing::field;

/// Why a request is not answered with an `AdmissionReview`. To the API server each is a failed call, so under
/// `failurePolicy: Ignore` the pod is created unchanged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The body is no `AdmissionReview`; the sentence says why.
    #[error("{0}")]
    NotAReview(String),
    /// The body ended early.
    #[error("the request's body could not be read to its end")]
    BodyBroken,
    /// Nothing is served at this path.
    #[error("nothing is served here; send AdmissionReviews to /mutate, /mutate/known or /mutate/observe")]
    UnknownPath,
    /// Another method than POST.
    #[error("send AdmissionReviews with POST")]
    WrongMethod,
    /// The body took too long to arrive.
    #[error("the request's body did not arrive in time")]
    BodyTooSlow,
    /// The body is larger than any `AdmissionReview` of a pod can be.
    #[error("the request's body is larger than {0} bytes, which no AdmissionReview of a pod is")]
    BodyTooLarge(usize),
    /// There was no memory for the body in time, or for a large answer. What the setting of that memory is called.
    #[error("there are too many large requests at the moment; try again later, or give more {0}")]
    Overloaded(&'static str),
    /// Reviewing the body would take more memory than there is. What the setting of that memory is called.
    #[error("reviewing the request would take more memory than {0} allows, which no ordinary pod does")]
    TooComplex(&'static str),
    /// The body is declared to be something else than JSON.
    #[error("send AdmissionReviews as JSON, with the header `Content-Type: application/json`")]
    NotJson,
    /// The handler panicked, and the request's uid could not be read.
    #[error("handling the request failed because of a bug in native-sidecar; its log says where")]
    Failed,
    /// The request took longer than a request may.
    #[error("the request took too long to handle")]
    TooSlow,
    /// The bytes that came are no HTTP request; what hyper says of them, which has answered by itself.
    #[error("no HTTP request could be made out: {0}")]
    NotHttp(String),
    /// The request's line and headers are too large; hyper has answered by itself.
    #[error("the request's headers are larger than any that the API server sends")]
    HeadersTooLarge,
}

/// The statuses of all refusals: the label values of `native_sidecar_http_errors_total`.
pub const STATUSES: [StatusCode; 9] = [
    StatusCode::BAD_REQUEST,
    StatusCode::NOT_FOUND,
    StatusCode::METHOD_NOT_ALLOWED,
    StatusCode::REQUEST_TIMEOUT,
    StatusCode::PAYLOAD_TOO_LARGE,
    StatusCode::UNSUPPORTED_MEDIA_TYPE,
    StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
    StatusCode::INTERNAL_SERVER_ERROR,
    StatusCode::SERVICE_UNAVAILABLE,
];

// === impl Refusal ===

impl Refusal {
    /// What hyper has answered by itself when a connection ended with `error`; `None` where it has not.
    pub(super) fn of_protocol_error(error: &hyper::Error) -> Option<Self> {
        if error.is_parse_too_large() {
            return Some(Self::HeadersTooLarge);
        }
        error.is_parse().then(|| Self::NotHttp(error.to_string()))
    }

    /// Logs it, unless `peer` has been refused for the like of it within a minute.
    pub(super) fn log(&self, peer: Option<SocketAddr>) {
        let (status, reason) = (self.status(), self.to_string());
        let is_news = |peer: SocketAddr| STRANGERS.is_news(Kind::RefusedRequest(status), peer.ip(), &reason);
        if peer.is_none_or(is_news) {
            tracing::info!(peer = peer.map(field::display), status = status.as_u16(), reason, "request refused");
        }
    }

    /// The HTTP status.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::NotAReview(_) | Self::BodyBroken | Self::NotHttp(_) => StatusCode::BAD_REQUEST,
            Self::UnknownPath => StatusCode::NOT_FOUND,
            Self::WrongMethod => StatusCode::METHOD_NOT_ALLOWED,
            Self::BodyTooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::BodyTooLarge(_) | Self::TooComplex(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::NotJson => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::HeadersTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::Failed => StatusCode::INTERNAL_SERVER_ERROR,
            Self::TooSlow | Self::Overloaded(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

impl IntoResponse for &Refusal {
    fn into_response(self) -> Response {
        let text = [(CONTENT_TYPE, "text/plain; charset=utf-8")];
        (self.status(), text, format!("{self}\n")).into_response()
    }
}
