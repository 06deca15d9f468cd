//! The system's neighbour table, as Linux prints it.

use bootplan::MacAddr;
use std::collections::HashMap;
use std::net::Ipv4Addr;

/// Reads the text of `/proc/net/arp`: a heading, then lines of address, hardware type, flags, MAC,
/// mask and device. Only complete entries (flag 2, `ATF_COM`) say a MAC; anything else on a line
/// is skipped, for this is a source of hints.
pub(super) fn parse(text: &str) -> HashMap<Ipv4Addr, MacAddr> {
    text.lines().skip(1).filter_map(entry).collect()
}

fn entry(line: &str) -> Option<(Ipv4Addr, MacAddr)> {
    let mut fields = line.split_ascii_whitespace();
    let ip = fields.next()?.parse().ok()?;
    let flags = fields.nth(1)?.strip_prefix("0x")?;
    let mac: MacAddr = fields.next()?.parse().ok()?;
    let complete = u32::from_str_radix(flags, 16).ok()? & COMPLETE != 0;
    (complete && mac.is_unicast()).then_some((ip, mac))
}

const COMPLETE: u32 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_complete_entries_count() {
        // As printed by Linux 6.1.
        let text = "\
IP address       HW type     Flags       HW address            Mask     Device
10.77.0.101      0x1         0x2         52:54:00:12:34:56     *        br-lab
10.77.0.102      0x1         0x0         00:00:00:00:00:00     *        br-lab
10.77.0.103      0x1         0x6         52:54:00:12:34:57     *        br-lab
10.77.0.104      0x1         0x2         ff:ff:ff:ff:ff:ff     *        br-lab
garbage
";
        let table = parse(text);
        assert_eq!(table.len(), 2);
        let mac = table[&Ipv4Addr::new(10, 77, 0, 101)];
        assert_eq!(mac.to_string(), "52:54:00:12:34:56");
        assert!(
            table.contains_key(&Ipv4Addr::new(10, 77, 0, 103)),
            "a static entry"
        );
        assert!(parse("").is_empty());
    }
}
