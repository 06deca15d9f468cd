//! What came back, read within its limits.

use crate::client::why;
use crate::{Error, Fault, Request};
use bytes::Bytes;
use reqwest::header::{CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderMap, HeaderName, LAST_MODIFIED};
use reqwest::{Response, StatusCode, Url};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// A successful answer, its body still to be read.
#[derive(Debug)]
pub struct Answer {
    /// HTTP status, 200 to 299.
    pub status: u16,
    /// Where the answer came from, after redirects, without what stands behind `?`.
    pub from: String,
    /// The octet of the file that the body begins with: not 0 only if a resumed download goes on.
    pub begins: u64,
    /// Size of the whole file, as far as the server says.
    pub size: Option<u64>,
    /// Names this version of the file for [`crate::Resume`]: a strong `ETag`, else `Last-Modified`.
    pub validator: Option<String>,
    headers: HeaderMap,
    body: Body,
}

/// A body as it comes.
#[derive(Debug)]
pub struct Body {
    asked: String,
    response: Response,
    got: u64,
    promised: Option<u64>,
    max: u64,
    idle: Duration,
    total: Duration,
    deadline: Instant,
}

impl Answer {
    pub(crate) async fn new(
        asked: String,
        url: Url,
        response: Response,
        request: &Request,
        deadline: Instant,
    ) -> Result<Answer, Error> {
        let status = response.status();
        let headers = response.headers().clone();
        let promised = response.content_length();
        let mut body = Body {
            asked,
            response,
            got: 0,
            promised,
            max: request.limits.body,
            idle: request.limits.idle,
            total: request.limits.total,
            deadline,
        };
        if !status.is_success() {
            return Err(body.refusal(status).await);
        }
        let (begins, size) = match status {
            StatusCode::PARTIAL_CONTENT => body.piece(&headers, request)?,
            _ => (0, promised),
        };
        // A file that is too large is refused before its first octet.
        if size.or(promised).is_some_and(|size| size > body.max) {
            let max = body.max;
            return Err(body.fault(Fault::TooBig(max)));
        }
        body.max = body.max.saturating_sub(begins);
        Ok(Answer {
            status: status.as_u16(),
            from: crate::request::shown(&url),
            begins,
            size,
            validator: validator(&headers),
            headers,
            body,
        })
    }

    /// A header's value.
    pub fn header(&self, name: HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// What the server says the body is.
    pub fn content_type(&self) -> Option<&str> {
        self.header(CONTENT_TYPE)
    }

    /// The body, to be read piece by piece.
    pub fn into_body(self) -> Body {
        self.body
    }

    /// The whole body; for small answers.
    ///
    /// # Errors
    /// Cut off, too slow, too big.
    pub async fn bytes(self) -> Result<Vec<u8>, Error> {
        let mut body = self.body;
        let mut whole = Vec::new();
        while let Some(piece) = body.chunk().await? {
            whole.extend_from_slice(&piece);
        }
        Ok(whole)
    }

    /// The whole body as JSON; an empty one is `null`.
    ///
    /// # Errors
    /// As [`Answer::bytes`], and what is not JSON.
    pub async fn json(self) -> Result<serde_json::Value, Error> {
        let asked = self.body.asked.clone();
        let bytes = self.bytes().await?;
        if bytes.is_empty() {
            return Ok(serde_json::Value::Null);
        }
        serde_json::from_slice(&bytes)
            .map_err(|e| Error::new(asked, Fault::Answer(format!("it is not JSON: {e}"))))
    }
}

impl Body {
    /// The next piece, `None` at the end. The end comes only after everything that was promised.
    ///
    /// # Errors
    /// Cut off, too slow, too big.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        let piece = match timeout_at(self.deadline, self.response.chunk()).await {
            Err(_) => {
                let (what, after) = ("to its end", self.total);
                return Err(self.fault(Fault::Slow { what, after }));
            }
            Ok(Err(e)) if e.is_timeout() => return Err(self.fault(why(&e, self.idle))),
            Ok(Err(_)) => return Err(self.cut()),
            Ok(Ok(piece)) => piece,
        };
        let Some(piece) = piece else {
            return match self.promised {
                Some(promised) if promised != self.got => Err(self.cut()),
                _ => Ok(None),
            };
        };
        self.got += piece.len() as u64;
        match self.got > self.max {
            true => Err(self.fault(Fault::TooBig(self.max))),
            false => Ok(Some(piece)),
        }
    }

    /// The first octet and the size of the file, when the server sends the rest of a resumed download.
    fn piece(&self, headers: &HeaderMap, request: &Request) -> Result<(u64, Option<u64>), Error> {
        let told = headers.get(CONTENT_RANGE).and_then(|v| v.to_str().ok());
        let (begins, size) = told.and_then(content_range).ok_or_else(|| {
            self.fault(Fault::Answer(
                "a piece of a file without saying which".to_owned(),
            ))
        })?;
        match request.resume.as_ref().map(|r| r.offset) {
            Some(wanted) if wanted == begins => Ok((begins, size)),
            _ => Err(self.fault(Fault::Answer(format!(
                "the piece of a file from {begins}, which was not asked for"
            )))),
        }
    }

    /// An error out of what a server that refuses has to say, within reason.
    async fn refusal(&mut self, status: StatusCode) -> Error {
        self.max = self.max.min(64 << 10);
        let mut text = Vec::new();
        while let Ok(Some(piece)) = self.chunk().await {
            text.extend_from_slice(&piece);
        }
        let text = String::from_utf8_lossy(&text);
        self.fault(Fault::Status {
            status: status.as_u16(),
            text: brief(&text),
        })
    }

    fn cut(&self) -> Error {
        self.fault(Fault::Cut {
            got: self.got,
            of: self.promised,
        })
    }

    fn fault(&self, fault: Fault) -> Error {
        Error::new(self.asked.clone(), fault)
    }
}

/// First octet and size out of `bytes 5-9/10`.
fn content_range(text: &str) -> Option<(u64, Option<u64>)> {
    let (range, size) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (first, _) = range.split_once('-')?;
    Some((first.parse().ok()?, size.parse().ok()))
}

/// A weak validator does not promise the same octets, so it cannot join two halves (RFC 9110, 13.1.5).
fn validator(headers: &HeaderMap) -> Option<String> {
    let text = |name| headers.get(name).and_then(|v| v.to_str().ok());
    let strong = text(ETAG).filter(|tag| !tag.starts_with("W/"));
    strong.or_else(|| text(LAST_MODIFIED)).map(str::to_owned)
}

/// The words of an error page: without markup, on one line, not long.
fn brief(text: &str) -> String {
    let mut inside = false;
    let words: String = text
        .chars()
        .filter(|c| {
            let kept = !inside && *c != '<';
            inside = (inside || *c == '<') && *c != '>';
            kept
        })
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
    match words.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}...", &words[..end]),
        None => words,
    }
}

/// A whole Redfish error; errors show only its beginning.
const LONGEST: usize = 4000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        assert_eq!(content_range("bytes 5-9/10"), Some((5, Some(10))));
        assert_eq!(content_range("bytes 5-9/*"), Some((5, None)));
        for bad in ["", "bytes */10", "5-9/10", "bytes x-9/10", "bytes 5/10"] {
            assert_eq!(content_range(bad), None, "{bad}");
        }
    }

    #[test]
    fn error_pages_become_a_line() {
        let page = "<html><h1>Not\n found</h1>\u{7}<p>Sorry";
        assert_eq!(brief(page), "Not found Sorry");
        assert_eq!(brief(&"é".repeat(5000)).chars().count(), LONGEST + 3);
    }
}
