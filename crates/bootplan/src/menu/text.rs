//! The only ways from a text of a person or a packet onto a page: one emitter per language.
//!
//! Everything is printable ASCII afterwards; a character that is not becomes `?`.

/// Printable ASCII on one line, at most `columns` wide, spaces squeezed: all that a comment or
/// the rest of a PXELINUX line needs, which only a line break could end.
pub(super) fn plain(text: &str, columns: usize) -> String {
    let ascii: String = text
        .chars()
        .map(|c| match c {
            c if c.is_whitespace() || c.is_control() => ' ',
            c if c.is_ascii_graphic() => c,
            _ => '?',
        })
        .collect();
    let words: Vec<&str> = ascii.split_whitespace().collect();
    let line = words.join(" ");
    if line.len() <= columns {
        return line;
    }
    format!("{}...", line[..columns.saturating_sub(3)].trim_end())
}

/// A text for people on an iPXE `echo`, `menu` or `item` line.
///
/// iPXE has no quoting: it expands `${...}`, ends a command at the words `||`, `&&` and `;`,
/// begins a comment at any word that starts with `#`, and joins lines at a final backslash.
pub(super) fn ipxe_text(text: &str, columns: usize) -> String {
    plain(text, columns)
        .chars()
        .map(|c| match c {
            '$' | '#' => '?',
            '|' | '\\' => '/',
            '&' => '+',
            ';' => ',',
            '`' => '\'',
            c => c,
        })
        .collect()
}

/// Kernel arguments on an iPXE line: words as the operator wrote them, except what iPXE would
/// take for itself (see [`ipxe_text`]), which is disarmed. `Profile::validate` refuses such
/// arguments when they are saved; this is the second lock on the same door.
pub(super) fn ipxe_args(args: &str) -> String {
    let words: Vec<String> = plain(args, usize::MAX)
        .split(' ')
        .map(|word| {
            let word = word.replace("${", "?{");
            match word.as_str() {
                "||" | "&&" | ";" => "?".to_owned(),
                w if w.starts_with('#') => format!("?{}", &w[1..]),
                _ => word,
            }
        })
        .collect();
    words.join(" ")
}

/// One word of GRUB's language, in single quotes, in which nothing is special.
pub(super) fn grub_word(word: &str) -> String {
    let ascii: String = word
        .chars()
        .map(|c| match c {
            c if c.is_control() => ' ',
            c if c == ' ' || c.is_ascii_graphic() => c,
            _ => '?',
        })
        .collect();
    format!("'{}'", ascii.replace('\'', "'\\''"))
}

/// A text for people as one GRUB word.
pub(super) fn grub_text(text: &str, columns: usize) -> String {
    grub_word(&plain(text, columns))
}

/// Kernel arguments as GRUB words. Double quotes are taken off here, as the kernel would: GRUB
/// puts its own around an argument with spaces, and a backslash before every quote it is given.
pub(super) fn grub_args(args: &str) -> String {
    let mut words: Vec<String> = Vec::new();
    let mut word = String::new();
    let mut quoted = false;
    let mut begun = false;
    for c in args.chars() {
        match c {
            '"' => {
                quoted = !quoted;
                begun = true;
            }
            c if c.is_whitespace() && !quoted => {
                if begun {
                    words.push(std::mem::take(&mut word));
                }
                begun = false;
            }
            c => {
                word.push(c);
                begun = true;
            }
        }
    }
    if begun {
        words.push(word);
    }
    let words: Vec<String> = words.iter().map(|w| grub_word(w)).collect();
    words.join(" ")
}
