//! Machines as CSV: what goes out comes in, and what is wrong is said by line and column.

use super::round_trip::catalogs;
use super::site::Site;
use crate::documents::table::{export, parse};
use crate::documents::{Fault, Options, import, plan};
use bootplan::{Catalog, LoaderInventory, MacAddr, Machine, MachineId};
use proptest::prelude::*;
use store::Marks;

fn change(text: &str, catalog: &Catalog) -> Result<String, Vec<Fault>> {
    let rows = parse(text)?;
    let plan = plan::plan(
        &rows,
        &super::decided(catalog),
        &Marks::default(),
        &Options::default(),
    )?;
    Ok(crate::documents::diff::text(&plan.changes))
}

fn catalog() -> Catalog {
    let machine = |n: u8, name: &str| Machine {
        macs: vec![MacAddr([0x52, 0x54, 0, 0, 0, n])],
        serial: Some(format!("S{n}")),
        ..Machine::named(MachineId(i64::from(n)), name)
    };
    let machines = [machine(1, "node-1"), machine(2, "node-2")];
    Catalog::new(
        1,
        Default::default(),
        LoaderInventory::default(),
        machines,
        [],
    )
}

proptest! {
    #[test]
    fn what_is_exported_changes_nothing(catalog in catalogs()) {
        let text = export(catalog.machines().map(|m| m.as_ref()), &catalog);
        let rows = parse(&text).unwrap_or_else(|faults| panic!("{faults:?} in\n{text}"));
        let plan = plan::plan(&rows, &super::decided(&catalog), &Marks::default(), &Options::default());
        let plan = plan.unwrap_or_else(|faults| panic!("{faults:?} in\n{text}"));
        let different = plan.changes.iter().flat_map(|c| &c.fields).find(|f| f.field != "state");
        prop_assert!(different.is_none(), "{:?} by\n{}", different, text);
    }

    /// No cell of what is written is calculated by a spreadsheet.
    #[test]
    fn no_cell_is_a_formula(catalog in catalogs()) {
        let text = export(catalog.machines().map(|m| m.as_ref()), &catalog);
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        for record in reader.records() {
            for cell in &record.expect("well-formed") {
                prop_assert!(!cell.starts_with(['=', '+', '-', '@', '\t', '\r']), "{}", cell);
            }
        }
    }

    #[test]
    fn no_text_makes_it_panic(text in "(name|macs|labels|,|;|\"|\n|\\\\|\\PC){0,60}") {
        let _ = change(&text, &catalog());
    }
}

#[test]
fn cells_leave_set_and_take_away() {
    let text = "\u{feff}Name,macs,labels,serial,notes\r\n\
                node-1,,\"rack=1; site = Büro 7;blade;\",,'=SUM(A1)\r\n\
                ,,,,\r\n\
                renamed,52-54-00-00-00-02,-,-,\"two\nlines\"\r\n\
                new,52:54:00:00:00:03 525400000004,,'-,\r\n";
    insta::assert_snapshot!(change(text, &catalog()).expect("possible"));
    let tabs = "name\tserial\nnode-1\tX\n";
    let same = change(tabs, &catalog()).expect("possible");
    assert_eq!(
        change(&tabs.replace('\t', ";"), &catalog()).expect("possible"),
        same
    );
    assert!(same.contains("\"S1\" -> \"X\""), "{same}");
}

#[test]
fn faults_say_the_line_and_the_column() {
    let cases = [
        "name,colour\nnode-1,red\n",
        "name,Name\nnode-1,x\n",
        "name,macs\nnode-1,52:54\n",
        "name,uuid,loader\n\"node\n-1\",,\nnode-1,nonsense,\nnode-2,,lilo\n",
        "name,profile\nnode-1,nosuch\n",
        "name\nnode-1,more\n",
        "name,labels\nnode-1,a=1;a=2\n",
        "serial\nS9\n",
        "name,macs\nnode-1,\nnode-1,\n",
        "name,macs\nx,52:54:00:00:00:01 52:54:00:00:00:02\n",
        "name,serial\nnode-1,\"\u{1b}]0;x\u{7}\"\nnode-2,<img src=x onerror=y>\n",
    ];
    let mut shown = String::new();
    for text in cases {
        match change(text, &catalog()) {
            Ok(told) => shown += &format!("possible: {told}"),
            Err(faults) => {
                for f in faults {
                    shown += &format!("{}:{} {}: {}\n", f.line, f.column, f.field, f.problem);
                }
            }
        }
    }
    insta::assert_snapshot!(shown);
}

