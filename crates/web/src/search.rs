//! Which machines somebody means by a few words: the same for the page's filter and the API's.

use bootplan::Machine;

/// Whether every one of the words, in any case, is found somewhere in what is known of the machine: name, state,
/// MAC (with colons, dashes or neither), UUID, serial, profile, platform, maker and product, `label=value`.
pub(crate) fn matches(machine: &Machine, words: &str) -> bool {
    let words = words.to_lowercase();
    let mut words = words.split_whitespace().peekable();
    words.peek().is_none() || {
        let text = known(machine);
        words.all(|word| text.contains(word))
    }
}

fn known(machine: &Machine) -> String {
    let mut all = vec![machine.name.clone(), machine.state.slug().to_owned()];
    for mac in &machine.macs {
        all.push(mac.to_string());
        all.push(mac.dashed());
        all.push(mac.to_string().replace(':', ""));
    }
    all.extend(machine.uuid.map(|u| u.to_string()));
    all.extend(machine.serial.clone());
    all.extend(machine.profile.as_ref().map(ToString::to_string));
    all.extend(machine.facts.platform.map(|p| format!("{p} {}", p.slug())));
    all.extend(machine.facts.manufacturer.clone());
    all.extend(machine.facts.product.clone());
    all.extend(machine.labels.iter().map(|(k, v)| format!("{k}={v}")));
    all.join("\n").to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bootplan::{MacAddr, MachineId, MachineState};

    #[test]
    fn every_word_must_match_somewhere() {
        let machine = Machine {
            macs: vec![MacAddr([0x52, 0x54, 0, 0, 0, 0xab])],
            serial: Some("S3R1AL".to_owned()),
            labels: [("rack".to_owned(), "12".to_owned())].into(),
            state: MachineState::Discovered,
            ..Machine::named(MachineId(1), "Node-7")
        };
        for yes in [
            "",
            " ",
            "node",
            "NODE 7",
            "52:54:00",
            "5254000000ab",
            "52-54-00-00-00-ab",
            "rack=12",
            "s3r",
            "discovered",
        ] {
            assert!(matches(&machine, yes), "{yes}");
        }
        for no in ["node 8", "rack=13", "debian"] {
            assert!(!matches(&machine, no), "{no}");
        }
    }
}
