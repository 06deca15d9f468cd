//! Talking to a running server: HTTP over its unix socket, or over the network with a token.

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::io;
use std::path::PathBuf;
use tokio::net::{TcpStream, UnixStream};

/// A server to talk to.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    target: Target,
}

#[derive(Clone, Debug)]
enum Target {
    Socket(PathBuf),
    Remote { host: String, token: String },
}

/// One thing that is wrong in a text that was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Line of the text, from 1.
    pub line: usize,
    /// Column, from 1.
    pub column: usize,
    /// The field, as far as known, and what is wrong with it.
    pub problem: String,
}

/// Why a question got no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// Nobody there.
    #[error(
        "no server answers at {at} ({cause}); is 'farrier serve' running? (--socket, --server and --config say where)"
    )]
    Connect {
        /// Socket path or host.
        at: String,
        /// The system's answer.
        cause: io::Error,
    },
    /// May not.
    #[error(
        "may not use {at}: run this as the user that runs the server (or root), or use --server and --token"
    )]
    Denied {
        /// Socket path.
        at: String,
    },
    /// The connection broke.
    #[error("the server at {at} broke the connection: {cause}")]
    Broken {
        /// Socket path or host.
        at: String,
        /// What happened.
        cause: hyper::Error,
    },
    /// The server said no; its own words.
    #[error("{detail}{}", listed(.faults))]
    Refused {
        /// The answer's status.
        status: StatusCode,
        /// The problem's detail.
        detail: String,
        /// What is wrong where in the text that was sent.
        faults: Vec<Fault>,
    },
    /// Not an answer of ours.
    #[error("{at} answered something that is not Farrier's API: {detail}")]
    Strange {
        /// Socket path or host.
        at: String,
        /// What was strange.
        detail: String,
    },
    /// A URL we cannot use.
    #[error(
        "'{0}' is not a server address; expected http://HOST:PORT (TLS is not spoken here: tunnel it)"
    )]
    Url(String),
}

impl Fault {
    /// From an answer of the API.
    pub(crate) fn read(error: &Value) -> Fault {
        let number = |key: &str| error[key].as_u64().and_then(|n| usize::try_from(n).ok());
        let problem = error["problem"].as_str().unwrap_or_default();
        let problem = match error["field"].as_str() {
            None | Some("") => problem.to_owned(),
            Some(field) => format!("{field}: {problem}"),
        };
        Fault {
            line: number("line").unwrap_or(1),
            column: number("column").unwrap_or(1),
            problem,
        }
    }
}

fn listed(faults: &[Fault]) -> String {
    let line = |f: &Fault| format!("\n  {}:{}: {}", f.line, f.column, f.problem);
    faults.iter().map(line).collect()
}

impl Client {
    /// The server on this host.
    pub(crate) fn local(socket: PathBuf) -> Self {
        Client {
            target: Target::Socket(socket),
        }
    }

    /// A server elsewhere.
    ///
    /// # Errors
    /// When the URL is not `http://host[:port]`.
    pub(crate) fn remote(url: &str, token: String) -> Result<Self, ClientError> {
        let host = url.strip_prefix("http://").map(|h| h.trim_end_matches('/'));
        match host {
            Some(host) if !host.is_empty() && !host.contains(['/', '@', ' ']) => {
                let host = if host.contains(':') {
                    host.to_owned()
                } else {
                    format!("{host}:80")
                };
                Ok(Client {
                    target: Target::Remote { host, token },
                })
            }
            _ => Err(ClientError::Url(url.to_owned())),
        }
    }

    /// Asks for JSON.
    pub(crate) async fn get(&self, path: &str) -> Result<Value, ClientError> {
        self.json(Method::GET, path, None, "application/json").await
    }

