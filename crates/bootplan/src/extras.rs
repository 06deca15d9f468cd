//! Lines of a loader's own language that stand before a profile's entry is loaded.
//!
//! What no menu of ours can foresee: `SYSAPPEND 3` for an installer that reads `BOOTIF`, a
//! `devicetree` for a board, `set net0/...` for a card. They are an operator's words, so they are
//! commands, unlike every other text on a menu; what they can break is their own entry only.

use crate::ProfileError;
use crate::menu::Language;
use serde::{Deserialize, Serialize};

/// One text for each loader's language; each may be a template, as kernel arguments may.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Extras {
    /// Commands of iPXE. One that fails and has no `||` of its own is as a kernel that cannot be
    /// fetched: the machine asks again after a pause.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub ipxe: String,
    /// Lines below the `LABEL` of PXELINUX.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub pxelinux: String,
    /// Commands of GRUB, inside the entry's braces.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub grub: String,
}

impl Extras {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.all().iter().all(|(_, _, text)| text.is_empty())
    }

    /// Each language with the name of its field and its text.
    pub fn all(&self) -> [(Language, &'static str, &str); 3] {
        [
            (Language::Ipxe, "extras.ipxe", &self.ipxe),
            (Language::Pxelinux, "extras.pxelinux", &self.pxelinux),
            (Language::Grub, "extras.grub", &self.grub),
        ]
    }

    /// Whether one of them is a template.
    pub fn has_template(&self) -> bool {
        let mut texts = self.all().into_iter().map(|(_, _, text)| text);
        texts.any(is_template)
    }

    /// The same with each text replaced by what `fill` makes of its field's name and itself.
    ///
    /// # Errors
    /// The first one of `fill`.
    pub fn filled<E>(&self, fill: impl Fn(&str, &str) -> Result<String, E>) -> Result<Extras, E> {
        let one = |(_, name, text): (Language, &str, &str)| match text.is_empty() {
            true => Ok(String::new()),
            false => fill(name, text),
        };
        let [ipxe, pxelinux, grub] = self.all();
        Ok(Extras {
            ipxe: one(ipxe)?,
            pxelinux: one(pxelinux)?,
            grub: one(grub)?,
        })
    }

    /// The lines for a language, without empty ones.
    pub(crate) fn lines(&self, language: Language) -> impl Iterator<Item = &str> {
        let text = match language {
            Language::Ipxe => &self.ipxe,
            Language::Pxelinux => &self.pxelinux,
            Language::Grub => &self.grub,
        };
        let lines = text.lines().map(str::trim_end);
        lines.filter(|line| !line.is_empty())
    }

    /// Checks that each text stays within its entry, so that a mistake in one profile never
    /// takes the menu of another with it.
    ///
    /// # Errors
    /// The first field that would leave its entry, or that no loader could read.
    pub fn validate(&self) -> Result<(), ProfileError> {
        for (language, field, text) in self.all() {
            if text.len() > LIMIT {
                return Err(ProfileError::TooLong {
                    field,
                    length: text.len(),
                    limit: LIMIT,
                });
            }
            let readable = |c: u8| c == b'\n' || c == b'\t' || c == b' ' || c.is_ascii_graphic();
            if !text.bytes().all(readable) {
                return Err(unfit(field, "loaders read printable ASCII only"));
            }
            for line in self.lines(language) {
                if let Some(rule) = leaves(language, line) {
                    return Err(unfit(field, &format!("'{}': {rule}", head(line))));
                }
            }
        }
        // Of a template, only what it makes can be read by GRUB; that comes here as well.
        match is_template(&self.grub) || whole(&self.grub) {
            true => Ok(()),
            false => Err(unfit(
                "extras.grub",
                "a quote, brace, 'if' or loop is left open, or closed twice; GRUB would read none \
                 of the menu",
            )),
        }
    }
}

/// Whether something in it is to be filled in for each machine.
pub(crate) fn is_template(text: &str) -> bool {
    text.contains("{{") || text.contains("{%")
}

/// Why a line would not stay within its entry.
fn leaves(language: Language, line: &str) -> Option<&'static str> {
    let first = line.split_whitespace().next().unwrap_or_default();
    match language {
        Language::Ipxe if first.starts_with(':') => {
            Some("labels are the menu's own; a script of yours is a profile of kind 'chain'")
        }
        // The next line would be drawn into it.
        Language::Ipxe | Language::Grub if line.ends_with('\\') => {
            Some("a line must not end with a backslash")
        }
        Language::Pxelinux if OWN.iter().any(|own| own.eq_ignore_ascii_case(first)) => {
            Some("the menu says this itself")
        }
        _ => None,
    }
}

