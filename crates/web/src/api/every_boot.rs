//! What has to be said to have machines installed at every boot by another profile or rule.

use super::problem::{Answer, Problem};
use crate::every_boot::{Erased, Question};
use serde::Deserialize;
use utoipa::IntoParams;

/// What is meant so.
#[derive(Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default, deny_unknown_fields)]
pub(super) struct AlwaysQuery {
    /// Says that machines are meant to be installed at every boot by this.
    pub(super) always: bool,
}

/// Such a change is made only by those who say so.
pub(super) fn confirmed(erased: &[Erased], always: bool) -> Answer<()> {
    match Question::of(erased).filter(|_| !always) {
        None => Ok(()),
        Some(question) => Err(Problem::refused(format!(
            "{}; nothing was changed: have it installed once, or say 'always' if it is meant so",
            question.text
        ))),
    }
}
