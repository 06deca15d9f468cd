//! Conditional and range requests (RFC 9110 sections 13 and 14), as EDK2's resume and iPXE's
//! `sanboot` need them. Pure.

use bootfiles::SharedFile;
use http::header::{self, HeaderMap, HeaderName};
use http::{HeaderValue, Method};
use jiff::Timestamp;
use jiff::fmt::rfc2822;
use std::time::SystemTime;

/// What a request about an existing file is answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// 200.
    Whole,
    /// 206 with one part.
    Part {
        /// Offset of the first octet.
        start: u64,
        /// How many octets, at least one.
        length: u64,
    },
    /// 304.
    NotModified,
    /// 412.
    Failed,
    /// 416.
    Beyond,
}

/// Goes through the conditions in the order of RFC 9110 13.2.2.
pub(super) fn answer(method: &Method, headers: &HeaderMap, file: &SharedFile) -> Answer {
    decide(
        method,
        headers,
        file.etag(),
        seconds(file.modified()),
        file.len(),
    )
}

/// The headers a client can make conditions with.
pub(super) fn validators(headers: &mut HeaderMap, file: &SharedFile) {
    if let Ok(etag) = HeaderValue::from_str(file.etag()) {
        headers.insert(header::ETAG, etag);
    }
    let date = Timestamp::from_second(seconds(file.modified()))
        .ok()
        .and_then(|at| PRINTER.timestamp_to_rfc9110_string(&at).ok())
        .and_then(|text| HeaderValue::try_from(text).ok());
    if let Some(date) = date {
        headers.insert(header::LAST_MODIFIED, date);
    }
}

fn decide(method: &Method, headers: &HeaderMap, etag: &str, modified: i64, len: u64) -> Answer {
    if let Some(tags) = list(headers, header::IF_MATCH) {
        if !tags.iter().any(|tag| *tag == "*" || *tag == etag) {
            return Answer::Failed;
        }
    } else if date(headers, header::IF_UNMODIFIED_SINCE).is_some_and(|since| modified > since) {
        return Answer::Failed;
    }
    if let Some(tags) = list(headers, header::IF_NONE_MATCH) {
        let weak = |tag: &str| tag.strip_prefix("W/").unwrap_or(tag) == etag;
        if tags.iter().any(|tag| *tag == "*" || weak(tag)) {
            return Answer::NotModified;
        }
    } else if date(headers, header::IF_MODIFIED_SINCE).is_some_and(|since| modified <= since) {
        return Answer::NotModified;
    }
    // Only GET has ranges (RFC 9110 14.2); a repeated header is no valid one.
    let mut ranges = headers.get_all(header::RANGE).iter();
    match (ranges.next(), ranges.next()) {
        (Some(range), None) if method == Method::GET && if_range(headers, etag, modified) => {
            part(range.to_str().unwrap_or(""), len)
        }
        _ => Answer::Whole,
    }
}

/// A stale or unreadable `If-Range` turns the request into one for the whole file.
fn if_range(headers: &HeaderMap, etag: &str, modified: i64) -> bool {
    let Some(value) = headers.get(header::IF_RANGE) else {
        return true;
    };
    let value = value.to_str().unwrap_or("").trim();
    value == etag || date(headers, header::IF_RANGE) == Some(modified)
}

/// One range is honoured. More than one would multiply work for no boot client's benefit, and
/// what is not a range at all is ignored: both get the whole file, as RFC 9110 14.2 allows.
fn part(value: &str, len: u64) -> Answer {
    let Some((unit, spec)) = value.split_once('=') else {
        return Answer::Whole;
    };
    let (Some((first, last)), true) = (
        spec.trim().split_once('-'),
        unit.trim().eq_ignore_ascii_case("bytes"),
    ) else {
        return Answer::Whole;
    };
    match (number(first), number(last)) {
        (Some(first), Some(last)) if first > last => Answer::Whole,
        (Some(_), None) if !last.is_empty() => Answer::Whole,
        (Some(first), _) if first >= len => Answer::Beyond,
        (Some(start), last) => Answer::Part {
            start,
            length: last.unwrap_or(u64::MAX).min(len - 1) - start + 1,
        },
        (None, Some(suffix)) if first.is_empty() => match suffix.min(len) {
            0 => Answer::Beyond,
            length => Answer::Part {
                start: len - length,
                length,
            },
        },
        (None, _) => Answer::Whole,
    }
}

/// Digits only; a number too long for us is as good as the largest.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

/// Entity tags of a list header; `None` when the header is absent. Our own tags are hexadecimal
/// digits in quotes, so a comma inside a foreign tag cannot make it match.
fn list(headers: &HeaderMap, name: HeaderName) -> Option<Vec<&str>> {
    headers.contains_key(&name).then(|| {
        headers
            .get_all(&name)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .map(str::trim)
            .collect()
    })
}

