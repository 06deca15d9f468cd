//! IPMI over LAN through the program `ipmitool`.

use super::PowerError;
use bootplan::{Ipmi, PowerAction, PowerState};
use std::io::ErrorKind;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::time::timeout;

/// Runs the program once or twice. The password goes by its standard input: everybody can read the
/// arguments of a process, and its environment stands in /proc for as long as it runs.
pub(super) async fn act(
    program: &Path,
    ipmi: &Ipmi,
    password: &str,
    action: PowerAction,
) -> Result<Option<PowerState>, PowerError> {
    let run = async |words: &[&str]| run(program, ipmi, password, words).await;
    match action {
        PowerAction::Status => state(ipmi, &run(&["chassis", "power", "status"]).await?).map(Some),
        PowerAction::On => run(&["chassis", "power", "on"]).await.map(|_| None),
        PowerAction::Off => run(&["chassis", "power", "off"]).await.map(|_| None),
        PowerAction::Restart => {
            // A cycle of what is off is an error.
            let before = state(ipmi, &run(&["chassis", "power", "status"]).await?)?;
            let word = if before == PowerState::Off {
                "on"
            } else {
                "cycle"
            };
            run(&["chassis", "power", word]).await.map(|_| None)
        }
        PowerAction::NextBootPxe => run(&["chassis", "bootdev", "pxe"]).await.map(|_| None),
        PowerAction::NextBootHttp | PowerAction::Wake => Err(PowerError::NoWay { action }),
    }
}

fn state(ipmi: &Ipmi, said: &str) -> Result<PowerState, PowerError> {
    match said.trim().to_ascii_lowercase() {
        said if said.ends_with(" is on") => Ok(PowerState::On),
        said if said.ends_with(" is off") => Ok(PowerState::Off),
        said => Err(failed(ipmi, format!("it said neither on nor off: {said}"))),
    }
}

async fn run(
    program: &Path,
    ipmi: &Ipmi,
    password: &str,
    words: &[&str],
) -> Result<String, PowerError> {
    let port = ipmi.port.to_string();
    let mut command = Command::new(program);
    command
        .args([
            "-I", "lanplus", "-N", "3", "-R", "2", "-H", &ipmi.host, "-p", &port,
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .env_clear()
        .env("LC_ALL", "C")
        .kill_on_drop(true);
    if let Some(path) = std::env::var_os("PATH") {
        command.env("PATH", path);
    }
    if !ipmi.user.is_empty() {
        command.args(["-U", &ipmi.user]);
    }
    command.args(["-f", "/dev/stdin"]).args(words);
    let mut child = command.spawn().map_err(|cause| match cause.kind() {
        ErrorKind::NotFound => PowerError::NoIpmitool(program.to_owned()),
        _ => PowerError::System {
            doing: "start ipmitool",
            cause,
        },
    })?;
    if let Some(mut stdin) = child.stdin.take() {
        // Far less than a pipe holds. One that ends without having read it says why itself.
        let _ = stdin.write_all(format!("{password}\n").as_bytes()).await;
    }
    let ended = timeout(LIMIT, child.wait_with_output()).await;
    let ended =
        ended.map_err(|_| failed(ipmi, format!("no answer within {} s", LIMIT.as_secs())))?;
    let ended = ended.map_err(|cause| PowerError::System {
        doing: "wait for ipmitool",
        cause,
    })?;
    if ended.status.success() {
        return Ok(String::from_utf8_lossy(&ended.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&ended.stderr);
    let said: String = said
        .lines()
        .map(str::trim)
        .filter(|l| !l.is_empty())
        .collect::<Vec<_>>()
        .join("; ");
    let said = match said.is_empty() {
        true => format!("it ended with {}", ended.status),
        false => said.chars().take(300).collect(),
    };
    Err(failed(ipmi, said))
}

fn failed(ipmi: &Ipmi, said: String) -> PowerError {
    let host = ipmi.host.clone();
    PowerError::Ipmi { host, said }
}

/// Three tries of three seconds for each of the sessions it opens.
const LIMIT: Duration = Duration::from_secs(30);
