//! Power switches: Redfish against sushy-tools, IPMI against a program that writes down what it is given.

mod common;

use bootplan::{Ipmi, Power, PowerAction, PowerState, Redfish};
use common::{Server, answer};
use reach::power::{PowerError, Switches, Target};
use reach::{Allowed, Client, Request, Zone};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

fn here() -> Client {
    Client::new(Allowed(vec!["127.0.0.1".parse().expect("address")]))
}

fn redfish(url: &str) -> Power {
    let redfish = Redfish {
        url: url.to_owned(),
        user: "admin".to_owned(),
        password_secret: "power.bmc".to_owned(),
        tls_pin: None,
    };
    Power {
        redfish: Some(redfish),
        ..Power::default()
    }
}

async fn act(power: &Power, action: PowerAction) -> Result<Option<PowerState>, PowerError> {
    let target = Target {
        power,
        macs: &[],
        uuid: Some(
            "27946b59-9e44-4fa7-8e91-f3527a1ef095"
                .parse()
                .expect("a UUID"),
        ),
        lans: &[],
    };
    let password = |name: &str| (name == "power.bmc").then(|| "hunter2".to_owned());
    Switches::new(here(), "ipmitool")
        .act(&target, action, &password)
        .await
}

/// OpenStack's Redfish emulator with its fake machines, behind a password.
struct Sushy {
    process: Child,
    url: String,
    _dir: tempfile::TempDir,
}

