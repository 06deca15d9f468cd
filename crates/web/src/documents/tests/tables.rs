//! Machines as CSV: what goes out comes in, and what is wrong is said by line and column.

use super::round_trip::catalogs;
use crate::documents::table::{export, parse};
use crate::documents::{Fault, Options, import, plan};
use bootplan::{Catalog, LoaderInventory, MacAddr, Machine, MachineId, Site};
use proptest::prelude::*;
use store::{Marks, Store};

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
    Catalog::new(1, Site::default(), LoaderInventory::default(), machines, [])
}

proptest! {
    #[test]
    fn what_is_exported_changes_nothing(catalog in catalogs()) {
        let text = export(catalog.machines().map(|m| m.as_ref()));
        let rows = parse(&text).unwrap_or_else(|faults| panic!("{faults:?} in\n{text}"));
        let plan = plan::plan(&rows, &super::decided(&catalog), &Marks::default(), &Options::default());
        let plan = plan.unwrap_or_else(|faults| panic!("{faults:?} in\n{text}"));
        let different = plan.changes.iter().flat_map(|c| &c.fields).find(|f| f.field != "state");
        prop_assert!(different.is_none(), "{:?} by\n{}", different, text);
    }

    /// No cell of what is written is calculated by a spreadsheet.
    #[test]
    fn no_cell_is_a_formula(catalog in catalogs()) {
        let text = export(catalog.machines().map(|m| m.as_ref()));
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
    let dir = tempfile::tempdir().expect("a directory");
    let url = format!("sqlite:{}", dir.path().join("farrier.db").display());
    let store = Store::open(&url).await.expect("opens");
    let text = "name,macs,serial\na,52:54:00:00:00:01,A\nb,52:54:00:00:00:02,B\n";
    import(&store, text, true, "ann").await.expect("shown");
    assert_eq!(store.machines().len(), 0, "a dry run changed something");
    import(&store, text, false, "ann").await.expect("imported");
    assert_eq!(store.marks().await.expect("readable"), Marks::default());
    // What only the store finds wrong is said with its line, and nothing is changed.
    let bad = format!("name,serial\na,X\nb,{}\n", "x".repeat(300));
    let error = import(&store, &bad, false, "ann")
        .await
        .expect_err("too long");
    let fault = &error.faults()[0];
    assert_eq!((fault.line, fault.column, &*fault.field), (3, 2, "serial"));
    let a = store.machine_named("a").expect("there").machine;
    assert_eq!(a.serial.as_deref(), Some("A"));
    store.close().await;
}
