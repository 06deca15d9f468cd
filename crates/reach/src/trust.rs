//! Which certificate a server must show.

use data_encoding::HEXLOWER_PERMISSIVE;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use sha2::{Digest, Sha256};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// What makes a server's certificate good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Trust {
    /// Signed by an authority that this host's system trusts, for the name that was asked.
    #[default]
    System,
    /// Exactly this one: controllers sign their own, with any name and age.
    Pinned(Pin),
}

/// SHA-256 of a certificate (DER), written `sha256:` and 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Pin([u8; 32]);

/// A text that is no pin.
#[derive(Debug, thiserror::Error)]
#[error(
    "'{0}' is no pin; write sha256: and 64 hexadecimal digits, as `openssl x509 -noout -fingerprint -sha256` prints them"
)]
pub struct BadPin(String);

impl FromStr for Pin {
    type Err = BadPin;

    fn from_str(text: &str) -> Result<Pin, BadPin> {
        let digits = text
            .strip_prefix("sha256:")
            .unwrap_or(text)
            .replace(':', "");
        let octets = HEXLOWER_PERMISSIVE.decode(digits.as_bytes()).ok();
        let octets = octets.and_then(|octets| <[u8; 32]>::try_from(octets).ok());
        octets.map(Pin).ok_or_else(|| BadPin(text.to_owned()))
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", HEXLOWER_PERMISSIVE.encode(&self.0))
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// How TLS is spoken with a server that is trusted by `trust`.
///
/// # Errors
/// A text for people, when the system has no usable roots.
pub(crate) fn config(trust: Trust) -> Result<ClientConfig, String> {
    let provider = Arc::new(ring::default_provider());
    let verifier: Arc<dyn ServerCertVerifier> = match trust {
        Trust::System => system(&provider)?,
        Trust::Pinned(pin) => Arc::new(Pinned {
            pin,
            provider: Arc::clone(&provider),
        }),
    };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?;
    Ok(builder
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth())
}

fn system(provider: &Arc<CryptoProvider>) -> Result<Arc<WebPkiServerVerifier>, String> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        return Err(
            "this host trusts no certificate authority; install the package ca-certificates, or pin the server's certificate"
                .to_owned(),
        );
    }
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
        .build()
        .map_err(|e| e.to_string())
}

/// Takes one certificate, whoever signed it; that the server holds its key is still proved.
#[derive(Debug)]
struct Pinned {
    pin: Pin,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let shown = Pin(Sha256::digest(end_entity.as_ref()).into());
        if shown == self.pin {
            return Ok(ServerCertVerified::assertion());
        }
        let other = std::io::Error::other(format!(
            "its certificate is {shown}, not the pinned {}",
            self.pin
        ));
        Err(CertificateError::Other(rustls::OtherError(Arc::new(other))).into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            cert,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            cert,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pins_are_read_as_openssl_prints_them() {
        let hex = "ab".repeat(32);
        let colons = vec!["AB"; 32].join(":");
        for text in [format!("sha256:{hex}"), format!("sha256:{colons}"), colons] {
            assert_eq!(
                text.parse::<Pin>().expect(&text).to_string(),
                format!("sha256:{hex}")
            );
        }
        for text in ["", "sha256:", "sha256:abcd", "sha1:abcd", &"zz".repeat(32)] {
            assert!(text.parse::<Pin>().is_err(), "{text}");
        }
    }
}
