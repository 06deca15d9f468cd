//! What reads an answer file.

use serde::{Deserialize, Serialize};

/// The installer or program that reads an answer; decides how it is checked.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum AnswerKind {
    /// Debian's installer: answers to debconf questions.
    Preseed,
    /// Anaconda: Fedora, Rocky, Alma, Red Hat.
    Kickstart,
    /// cloud-init's `user-data`, and Ubuntu's autoinstall inside it.
    CloudConfig,
    /// cloud-init's `meta-data` of a NoCloud source.
    NocloudMeta,
    /// cloud-init's `network-config` of a NoCloud source.
    NocloudNetwork,
    /// cloud-init's `vendor-data` of a NoCloud source; may be empty.
    NocloudVendor,
    /// Fedora CoreOS and Flatcar.
    Ignition,
    /// SUSE's installer.
    Autoyast,
    /// Windows Setup.
    Unattend,
    /// Talos Linux's machine configuration.
    Talos,
    /// A program for a shell or an interpreter.
    Script,
    /// A switch's or router's configuration, asked for by its plain name.
    DeviceFile,
    /// Any YAML.
    Yaml,
    /// Any JSON.
    Json,
    /// Any XML.
    Xml,
    /// Anything else: only its size is checked.
    #[default]
    Generic,
}

impl AnswerKind {
    /// Every kind, in the order people list them.
    pub const ALL: [AnswerKind; 16] = [
        AnswerKind::Preseed,
        AnswerKind::Kickstart,
        AnswerKind::CloudConfig,
        AnswerKind::NocloudMeta,
        AnswerKind::NocloudNetwork,
        AnswerKind::NocloudVendor,
        AnswerKind::Ignition,
        AnswerKind::Autoyast,
        AnswerKind::Unattend,
        AnswerKind::Talos,
        AnswerKind::Script,
        AnswerKind::DeviceFile,
        AnswerKind::Yaml,
        AnswerKind::Json,
        AnswerKind::Xml,
        AnswerKind::Generic,
    ];

    /// The media type it is served as.
    pub fn media_type(self) -> &'static str {
        match self {
            AnswerKind::Ignition | AnswerKind::Json => "application/json",
            AnswerKind::Autoyast | AnswerKind::Unattend | AnswerKind::Xml => "application/xml",
            // cloud-init, Anaconda and the rest go by content, and a browser must only show it.
            _ => "text/plain; charset=utf-8",
        }
    }
}