impl Drop for Sushy {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Sushy {
    async fn start() -> Sushy {
        let bin = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.lab/sushy/bin");
        let dir = tempfile::tempdir().expect("a directory");
        let hashed = Command::new(bin.join("python3"))
            .args([
                "-c",
                "import bcrypt; print(bcrypt.hashpw(b'hunter2', bcrypt.gensalt(4)).decode())",
            ])
            .output()
            .expect("sushy-tools is here: deploy/setup.sh test installs it into .lab/sushy");
        assert!(
            hashed.status.success(),
            "{}",
            String::from_utf8_lossy(&hashed.stderr)
        );
        let hashed = String::from_utf8(hashed.stdout).expect("text");
        let auth = dir.path().join("auth");
        std::fs::write(&auth, format!("admin:{hashed}")).expect("written");
        let port = {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
            listener.local_addr().expect("bound").port()
        };
        let config = dir.path().join("sushy.conf");
        let systems: String = (4..=5)
            .map(|n| format!("{{'uuid': '27946b59-9e44-4fa7-8e91-f3527a1ef09{n}', 'name': 'fake{n}', 'power_state': 'Off', 'external_notifier': False, 'nics': []}},"))
            .collect();
        let text = format!(
            "SUSHY_EMULATOR_FAKE_SYSTEMS = [{systems}]\nSUSHY_EMULATOR_AUTH_FILE = '{}'\nSUSHY_EMULATOR_STATE_DIR = '{}'\n",
            auth.display(),
            dir.path().display()
        );
        std::fs::write(&config, text).expect("written");
        let process = Command::new(bin.join("sushy-emulator"))
            .args([
                "--fake",
                "-i",
                "127.0.0.1",
                "-p",
                &port.to_string(),
                "--config",
            ])
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(dir.path().join("log")).expect("a log"))
            .spawn()
            .expect("sushy-emulator runs");
        let sushy = Sushy {
            process,
            url: format!("http://127.0.0.1:{port}"),
            _dir: dir,
        };
        let root = Request::new(&format!("{}/redfish/v1/", sushy.url)).expect("a URL");
        for _ in 0..300 {
            if here().get(&root).await.is_ok() {
                return sushy;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let log = std::fs::read_to_string(sushy._dir.path().join("log")).unwrap_or_default();
        panic!("sushy-emulator does not answer: {log}");
    }

    /// What the emulator itself says of the machine, read without our code for Redfish.
    async fn says(&self, n: u8) -> serde_json::Value {
        let url = format!(
            "{}/redfish/v1/Systems/27946b59-9e44-4fa7-8e91-f3527a1ef09{n}",
            self.url
        );
        let login = reach::Login {
            user: "admin".into(),
            password: "hunter2".into(),
        };
        let request = Request::new(&url)
            .expect("a URL")
            .login(login)
            .zone(Zone::Site);
        here()
            .get(&request)
            .await
            .expect("said")
            .json()
            .await
            .expect("json")
    }

    /// Waits until its power is that: the fake driver takes up to eleven seconds, as hardware does.
    async fn comes_to(&self, n: u8, state: &str) {
        for _ in 0..300 {
            if self.says(n).await["PowerState"] == state {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("machine {n} is not {state}: {}", self.says(n).await);
    }
}

#[tokio::test]
async fn redfish_switches_and_boots_once() {
    let sushy = Sushy::start().await;
    // The controller has two systems: the machine's UUID says which.
    let power = redfish(&sushy.url);
    assert_eq!(
        act(&power, PowerAction::Status).await.expect("asked"),
        Some(PowerState::Off)
    );
    act(&power, PowerAction::NextBootPxe).await.expect("told");
    let boot = sushy.says(5).await["Boot"].clone();
    assert_eq!(boot["BootSourceOverrideTarget"], "Pxe", "{boot}");
    act(&power, PowerAction::On).await.expect("told");
    sushy.comes_to(5, "On").await;
    assert_eq!(
        act(&power, PowerAction::Status).await.expect("asked"),
        Some(PowerState::On)
    );
    // The other one was left alone.
    let other = sushy.says(4).await;
    assert_eq!(
        (
            &other["PowerState"],
            &other["Boot"]["BootSourceOverrideTarget"]
        ),
        (&"Off".into(), &"Hdd".into())
    );
    act(&power, PowerAction::Restart).await.expect("told");
    sushy.comes_to(5, "On").await;
    act(&power, PowerAction::Off).await.expect("told");
    sushy.comes_to(5, "Off").await;

    // A system named in the URL is that one.
    let named = redfish(&format!(
        "{}/redfish/v1/Systems/27946b59-9e44-4fa7-8e91-f3527a1ef094",
        sushy.url
    ));
    act(&named, PowerAction::On).await.expect("told");
    sushy.comes_to(4, "On").await;
    assert_eq!(sushy.says(5).await["PowerState"], "Off");

    let mut wrong = power.clone();
    wrong.redfish.as_mut().expect("redfish").user = "root".to_owned();
    let error = act(&wrong, PowerAction::On)
        .await
        .expect_err("wrong user")
        .to_string();
    assert!(
        error.contains("answered 401") && error.contains("(check user and password)"),
        "{error}"
    );
    assert!(!error.contains("hunter2"), "{error}");
}

/// What real controllers do and the emulator does not.
#[tokio::test]
async fn redfish_of_all_makers() {
    let server = Server::start(|asked, out| {
        let system = r##"{"PowerState": "On", "Actions": {"#ComputerSystem.Reset": {"target": "/reset",
            "ResetType@Redfish.AllowableValues": ["On", "GracefulShutdown", "PowerCycle"]}},
            "Boot": {"BootSourceOverrideTarget@Redfish.AllowableValues": ["None", "Hdd", "Pxe"]}}"##;
        match asked.path() {
            "/redfish/v1/Systems" => answer(
                out,
                "200 OK",
                "",
                r#"{"Members": [{"@odata.id": "/redfish/v1/Systems/Self"}]}"#,
            ),
            "/redfish/v1/Systems/Self"
                if asked.head.starts_with("PATCH") && asked.header("if-match") != Some("\"7\"") =>
            {
                answer(
                    out,
                    "428 Precondition Required",
                    "",
                    r#"{"error": {"message": "no version"}}"#,
                );
            }
            "/redfish/v1/Systems/Self" => answer(out, "200 OK", "ETag: \"7\"\r\n", system),
            "/redfish/v1/Systems/Bare" => {
                answer(out, "200 OK", "", r#"{"PowerState": "PoweringOn"}"#)
            }
            "/redfish/v1/Systems/Trap" => answer(
                out,
                "200 OK",
                "",
                r##"{"Actions": {"#ComputerSystem.Reset": {"target": "http://127.0.0.2/reset"}}}"##,
            ),
            "/reset" if asked.body.contains("GracefulShutdown") => {
                answer(
                    out,
                    "400 Bad Request",
                    "",
                    r#"{"error": {"@Message.ExtendedInfo": [{"Message": "The host is busy."}]}}"#,
                );
            }
            "/reset" => answer(out, "204 No Content", "", ""),
            path => answer(out, "404 Not Found", "", path),
        }
    });
    let power = redfish(&server.url(""));
    act(&power, PowerAction::Restart).await.expect("told");
    act(&power, PowerAction::NextBootPxe)
        .await
        .expect("told with the version");
    let asked = server.asked();
    let told: Vec<&str> = asked
        .iter()
        .filter(|a| !a.body.is_empty())
        .map(|a| a.body.as_str())
        .collect();
    assert_eq!(
        told,
        [
            r#"{"ResetType":"PowerCycle"}"#,
            r#"{"Boot":{"BootSourceOverrideEnabled":"Once","BootSourceOverrideTarget":"Pxe"}}"#
        ]
    );
    for (path, action, expected) in [
        ("", PowerAction::Off, "answered 400: The host is busy."),
        (
            "",
            PowerAction::NextBootHttp,
            "cannot boot from UefiHttp once, only from None, Hdd, Pxe",
        ),
        (
            "/redfish/v1/Systems/Bare",
            PowerAction::On,
            "offers no Reset",
        ),
        (
            "/redfish/v1/Systems/Trap",
            PowerAction::On,
            "names the resource 'http://127.0.0.2/reset', which is not on it",
        ),
        ("/redfish/v1/Systems/None", PowerAction::On, "answered 404"),
    ] {
        let error = act(&redfish(&server.url(path)), action)
            .await
            .expect_err(expected);
        assert!(error.to_string().contains(expected), "{error}");
    }
    let bare = redfish(&server.url("/redfish/v1/Systems/Bare"));
    assert_eq!(
        act(&bare, PowerAction::Status).await.expect("asked"),
        Some(PowerState::Changing)
    );
    let mut nameless = power.clone();
    nameless.redfish.as_mut().expect("redfish").password_secret = "power.gone".to_owned();
    let error = act(&nameless, PowerAction::On)
        .await
        .expect_err("no secret")
        .to_string();
    assert!(
        error.starts_with("the secret 'power.gone' does not exist"),
        "{error}"
    );
}

/// An `ipmitool` that writes down its arguments and its password, and answers like the real one.
fn recorder(dir: &Path) -> PathBuf {
    let program = dir.join("ipmitool");
    let text = format!(
        "#!/bin/sh\necho \"$@\" >>{0}/argv\nenv >{0}/env\ncat /dev/stdin >{0}/password\ncase \"$*\" in\n*'-H broken'*) echo 'Error: Unable to establish IPMI v2 / RMCP+ session' >&2; exit 1 ;;\n\
         *status) echo 'Chassis Power is off' ;;\n*) echo 'Chassis Power Control: Up/On' ;;\nesac\n",
        dir.display()
    );
    std::fs::write(&program, text).expect("written");
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).expect("executable");
    program
}

#[tokio::test]
async fn ipmi_keeps_the_password_out_of_arguments_and_environment() {
    let dir = tempfile::tempdir().expect("a directory");
    let switches = Switches::new(here(), recorder(dir.path()));
    let ipmi = |host: &str| Power {
        ipmi: Some(Ipmi {
            host: host.to_owned(),
            port: 623,
            user: "ADMIN".to_owned(),
            password_secret: "power.bmc".to_owned(),
        }),
        ..Power::default()
    };
    let password = |_: &str| Some("hunter2".to_owned());
    let act = async |host: &str, action| {
        let power = ipmi(host);
        let target = Target {
            power: &power,
            macs: &[],
            uuid: None,
            lans: &[],
        };
        switches.act(&target, action, &password).await
    };
    assert_eq!(
        act("10.0.0.9", PowerAction::Status).await.expect("asked"),
        Some(PowerState::Off)
    );
    for action in [
        PowerAction::On,
        PowerAction::Off,
        PowerAction::Restart,
        PowerAction::NextBootPxe,
    ] {
        assert_eq!(act("10.0.0.9", action).await.expect("told"), None);
    }
    let argv = std::fs::read_to_string(dir.path().join("argv")).expect("recorded");
    let begin = "-I lanplus -N 3 -R 2 -H 10.0.0.9 -p 623 -U ADMIN -f /dev/stdin chassis ";
    let told: Vec<&str> = argv
        .lines()
        .map(|line| line.strip_prefix(begin).expect(line))
        .collect();
    // What is off is not cycled but switched on.
    assert_eq!(
        told,
        [
            "power status",
            "power on",
            "power off",
            "power status",
            "power on",
            "bootdev pxe"
        ]
    );
    assert!(!argv.contains("hunter2"));
    let env = std::fs::read_to_string(dir.path().join("env")).expect("recorded");
    assert!(!env.contains("hunter2"), "{env}");
    let given = std::fs::read_to_string(dir.path().join("password"));
    assert_eq!(given.expect("recorded"), "hunter2\n");
    assert!(
        !env.contains("CARGO"),
        "nothing else of ours is passed on: {env}"
    );

    let error = act("broken", PowerAction::On)
        .await
        .expect_err("refused")
        .to_string();
    assert_eq!(
        error,
        "ipmitool for broken: Error: Unable to establish IPMI v2 / RMCP+ session"
    );
    let error = act("-oops", PowerAction::On)
        .await
        .expect_err("an option")
        .to_string();
    assert!(error.contains("ipmi.host"), "{error}");
    let error = act("10.0.0.9", PowerAction::NextBootHttp)
        .await
        .expect_err("IPMI cannot")
        .to_string();
    assert!(error.contains("no way to do this is known"), "{error}");

    let power = ipmi("10.0.0.9");
    let target = Target {
        power: &power,
        macs: &[],
        uuid: None,
        lans: &[],
    };
    let absent = Switches::new(here(), dir.path().join("absent"));
    let error = absent
        .act(&target, PowerAction::On, &password)
        .await
        .expect_err("absent")
        .to_string();
    assert!(error.contains("install the package ipmitool"), "{error}");
}
