//! One machine under one profile: everything that its texts are filled with, and what it fetches.

use crate::links::{self, LinkKey};
use crate::{
    About, Addresses, Asked, Document, Fault, GroupLayer, Library, Material, Rendered, Reviewed,
    Scope, Secrets, Server, Try, render, render_words, review,
};
use bootplan::{
    Answer, BootClient, BootMethod, Catalog, Endpoint, FileRef, LinkPurpose, MacAddr, Machine,
    MachineId, Profile, RunKind, RunState, Seen, Stage, Timestamp, VerifiedLink,
};

/// What stands where a link is wanted.
#[derive(Clone, Copy, Debug)]
pub enum Links<'k> {
    /// Nothing that opens anything: for people.
    Hidden,
    /// Links that are good from this time on: for the machine itself.
    Minted(&'k LinkKey, Timestamp),
}

/// One machine under one profile.
#[derive(Debug)]
pub struct Case<'a> {
    catalog: &'a Catalog,
    profile: &'a Profile,
    scope: Scope,
    about: About,
    addresses: Addresses,
}

/// The run and the try that links of a machine under a profile belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Attempt {
    run: i64,
    number: u8,
    of: u8,
    report_minutes: u16,
}

impl<'a> Case<'a> {
    /// Gathers what is known. `server` is our address as the machine reaches it.
    pub fn new(
        catalog: &'a Catalog,
        machine: &Machine,
        profile: &'a Profile,
        server: &Endpoint,
        links: Links<'_>,
    ) -> Self {
        let server = Server {
            ip: server.ip,
            http: server.http_base(),
        };
        let attempt = attempt(machine, profile);
        let names = profile.answers.iter().map(|answer| answer.name.clone());
        let (answers, report) = match links {
            Links::Hidden => (Addresses::HIDDEN.to_owned(), Addresses::HIDDEN.to_owned()),
            Links::Minted(key, now) => {
                let minutes = profile.answers.iter().map(|answer| answer.minutes).max();
                let link = |purpose, minutes| VerifiedLink {
                    purpose,
                    machine: machine.id,
                    run: attempt.run,
                    try_number: attempt.number,
                    expires: links::expiry(now, minutes),
                };
                let answers = link(LinkPurpose::Answers, minutes.unwrap_or(30));
                let report = link(LinkPurpose::Report, attempt.report_minutes);
                (links::mint(key, &answers), links::mint(key, &report))
            }
        };
        let run = Try {
            number: attempt.number,
            of: attempt.of,
        };
        Case {
            catalog,
            profile,
            scope: scope(catalog, machine, profile),
            about: About::new(machine, &server, run),
            addresses: Addresses::new(&server, &answers, &report, names.collect()),
        }
    }

    /// The variables, with their origins.
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// The kernel arguments as this machine gets them.
    ///
    /// # Errors
    /// What is wrong with the template.
    pub fn args(&self, text: &str) -> Result<String, Fault> {
        let none = Secrets::none();
        render(&told_to_a_loader("args", text), &self.material(&none))?.into_line("args")
    }

    fn extra(&self, name: &str, text: &str) -> Result<String, Fault> {
        let none = Secrets::none();
        Ok(render_words(&told_to_a_loader(name, text), &self.material(&none))?.text)
    }

    /// The profile with its arguments and extras filled in.
    ///
    /// # Errors
    /// What is wrong with the template, or with what it made.
    pub fn filled(&self) -> Result<Profile, Fault> {
        let mut filled = match self.profile.boot.args() {
            // The same check as for arguments that a person wrote (vector R47).
            Some(args) => self.profile.with_args(self.args(args)?).map_err(|_| {
                Fault::whole("args", "the result has a word that a loader would act on")
            })?,
            None => self.profile.clone(),
        };
        if self.profile.extras.has_template() {
            let extras = self
                .profile
                .extras
                .filled(|name, text| self.extra(name, text))?;
            filled = filled
                .with_extras(extras)
                .map_err(|error| Fault::whole("extras", error.to_string()))?;
        }
        if let BootMethod::Linux {
            kernel, initrds, ..
        } = &mut filled.boot
            && kernel.is_wimboot()
        {
            // Windows' Setup fetches nothing itself: what it is to find is loaded with it.
            let names = self.profile.answers.iter().map(|answer| &answer.name);
            initrds.extend(names.filter_map(|n| self.addresses.answer(n).map(FileRef::Url)));
        }
        Ok(filled)
    }

    /// One answer as this machine gets it.
    ///
    /// # Errors
    /// What is wrong with its template.
    pub fn answer(&self, answer: &Answer, secrets: &Secrets) -> Result<Rendered, Fault> {
        render(&self.document(answer)?, &self.material(secrets))
    }

