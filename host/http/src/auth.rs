//! Who may call: whoever knows the token, if one is set.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::http::header::AUTHORIZATION;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::state::Shared;
use super::{Code, Problem};

/// The token that callers must know. Only its SHA-256 is kept: digests are of one
/// length, so comparing them in constant time does not tell how long the token is.
#[derive(Clone)]
pub struct Token([u8; 32]);

impl Token {
    /// The token `text`.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(Sha256::digest(text.as_bytes()).into())
    }

    fn is(&self, given: &[u8]) -> bool {
        let given: [u8; 32] = Sha256::digest(given).into();
        self.0.ct_eq(&given).into()
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(********)")
    }
}

/// Who has sent a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub(super) SocketAddr);

/// The log is told of requests without the right token at most once in this time, however many
/// there are.
const TOLD_EVERY: Duration = Duration::from_secs(60);

/// Requests without the right token.
#[derive(Debug, Default)]
pub(super) struct Strangers(Mutex<Untold>);

#[derive(Debug, Default)]
struct Untold {
    told_at: Option<Instant>,
    count: u64,
}

impl Strangers {
    /// Counts one. Gives how many there are that the log was not told of, if it is time to.
    fn count(&self, now: Instant) -> Option<u64> {
        let mut untold = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        untold.count += 1;
        if untold.told_at.is_some_and(|told_at| now.duration_since(told_at) < TOLD_EVERY) {
            return None;
        }
        untold.told_at = Some(now);
        Some(std::mem::take(&mut untold.count))
    }
}

/// Lets only those requests pass that bear the token.
pub(super) async fn require_token(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let Some(token) = &shared.api.token else { return next.run(request).await };
    let peer = request.extensions().get::<Peer>().copied();
    let detail = match request.headers().get(AUTHORIZATION).map(|header| header.as_bytes()) {
        None => "send the token as `Authorization: Bearer …`",
        Some(header) => match bearer(header) {
            None => "the `Authorization` header is not of the form `Bearer …`",
            Some(given) if token.is(given) => return next.run(request).await,
            Some(_) => "this is not the token that the host was started with",
        },
    };
    if let Some(count) = shared.strangers.count(Instant::now()) {
        let peer = peer.map_or_else(|| "unknown".to_owned(), |Peer(address)| address.ip().to_string());
        tracing::warn!(peer, "refused {count} requests without the right token since the last such line: {detail}");
    }
    Problem::new(Code::Unauthorized, detail).into_response()
}

/// The credentials of a `Bearer` header; the scheme's case does not matter (RFC 9110).
fn bearer(header: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = header.split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| rest.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_bearer_headers() {
        for (header, expected) in [
            ("Bearer abc", Some("abc")),
            ("bearer  abc ", Some("abc")),
            ("Basic abc", None),
            ("Bearer", None),
            ("", None),
            ("Bearer ", Some("")),
        ] {
            assert_eq!(bearer(header.as_bytes()), expected.map(str::as_bytes), "{header}");
        }
    }

    #[test]
    fn many_strangers_make_few_lines() {
        let (strangers, start) = (Strangers::default(), Instant::now());
        assert_eq!(strangers.count(start), Some(1));
        for second in 1..60 {
            assert_eq!(strangers.count(start + Duration::from_secs(second)), None);
        }
        assert_eq!(strangers.count(start + TOLD_EVERY), Some(60));
        assert_eq!(strangers.count(start + TOLD_EVERY), None);
    }

    #[test]
    fn compares_without_showing() {
        let token = Token::new("hush");
        assert!(token.is(b"hush") && !token.is(b"hus") && !token.is(b""));
        assert!(!format!("{token:?}").contains("hush"));
    }
}
