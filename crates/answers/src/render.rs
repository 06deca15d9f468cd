//! From a template and what is known of a machine to the text it gets, within fixed limits.

use crate::explain::explain;
use crate::filters::{add_to, said, write_plain, write_word};
use crate::named::named;
use crate::{About, Addresses, Fault, Scope, Secrets};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, Error, UndefinedBehavior, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Snippets by name: all that an `include` or `import` can reach.
pub type Library = Arc<BTreeMap<String, String>>;

/// One template to be rendered.
#[derive(Clone, Copy, Debug)]
pub struct Document<'a> {
    /// What faults call it: the template's or the field's name.
    pub name: &'a str,
    /// Its text.
    pub text: &'a str,
    /// A sealed answer is served by a link only, so it may name secrets.
    pub sealed: bool,
}

/// What a template is filled with.
#[derive(Clone, Copy, Debug)]
pub struct Material<'a> {
    /// The variables.
    pub scope: &'a Scope,
    /// Machine, server and try.
    pub about: &'a About,
    /// Where the machine gets and reports.
    pub addresses: &'a Addresses,
    /// The snippets.
    pub library: &'a Library,
    /// What `secret(name)` gives in a sealed document; never looked at for others.
    pub secrets: &'a Secrets,
}

/// A rendered text. Its `Debug` text shows sizes and names, never the text.
#[derive(Clone, PartialEq, Eq)]
pub struct Rendered {
    /// The text for the machine.
    pub text: String,
    /// Names of the secrets in it.
    pub secrets_used: BTreeSet<String>,
    /// Whether it may be served by a link only.
    pub sealed: bool,
}

impl fmt::Debug for Rendered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rendered")
            .field("bytes", &self.text.len())
            .field("secrets_used", &self.secrets_used)
            .field("sealed", &self.sealed)
            .finish_non_exhaustive()
    }
}

/// Renders a document.
///
/// Undefined names are errors, nothing is escaped unless a filter says so, a block tag takes its
/// line with it, and a final line break stays. The work is bounded by `FUEL` and
/// `OUTPUT_LIMIT`: a few milliseconds at most, but let it be on a thread that may wait.
///
/// # Errors
/// The first fault, with the place in the template or snippet where it can be mended.
pub fn render(document: &Document<'_>, material: &Material<'_>) -> Result<Rendered, Fault> {
    render_by(document, material, |_| {})
}

/// The same for a text whose lines are commands of a loader: a value can only be one plain word
/// in it, whatever filter stands behind it. A serial number is what a machine claims, and must
/// not become a second command.
///
/// # Errors
/// As [`render()`], and a value that is no plain word.
pub fn render_words(document: &Document<'_>, material: &Material<'_>) -> Result<Rendered, Fault> {
    render_by(document, material, |engine| {
        engine.set_formatter(write_word)
    })
}

fn render_by(
    document: &Document<'_>,
    material: &Material<'_>,
    change: impl FnOnce(&mut Environment<'static>),
) -> Result<Rendered, Fault> {
    too_large(document.name, document.text)?;
    let used = Arc::new(Mutex::new(BTreeSet::new()));
    let mut nameable = None;
    if document.sealed {
        let names = named(document.name, document.text)?;
        nameable = Some(Arc::new(Mutex::new(names)));
    }
    let mut engine = engine(material.library, nameable.clone());
    change(&mut engine);
    add_words(&mut engine, material);
    if let Some(nameable) = nameable {
        add_secret(&mut engine, material.secrets, nameable, &used);
    }
    let mut out = Bounded(Vec::new());
    let source_of = |name: &str| match name {
        name if name == document.name => Some(document.text),
        name => material.library.get(name).map(String::as_str),
    };
    engine
        .add_template_owned(document.name.to_owned(), document.text.to_owned())
        .and_then(|()| {
            let template = engine.get_template(document.name)?;
            template.render_captured_to(variables(material.scope), &mut out)?;
            Ok(())
        })
        .map_err(|error| explain(&error, document.name, source_of))?;
    // Only whole `str`s were written, so the octets are UTF-8.
    let text = String::from_utf8(out.0)
        .map_err(|_| Fault::whole(document.name, "the result is not UTF-8"))?;
    let secrets_used = held(&used).clone();
    Ok(Rendered {
        text,
        secrets_used,
        sealed: document.sealed,
    })
}

/// Reads a template or snippet without filling it, so that what is saved can at least be read.
///
/// # Errors
/// The first place where the writing is wrong.
pub fn parse(name: &str, text: &str) -> Result<(), Fault> {
    too_large(name, text)?;
    let mut engine = engine(&Library::default(), None);
    let read = engine.add_template_owned(name.to_owned(), text.to_owned());
    read.map_err(|error| explain(&error, name, |found| (found == name).then_some(text)))
}

impl Rendered {
    /// The text as part of one line, such as kernel arguments: spaces around it are dropped.
    ///
    /// # Errors
    /// A line break or another control character, which could end a line and begin a command
    /// (vector R47).
    pub fn into_line(self, name: &str) -> Result<String, Fault> {
        let line = self.text.trim();
        match line.find(char::is_control) {
            Some(_) => Err(Fault::whole(
                name,
                "the result must stay on one line: it has a line break or control character",
            )),
            None => Ok(line.to_owned()),
        }
    }
}

fn too_large(name: &str, text: &str) -> Result<(), Fault> {
    if text.len() <= TEMPLATE_LIMIT {
        return Ok(());
    }
    let bytes = text.len();
    Err(Fault::whole(
        name,
        format!("the template has {bytes} bytes, at most {TEMPLATE_LIMIT} are allowed"),
    ))
}

/// The names of secrets that stand written out in the texts of one rendering.
type Nameable = Arc<Mutex<BTreeSet<String>>>;

/// An engine that knows the language, our filters and the snippets, and no machine. What snippets
/// name is added to `nameable` as they are taken in.
fn engine(library: &Library, nameable: Option<Nameable>) -> Environment<'static> {
    let mut engine = Environment::new();
    // The engine would guess an escaping from names such as `user-data.yaml`.
    engine.set_auto_escape_callback(|_| AutoEscape::None);
    engine.set_undefined_behavior(UndefinedBehavior::Strict);
    engine.set_fuel(Some(FUEL));
    engine.set_recursion_limit(RECURSION);
    // With it, errors would carry a copy of the variables.
    engine.set_debug(false);
    engine.set_syntax(syntax());
    engine.set_formatter(write_plain);
    // These print whatever there is, secrets too.
    engine.remove_global("debug");
    engine.remove_filter("pprint");
    add_to(&mut engine);
    let library = Arc::clone(library);
    engine.set_loader(move |name| {
        let text = library
            .get(name)
            .filter(|text| text.len() <= TEMPLATE_LIMIT);
        if let (Some(text), Some(nameable)) = (text, &nameable) {
            let names = named(name, text).map_err(|_| said(SNIPPET_NAMES))?;
            held(nameable).extend(names);
        }
        Ok::<_, Error>(text.cloned())
    });
    engine
}

