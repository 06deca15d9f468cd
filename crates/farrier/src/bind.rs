//! Listening sockets, with errors that name the holder of a taken port.

use crate::net::owner;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tokio::net::{TcpListener, UnixListener, UnixStream};

/// Why we cannot listen.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ListenError {
    /// Somebody else has the port.
    #[error(
        "tcp/{port} is held by {holder}; stop it, or choose another port with '{key}' in the configuration"
    )]
    Taken {
        /// The port.
        port: u16,
        /// Who, as far as we can see.
        holder: String,
        /// The configuration key.
        key: &'static str,
    },
    /// Anything else.
    #[error("cannot listen on {address} ('{key}' in the configuration): {cause}")]
    Other {
        /// The address.
        address: SocketAddr,
        /// The configuration key.
        key: &'static str,
        /// The system's answer.
        cause: io::Error,
    },
    /// A second server on the same data directory.
    #[error(
        "another farrier already serves from this data directory (it answers at {path}); stop it first"
    )]
    Running {
        /// The control socket.
        path: PathBuf,
    },
    /// The control socket cannot be made.
    #[error("cannot make the control socket {path}: {cause}")]
    Control {
        /// Where.
        path: PathBuf,
        /// The system's answer.
        cause: io::Error,
    },
}

/// Listens on TCP.
pub(crate) async fn tcp(
    address: SocketAddr,
    key: &'static str,
) -> Result<TcpListener, ListenError> {
    TcpListener::bind(address)
        .await
        .map_err(|cause| match cause.kind() {
            io::ErrorKind::AddrInUse => {
                let holder = owner::of_tcp_port(address.port());
                let holder = holder.map_or_else(|| "another process".to_owned(), |o| o.to_string());
                ListenError::Taken {
                    port: address.port(),
                    holder,
                    key,
                }
            }
            _ => ListenError::Other {
                address,
                key,
                cause,
            },
        })
}

/// Listens on the control socket: only this user (and root) may connect. A socket left behind by
/// a killed server is removed; a living server is not disturbed.
pub(crate) async fn unix(path: &Path) -> Result<UnixListener, ListenError> {
    if UnixStream::connect(path).await.is_ok() {
        return Err(ListenError::Running {
            path: path.to_owned(),
        });
    }
    let failed = |cause| ListenError::Control {
        path: path.to_owned(),
        cause,
    };
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(failed(e)),
        _ => {}
    }
    // The directory is ours alone (0700), so nobody can connect before the mode is set.
    let listener = UnixListener::bind(path).map_err(failed)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_taken_port_names_its_holder_and_the_key() {
        let first = tcp("127.0.0.1:0".parse().expect("address"), "http.listen")
            .await
            .expect("free");
        let address = first.local_addr().expect("bound");
        let message = tcp(address, "http.listen")
            .await
            .expect_err("taken")
            .to_string();
        assert!(
            message.contains(&format!("(pid {})", std::process::id())),
            "{message}"
        );
        assert!(message.contains("'http.listen'"), "{message}");
    }

    #[tokio::test]
    async fn a_dead_socket_is_replaced_and_a_living_server_is_not() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path().join("control.sock");
        drop(unix(&path).await.expect("first"));
        let living = unix(&path).await.expect("left-over socket replaced");
        let mode = std::fs::metadata(&path)
            .expect("there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        let error = unix(&path).await.expect_err("living");
        assert!(matches!(error, ListenError::Running { .. }), "{error}");
        drop(living);
    }
}
