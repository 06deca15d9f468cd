use super::*;
use proptest::prelude::*;
use serde_json::json;

fn variables(value: Value) -> Variables {
    serde_json::from_value(value).expect("usable variables")
}

fn group(name: &str, specificity: u16, value: Value) -> GroupLayer {
    GroupLayer {
        name: name.to_owned(),
        specificity,
        variables: variables(value),
    }
}

fn scope(groups: Vec<GroupLayer>, machine: Value) -> Scope {
    Scope::new(
        variables(json!({"a": "site", "b": "site", "c": "site", "d": "site"})),
        groups,
        ("debian", variables(json!({"c": "profile", "d": "profile"}))),
        variables(machine),
    )
}

#[test]
fn the_nearest_layer_wins_and_says_what_it_covers() {
    let scope = scope(
        vec![group("rack1", 1, json!({"b": "rack"}))],
        json!({"d": "machine"}),
    );
    for (name, value, origin, covers) in [
        ("a", "site", "site", vec![]),
        ("b", "rack", "group rack1", vec!["site"]),
        ("c", "profile", "profile debian", vec!["site"]),
        ("d", "machine", "machine", vec!["profile debian", "site"]),
    ] {
        let found = scope.resolve(name).expect(name);
        assert_eq!(found.value, &json!(value), "{name}");
        assert_eq!(found.origin.to_string(), origin, "{name}");
        let said: Vec<String> = found.covers.iter().map(ToString::to_string).collect();
        assert_eq!(said, covers, "{name}");
    }
    assert_eq!(scope.resolve("nobody"), None);
    assert_eq!(scope.names(), BTreeSet::from(["a", "b", "c", "d"]));
    assert!(scope.conflicts().is_empty());
}

#[test]
fn the_narrower_group_wins_without_a_conflict() {
    let groups = vec![
        group("zz-wide", 1, json!({"b": "wide"})),
        group("aa-narrow", 2, json!({"b": "narrow"})),
    ];
    let scope = scope(groups, json!({}));
    assert_eq!(scope.resolve("b").expect("b").value, &json!("narrow"));
    assert!(scope.conflicts().is_empty());
}

#[test]
fn equal_groups_that_disagree_are_told() {
    let groups = || {
        vec![
            group("web", 1, json!({"b": "web", "x": 1})),
            group("rack1", 1, json!({"b": "rack", "x": 1})),
        ]
    };
    let told = scope(groups(), json!({}));
    assert_eq!(told.resolve("b").expect("b").value, &json!("web"));
    assert_eq!(
        told.conflicts(),
        [Conflict {
            variable: "b".to_owned(),
            winner: "web".to_owned(),
            others: vec!["rack1".to_owned()],
        }]
    );
    // Whoever writes it on the machine has decided.
    assert!(scope(groups(), json!({"b": "mine"})).conflicts().is_empty());
}

proptest! {
    #[test]
    fn the_order_in_which_groups_come_changes_nothing(
        order in Just((0..6u16).collect::<Vec<_>>()).prop_shuffle(),
    ) {
        let make = |order: &[u16]| {
            let groups = order
                .iter()
                .map(|n| group(&format!("g{n}"), n % 3, json!({"b": n, "x": n / 2})))
                .collect();
            scope(groups, json!({}))
        };
        let (one, other) = (make(&[0, 1, 2, 3, 4, 5]), make(&order));
        for name in one.names() {
            prop_assert_eq!(one.resolve(name), other.resolve(name));
        }
        prop_assert_eq!(one.conflicts(), other.conflicts());
    }
}
