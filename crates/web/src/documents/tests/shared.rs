//! Files and people who change the same things: owning, pruning, and edits that are not undone
//! unseen.

use super::site::Site;
use crate::documents::{ApplyError, Fault, Options};
use bootplan::{MachineId, ProfileName};
use store::MachineChange;

impl Site {
    async fn edited(&self, text: &str, options: &Options) -> Vec<Fault> {
        match self.apply(text, options).await {
            Err(ApplyError::Edited(faults)) => faults,
            other => panic!("{other:?}"),
        }
    }

    async fn wrong(&self, text: &str, options: &Options) -> String {
        match self.apply(text, options).await {
            Err(ApplyError::Wrong(faults)) => faults[0].problem.clone(),
            other => panic!("{other:?}"),
        }
    }

    fn id(&self, name: &str) -> MachineId {
        self.store.machine_named(name).expect("known").machine.id
    }

    async fn edit(&self, name: &str, change: MachineChange) {
        let id = self.id(name);
        let done = self.store.update_machine(id, change, "ann").await;
        done.expect("changed");
    }

    fn names(&self) -> Vec<String> {
        let mut all: Vec<_> = self.store.machines();
        all.sort_by(|a, b| a.machine.name.cmp(&b.machine.name));
        all.iter().map(|r| r.machine.name.clone()).collect()
    }
}

fn plain() -> Options {
    Options::default()
}

fn owning(own: &str, prune: bool) -> Options {
    Options {
        own: Some(own.parse().expect("a label")),
        prune,
        ..plain()
    }
}

fn forced(options: Options) -> Options {
    Options {
        force: true,
        ..options
    }
}

fn dry(options: Options) -> Options {
    Options {
        dry_run: true,
        ..options
    }
}

fn serial(serial: &str) -> MachineChange {
    MachineChange {
        serial: Some(Some(serial.to_owned())),
        ..MachineChange::default()
    }
}

const NODE: &str = "kind: machine\nname: node-1\nmacs: [52:54:00:00:00:01]\nserial: A\n";
const DISK: &str = "kind: profile\nname: disk\ntitle: Disk\nboot: {kind: local-disk}\n";

#[tokio::test]
async fn an_edit_in_the_browser_is_not_undone_unseen() {
    let site = Site::open().await;
    site.done(NODE, &plain()).await;
    site.edit("node-1", serial("B")).await;

    let faults = site.edited(NODE, &plain()).await;
    assert_eq!(
        (faults.len(), faults[0].line, &*faults[0].field),
        (1, 4, "serial")
    );
    let told = &faults[0].problem;
    assert!(
        told.starts_with("machine 'node-1': serial was edited 20"),
        "{told}"
    );
    assert!(
        told.contains(" UTC by ann, after files were applied 20"),
        "{told}"
    );
    assert!(
        told.ends_with("by git: it was \"A\", is \"B\", and the document says \"A\"; take the edit into the files, or force"),
        "{told}"
    );
    let shown = site.apply(NODE, &dry(plain())).await.expect("shown");
    assert_eq!(shown.conflicts, faults);
    // What the files do not speak of is nobody's conflict, and stays.
    let silent = "kind: machine\nname: node-1\nlabels: {rack: '1'}\n";
    site.done(silent, &plain()).await;
    let machine = site
        .store
        .machine(site.id("node-1"))
        .expect("known")
        .machine;
    assert_eq!(machine.serial.as_deref(), Some("B"));
    // The edit taken into the files agrees; and from then on the files say what is.
    site.done(&NODE.replace('A', "B"), &plain()).await;
    let text = site.done(&NODE.replace('A', "C"), &plain()).await;
    assert_eq!(text, "~ machine node-1\n    serial: \"B\" -> \"C\"\n");
    site.edit("node-1", serial("D")).await;
    site.edited(NODE, &plain()).await;
    let text = site.done(NODE, &forced(plain())).await;
    assert_eq!(text, "~ machine node-1\n    serial: \"D\" -> \"A\"\n");
    assert_eq!(site.done(NODE, &plain()).await, "= machine node-1\n");
}

#[tokio::test]
async fn profiles_and_settings_edited_since_are_not_undone_unseen() {
    let site = Site::open().await;
    let text = format!("{DISK}---\nkind: site\nmenu_timeout_s: 9\n");
    site.done(&text, &plain()).await;
    let disk: ProfileName = "disk".parse().expect("a name");
    let mut profile = site
        .store
        .catalog()
        .profile(&disk)
        .expect("there")
        .as_ref()
        .clone();
    profile.title = "Ann's".to_owned();
    site.store
        .put_profile(profile, "ann")
        .await
        .expect("stored");
    let mut settings = site.store.site();
    settings.menu_timeout_s = 8;
    site.store.set_site(settings, "bob").await.expect("stored");
    let faults = site.edited(&text, &plain()).await;
    let fields: Vec<_> = faults.iter().map(|f| (f.document, &*f.field)).collect();
    assert_eq!(fields, [(2, "menu_timeout_s"), (1, "title")]);
    assert!(faults[0].problem.contains("by bob, after"), "{faults:?}");
    assert!(faults[1].problem.contains("by ann, after"), "{faults:?}");
    assert_eq!(site.store.site().menu_timeout_s, 8, "nothing was changed");
}

