//! Keeping web pages of other sites away from a host that asks for no token.
//!
//! Such a host listens on the loopback alone, but a browser on this machine is there
//! too. A page could call it directly (cross-site requests), or under a name of its
//! own that it lets point to 127.0.0.1 (DNS rebinding). Browsers say in `Host`,
//! `Origin` and `Sec-Fetch-Site` whom they call and for whom, and pages cannot forge that.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{HOST, ORIGIN};
use axum::http::{HeaderMap, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::state::Shared;
use super::{Code, Problem, health};

/// Lets only those requests pass that no page of another site can have made.
pub(super) async fn keep_other_sites_out(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    if shared.api.token.is_none()
        && let Err(problem) = check(request.uri(), request.headers())
    {
        return problem.into_response();
    }
    next.run(request).await
}

fn check(uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
    let mut hosts = headers.get_all(HOST).iter();
    let host = match (hosts.next().map(|host| host.to_str()), hosts.next()) {
        (Some(Ok(host)), None) => Some(host),
        // Health checkers leave it out, or speak HTTP/1.0, which has none. Browsers never do.
        (None, _) if health::PATHS.contains(&uri.path()) => None,
        (None, _) => return Err(bad_host("the request says in no `Host` header whom it is for")),
        _ => return Err(bad_host("the request has not one readable `Host` header")),
    };
    let authority = uri.authority().map(|authority| authority.as_str());
    for name in authority.into_iter().chain(host) {
        if !is_loopback(name) {
            return Err(bad_host(&format!(
                "`{name}` is not this machine's loopback: call http://127.0.0.1, or let the host ask for a token (http.token)"
            )));
        }
    }
    let header = |name: &str| headers.get(name).map(|value| value.as_bytes());
    let origin = header(ORIGIN.as_str());
    if origin.is_some_and(|origin| origin.strip_prefix(b"http://") != host.map(str::as_bytes)) {
        return Err(Problem::new(Code::CrossSite, "pages of other sites may not call a host that asks for no token"));
    }
    // Links into the documentation are harmless; everything else that another site starts is not.
    let is_navigation = header("sec-fetch-mode") == Some(b"navigate");
    if header("sec-fetch-site") == Some(b"cross-site") && !is_navigation {
        return Err(Problem::new(Code::CrossSite, "pages of other sites may not call a host that asks for no token"));
    }
    Ok(())
}

fn bad_host(detail: &str) -> Problem {
    Problem::new(Code::BadHost, detail)
}

/// Whether `authority`, a name or address with or without a port, is the loopback.
fn is_loopback(authority: &str) -> bool {
    let without_port = match authority.rsplit_once(':') {
        Some((host, port)) if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    };
    let address = without_port.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(without_port);
    without_port.eq_ignore_ascii_case("localhost") || address.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_the_loopback() {
        for (authority, expected) in [
            ("localhost", true),
            ("LOCALHOST:7711", true),
            ("127.0.0.1:7711", true),
            ("127.8.0.1", true),
            ("[::1]:7711", true),
            ("[::1]", true),
            ("evil.example", false),
            ("localhost.evil.example:7711", false),
            ("127.0.0.1.evil.example", false),
            ("127.0.0.1@evil.example", false),
            ("10.0.0.1:7711", false),
            ("0.0.0.0", false),
            ("", false),
        ] {
            assert_eq!(is_loopback(authority), expected, "{authority}");
        }
    }

    #[test]
    fn tells_other_sites_from_our_own() {
        let check_at = |path: &'static str, headers: &[(&'static str, &'static str)], expected: Option<&str>| {
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                map.append(*name, value.parse().expect("a header"));
            }
            let refused = check(&Uri::from_static(path), &map).err().map(|problem| problem.to_json());
            match expected {
                None => assert_eq!(refused, None, "{headers:?}"),
                Some(code) => {
                    assert!(refused.as_ref().is_some_and(|json| json.contains(code)), "{headers:?}: {refused:?}")
                }
            }
        };
        let check = |headers: &[(&'static str, &'static str)], expected: Option<&str>| {
            check_at("/v1/events", headers, expected);
        };
        let own = ("host", "127.0.0.1:7711");
        check(&[own], None);
        check(&[own, ("origin", "http://127.0.0.1:7711")], None);
        check(&[own, ("sec-fetch-site", "same-origin")], None);
        check(&[own, ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")], None);
        check(&[], Some("bad_host"));
        check(&[own, own], Some("bad_host"));
        check(&[("host", "evil.example")], Some("bad_host"));
        check(&[own, ("origin", "http://evil.example")], Some("cross_site"));
        check(&[own, ("origin", "http://127.0.0.1:3000")], Some("cross_site"));
        check(&[own, ("origin", "https://127.0.0.1:7711")], Some("cross_site"));
        check(&[own, ("origin", "null")], Some("cross_site"));
        check(&[own, ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "no-cors")], Some("cross_site"));
        for health in health::PATHS {
            check_at(health, &[], None);
            check_at(health, &[own], None);
            check_at(health, &[own, own], Some("bad_host"));
            check_at(health, &[("host", "evil.example")], Some("bad_host"));
            check_at(health, &[("origin", "http://evil.example")], Some("cross_site"));
            check_at(health, &[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "no-cors")], Some("cross_site"));
        }
        check_at("/livez/", &[], Some("bad_host"));
    }
}