/// Whether a text of GRUB's language closes what it opens. Only counted, and enough for the
/// mistakes of a tired person: GRUB itself drops a whole configuration that it cannot read.
fn whole(text: &str) -> bool {
    let (mut braces, mut ifs, mut loops) = (0_i32, 0_i32, 0_i32);
    for line in text.lines() {
        let Some(bare) = unquoted(line) else {
            return false;
        };
        for c in bare.chars() {
            braces += i32::from(c == '{') - i32::from(c == '}');
            if braces < 0 {
                return false;
            }
        }
        for word in bare.split(|c: char| c.is_whitespace() || c == ';') {
            ifs += i32::from(word == "if") - i32::from(word == "fi");
            loops += i32::from(word == "do") - i32::from(word == "done");
            if ifs < 0 || loops < 0 {
                return false;
            }
        }
    }
    (braces, ifs, loops) == (0, 0, 0)
}

/// A line without what stands in quotes or behind a `#`; `None` when a quote is left open.
fn unquoted(line: &str) -> Option<String> {
    let mut bare = String::new();
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => {
                chars.next();
            }
            '\'' => {
                chars.by_ref().find(|c| *c == '\'')?;
            }
            '"' => loop {
                match chars.next()? {
                    '\\' => {
                        chars.next();
                    }
                    '"' => break,
                    _ => {}
                }
            },
            '#' if bare.is_empty() || bare.ends_with(char::is_whitespace) => break,
            c => bare.push(c),
        }
    }
    Some(bare)
}

fn head(line: &str) -> String {
    line.trim_start().chars().take(40).collect()
}

fn unfit(field: &'static str, rule: &str) -> ProfileError {
    ProfileError::Unfit {
        field,
        rule: rule.to_owned(),
    }
}

/// Larger than any, and small enough for a loader's memory.
const LIMIT: usize = 8 * 1024;
/// Words of PXELINUX with which the menu itself is made.
const OWN: [&str; 16] = [
    "LABEL",
    "DEFAULT",
    "PROMPT",
    "TIMEOUT",
    "ONTIMEOUT",
    "ONERROR",
    "IMPLICIT",
    "LINUX",
    "KERNEL",
    "INITRD",
    "APPEND",
    "PXE",
    "COM32",
    "LOCALBOOT",
    "CONFIG",
    "SERIAL",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn extras(language: Language, text: &str) -> Extras {
        let mut extras = Extras::default();
        let field = match language {
            Language::Ipxe => &mut extras.ipxe,
            Language::Pxelinux => &mut extras.pxelinux,
            Language::Grub => &mut extras.grub,
        };
        text.clone_into(field);
        extras
    }

    #[test]
    fn what_stays_within_its_entry_is_taken() {
        use Language::{Grub, Ipxe, Pxelinux};
        for (language, text) in [
            (Ipxe, "set net0/mtu 1400\nimgfetch http://x/a ||\n# a word"),
            (Pxelinux, "SYSAPPEND 3\nMENU HIDE"),
            (
                Grub,
                "insmod tpm\nif [ \"$x\" = 1 ]; then\n  devicetree /a # it's\nfi",
            ),
            (Grub, "for x in a b; do echo \"}\"; done\nset a=${b}"),
            (
                Grub,
                "{% if labels.a is defined %}\nset a={{ labels.a }}\n{% endif %}",
            ),
        ] {
            assert_eq!(extras(language, text).validate(), Ok(()), "{text}");
        }
    }

    #[test]
    fn what_would_leave_its_entry_is_refused() {
        use Language::{Grub, Ipxe, Pxelinux};
        for (language, text, said) in [
            (Ipxe, ":failed", "labels are the menu's own"),
            (Ipxe, "echo a \\", "backslash"),
            (Ipxe, "echo \u{e4}", "printable ASCII"),
            (Ipxe, "echo a\r\nshell", "printable ASCII"),
            (
                Pxelinux,
                "SYSAPPEND 3\n label x",
                "'label x': the menu says this itself",
            ),
            (Pxelinux, "APPEND quiet", "the menu says this itself"),
            (Grub, "}", "closed twice"),
            (Grub, "if true; then", "left open"),
            (Grub, "while true; do", "left open"),
            (Grub, "echo 'a", "left open"),
            (Grub, "echo \"a\\\"", "left open"),
            (Grub, "}\nmenuentry 'x' {", "closed twice"),
            (Grub, "set a=1 \\", "backslash"),
        ] {
            let error = extras(language, text).validate().expect_err(text);
            assert!(error.to_string().contains(said), "{text}: {error}");
        }
        let error = extras(Ipxe, &"a".repeat(LIMIT + 1)).validate();
        assert!(matches!(error, Err(ProfileError::TooLong { .. })));
    }

    #[test]
    fn each_is_filled_by_its_name() {
        let all = Extras {
            ipxe: "a".to_owned(),
            grub: "b".to_owned(),
            ..Extras::default()
        };
        let filled = all.filled(|name, text| Ok::<_, ()>(format!("{name} {text}")));
        let filled = filled.expect("fills");
        assert_eq!(filled.ipxe, "extras.ipxe a");
        assert_eq!(filled.pxelinux, "", "what is empty stays so");
        assert_eq!(filled.grub, "extras.grub b");
        assert_eq!(all.filled(|name, _| Err::<String, _>(name.len())), Err(11));
    }
}