fn syntax() -> SyntaxConfig {
    let mut syntax = SyntaxConfig::builder();
    syntax
        .trim_blocks(true)
        .lstrip_blocks(true)
        .keep_trailing_newline(true);
    // Only delimiters can be refused, and they are the usual ones.
    syntax.build().unwrap_or_default()
}

/// The variables in force, by name.
fn variables(scope: &Scope) -> Value {
    let pairs = scope.names().into_iter().filter_map(|name| {
        let found = scope.resolve(name)?;
        Some((name.to_owned(), Value::from(Serde(found.value))))
    });
    Value::from_pairs(pairs)
}

fn add_words(engine: &mut Environment<'static>, material: &Material<'_>) {
    for (word, value) in material.about.words() {
        engine.add_global(word, Value::from(Serde(value)));
    }
    let addresses = material.addresses;
    engine.add_global("answers", addresses.answers());
    engine.add_global("report", addresses.report());
    engine.add_global("inventory", addresses.inventory());
    let known = addresses.clone();
    engine.add_function("answer", move |name: String| -> Result<String, Error> {
        known
            .answer(&name)
            .ok_or_else(|| said("the profile has no answer by this name"))
    });
    let known = addresses.clone();
    engine.add_function("file", move |path: String| -> Result<String, Error> {
        known
            .file(&path)
            .ok_or_else(|| said("this is no plain path below the images directory"))
    });
}

/// `secret(name)`, and a list of what was asked for. A name that no text of this rendering writes
/// out is refused, however it came about.
fn add_secret(
    engine: &mut Environment<'static>,
    secrets: &Secrets,
    nameable: Nameable,
    used: &Arc<Mutex<BTreeSet<String>>>,
) {
    let (secrets, used) = (secrets.clone(), Arc::clone(used));
    engine.add_function("secret", move |name: String| -> Result<String, Error> {
        // The name may come out of a variable, or out of another secret: it is not repeated.
        let written_out = held(&nameable).contains(&name);
        let text = secrets.text(&name).filter(|_| written_out);
        let text = text.ok_or_else(|| said("there is no such secret"))?;
        held(&used).insert(name);
        Ok(text)
    });
}

fn held<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

const SNIPPET_NAMES: &str =
    "a secret in this snippet is not written out by name, or not for answers";

/// Memory for a text up to `OUTPUT_LIMIT`.
struct Bounded(Vec<u8>);

/// The text was to become larger than `OUTPUT_LIMIT`.
#[derive(Debug, thiserror::Error)]
#[error("more than {OUTPUT_LIMIT} bytes")]
pub(crate) struct TooMuch;

impl io::Write for Bounded {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        if self.0.len() + octets.len() > OUTPUT_LIMIT {
            return Err(io::Error::other(TooMuch));
        }
        self.0.extend_from_slice(octets);
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Steps of the engine. It also pays for the octets that are made on the way, 64 to a step, so
/// that this is 12.8 MB of them: the largest answer through a few filters, and nothing that a
/// server feels (vector R43 allows 32 MiB).
pub(crate) const FUEL: u64 = 200_000;
/// Levels of nesting; an include costs 10 of them and a macro 4, so four includes deep.
const RECURSION: usize = 50;
/// The largest template or snippet.
pub(crate) const TEMPLATE_LIMIT: usize = 256 * 1024;
/// The largest text. An Ignition file with embedded files is the largest answer known.
pub(crate) const OUTPUT_LIMIT: usize = 1024 * 1024;

#[cfg(test)]
#[path = "render/tests.rs"]
mod tests;
