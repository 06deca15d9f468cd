//! From a request target to a [`BootPath`] and the facts of iPXE's query.

use bootplan::{BootPath, PathRefusal};
use http::Uri;

/// What was asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) path: BootPath,
    pub(super) query: Vec<(String, String)>,
}

/// Why a target is nothing we serve; for the event, never for the client.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    #[error("refused: a percent sign without two hexadecimal digits")]
    Escape,
    #[error("refused: an encoded slash, backslash or NUL")]
    Encoded,
    #[error("refused: {0}")]
    Path(PathRefusal),
}

impl Target {
    /// Percent-decodes once, and once only: what still looks encoded then is part of a name.
    pub(super) fn parse(uri: &Uri) -> Result<Target, Refused> {
        let name = decode(uri.path())?;
        let path = BootPath::parse(&name).map_err(Refused::Path)?;
        Ok(Target {
            path,
            query: query(uri),
        })
    }
}

/// An encoded slash or backslash could hide a component from whoever looks at the path before
/// us (protocol.md G.2), an encoded NUL cuts names short in C: no client has a use for them.
fn decode(path: &str) -> Result<Vec<u8>, Refused> {
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        if first != b'%' {
            decoded.push(first);
            continue;
        }
        let [high, low, tail @ ..] = rest else {
            return Err(Refused::Escape);
        };
        let digit = |c: u8| (c as char).to_digit(16);
        let (Some(high), Some(low)) = (digit(*high), digit(*low)) else {
            return Err(Refused::Escape);
        };
        rest = tail;
        match (high << 4 | low) as u8 {
            b'/' | b'\\' | 0 => return Err(Refused::Encoded),
            octet => decoded.push(octet),
        }
    }
    Ok(decoded)
}

/// Pairs of a query that is short enough to be iPXE's; a query never decides between 200 and 404.
fn query(uri: &Uri) -> Vec<(String, String)> {
    if uri.query().is_none_or(|q| q.len() > QUERY_LIMIT) {
        return Vec::new();
    }
    // iPXE leaves a plus sign as it is ("440FX%20+%20PIIX"): it is no space here.
    let literal = uri.to_string().replace('+', "%2B");
    let Ok(uri) = literal.parse::<Uri>() else {
        return Vec::new();
    };
    let pairs = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(&uri);
    let Ok(axum::extract::Query(mut pairs)) = pairs else {
        return Vec::new();
    };
    pairs.truncate(PAIRS_LIMIT);
    pairs.retain(|(_, value)| value.len() <= VALUE_LIMIT);
    pairs
}

/// A refused target as an event shows it: printable ASCII, one line, bounded.
pub(super) fn printable(path: &str) -> String {
    let shown: String = path.chars().take(PRINT_LIMIT).collect();
    shown.escape_default().to_string()
}

/// iPXE's own query has seven fields, SMBIOS strings of at most 64 octets each (times three for
/// percent-encoding).
const QUERY_LIMIT: usize = 2048;
const PAIRS_LIMIT: usize = 16;
const VALUE_LIMIT: usize = 256;
const PRINT_LIMIT: usize = 120;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plus_sign_of_ipxe_stays_one() {
        let uri = "/x?product=440FX%20+%20PIIX".parse::<Uri>().expect("a URI");
        assert_eq!(query(&uri)[0].1, "440FX + PIIX");
    }

    #[test]
    fn decoding_happens_once() {
        let cases: [(&str, Result<&[u8], Refused>); 8] = [
            ("/a%20b", Ok(b"/a b")),
            ("/%252e%252e/x", Ok(b"/%2e%2e/x")),
            ("/%2e%2e/x", Ok(b"/../x")),
            ("/..%2fx", Err(Refused::Encoded)),
            ("/..%5Cx", Err(Refused::Encoded)),
            ("/a%00b", Err(Refused::Encoded)),
            ("/100%", Err(Refused::Escape)),
            ("/%zz", Err(Refused::Escape)),
        ];
        for (path, expected) in cases {
            assert_eq!(decode(path).as_deref(), expected.as_deref(), "{path}");
        }
    }

    #[test]
    fn queries_are_bounded() {
        let pairs = |text: &str| query(&text.parse::<Uri>().expect("a URI"));
        assert_eq!(
            pairs("/x?product=Standard%20PC+1&uuid=1"),
            [
                ("product".to_owned(), "Standard PC+1".to_owned()),
                ("uuid".to_owned(), "1".to_owned())
            ]
        );
        assert!(pairs(&format!("/x?serial={}", "a".repeat(257))).is_empty());
        assert!(pairs(&format!("/x?serial={}", "a".repeat(3000))).is_empty());
        assert_eq!(pairs(&format!("/x?{}", "a=1&".repeat(40))).len(), 16);
        assert!(pairs("/x").is_empty());
    }

    #[test]
    fn what_events_show_is_printable() {
        assert_eq!(printable("/a\u{1b}[31m\u{202e}"), "/a\\u{1b}[31m\\u{202e}");
    }
}