    /// Everything that this machine will fetch, rendered and checked, and the kernel arguments
    /// before it. Secrets are masked.
    pub fn review(&self, secrets: &Secrets) -> Vec<Reviewed> {
        let mut all = Vec::new();
        if self.profile.has_template() {
            all.extend(self.loaders_part());
        }
        for answer in &self.profile.answers {
            all.push(match self.document(answer) {
                Ok(document) => {
                    let asked = Asked {
                        name: &answer.name,
                        kind: answer.kind,
                        document,
                    };
                    review(&asked, &self.material(secrets))
                }
                Err(fault) => Reviewed {
                    name: answer.name.clone(),
                    text: String::new(),
                    secrets_used: Default::default(),
                    faults: vec![fault],
                },
            });
        }
        all
    }

    /// What the loader itself is told: kernel arguments, and extras where there are some.
    fn loaders_part(&self) -> Vec<Reviewed> {
        let part = |name: &str, text: &str| Reviewed {
            name: name.to_owned(),
            text: text.to_owned(),
            secrets_used: Default::default(),
            faults: Vec::new(),
        };
        match self.filled() {
            Ok(filled) => {
                let args = filled.boot.args().map(|args| part("args", args));
                let extras = filled.extras.all();
                let extras = extras.iter().filter(|(_, _, text)| !text.is_empty());
                args.into_iter()
                    .chain(extras.map(|(_, name, text)| part(name, text)))
                    .collect()
            }
            Err(fault) => vec![Reviewed {
                faults: vec![fault.clone()],
                ..part(&fault.template, "")
            }],
        }
    }

    fn document<'d>(&'d self, answer: &'d Answer) -> Result<Document<'d>, Fault> {
        let (name, text) = match (&answer.template, &answer.text) {
            (Some(name), _) => (
                name.as_str(),
                self.catalog.objects().templates.get(name.as_str()),
            ),
            (None, text) => (answer.name.as_str(), text.as_ref()),
        };
        let missing = || Fault::whole(name, "there is no such template");
        Ok(Document {
            name,
            text: text.ok_or_else(missing)?,
            sealed: answer.sealed,
        })
    }

    fn material<'m>(&'m self, secrets: &'m Secrets) -> Material<'m> {
        let library: &Library = &self.catalog.objects().snippets;
        Material {
            scope: &self.scope,
            about: &self.about,
            addresses: &self.addresses,
            library,
            secrets,
        }
    }
}

/// A text that stands in a menu, which is no place for a secret.
fn told_to_a_loader<'a>(name: &'a str, text: &'a str) -> Document<'a> {
    Document {
        name,
        text,
        sealed: false,
    }
}

/// A machine that nobody knows, for texts that name one.
pub fn stranger(mac: MacAddr) -> Machine {
    Machine {
        macs: vec![mac],
        ..Machine::named(MachineId(0), mac.dashed())
    }
}

fn attempt(machine: &Machine, profile: &Profile) -> Attempt {
    let run = machine.run.as_deref();
    let run = run.filter(|run| run.profile == profile.name && !run.is_over());
    match run {
        Some(run) => Attempt {
            run: run.id.0,
            number: run.attempt(),
            of: run.limit.tries,
            // An installer that is late may still say so while its run is held.
            report_minutes: u16::try_from(run.limit.minutes)
                .unwrap_or(u16::MAX)
                .saturating_add(60),
        },
        None => Attempt {
            run: 0,
            number: 0,
            of: 0,
            report_minutes: 60,
        },
    }
}

/// What a machine's run says of its links now. `now` is for a run of one boot: its machine
/// fetches for half an hour after the run has ended, which it does at the hand-over.
pub fn standing(machine: &Machine, run: i64, now: Timestamp) -> Option<links::Standing> {
    if run == 0 {
        return Some(links::Standing {
            run,
            open: true,
            tries: 0,
        });
    }
    let known = machine.run.as_deref().filter(|known| known.id.0 == run)?;
    let booted = known.kind == RunKind::NextBoot && known.state == RunState::Installed;
    let recent = now.0.saturating_sub(known.since.0) < 30 * 60_000;
    Some(links::Standing {
        run,
        open: known.is_at_work() || (booted && recent),
        tries: known.tries,
    })
}

fn scope(catalog: &Catalog, machine: &Machine, profile: &Profile) -> Scope {
    let asking = machine.macs.first();
    let client = asking.map(|mac| BootClient::asking(*mac, Stage::Firmware));
    let groups = match &client {
        Some(client) => {
            let seen = Seen::of(client, Some(machine));
            let objects = catalog.objects();
            let of = objects.groups.iter().filter(|g| g.selector.matches(&seen));
            of.map(|group| GroupLayer {
                name: group.name.to_string(),
                specificity: u16::try_from(group.selector.specificity()).unwrap_or(u16::MAX),
                variables: group.variables.clone(),
            })
            .collect()
        }
        None => Vec::new(),
    };
    let of_profile = (profile.name.as_str(), profile.variables.clone());
    let site = catalog.site.variables.clone();
    Scope::new(site, groups, of_profile, machine.variables.clone())
}

#[cfg(test)]
#[path = "case/tests.rs"]
mod tests;
