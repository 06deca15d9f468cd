//! QEMU machines with real firmware and nothing on their disk.

use crate::console;
use crate::lan::Lan;
use crate::process::Process;
use crate::sandbox::pause;
use anyhow::{Context, Result, bail, ensure};
use bootplan::MacAddr;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// What the machine's firmware is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Firmware {
    /// SeaBIOS with QEMU's e1000 network ROM, which is an iPXE of 2019.
    Bios,
    /// OVMF with its own PXE stack: virtio without a ROM, the only card it has a driver for.
    UefiX64,
}

/// A machine to build.
#[derive(Clone, Debug)]
pub(crate) struct Spec {
    /// For people and for file names.
    pub(crate) name: String,
    /// What starts it.
    pub(crate) firmware: Firmware,
    /// Its network card.
    pub(crate) mac: MacAddr,
    /// Its serial number; the UUID is made of the MAC.
    pub(crate) serial: String,
    /// Memory, MiB: 1024 for the Debian installer, whose initrd unpacks to over 400 MB.
    pub(crate) memory: u32,
    /// A disk that comes second in its boot order.
    pub(crate) disk: Option<PathBuf>,
}

/// A running machine; powered off when dropped.
pub(crate) struct Machine {
    spec: Spec,
    process: Process,
    log: PathBuf,
    socket: PathBuf,
    keyboard: Option<UnixStream>,
    started: Instant,
}

impl Spec {
    /// A diskless machine with 1 GiB. `number` makes its MAC, UUID and serial.
    pub(crate) fn new(name: &str, firmware: Firmware, number: u8) -> Self {
        Self {
            name: name.to_owned(),
            firmware,
            mac: MacAddr([0x52, 0x54, 0x00, 0x77, 0x00, number]),
            serial: format!("LAB{number:04}"),
            memory: 1024,
            disk: None,
        }
    }

    /// The same with a disk behind the network in the boot order.
    pub(crate) fn with_disk(mut self, image: PathBuf) -> Self {
        self.disk = Some(image);
        self
    }

    fn uuid(&self) -> String {
        let tail: String = self.mac.to_string().replace([':', '-'], "");
        format!("77000000-0000-4000-8000-{tail}")
    }
}

impl Machine {
    /// Switches it on. Its files go to `dir`.
    ///
    /// # Errors
    /// When QEMU or its firmware is missing.
    pub(crate) fn power_on(lan: &Lan, dir: &Path, spec: Spec) -> Result<Self> {
        let dir = dir.join(&spec.name);
        std::fs::create_dir_all(&dir).with_context(|| format!("create {}", dir.display()))?;
        let (log, socket) = (dir.join("serial.log"), dir.join("serial.sock"));
        // What it printed when it was on before is not what it prints now.
        let _ = std::fs::remove_file(&log);
        let tap = lan.tap()?;
        let mut command = lan.command("qemu-system-x86_64");
        command
            // Never KVM because /dev/kvm exists: in nested set-ups it may be there and fail.
            .args([
                "-accel",
                "tcg",
                "-nodefaults",
                "-display",
                "none",
                "-no-reboot",
            ])
            .args(["-m", &spec.memory.to_string(), "-uuid", &spec.uuid()])
            .arg("-smbios")
            .arg(format!(
                "type=1,manufacturer=Farrier Lab,product={},serial={}",
                spec.firmware.product(),
                spec.serial
            ))
            .arg("-chardev")
            .arg(format!(
                "socket,id=s,path={},server=on,wait=off,logfile={}",
                socket.display(),
                log.display()
            ))
            .args(["-serial", "chardev:s", "-monitor", "none"])
            .arg("-netdev")
            .arg(format!("tap,id=n0,ifname={tap},script=no,downscript=no"));
        spec.firmware.flags(&mut command, &spec, &dir)?;
        if let Some(disk) = &spec.disk {
            command
                .arg("-drive")
                // An installer flushes after every file. What this host has in memory outlives the machine.
                .arg(format!(
                    "if=none,id=d0,format=raw,cache=unsafe,file={}",
                    disk.display()
                ))
                .args(["-device", "virtio-blk-pci,drive=d0,bootindex=1"]);
        }
        let process = Process::spawn(
            &format!("QEMU {}", spec.name),
            command,
            &dir.join("qemu.log"),
        )?;
        Ok(Self {
            spec,
            process,
            log,
            socket,
            keyboard: None,
            started: Instant::now(),
        })
    }

    /// Its network card's address.
    pub(crate) fn mac(&self) -> MacAddr {
        self.spec.mac
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.spec.name
    }