/// Seconds since the epoch of a date header; `None` when absent or unreadable (then it is
/// ignored, RFC 9110 13.1).
fn date(headers: &HeaderMap, name: HeaderName) -> Option<i64> {
    let text = headers.get(name)?.to_str().ok()?;
    Some(PARSER.parse_timestamp(text.trim()).ok()?.as_second())
}

/// Dates in headers have whole seconds, so times are compared as such.
fn seconds(time: SystemTime) -> i64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |d| i64::try_from(d.as_secs()).unwrap_or(i64::MAX))
}

static PRINTER: rfc2822::DateTimePrinter = rfc2822::DateTimePrinter::new();
static PARSER: rfc2822::DateTimeParser = rfc2822::DateTimeParser::new();

#[cfg(test)]
mod tests {
    use super::*;

    const ETAG: &str = "\"abc\"";
    const AT: i64 = 784_111_777; // Sun, 06 Nov 1994 08:49:37 GMT
    const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const EARLIER: &str = "Sun, 06 Nov 1994 08:49:36 GMT";

    fn ask(pairs: &[(&'static str, &str)]) -> Answer {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().expect("a header value"));
        }
        decide(&Method::GET, &headers, ETAG, AT, 1500)
    }

    #[test]
    fn ranges() {
        let part = |start, length| Answer::Part { start, length };
        for (range, expected) in [
            ("bytes=512-1023", part(512, 512)), // H49
            ("bytes=1400-", part(1400, 100)),
            ("bytes=-10", part(1490, 10)),
            ("bytes=0-0", part(0, 1)), // R21
            ("bytes=1499-1499", part(1499, 1)),
            ("bytes=1499-99999999999999999999999", part(1499, 1)),
            ("bytes=-5000", part(0, 1500)),
            ("bytes = 0-1", part(0, 2)),
            ("bytes=-0", Answer::Beyond),
            ("bytes=1500-", Answer::Beyond),
            ("bytes=99999999999999999999999-", Answer::Beyond),
            ("bytes=5-2", Answer::Whole),
            ("bytes=0-1,2-3", Answer::Whole),
            ("bytes=-", Answer::Whole),
            ("bytes=+1-2", Answer::Whole),
            ("bytes=1-x", Answer::Whole),
            ("items=0-1", Answer::Whole),
            ("nonsense", Answer::Whole),
        ] {
            assert_eq!(ask(&[("range", range)]), expected, "{range}");
        }
        let many = format!("bytes={}", "0-,".repeat(200));
        assert_eq!(ask(&[("range", &many)]), Answer::Whole);
        assert_eq!(
            ask(&[("range", "bytes=0-1"), ("range", "bytes=0-1")]),
            Answer::Whole
        );
    }

    #[test]
    fn an_empty_file_has_no_range() {
        for range in ["bytes=0-", "bytes=0-0", "bytes=-1"] {
            assert_eq!(part(range, 0), Answer::Beyond, "{range}");
        }
    }

    #[test]
    fn conditions() {
        let (r, first) = (
            ("range", "bytes=0-9"),
            Answer::Part {
                start: 0,
                length: 10,
            },
        );
        // EDK2's resume (protocol.md E.1).
        assert_eq!(ask(&[r, ("if-match", ETAG)]), first);
        assert_eq!(ask(&[r, ("if-match", "\"x\", \"abc\"")]), first);
        assert_eq!(ask(&[r, ("if-match", "\"old\"")]), Answer::Failed);
        assert_eq!(ask(&[r, ("if-match", "W/\"abc\"")]), Answer::Failed);
        assert_eq!(ask(&[r, ("if-unmodified-since", DATE)]), first);
        assert_eq!(ask(&[r, ("if-unmodified-since", EARLIER)]), Answer::Failed);
        assert_eq!(ask(&[r, ("if-unmodified-since", "yesterday")]), first);
        // If-Match counts, the date beside it does not.
        assert_eq!(
            ask(&[r, ("if-match", ETAG), ("if-unmodified-since", EARLIER)]),
            first
        );
        assert_eq!(ask(&[r, ("if-range", ETAG)]), first);
        assert_eq!(ask(&[r, ("if-range", DATE)]), first);
        assert_eq!(ask(&[r, ("if-range", "\"old\"")]), Answer::Whole);
        assert_eq!(ask(&[r, ("if-range", EARLIER)]), Answer::Whole);
        assert_eq!(ask(&[("if-none-match", "W/\"abc\"")]), Answer::NotModified);
        assert_eq!(
            ask(&[("if-none-match", "\"old\""), ("if-modified-since", DATE)]),
            Answer::Whole
        );
        assert_eq!(ask(&[("if-modified-since", DATE)]), Answer::NotModified);
        assert_eq!(ask(&[("if-modified-since", EARLIER)]), Answer::Whole);
    }

    #[test]
    fn head_has_no_ranges() {
        let mut headers = HeaderMap::new();
        headers.insert("range", HeaderValue::from_static("bytes=0-1"));
        assert_eq!(
            decide(&Method::HEAD, &headers, ETAG, AT, 1500),
            Answer::Whole
        );
    }
}
