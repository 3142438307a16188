//! Requests to the API server: bounded in time, and with failures a person can read.

use native_sidecar_core::text::{one_line, shorten};
use std::{error::Error, fmt::Write, time::Duration};

/// How long an answer may take. A dead connection otherwise holds a loop for as long as TCP retries.
pub(super) const TIMEOUT: Duration = Duration::from_secs(15);

/// How much of a failure's text is kept: an admission webhook may answer with pages.
const TEXT: usize = 400;

/// Why a request to the API server failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The API server refused.
    #[error("the API server answered {code} {reason}: {message}")]
    Refused {
        /// The HTTP status.
        code: u16,
        /// The machine-readable reason, such as `Forbidden`.
        reason: String,
        /// The sentence for people.
        message: String,
    },
    /// No answer came, or none that can be read.
    #[error("the API server cannot be reached: {0}")]
    Unreachable(String),
    /// No answer came in time.
    #[error("the API server did not answer within {} s", .0.as_secs())]
    TimedOut(Duration),
}

// === impl Failure ===

impl Failure {
    /// The HTTP status, where the API server answered at all.
    #[must_use]
    pub const fn code(&self) -> Option<u16> {
        match self {
            Self::Refused { code, .. } => Some(*code),
            Self::Unreachable(_) | Self::TimedOut(_) => None,
        }
    }

    /// Whether the object changed since it was read, or exists already: read it again.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        self.code() == Some(409)
    }

    /// Whether a permission is missing, or admission control said no.
    #[must_use]
    pub fn is_forbidden(&self) -> bool {
        self.code() == Some(403)
    }

    /// Whether the API server is away or overloaded, as opposed to saying no for a reason that stays.
    #[must_use]
    pub fn is_outage(&self) -> bool {
        self.code().is_none_or(|code| code == 429 || code >= 500)
    }
}

impl From<kube::Error> for Failure {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => Self::Refused {
                code: status.code,
                reason: status.reason.clone(),
                message: shorten(&one_line(&status.message), TEXT),
            },
            other => Self::Unreachable(shorten(&one_line(&with_causes(&other)), TEXT)),
        }
    }
}

/// `request`'s outcome, or a failure once it takes too long.
pub(super) async fn bounded<T>(request: impl Future<Output = Result<T, kube::Error>>) -> Result<T, Failure> {
    match tokio::time::timeout(TIMEOUT, request).await {
        Ok(outcome) => outcome.map_err(Failure::from),
        Err(_) => Err(Failure::TimedOut(TIMEOUT)),
    }
}

/// The error and its causes. The outer text of a connection error ("client error (Connect)") says nothing alone.
fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let inner = error.to_string();
        if !text.contains(&inner) {
            // Writing to a String cannot fail.
            let _ = write!(text, ": {inner}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::core::Status;

    #[test]
    fn a_refusal_is_one_line_with_its_code() {
        let status = Status::failure("secrets \"a\" is forbidden:\nno", "Forbidden").with_code(403);
        let failure = Failure::from(kube::Error::Api(status.boxed()));
        assert_eq!(failure.to_string(), "the API server answered 403 Forbidden: secrets \"a\" is forbidden: no");
        assert!(failure.is_forbidden() && !failure.is_conflict() && !failure.is_outage());
    }

    #[test]
    fn causes_are_told_once() {
        let inner = std::io::Error::other("connection refused");
        let failure = Failure::from(kube::Error::Service(Box::new(inner)));
        assert_eq!(failure.to_string(), "the API server cannot be reached: ServiceError: connection refused");
        assert!(failure.is_outage());
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_a_failure() {
        let failure = bounded(std::future::pending::<Result<(), kube::Error>>()).await.unwrap_err();
        assert_eq!(failure.to_string(), "the API server did not answer within 15 s");
    }
}
