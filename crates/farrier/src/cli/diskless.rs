//! `farrier diskless`: what machines without a disk keep, and the words for an NFS server.

use super::Global;
use super::client::{Client, ClientError};
use super::machine::find_id;
use super::output::{outln, table, text};
use crate::diskless::{OverlayFile, OverlayFiles};
use anyhow::{Context, bail};
use bootplan::MachineId;
use clap::Subcommand;
use hyper::StatusCode;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;

/// What to do. All of it works on the server's own host, in its data directory.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// What each machine keeps, and how much of it
    List,
    /// Throw away what a machine keeps; it starts its next boot with an empty overlay
    Reset {
        /// Its name or a MAC address of it, asked of the running server; or its number, as
        /// 'farrier diskless list' shows it
        machine: String,
        /// Also while the machine is on: what it writes from then on is lost
        #[arg(long)]
        force: bool,
    },
    /// Print what an NFS server needs to serve the images directory: Farrier has none of its own
    Nfs {
        /// Who may read, e.g. 10.0.0.0/8
        #[arg(default_value = "10.0.0.0/8")]
        network: String,
    },
}

/// Runs one.
///
/// # Errors
/// A text for people.
pub(crate) async fn run(global: &Global, command: Command) -> anyhow::Result<()> {
    let (config, _) = global.load_config()?;
    let files = OverlayFiles::of(&config);
    match command {
        Command::List => {
            let files = files.list();
            let names = names(global.client().ok().as_ref(), &files).await;
            outln!("{}", listed(&files, &names, global.json));
        }
        Command::Reset { machine, force } => {
            let id = match kept_by_number(&files.list(), &machine) {
                Some(id) => id,
                None => MachineId(find_id(&global.client()?, &machine).await?),
            };
            if !force && files.is_in_use(id) {
                bail!(
                    "{machine} is on and writes there; switch it off and wait half a minute, or say \
                     --force, and what it writes from now on is lost"
                );
            }
            let freed = files
                .remove(id)
                .with_context(|| format!("cannot remove it from {}", files.dir().display()))?;
            match freed {
                Some(bytes) => outln!("{machine} keeps nothing now; {} freed", mib(bytes)),
                None => bail!("{machine} keeps nothing in {}", files.dir().display()),
            }
        }
        Command::Nfs { network } => outln!("{}", exports(&config.data_dir, &network)),
    }
    Ok(())
}

/// A number means an overlay even where its machine is forgotten, or no server runs.
fn kept_by_number(files: &[OverlayFile], key: &str) -> Option<MachineId> {
    let id = MachineId(key.parse().ok()?);
    files.iter().any(|file| file.machine == id).then_some(id)
}

/// What the machines are called, where the running server can be asked. `None`: it knows no such
/// machine any more.
type Names = BTreeMap<MachineId, Option<String>>;

async fn names(client: Option<&Client>, files: &[OverlayFile]) -> Names {
    let mut names = Names::new();
    let Some(client) = client else { return names };
    for file in files {
        match client.get(&format!("/machines/{}", file.machine.0)).await {
            Ok(machine) => names.insert(file.machine, Some(text(&machine, "name"))),
            Err(ClientError::Refused { status, .. }) if status == StatusCode::NOT_FOUND => {
                names.insert(file.machine, None)
            }
            Err(_) => return names,
        };
    }
    names
}

/// The export names stay out of terminals: who knows one can write there.
fn listed(files: &[OverlayFile], names: &Names, as_json: bool) -> String {
    if as_json {
        let rows: Vec<_> = files
            .iter()
            .map(|f| {
                let name = names.get(&f.machine).cloned().flatten();
                json!({"machine": f.machine, "name": name, "size": f.size, "used": f.used})
            })
            .collect();
        return serde_json::Value::from(rows).to_string();
    }
    if files.is_empty() {
        return "no machine keeps anything".to_owned();
    }
    let rows: Vec<Vec<String>> = files
        .iter()
        .map(|file| {
            let name = match names.get(&file.machine) {
                Some(Some(name)) => name.clone(),
                Some(None) => "(forgotten)".to_owned(),
                None => String::new(),
            };
            vec![
                file.machine.0.to_string(),
                name,
                mib(file.used),
                mib(file.size),
            ]
        })
        .collect();
    table(&["number", "machine", "used", "at most"], &rows)
        .trim_end()
        .to_owned()
}

fn mib(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}

/// The kernel's server and nfs-ganesha, both read-only. Root stays root: a system whose root cannot read
/// its `/etc/shadow` lets nobody log in.
fn exports(data: &Path, network: &str) -> String {
    let images = data.join("images");
    let images = images.display();
    format!(
        "# Debian package nfs-kernel-server: into /etc/exports.d/farrier.exports, then exportfs -ra\n\
         {images} {network}(ro,no_subtree_check,no_root_squash)\n\n\
         # or package nfs-ganesha with nfs-ganesha-vfs: into /etc/ganesha/ganesha.conf\n\
         EXPORT {{\n  Export_Id = 77;\n  Path = {images};\n  Pseudo = {images};\n  Access_Type = RO;\n  \
         Squash = No_Root_Squash;\n  SecType = sys;\n  Protocols = 3, 4;\n  \
         CLIENT {{ Clients = {network}; Access_Type = RO; }}\n  FSAL {{ Name = VFS; }}\n}}\n\n\
         # A profile then says, with this host's address for SERVER:\n\
         #   access: nfs\n\
         #   root: SERVER:{images}/TREE"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_nfs_servers_are_told_the_same_directory_read_only() {
        insta::assert_snapshot!(exports(Path::new("/var/lib/farrier"), "10.1.0.0/16"));
    }

    #[test]
    fn a_list_names_machines_and_tells_the_forgotten_ones() {
        let file = |machine| OverlayFile {
            machine: MachineId(machine),
            name: format!("m{machine}-{}.img", "0".repeat(32)),
            size: 2 << 30,
            used: 70 << 20,
        };
        let files = [file(3), file(12), file(40)];
        let names = Names::from([
            (MachineId(3), Some("ws1".to_owned())),
            (MachineId(12), None),
        ]);
        insta::assert_snapshot!(listed(&files, &names, false), @"
        number  machine      used    at most
        3       ws1          70 MiB  2048 MiB
        12      (forgotten)  70 MiB  2048 MiB
        40                   70 MiB  2048 MiB
        ");
        insta::assert_snapshot!(listed(&files[..1], &names, true), @r#"[{"machine":3,"name":"ws1","size":2147483648,"used":73400320}]"#);
        assert_eq!(kept_by_number(&files, "12"), Some(MachineId(12)));
        assert_eq!(kept_by_number(&files, "13"), None);
        assert_eq!(kept_by_number(&files, "ws1"), None);
    }
}
