//! The one way out: resolve, check, connect to what was checked, follow redirects by hand.

use crate::error::root;
use crate::request::{parse, shown};
use crate::{Allowed, Answer, Error, Fault, Request, Trust, Zone, trust};
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue, IF_RANGE, LOCATION, RANGE};
use reqwest::{Method, Response, Url};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::time::{Instant, timeout, timeout_at};

/// Asks others, within the operator's list. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    allowed: Allowed,
    /// The system's roots take a while to read: once, when first needed.
    system: OnceLock<rustls::ClientConfig>,
}

impl Client {
    /// A client that may ask the Internet, and beyond it what `allowed` names.
    pub fn new(allowed: Allowed) -> Client {
        Client(Arc::new(Inner {
            allowed,
            system: OnceLock::new(),
        }))
    }

    /// Asks for a file or a document; redirects are followed, each checked like the first URL.
    ///
    /// # Errors
    /// Anything but a success; see [`Fault`].
    pub async fn get(&self, request: &Request) -> Result<Answer, Error> {
        let deadline = Instant::now() + request.limits.total;
        let mut url = request.url.clone();
        let mut left = request.limits.redirects;
        // Bounded by `left`.
        loop {
            let asked = format!("GET {}", shown(&url));
            let response = self.ask(Method::GET, &url, request, None, deadline).await?;
            if !is_redirect(&response) {
                return Answer::new(asked, url, response, request, deadline).await;
            }
            let next = follow(&asked, &url, &response, request)?;
            left = left
                .checked_sub(1)
                .ok_or_else(|| Error::new(asked, Fault::Redirects(request.limits.redirects)))?;
            url = next;
        }
    }

    /// Posts a body. Redirects are not followed: what is posted may be a secret.
    ///
    /// # Errors
    /// Anything but a success.
    pub async fn post(
        &self,
        request: &Request,
        body: impl Into<bytes::Bytes>,
    ) -> Result<Answer, Error> {
        self.send(Method::POST, request, body.into()).await
    }

    /// Posts JSON, as [`Client::post`].
    ///
    /// # Errors
    /// Anything but a success.
    pub async fn post_json(
        &self,
        request: &Request,
        body: &serde_json::Value,
    ) -> Result<Answer, Error> {
        self.send(Method::POST, &as_json(request), body.to_string().into())
            .await
    }

    /// Changes a resource by JSON, as [`Client::post`].
    ///
    /// # Errors
    /// Anything but a success.
    pub async fn patch_json(
        &self,
        request: &Request,
        body: &serde_json::Value,
    ) -> Result<Answer, Error> {
        self.send(Method::PATCH, &as_json(request), body.to_string().into())
            .await
    }

    async fn send(
        &self,
        method: Method,
        request: &Request,
        body: bytes::Bytes,
    ) -> Result<Answer, Error> {
        let deadline = Instant::now() + request.limits.total;
        let asked = format!("{method} {}", request.shown());
        let response = self
            .ask(method, &request.url, request, Some(body), deadline)
            .await?;
        match response.headers().get(LOCATION) {
            Some(to) if is_redirect(&response) => Err(Error::new(
                asked,
                Fault::Moved {
                    status: response.status().as_u16(),
                    to: request
                        .url
                        .join(to.to_str().unwrap_or_default())
                        .map_or_else(|_| "nowhere".to_owned(), |to| shown(&to)),
                    why: "what is sent with this method is not sent on; enter that URL if it is right",
                },
            )),
            _ => Answer::new(asked, request.url.clone(), response, request, deadline).await,
        }
    }

    /// One question to one URL: everything that is checked is checked here.
    async fn ask(
        &self,
        method: Method,
        url: &Url,
        request: &Request,
        body: Option<bytes::Bytes>,
        deadline: Instant,
    ) -> Result<Response, Error> {
        let asked = format!("{method} {}", shown(url));
        let fault = |fault| Error::new(asked.clone(), fault);
        let addresses = self.addresses(url, request).await.map_err(&fault)?;
        let client = self
            .connection(url, request, &addresses)
            .await
            .map_err(&fault)?;
        let mut question = client
            .request(method, url.clone())
            .headers(headers(request));
        if let Some(login) = &request.login {
            question = question.basic_auth(&login.user, Some(&login.password));
        }
        if let Some(body) = body {
            question = question.body(body);
        }
        let answer = timeout_at(deadline, question.send()).await.map_err(|_| {
            fault(Fault::Slow {
                what: "to the question",
                after: request.limits.total,
            })
        })?;
        let response = answer.map_err(|e| fault(why(&e, request.limits.idle)))?;
        // What was connected to is what was checked; this says so even if a library changes its mind.
        match response.remote_addr() {
            Some(peer) => self.check(url, peer.ip(), request.zone).map_err(fault)?,
            None => return Err(fault(Fault::Connect("nobody says with whom".to_owned()))),
        }
        Ok(response)
    }

