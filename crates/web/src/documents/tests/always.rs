//! Documents by which machines would come to be installed at every boot.

use super::site::Site;
use crate::documents::{ApplyError, Options};

const RESCUE: &str = "kind: profile\nname: rescue\ntitle: Rescue\n\
                      boot: {kind: linux, kernel: d/linux}\n";
const AUTO: &str = "kind: profile\nname: auto\ntitle: Auto\n\
                    boot: {kind: linux, kernel: d/linux}\ninstall: {tries: 3, minutes: 60}\n";
const NODES: &str = "kind: machine\nname: node-1\nmacs: [52:54:00:00:00:01]\nprofile: rescue\n---\n\
                     kind: machine\nname: node-2\nmacs: [52:54:00:00:00:02]\nserial: A2\n";
const RULE: &str = "kind: rule\nname: all\nselector: {serial: [\"A*\"]}\n";

async fn site() -> Site {
    Site::of(&format!("{RESCUE}---\n{AUTO}---\n{NODES}")).await
}

fn plain() -> Options {
    Options::default()
}

/// Every fault with its line, after a dry run that says the same.
async fn faults(site: &Site, text: &str) -> String {
    let dry = Options {
        dry_run: true,
        ..plain()
    };
    let told = |refused: Result<_, ApplyError>| {
        let error = refused
            .map(|_: crate::documents::Done| ())
            .expect_err("refused");
        let lines = error
            .faults()
            .iter()
            .map(|f| format!("{} {}: {}", f.line, f.field, f.problem));
        lines.collect::<Vec<_>>().join("\n")
    };
    let shown = told(site.apply(text, &dry).await);
    assert_eq!(told(site.apply(text, &plain()).await), shown);
    shown
}

#[tokio::test]
async fn a_rule_says_that_it_installs_at_every_boot() {
    let site = site().await;
    let unsaid = format!("{RULE}profile: auto\n");
    insta::assert_snapshot!(faults(&site, &unsaid).await);
    site.done(&format!("{RULE}profile: rescue\n"), &plain())
        .await;
    assert!(
        faults(&site, &unsaid).await.contains("node-2"),
        "another profile"
    );
    site.done(&format!("{unsaid}mode: install-once\n"), &plain())
        .await;
    assert!(
        faults(&site, &unsaid).await.contains("node-2"),
        "another mode"
    );

    site.done(&format!("{unsaid}mode: always\n"), &plain())
        .await;
    // Once it is so, files may go on leaving it out; an export says it.
    assert_eq!(site.done(&unsaid, &plain()).await, "= rule all\n");
    let yaml = site.export(false).await;
    assert!(yaml.contains("mode: always"), "{yaml}");
    assert_eq!(Site::of(&yaml).await.export(false).await, yaml);
    // More machines are another matter.
    let wider = unsaid.replace("A*", "*");
    let node = "kind: machine\nname: node-3\nmacs: [52:54:00:00:00:03]\nserial: B3\n";
    site.done(node, &plain()).await;
    let told = faults(&site, &wider).await;
    assert!(
        told.contains("node-3") && !told.contains("node-2"),
        "{told}"
    );
}

#[tokio::test]
async fn a_profile_that_comes_to_install_names_the_machines_that_it_erases() {
    let site = site().await;
    site.done(&format!("{RULE}profile: rescue\n"), &plain())
        .await;
    let becomes = AUTO.replace("auto", "rescue");
    insta::assert_snapshot!(faults(&site, &becomes).await);
    // Those that go elsewhere with the same documents are not among them.
    let moved = format!("{becomes}---\nkind: machine\nname: node-1\nprofile: null\n");
    let told = faults(&site, &moved).await;
    assert!(
        told.contains("node-2") && !told.contains("node-1"),
        "{told}"
    );
    // Nor is a machine left out whose document does not speak of it.
    let silent = format!("{becomes}---\nkind: machine\nname: node-1\nserial: X\n");
    assert!(faults(&site, &silent).await.contains("node-1, node-2"));
    // Everything that gives it says so; or whoever applies.
    let said = format!(
        "{becomes}---\nkind: machine\nname: node-1\nassign: {{profile: rescue, mode: always}}\n\
         ---\n{RULE}profile: rescue\nmode: always\n"
    );
    let dry = Options {
        dry_run: true,
        ..plain()
    };
    site.done(&said, &dry).await;
    let always = Options {
        always: true,
        ..plain()
    };
    site.done(&becomes, &always).await;
    assert_eq!(site.done(&becomes, &plain()).await, "= profile rescue\n");
}