    /// Sends JSON, or nothing, and reads JSON back.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, ClientError> {
        let body = body.map(|b| Bytes::from(b.to_string()));
        self.json(method, path, body, "application/json").await
    }

    /// Sends a text of this media type and reads JSON back.
    pub(crate) async fn send_text(
        &self,
        path: &str,
        text: String,
        kind: &str,
    ) -> Result<Value, ClientError> {
        self.json(Method::POST, path, Some(text.into()), kind).await
    }

    /// Sends octets and reads JSON back.
    pub(crate) async fn put_octets(&self, path: &str, octets: Bytes) -> Result<Value, ClientError> {
        let kind = "application/octet-stream";
        self.json(Method::PUT, path, Some(octets), kind).await
    }

    /// Asks for text.
    pub(crate) async fn get_text(&self, path: &str) -> Result<String, ClientError> {
        let body = self.request(Method::GET, path, None, "", "*/*").await?;
        let bytes = self.collect(body).await?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Asks for a stream of JSON lines; call [`Lines::next`] for each.
    pub(crate) async fn lines(&self, path: &str) -> Result<Lines, ClientError> {
        let body = self
            .request(Method::GET, path, None, "", "application/x-ndjson")
            .await?;
        Ok(Lines {
            body,
            held: Vec::new(),
        })
    }

    async fn json(
        &self,
        method: Method,
        path: &str,
        body: Option<Bytes>,
        kind: &str,
    ) -> Result<Value, ClientError> {
        let body = self
            .request(method, path, body, kind, "application/json")
            .await?;
        let bytes = self.collect(body).await?;
        if bytes.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&bytes).map_err(|e| ClientError::Strange {
            at: self.at(),
            detail: e.to_string(),
        })
    }

    async fn collect(&self, body: Incoming) -> Result<Bytes, ClientError> {
        let collected = body.collect().await;
        Ok(collected
            .map_err(|cause| ClientError::Broken {
                at: self.at(),
                cause,
            })?
            .to_bytes())
    }

    async fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<Bytes>,
        kind: &str,
        accept: &str,
    ) -> Result<Incoming, ClientError> {
        let broken = |cause| ClientError::Broken {
            at: self.at(),
            cause,
        };
        let mut request = Request::builder()
            .method(method)
            .uri(format!("/api/v1{path}"))
            .header(header::HOST, self.host())
            .header(header::ACCEPT, accept);
        if let Target::Remote { token, .. } = &self.target {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, kind);
        }
        let request = request
            .body(Full::new(body.unwrap_or_default()))
            .map_err(|e| ClientError::Strange {
                at: self.at(),
                detail: e.to_string(),
            })?;

        let response = match &self.target {
            Target::Socket(path) => {
                let stream = UnixStream::connect(path)
                    .await
                    .map_err(|e| self.no_connection(e))?;
                exchange(stream, request).await.map_err(broken)?
            }
            Target::Remote { host, .. } => {
                let stream = TcpStream::connect(host)
                    .await
                    .map_err(|e| self.no_connection(e))?;
                exchange(stream, request).await.map_err(broken)?
            }
        };
        let status = response.status();
        if status.is_success() {
            return Ok(response.into_body());
        }
        let bytes = self.collect(response.into_body()).await?;
        let problem: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        let said = problem["detail"]
            .as_str()
            .or(problem["title"].as_str())
            .map(str::to_owned);
        let detail = said.unwrap_or_else(|| format!("{} answered {status}", self.at()));
        let errors = problem["errors"].as_array().into_iter().flatten();
        Err(ClientError::Refused {
            status,
            detail,
            faults: errors.map(Fault::read).collect(),
        })
    }

    fn no_connection(&self, cause: io::Error) -> ClientError {
        match cause.kind() {
            io::ErrorKind::PermissionDenied => ClientError::Denied { at: self.at() },
            _ => ClientError::Connect {
                at: self.at(),
                cause,
            },
        }
    }

    fn at(&self) -> String {
        match &self.target {
            Target::Socket(path) => path.display().to_string(),
            Target::Remote { host, .. } => host.clone(),
        }
    }

    fn host(&self) -> &str {
        match &self.target {
            Target::Socket(_) => "localhost",
            Target::Remote { host, .. } => host,
        }
    }
}

async fn exchange<S>(
    stream: S,
    request: Request<Full<Bytes>>,
) -> Result<http::Response<Incoming>, hyper::Error>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
{
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    // Lives as long as the response body is read; its error reaches us through the body.
    tokio::spawn(connection);
    sender.send_request(request).await
}

/// A stream of JSON lines.
pub(crate) struct Lines {
    body: Incoming,
    held: Vec<u8>,
}

impl Lines {
    /// The next line, or `None` when the server ended the stream.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.held.iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = self.held.drain(..=end).collect();
                match serde_json::from_slice(&line) {
                    Ok(value) => return Some(value),
                    // An empty line keeps the connection alive.
                    Err(_) => continue,
                }
            }
            let frame = self.body.frame().await?.ok()?;
            if let Ok(data) = frame.into_data() {
                self.held.extend_from_slice(&data);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn no_server_says_where_it_looked_and_what_to_do() {
        let error = Client::local("/nonexistent/control.sock".into())
            .get("/status")
            .await
            .expect_err("nobody");
        let message = error.to_string();
        assert!(message.contains("/nonexistent/control.sock"), "{message}");
        assert!(message.contains("farrier serve"), "{message}");
    }

    #[test]
    fn server_addresses() {
        for good in ["http://10.0.0.2:8080", "http://boot/"] {
            assert!(Client::remote(good, String::new()).is_ok(), "{good}");
        }
        for bad in [
            "https://10.0.0.2",
            "10.0.0.2:8080",
            "http://",
            "http://a@b",
            "http://a/b",
        ] {
            assert!(Client::remote(bad, String::new()).is_err(), "{bad}");
        }
    }
}