    /// What its firmware is, for people.
    pub(crate) fn firmware_name(&self) -> &'static str {
        match self.spec.firmware {
            Firmware::Bios => "PC BIOS ",
            Firmware::UefiX64 => "UEFI x64",
        }
    }

    /// Checks that it is still on.
    ///
    /// # Errors
    /// When QEMU has ended.
    pub(crate) fn check(&mut self) -> Result<()> {
        self.process.check()
    }

    /// Waits until it has switched itself off; with `-no-reboot` a restart is that, too.
    ///
    /// # Errors
    /// After `limit`, or when QEMU failed.
    pub(crate) fn goes_off(&mut self, limit: Duration) -> Result<()> {
        let status = self.process.wait(limit)?;
        ensure!(status.success(), "QEMU {} ended: {status}", self.spec.name);
        Ok(())
    }

    /// How long it has been on.
    pub(crate) fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// Everything it has printed.
    pub(crate) fn printed(&self) -> String {
        console::clean(&std::fs::read(&self.log).unwrap_or_default())
    }

    /// True when it has printed `marker`.
    pub(crate) fn has_printed(&self, marker: &str) -> bool {
        console::find(&self.printed(), marker)
    }

    /// Waits until it has printed `marker` and says how long it had been on by then.
    ///
    /// # Errors
    /// After `limit`, with the end of what it printed instead; or when QEMU ends.
    pub(crate) fn expect(&mut self, marker: &str, limit: Duration) -> Result<Duration> {
        let deadline = Instant::now() + limit;
        let mut seen = u64::MAX;
        loop {
            let size = std::fs::metadata(&self.log).map_or(0, |m| m.len());
            if size != seen {
                seen = size;
                if self.has_printed(marker) {
                    return Ok(self.uptime());
                }
            }
            self.process.check()?;
            if Instant::now() > deadline {
                bail!(
                    "{}: no {marker:?} on the serial console within {} s; the end of what it printed:\n{}",
                    self.spec.name,
                    limit.as_secs(),
                    console::tail(&self.printed(), 25)
                );
            }
            pause(Duration::from_millis(50))?;
        }
    }

    /// Types `keys` on its serial console.
    ///
    /// # Errors
    /// When QEMU does not listen.
    pub(crate) fn type_keys(&mut self, keys: &str) -> Result<()> {
        // QEMU forgets what it has not yet given to the machine when the line is hung up, so it stays.
        if self.keyboard.is_none() {
            let line = UnixStream::connect(&self.socket)
                .with_context(|| format!("connect to {}", self.socket.display()))?;
            // What comes back stands in the log; unread it would stop the machine's printing.
            let mut back = line.try_clone().context("listen to the serial console")?;
            std::thread::spawn(move || std::io::copy(&mut back, &mut std::io::sink()).ok());
            self.keyboard = Some(line);
        }
        let line = self.keyboard.as_mut().context("the line is open")?;
        line.write_all(keys.as_bytes())
            .context("type on the serial console")
    }
}

impl Firmware {
    /// What the machine calls itself in SMBIOS.
    fn product(self) -> &'static str {
        match self {
            Self::Bios => "QEMU BIOS",
            Self::UefiX64 => "QEMU UEFI x64",
        }
    }

    fn flags(self, command: &mut Command, spec: &Spec, dir: &Path) -> Result<()> {
        match self {
            Self::Bios => {
                // graphics=off makes SeaBIOS mirror the text screen to the serial port.
                command
                    .args(["-machine", "pc,graphics=off"])
                    .arg("-device")
                    .arg(format!("e1000,netdev=n0,mac={},bootindex=0", spec.mac));
            }
            Self::UefiX64 => {
                // Boot order lives in the variables: each machine starts with fresh ones.
                let vars = dir.join("vars.fd");
                std::fs::copy(OVMF_VARS, &vars)
                    .with_context(|| format!("copy {OVMF_VARS} (package ovmf)"))?;
                command
                    .args(["-machine", "q35,smm=off"])
                    .arg("-drive")
                    .arg(format!(
                        "if=pflash,unit=0,format=raw,readonly=on,file={OVMF_CODE}"
                    ))
                    .arg("-drive")
                    .arg(format!(
                        "if=pflash,unit=1,format=raw,file={}",
                        vars.display()
                    ))
                    // OVMF of 2024 and later has no network boot without a random source.
                    .args(["-device", "virtio-rng-pci"])
                    // Saves the time-out of PXE over IPv6 when IPv4 fails.
                    .args(["-fw_cfg", "name=opt/org.tianocore/IPv6PXESupport,string=n"])
                    .arg("-device")
                    .arg(format!(
                        "virtio-net-pci,netdev=n0,mac={},romfile=,bootindex=0",
                        spec.mac
                    ));
            }
        }
        Ok(())
    }
}

const OVMF_CODE: &str = "/usr/share/OVMF/OVMF_CODE_4M.fd";
const OVMF_VARS: &str = "/usr/share/OVMF/OVMF_VARS_4M.fd";