#[tokio::test]
async fn what_was_deleted_in_the_browser_is_not_made_again_unseen() {
    let site = Site::open().await;
    site.done(&format!("{NODE}---\n{DISK}"), &plain()).await;
    let id = site.id("node-1");
    site.store
        .delete_machines(&[id], "ann")
        .await
        .expect("deleted");
    let disk = "disk".parse().expect("a name");
    site.store
        .delete_profile(&disk, "bob")
        .await
        .expect("deleted");
    // By its MAC, whatever it is called now.
    let renamed = NODE.replace("node-1", "node-9");
    let faults = site.edited(&renamed, &plain()).await;
    let told = &faults[0].problem;
    assert!(
        told.starts_with("machine 'node-9' was deleted 20") && told.contains("by ann"),
        "{told}"
    );
    let faults = site.edited(DISK, &plain()).await;
    assert!(faults[0].problem.contains("by bob"), "{faults:?}");
    site.done(&format!("{NODE}---\n{DISK}"), &forced(plain()))
        .await;
    assert_eq!(site.done(NODE, &plain()).await, "= machine node-1\n");
}

#[tokio::test]
async fn only_what_is_owned_is_pruned_and_a_dry_run_lists_it_first() {
    let site = Site::open().await;
    let mine = format!(
        "{NODE}---\n{DISK}---\nkind: machine\nname: node-2\nmacs: [52:54:00:00:00:02]\nprofile: disk\n"
    );
    site.done(&mine, &owning("team=web", false)).await;
    site.done(
        "kind: machine\nname: other\nmacs: [52:54:00:00:00:03]\nlabels: {team: db}\n---\n\
         kind: machine\nname: nobody\nmacs: [52:54:00:00:00:04]\n",
        &plain(),
    )
    .await;
    let yaml = site.export(false).await;
    assert_eq!(yaml.matches("team: web").count(), 3, "{yaml}");
    // The name of a machine that goes is free for another.
    let less = "kind: machine\nmacs: [52:54:00:00:00:02]\nname: node-1\nprofile: null\n";
    let expected = "- machine node-1\n- profile disk\n~ machine node-1\n";
    let shown = site
        .apply(less, &dry(owning("team=web", true)))
        .await
        .expect("shown");
    assert!(shown.text.starts_with(expected), "{}", shown.text);
    assert_eq!(site.names(), ["nobody", "node-1", "node-2", "other"]);
    assert_eq!(site.done(less, &owning("team=web", true)).await, shown.text);
    assert_eq!(site.names(), ["nobody", "node-1", "other"]);
    assert_eq!(site.store.catalog().profiles().count(), 0);
    // What was pruned may come again: no person deleted it.
    let again = NODE.replace("node-1", "node-0");
    site.done(&again, &owning("team=web", false)).await;
    assert_eq!(site.names(), ["nobody", "node-0", "node-1", "other"]);
}

#[tokio::test]
async fn pruning_keeps_its_limits() {
    let site = Site::open().await;
    site.done(
        &format!("{NODE}profile: disk\n---\n{DISK}"),
        &owning("team=web", false),
    )
    .await;
    let unowned = Options {
        prune: true,
        ..plain()
    };
    assert!(site.wrong(NODE, &unowned).await.contains("needs an owner"));
    let nothing = site.wrong("# empty\n", &owning("team=web", true)).await;
    assert!(
        nothing.contains("everything of team=web (2) would be deleted"),
        "{nothing}"
    );
    // A profile that a machine still boots is not deleted, and nothing else is done either.
    let machine = "kind: machine\nname: node-1\nserial: Z\n";
    let refused = site.apply(machine, &owning("team=web", true)).await;
    let refused = refused.expect_err("the profile is in use").to_string();
    assert!(
        refused.contains("profile 'disk' is assigned to 'node-1'"),
        "{refused}"
    );
    let kept = site
        .store
        .machine(site.id("node-1"))
        .expect("known")
        .machine;
    assert_eq!(kept.serial.as_deref(), Some("A"));
    // Others' machines are taken over by force only.
    let stolen = site.wrong(NODE, &owning("team=db", false)).await;
    assert!(stolen.contains("belongs to team=web"), "{stolen}");
    let both = format!("{NODE}labels: {{team: web}}\n");
    let both = site.wrong(&both, &owning("team=db", false)).await;
    assert!(
        both.contains("says team=web, but these files own team=db"),
        "{both}"
    );
    site.done(NODE, &forced(owning("team=db", false))).await;
    site.done("", &forced(owning("team=db", true))).await;
    assert_eq!(site.names(), Vec::<String>::new());
    for bad in ["", "team", "=x", "team="] {
        assert!(bad.parse::<crate::documents::Own>().is_err(), "{bad}");
    }
}
