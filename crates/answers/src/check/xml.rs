//! XML, and what AutoYaST and Windows Setup look at first.

use super::Page;
use crate::Fault;
use roxmltree::{Document, Node, ParsingOptions};

/// Any XML.
pub(super) fn well_formed(page: &Page<'_>) -> Vec<Fault> {
    parse(page).err().into_iter().collect()
}

/// An AutoYaST profile.
pub(super) fn autoyast(page: &Page<'_>) -> Vec<Fault> {
    let tree = match parse(page) {
        Ok(tree) => tree,
        Err(fault) => return vec![fault],
    };
    let root = tree.root_element();
    if root.has_tag_name((YAST, "profile")) {
        return Vec::new();
    }
    let text = format!("the root must be <profile xmlns=\"{YAST}\">");
    vec![page.at_offset(root.range().start, text)]
}

/// An answer file of Windows Setup.
pub(super) fn unattend(page: &Page<'_>) -> Vec<Fault> {
    let tree = match parse(page) {
        Ok(tree) => tree,
        Err(fault) => return vec![fault],
    };
    let root = tree.root_element();
    if !root.has_tag_name((UNATTEND, "unattend")) {
        let text = format!("the root must be <unattend xmlns=\"{UNATTEND}\">");
        return vec![page.at_offset(root.range().start, text)];
    }
    let mut faults = Vec::new();
    for settings in root
        .children()
        .filter(|n| n.has_tag_name((UNATTEND, "settings")))
    {
        if !settings
            .attribute("pass")
            .is_some_and(|pass| PASSES.contains(&pass))
        {
            let text = format!(
                "<settings> needs pass=\"...\", one of {}",
                PASSES.join(", ")
            );
            faults.push(page.at_offset(settings.range().start, text));
        }
        for component in settings
            .children()
            .filter(|n| n.has_tag_name((UNATTEND, "component")))
        {
            faults.extend(component_faults(page, component));
        }
    }
    faults
}

/// Setup takes a component only if all of these match one it knows.
fn component_faults(page: &Page<'_>, component: Node<'_, '_>) -> Vec<Fault> {
    [
        "name",
        "processorArchitecture",
        "publicKeyToken",
        "language",
        "versionScope",
    ]
    .into_iter()
    .filter(|attribute| !component.has_attribute(*attribute))
    .map(|attribute| {
        let text = format!("<component> needs the attribute {attribute}");
        page.at_offset(component.range().start, text)
    })
    .collect()
}

fn parse<'a>(page: &Page<'a>) -> Result<Document<'a>, Fault> {
    // AutoYaST's own tools write `<!DOCTYPE profile>`. Entities could make a small text large.
    let options = ParsingOptions {
        allow_dtd: !page.text.contains("<!ENTITY"),
        nodes_limit: NODES,
        ..ParsingOptions::default()
    };
    Document::parse_with_options(page.text, options).map_err(|error| {
        let place = error.pos();
        page.at(place.row as usize, place.col as usize, words(&error))
    })
}

/// The reader's finding in words without names and characters of the text.
fn words(error: &roxmltree::Error) -> &'static str {
    use roxmltree::Error;
    match error {
        Error::UnexpectedCloseTag(..) => "this closing tag does not match the element it closes",
        Error::UnclosedRootNode | Error::UnexpectedEndOfStream => "an element is never closed",
        Error::NoRootNode => "there is no element in it",
        Error::UnknownEntityReference(..) | Error::MalformedEntityReference(..) => {
            "`&` begins an entity that is not known: write it as &amp; (the filter |xml does)"
        }
        Error::InvalidAttributeValue(..) => "`<` in an attribute: write it as &lt;",
        Error::DuplicatedAttribute(..) => "an attribute stands here twice",
        Error::UnknownNamespace(..) => "this prefix has no namespace (xmlns:...)",
        Error::DtdDetected => "a document type with entities of its own is not allowed",
        Error::NodesLimitReached => "too many elements",
        Error::NonXmlChar(..) => "XML has no such character",
        Error::InvalidComment(..) => "a comment cannot hold `--`",
        Error::UnexpectedDeclaration(..) => "<?xml ...?> must be at the very beginning",
        _ => "not XML: something else is expected here",
    }
}

const YAST: &str = "http://www.suse.com/1.0/yast2ns";
const UNATTEND: &str = "urn:schemas-microsoft-com:unattend";
/// Windows' configuration passes.
const PASSES: &[&str] = &[
    "windowsPE",
    "offlineServicing",
    "generalize",
    "specialize",
    "auditSystem",
    "auditUser",
    "oobeSystem",
];
/// A tenth of it is a large answer file.
const NODES: u32 = 100_000;