    /// The addresses of a URL's host, all of them good.
    async fn addresses(&self, url: &Url, request: &Request) -> Result<Vec<SocketAddr>, Fault> {
        let host = url.host_str().unwrap_or_default();
        let port = url.port_or_known_default().unwrap_or(80);
        let literal = host.trim_start_matches('[').trim_end_matches(']');
        let addresses: Vec<SocketAddr> = match literal.parse::<IpAddr>() {
            Ok(address) => vec![SocketAddr::new(address, port)],
            Err(_) => {
                let found = timeout(
                    request.limits.connect,
                    tokio::net::lookup_host((host, port)),
                )
                .await;
                let found = found.map_err(|_| Fault::Slow {
                    what: "from the name service",
                    after: request.limits.connect,
                })?;
                let found = found.map_err(|e| Fault::Name {
                    host: host.to_owned(),
                    why: e.to_string(),
                })?;
                found.collect()
            }
        };
        if addresses.is_empty() {
            return Err(Fault::Name {
                host: host.to_owned(),
                why: "the answer is empty".to_owned(),
            });
        }
        // One bad address is enough: a name that is half ours is not used at all.
        for address in &addresses {
            self.check(url, address.ip(), request.zone)?;
        }
        Ok(addresses)
    }

    fn check(&self, url: &Url, address: IpAddr, zone: Zone) -> Result<(), Fault> {
        self.0
            .allowed
            .check(address, zone)
            .map_err(|kind| Fault::Refused {
                host: url.host_str().unwrap_or_default().to_owned(),
                address,
                kind,
            })
    }

    /// A client that can reach `addresses` under the URL's name and nothing else.
    async fn connection(
        &self,
        url: &Url,
        request: &Request,
        addresses: &[SocketAddr],
    ) -> Result<reqwest::Client, Fault> {
        reqwest::Client::builder()
            .tls_backend_preconfigured(self.tls(request.trust).await?)
            .resolve_to_addrs(url.host_str().unwrap_or_default(), addresses)
            .dns_resolver(NoOtherName)
            // A proxy would resolve the name again, behind our back.
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .connect_timeout(request.limits.connect)
            .read_timeout(request.limits.idle)
            .user_agent(concat!("Farrier/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|e| Fault::Connect(root(&e)))
    }

    async fn tls(&self, trust: Trust) -> Result<rustls::ClientConfig, Fault> {
        if let (Trust::System, Some(config)) = (trust, self.0.system.get()) {
            return Ok(config.clone());
        }
        // Reads the system's roots from files.
        let made = tokio::task::spawn_blocking(move || trust::config(trust)).await;
        let config = made
            .unwrap_or_else(|e| Err(e.to_string()))
            .map_err(Fault::Certificate)?;
        if trust == Trust::System {
            let _ = self.0.system.set(config.clone());
        }
        Ok(config)
    }
}

/// Only the names given beforehand exist.
struct NoOtherName;

impl reqwest::dns::Resolve for NoOtherName {
    fn resolve(&self, name: reqwest::dns::Name) -> reqwest::dns::Resolving {
        let refused = format!("the name {} was not checked", name.as_str());
        Box::pin(std::future::ready(Err(refused.into())))
    }
}

fn as_json(request: &Request) -> Request {
    let json = HeaderValue::from_static("application/json");
    request
        .clone()
        .header(CONTENT_TYPE, json.clone())
        .header(ACCEPT, json)
}

fn headers(request: &Request) -> HeaderMap {
    let mut headers: HeaderMap = request.headers.iter().cloned().collect();
    let Some(resume) = request.resume.as_ref().filter(|r| r.offset > 0) else {
        return headers;
    };
    // Without a validator that can be sent, the whole file is asked for.
    if let (Ok(range), Ok(validator)) = (
        HeaderValue::from_str(&format!("bytes={}-", resume.offset)),
        HeaderValue::from_str(&resume.validator),
    ) {
        headers.insert(RANGE, range);
        headers.insert(IF_RANGE, validator);
    }
    headers
}

fn is_redirect(response: &Response) -> bool {
    matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308)
}

fn follow(asked: &str, from: &Url, response: &Response, request: &Request) -> Result<Url, Error> {
    let status = response.status().as_u16();
    let location = response
        .headers()
        .get(LOCATION)
        .and_then(|l| l.to_str().ok());
    let next = location.and_then(|l| from.join(l).ok());
    let Some(next) = next else {
        let fault = Fault::Answer(format!("{status} without a usable Location"));
        return Err(Error::new(asked, fault));
    };
    let moved = |why| {
        let to = shown(&next);
        Error::new(asked, Fault::Moved { status, to, why })
    };
    parse(next.as_str()).map_err(|_| moved("that is no URL that can be asked"))?;
    if request.login.is_some() {
        return Err(moved(
            "a password is not sent on; enter that URL if it is right",
        ));
    }
    if from.scheme() == "https" && next.scheme() == "http" {
        return Err(moved("it would lose the protection of TLS"));
    }
    if matches!(request.trust, Trust::Pinned(_)) && from.host_str() != next.host_str() {
        return Err(moved("the certificate is pinned for the first host only"));
    }
    Ok(next)
}

/// What reqwest's error means to a person.
pub(crate) fn why(error: &reqwest::Error, idle: Duration) -> Fault {
    let root = root(error);
    match () {
        () if error.is_timeout() && error.is_connect() => {
            Fault::Connect("no answer to the connection".to_owned())
        }
        () if error.is_timeout() => Fault::Slow {
            what: "came any further",
            after: idle,
        },
        () if root.contains("certificate") => Fault::Certificate(certificate(&root)),
        () if error.is_connect() => Fault::Connect(root),
        () => Fault::Answer(root),
    }
}

fn certificate(root: &str) -> String {
    let told = root.split("Other(OtherError(").last().unwrap_or(root);
    format!(
        "the server's certificate is not trusted ({told}); let it show one that this host's system trusts, or pin it"
    )
}
