//! A filter cut into words. Pure.

/// One word as written.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Word {
    /// It began with `!`.
    pub(super) not: bool,
    /// What stood before the first colon, when that is made of letters.
    pub(super) key: Option<String>,
    /// The rest, without its quotes.
    pub(super) value: String,
    /// Whether any of it stood in quotes.
    pub(super) quoted: bool,
}

/// Quotes that do not end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the quotes before '{0}' do not end")]
pub(crate) struct WordsError(String);

/// Cuts at spaces outside of quotes. Inside of them `\"` is a quote and `\\` a backslash.
pub(super) fn words(text: &str) -> Result<Vec<Word>, WordsError> {
    let mut words = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (word, tail) = one(rest)?;
        words.extend(word);
        rest = tail.trim_start();
    }
    Ok(words)
}

/// One word and what follows it; no word where there is but an exclamation mark.
fn one(text: &str) -> Result<(Option<Word>, &str), WordsError> {
    let (not, mut rest) = match text.strip_prefix('!') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let mut key = None;
    let letters = rest.find(|c: char| !c.is_ascii_alphabetic());
    if let Some(end) = letters.filter(|end| *end > 0 && rest[*end..].starts_with(':')) {
        key = Some(rest[..end].to_ascii_lowercase());
        rest = &rest[end + 1..];
    }
    let (mut value, mut quoted) = (String::new(), false);
    while let Some(next) = rest.chars().next() {
        if next.is_whitespace() {
            break;
        }
        let after = &rest[next.len_utf8()..];
        if next == '"' {
            quoted = true;
            rest = inside(after, &mut value)?;
        } else {
            value.push(next);
            rest = after;
        }
    }
    let empty = key.is_none() && value.is_empty();
    let word = Word {
        not,
        key,
        value,
        quoted,
    };
    Ok(((!empty).then_some(word), rest))
}

/// Reads to the end of the quotes; returns what follows them.
fn inside<'a>(text: &'a str, value: &mut String) -> Result<&'a str, WordsError> {
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok(&text[at + 1..]),
            '\\' => match chars.next() {
                Some((_, escaped @ ('"' | '\\'))) => value.push(escaped),
                Some((_, other)) => value.extend(['\\', other]),
                None => break,
            },
            c => value.push(c),
        }
    }
    Err(WordsError(text.chars().take(40).collect()))
}