#[tokio::test]
async fn a_table_is_an_edit_and_all_or_nothing() {
    let site = Site::open().await;
    let store = &site.store;
    let text = "name,macs,serial\na,52:54:00:00:00:01,A\nb,52:54:00:00:00:02,B\n";
    import(store, text, true, "ann").await.expect("shown");
    assert_eq!(store.machines().len(), 0, "a dry run changed something");
    import(store, text, false, "ann").await.expect("imported");
    assert_eq!(store.marks().await.expect("readable"), Marks::default());
    // What only the store finds wrong is said with its line, and nothing is changed.
    let bad = format!("name,serial\na,X\nb,{}\n", "x".repeat(300));
    let error = import(store, &bad, false, "ann")
        .await
        .expect_err("too long");
    let fault = &error.faults()[0];
    assert_eq!((fault.line, fault.column, &*fault.field), (3, 2, "serial"));
    let a = store.machine_named("a").expect("there").machine;
    assert_eq!(a.serial.as_deref(), Some("A"));
}

/// An installer and a rescue system.
const PROFILES: &str = "kind: profile\nname: auto\ntitle: Auto\n\
    boot: {kind: linux, kernel: d/linux}\ninstall: {tries: 3, minutes: 60}\n---\n\
    kind: profile\nname: rescue\ntitle: Rescue\nboot: {kind: linux, kernel: d/linux}\n";

#[tokio::test]
async fn a_table_says_how_a_profile_is_meant() {
    let site = Site::of(PROFILES).await;
    let rows = "a,52:54:00:00:00:01,auto,install-once\nb,52:54:00:00:00:02,auto,always\n\
                c,52:54:00:00:00:03,rescue,\nd,52:54:00:00:00:04,,\n";
    let text = format!("name,macs,profile,mode\n{rows}");
    let done = import(&site.store, &text, false, "ann").await;
    insta::assert_snapshot!(done.expect("imported").text);
    let machines = site.store.machines();
    assert!(
        machines.iter().all(|m| m.machine.run.is_none()),
        "a table orders nothing"
    );
    // Out and in again nothing is different, and on an empty server it is the same.
    let catalog = site.store.catalog();
    let out = export(catalog.machines().map(|m| m.as_ref()), &catalog);
    assert!(
        out.contains(",auto,install-once,\n") && out.contains(",auto,always,\n"),
        "{out}"
    );
    assert!(out.contains(",rescue,,\n"), "{out}");
    let again = import(&site.store, &out, false, "ann")
        .await
        .expect("imported");
    assert!(!again.changed, "{}", again.text);
    let new = Site::of(PROFILES).await;
    import(&new.store, &out, false, "ann")
        .await
        .expect("imported");
    assert_eq!(new.export(false).await, site.export(false).await);
}

#[tokio::test]
async fn a_table_installs_at_every_boot_only_where_it_says_so() {
    let site = Site::of(PROFILES).await;
    let text = "name,macs,profile,mode\nc,52:54:00:00:00:03,rescue,always\n";
    import(&site.store, text, false, "ann")
        .await
        .expect("imported");
    for (row, says) in [
        (
            "a,52:54:00:00:00:01,auto,",
            "installs, and would at every boot",
        ),
        ("c,,auto,-", "installs, and would at every boot"),
        ("a,52:54:00:00:00:01,,always", "write that, too"),
        ("c,,-,install-once", "write that, too"),
        ("c,,auto,once", "is none of those that there are"),
    ] {
        let text = format!("name,macs,profile,mode\n{row}\n");
        let error = import(&site.store, &text, true, "ann")
            .await
            .expect_err("refused");
        let fault = error.faults().first().expect("a place");
        assert!(fault.problem.contains(says), "{row}: {}", fault.problem);
        assert_eq!(fault.line, 2, "{row}");
    }
}
