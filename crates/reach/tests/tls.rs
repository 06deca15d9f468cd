//! Certificates: the system's roots refuse what nobody signed, a pin takes exactly one.

mod common;

use common::{Server, Stream, answer};
use reach::{Allowed, Client, Fault, Pin, Request, Trust};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest, Sha256};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

/// A certificate that signs itself, for a name that is not asked, as controllers have them.
fn certificate(dir: &Path, kind: &[&str]) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
    let (key, cert) = (dir.join("key.pem"), dir.join("cert.pem"));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-nodes", "-days", "2", "-subj", "/CN=idrac"])
        .args(kind)
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&cert)
        .output()
        .expect("openssl runs");
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
    (
        CertificateDer::from_pem_file(cert).expect("a certificate"),
        PrivateKeyDer::from_pem_file(key).expect("a key"),
    )
}

fn serve(
    cert: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> Server {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![cert], key)
        .expect("certificate and key belong together");
    let config = Arc::new(config);
    Server::wrapped(
        |_, out| answer(out, "200 OK", "", "hello"),
        move |stream, http: &mut dyn FnMut(&mut dyn Stream)| {
            let connection =
                rustls::ServerConnection::new(Arc::clone(&config)).expect("a connection");
            let mut stream = rustls::StreamOwned::new(connection, stream);
            http(&mut stream);
            stream.conn.send_close_notify();
            let _ = stream.conn.complete_io(&mut stream.sock);
        },
    )
}

#[tokio::test]
async fn a_pin_takes_one_certificate_and_the_system_none_of_these() {
    let dir = tempfile::tempdir().expect("a directory");
    let client = Client::new(Allowed(vec!["127.0.0.1".parse().expect("address")]));
    let kinds: [(&[&str], &rustls::SupportedProtocolVersion); 2] = [
        (
            &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"],
            &rustls::version::TLS13,
        ),
        (&["-newkey", "rsa:2048"], &rustls::version::TLS12),
    ];
    for (kind, version) in kinds {
        let (cert, key) = certificate(dir.path(), kind);
        let digest = Sha256::digest(cert.as_ref());
        let pin = data_encoding::HEXLOWER.encode(&digest);
        let server = serve(cert, key, &[version]);
        let url = format!("https://127.0.0.1:{}/", server.port);
        let ask = |trust| Request::new(&url).expect("a URL").trust(trust);

        let pinned = Trust::Pinned(pin.parse().expect("a pin"));
        let got = client
            .get(&ask(pinned))
            .await
            .expect("the pinned certificate");
        assert_eq!(got.bytes().await.expect("whole"), b"hello");

        let other: Pin = "00".repeat(32).parse().expect("a pin");
        let error = client
            .get(&ask(Trust::Pinned(other)))
            .await
            .expect_err("another pin");
        assert!(matches!(error.fault, Fault::Certificate(_)), "{error}");
        assert!(
            error
                .to_string()
                .contains(&format!("its certificate is sha256:{pin}")),
            "{error}"
        );

        let error = client
            .get(&ask(Trust::System))
            .await
            .expect_err("nobody signed it");
        assert!(matches!(error.fault, Fault::Certificate(_)), "{error}");
        assert_eq!(
            server.asked().len(),
            1,
            "nothing was asked of a server that is not trusted"
        );
    }
}
