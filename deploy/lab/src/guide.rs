//! A guide of `docs/guides`, taken apart so that it can be run as it is written.
//!
//! * A block ```` ```sh ```` is run on the server; ```` ```sh switch ```` on another host of the LAN.
//! * A block ```` ```yaml ```` that begins `# /etc/farrier/farrier.yaml` is part of the server's configuration.
//! * A comment `<!-- sh` ... `-->` is a block that readers do not see: preparations and checks.
//! * A comment `<!-- lab: boot NAME MAC until TEXT -->` switches a machine on and waits for the text;
//!   `<!-- lab: off NAME -->` pulls its plug.

use anyhow::{Context, Result, bail};
use bootplan::MacAddr;

/// Something that is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    /// Commands, on the server or on another host.
    Commands {
        /// Line of the guide where they begin.
        line: usize,
        /// Not on the server.
        elsewhere: bool,
        /// The script.
        text: String,
    },
    /// A machine is switched on.
    Boot {
        /// Its name.
        name: String,
        /// Its card.
        mac: MacAddr,
        /// What it prints at last.
        until: String,
    },
    /// A machine loses its power.
    Off {
        /// Its name.
        name: String,
    },
}

/// A guide, taken apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Guide {
    /// What stands in the server's configuration.
    pub(crate) config: String,
    /// What is done, in order.
    pub(crate) deeds: Vec<Deed>,
}

impl Guide {
    /// Reads a guide.
    ///
    /// # Errors
    /// When a block does not end, or a comment for the lab cannot be understood.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let mut guide = Guide::default();
        let mut lines = text.lines().enumerate();
        while let Some((n, line)) = lines.next() {
            let end = match line {
                "<!-- sh" => "-->",
                _ if line.starts_with("```") => "```",
                _ => {
                    if let Some(order) = line.strip_prefix("<!-- lab: ") {
                        guide
                            .deeds
                            .push(order_of(order).with_context(|| format!("line {}", n + 1))?);
                    }
                    continue;
                }
            };
            let mut block = String::new();
            loop {
                match lines.next() {
                    Some((_, inside)) if inside == end => break,
                    Some((_, inside)) => block = block + inside + "\n",
                    None => bail!("line {}: this block does not end", n + 1),
                }
            }
            let language = line.trim_start_matches("```");
            match language {
                "sh" | "sh switch" | "<!-- sh" => guide.deeds.push(Deed::Commands {
                    line: n + 1,
                    elsewhere: language == "sh switch",
                    text: block,
                }),
                "yaml" if block.starts_with(CONFIG) => guide.config += &block,
                _ => {}
            }
        }
        Ok(guide)
    }
}

fn order_of(text: &str) -> Result<Deed> {
    let words = text
        .strip_suffix(" -->")
        .context("the comment ends with -->")?;
    if let Some(name) = words.strip_prefix("off ") {
        let name = name.to_owned();
        return Ok(Deed::Off { name });
    }
    let (boot, until) = words.split_once(" until ").context("no 'until'")?;
    let ["boot", name, mac] = boot.split(' ').collect::<Vec<_>>()[..] else {
        bail!("expected 'boot NAME MAC until TEXT', not '{text}'");
    };
    Ok(Deed::Boot {
        name: name.to_owned(),
        mac: mac.parse().with_context(|| format!("'{mac}' is no MAC"))?,
        until: until.to_owned(),
    })
}

/// The first line of what belongs into the server's configuration.
const CONFIG: &str = "# /etc/farrier/farrier.yaml\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guide_is_taken_apart_in_its_order() {
        let text = "# T\n\n```yaml\n# /etc/farrier/farrier.yaml\na: 1\n```\n<!-- sh\nprepare\n-->\n\
                    ```sh\nfarrier status\n```\n```text\nnot run\n```\n```sh switch\ncurl x\n```\n\
                    <!-- lab: boot ws1 52:54:00:77:00:01 until a login: prompt -->\n\
                    <!-- lab: off ws1 -->\n";
        let guide = Guide::parse(text).expect("well-formed");
        assert_eq!(guide.config, "# /etc/farrier/farrier.yaml\na: 1\n");
        let run = |line, elsewhere, text: &str| Deed::Commands {
            line,
            elsewhere,
            text: text.to_owned(),
        };
        let boot = Deed::Boot {
            name: "ws1".to_owned(),
            mac: MacAddr([0x52, 0x54, 0, 0x77, 0, 1]),
            until: "a login: prompt".to_owned(),
        };
        let expected = [
            run(7, false, "prepare\n"),
            run(10, false, "farrier status\n"),
            run(16, true, "curl x\n"),
            boot,
            Deed::Off {
                name: "ws1".to_owned(),
            },
        ];
        assert_eq!(guide.deeds, expected);
    }

    #[test]
    fn what_would_be_left_out_is_an_error() {
        for bad in [
            "```sh\nx\n",
            "<!-- sh\nx\n",
            "<!-- lab: boot ws1 until x -->\n",
            "<!-- lab: reboot -->\n",
        ] {
            assert!(Guide::parse(bad).is_err(), "{bad}");
        }
    }
}
