//! Which requests a browser was tricked into. Pure checks on headers.

use http::{HeaderMap, Method, Uri, header};
use std::net::IpAddr;

/// Why a request was refused before anything else looked at it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    /// DNS rebinding: a foreign name that points at us, so that a foreign page counts as ours.
    #[error(
        "this server is not known as '{0}'; open it by its IP address, or add the name to \
         'hosts' below 'ui' in the configuration"
    )]
    Host(String),
    /// No or several Host headers.
    #[error("the request names no host")]
    NoHost,
    /// Another site's page sent the browser here.
    #[error("this request came from another site's page and was not carried out")]
    CrossSite,
}

/// Accepts IP literals, `localhost` and the given names, in the Host header and in an
/// absolute request target.
pub(crate) fn check_host(uri: &Uri, headers: &HeaderMap, names: &[String]) -> Result<(), Refused> {
    if let Some(authority) = uri.authority() {
        allowed(authority.as_str(), names)?;
    }
    allowed(host_header(headers)?, names)
}

/// For everything but GET, HEAD and OPTIONS: the browser must say that our own page sent it.
///
/// `Sec-Fetch-Site` is only sent to https and localhost, so on a plain LAN address `Origin`
/// decides; browsers send it with every POST. A request with neither is not from a page of ours;
/// programs use an API token instead.
pub(crate) fn check_same_origin(method: &Method, headers: &HeaderMap) -> Result<(), Refused> {
    if method.is_safe() {
        return Ok(());
    }
    if let Some(site) = headers.get("sec-fetch-site") {
        return match site.as_bytes() {
            b"same-origin" | b"none" => Ok(()),
            _ => Err(Refused::CrossSite),
        };
    }
    let origin = headers.get(header::ORIGIN).and_then(|o| o.to_str().ok());
    let origin_host = origin.and_then(|o| {
        o.strip_prefix("http://")
            .or_else(|| o.strip_prefix("https://"))
    });
    match origin_host {
        Some(origin) if origin.eq_ignore_ascii_case(host_header(headers)?) => Ok(()),
        _ => Err(Refused::CrossSite),
    }
}

fn host_header(headers: &HeaderMap) -> Result<&str, Refused> {
    let mut all = headers.get_all(header::HOST).iter();
    match (all.next().and_then(|h| h.to_str().ok()), all.next()) {
        (Some(host), None) => Ok(host),
        _ => Err(Refused::NoHost),
    }
}

fn allowed(authority: &str, names: &[String]) -> Result<(), Refused> {
    let refused = || Refused::Host(authority.chars().take(80).collect());
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split_once(']').ok_or_else(refused)?.0,
        None => authority.rsplit_once(':').map_or(authority, |(h, _)| h),
    };
    let host = host.strip_suffix('.').unwrap_or(host);
    let known = host.parse::<IpAddr>().is_ok()
        || host.eq_ignore_ascii_case("localhost")
        || names.iter().any(|n| n.eq_ignore_ascii_case(host));
    if known { Ok(()) } else { Err(refused()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(k, v)| {
                let name = header::HeaderName::from_static(k);
                (name, v.parse().expect("header value"))
            })
            .collect()
    }

    #[test]
    fn hosts() {
        let names = ["boot01".to_owned(), "boot01.lab.example".to_owned()];
        let uri = Uri::from_static("/machines");
        for good in [
            "192.168.77.2:8080",
            "127.0.0.1",
            "[::1]:8080",
            "localhost:8080",
            "BOOT01",
            "boot01.lab.example.:8080",
        ] {
            let checked = check_host(&uri, &headers(&[("host", good)]), &names);
            assert_eq!(checked, Ok(()), "{good}");
        }
        for bad in [
            "evil.example",
            "evil.example:8080",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "",
            "[::1",
            "boot01.lab.example.evil",
        ] {
            assert!(
                check_host(&uri, &headers(&[("host", bad)]), &names).is_err(),
                "{bad}"
            );
        }
        let absolute = Uri::from_static("http://evil.example/machines");
        assert!(check_host(&absolute, &headers(&[("host", "127.0.0.1")]), &names).is_err());
        assert_eq!(
            check_host(&uri, &headers(&[]), &names),
            Err(Refused::NoHost)
        );
    }

    #[test]
    fn only_our_own_pages_may_post() {
        let host = ("host", "10.0.0.1:8080");
        let cases: [(&[(&'static str, &str)], bool); 10] = [
            (&[("sec-fetch-site", "same-origin")], true),
            (&[("sec-fetch-site", "none")], true),
            (&[("sec-fetch-site", "same-site")], false),
            (&[("sec-fetch-site", "cross-site")], false),
            (
                &[
                    ("sec-fetch-site", "cross-site"),
                    ("origin", "http://10.0.0.1:8080"),
                ],
                false,
            ),
            (&[("origin", "http://10.0.0.1:8080")], true),
            (&[("origin", "http://10.0.0.1:9090")], false),
            (&[("origin", "http://evil.example")], false),
            (&[("origin", "null")], false),
            (&[], false),
        ];
        for (pairs, passes) in cases {
            let mut all = headers(pairs);
            all.extend(headers(&[host]));
            let checked = check_same_origin(&Method::POST, &all);
            assert_eq!(checked.is_ok(), passes, "{pairs:?}");
            assert_eq!(check_same_origin(&Method::GET, &all), Ok(()));
        }
    }
}
