//! `farrier explain`: the running server's own decision for a client, real or imagined.

use super::Global;
use super::machine::escape;
use super::output::{out, outln, text};
use clap::Args;
use serde_json::Value;

/// `farrier explain`
#[derive(Debug, Args)]
pub(crate) struct Explain {
    /// The client's MAC
    #[arg(long)]
    mac: bootplan::MacAddr,
    /// Architecture: the code of option 93 (16 is UEFI x64 by HTTP Boot), or bios, efi-x64, ...
    /// [default: what the machine last said]
    #[arg(long)]
    arch: Option<String>,
    /// Who asks: firmware, ipxe, pxelinux or grub
    #[arg(long, default_value = "firmware")]
    stage: String,
    /// SMBIOS UUID
    #[arg(long)]
    uuid: Option<bootplan::SystemUuid>,
    /// Print the menu it would be served, too
    #[arg(long)]
    menu: bool,
}

pub(crate) async fn run(global: &Global, ask: Explain) -> anyhow::Result<()> {
    let mut path = format!("/explain?mac={}&stage={}", ask.mac, escape(&ask.stage));
    if let Some(arch) = &ask.arch {
        path += &format!("&arch={}", escape(arch));
    }
    if let Some(uuid) = ask.uuid {
        path += &format!("&uuid={uuid}");
    }
    let answer = global.client()?.get(&path).await?;
    if global.json {
        outln!("{answer:#}");
        return Ok(());
    }
    let machine = match &answer["machine"] {
        Value::Null => "not known".to_owned(),
        machine => format!("{} (id {})", text(machine, "name"), text(machine, "id")),
    };
    outln!("boots      {}", what_boots(&answer));
    outln!("machine    {machine}");
    outln!("outcome    {}", text(&answer, "outcome"));
    outln!("because    {}", text(&answer, "because"));
    for (label, key) in [
        ("boot file", "boot_file"),
        ("loader", "loader"),
        ("profiles", "profiles"),
    ] {
        if text(&answer, key) != "-" {
            outln!("{label:<9}  {}", text(&answer, key));
        }
    }
    out!("{}", rules(&answer));
    if ask.menu
        && let Some(menu) = answer["menu"]["text"].as_str()
    {
        outln!("\n{menu}");
    }
    Ok(())
}

/// Each rule with what became of it; of those that do not decide, the conditions that fail.
fn rules(answer: &Value) -> String {
    let mut told = String::new();
    for rule in answer["rules"].as_array().into_iter().flatten() {
        let label = if told.is_empty() { "rules" } else { "" };
        told += &format!(
            "{label:<9}  {}: {}\n",
            text(rule, "rule"),
            text(rule, "text")
        );
        if !matches!(
            rule["stand"].as_str(),
            Some("no-match" | "unknown" | "may-decide")
        ) {
            continue;
        }
        for condition in rule["conditions"].as_array().into_iter().flatten() {
            let word = match condition["holds"].as_bool() {
                Some(true) => "yes",
                Some(false) => "no",
                None => "not known",
            };
            let depth = condition["depth"].as_u64().unwrap_or(0).min(8) as usize;
            let indent = "  ".repeat(depth + 1);
            told += &format!("{:<9}  {indent}{}: {word}\n", "", text(condition, "text"));
        }
    }
    told
}

/// In one line what the machine comes to.
fn what_boots(answer: &Value) -> String {
    match (answer["outcome"].as_str(), answer["intent"].as_str()) {
        (Some("boot"), Some("assigned")) => text(answer, "boots"),
        (Some("boot"), Some("queue")) => "waits for its turn".to_owned(),
        (Some("boot"), Some("wait")) => "waits for an assignment".to_owned(),
        (Some("boot"), Some("menu")) => "menu".to_owned(),
        (Some("boot"), _) => text(answer, "profiles"),
        (Some("local-disk"), _) => "its local disk".to_owned(),
        _ => "no answer".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_rule_says_what_became_of_it() {
        let conditions = json!([
            {"depth": 0, "text": "all of", "holds": false},
            {"depth": 1, "text": "in subnet 10.2.0.0/16", "holds": false},
            {"depth": 1, "text": "serial is like A*", "holds": null},
        ]);
        let answer = json!({"rules": [
            {"rule": "far", "text": "does not match", "stand": "no-match", "conditions": conditions},
            {"rule": "near", "text": "decides", "stand": "decides", "conditions": conditions},
        ]});
        let told = rules(&answer);
        let lines: Vec<&str> = told.lines().collect();
        let expected = [
            "rules      far: does not match",
            "             all of: no",
            "               in subnet 10.2.0.0/16: no",
            "               serial is like A*: not known",
            "           near: decides",
        ];
        assert_eq!(lines, expected);
        assert_eq!(rules(&json!({"rules": []})), "");
    }

    #[test]
    fn the_first_line_says_what_boots() {
        let boot = |intent| json!({"outcome": "boot", "intent": intent, "boots": "Debian 12"});
        let cases = [
            (boot("assigned"), "Debian 12"),
            (boot("queue"), "waits for its turn"),
            (boot("wait"), "waits for an assignment"),
            (boot("menu"), "menu"),
            (json!({"outcome": "local-disk"}), "its local disk"),
            (json!({"outcome": "silent"}), "no answer"),
        ];
        for (answer, expected) in cases {
            assert_eq!(what_boots(&answer), expected, "{answer}");
        }
    }
}
