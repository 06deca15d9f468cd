//! `farrier diskless`: what machines without a disk keep, and the words for an NFS server.

use super::Global;
use super::output::outln;
use crate::diskless::{OverlayFile, OverlayFiles};
use anyhow::{Context, bail};
use bootplan::MachineId;
use clap::Subcommand;
use std::path::Path;

/// What to do. All of it works on the server's own host, in its data directory.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// What each machine keeps, and how much of it
    List,
    /// Throw away what a machine keeps; it starts its next boot with an empty overlay
    Reset {
        /// The machine's number, as 'farrier diskless list' and the machine's address in the
        /// browser show it
        machine: i64,
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
pub(crate) fn run(global: &Global, command: Command) -> anyhow::Result<()> {
    let (config, _) = global.load_config()?;
    let files = OverlayFiles::of(&config);
    match command {
        Command::List => list(global, &files.list()),
        Command::Reset { machine } => {
            let freed = files
                .remove(MachineId(machine))
                .with_context(|| format!("cannot remove it from {}", files.dir().display()))?;
            match freed {
                Some(bytes) => outln!("machine {machine} keeps nothing now; {} freed", mib(bytes)),
                None => bail!(
                    "machine {machine} keeps nothing in {}",
                    files.dir().display()
                ),
            }
        }
        Command::Nfs { network } => outln!("{}", exports(&config.data_dir, &network)),
    }
    Ok(())
}

fn list(global: &Global, files: &[OverlayFile]) {
    if global.json {
        let rows: Vec<_> = files
            .iter()
            .map(|f| serde_json::json!({"machine": f.machine, "size": f.size, "used": f.used}))
            .collect();
        outln!("{}", serde_json::Value::from(rows));
        return;
    }
    // The export names stay out of terminals: who knows one can write there.
    for file in files {
        let (used, size) = (mib(file.used), mib(file.size));
        outln!("machine {:<6} {used:>12} of {size}", file.machine.0);
    }
    if files.is_empty() {
        outln!("no machine keeps anything");
    }
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
}
