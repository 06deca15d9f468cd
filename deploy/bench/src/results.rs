//! What was measured, by case, server and round.

use crate::servers::Kind;
use lab::stats;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// Figures of one run, by the key of their column.
pub(crate) type Figures = BTreeMap<&'static str, f64>;

/// One column of a case's table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    /// The key in [`Figures`].
    pub key: &'static str,
    /// The heading.
    pub title: &'static str,
    /// Whether Farrier's ratio to this server is shown, too.
    pub ratio: bool,
}

/// One case.
pub(crate) struct CaseResult {
    /// Its short name.
    pub name: String,
    /// What it is, for people.
    pub what: String,
    /// Its columns.
    pub columns: &'static [Column],
    /// One row for each server.
    pub rows: Vec<Row>,
    /// How long all of it took, starting the servers included.
    pub seconds: f64,
}

/// One server in one case.
pub(crate) struct Row {
    /// Who.
    pub kind: Kind,
    /// Every round.
    pub rounds: Vec<Round>,
    /// Why there are none, or what to know about them.
    pub note: Option<String>,
}

/// One round of one server.
pub(crate) struct Round {
    /// Which one; the same number for servers that ran seconds apart.
    pub number: usize,
    /// What was measured.
    pub figures: Figures,
    /// Processors that other work had meanwhile.
    pub foreign: f64,
    /// How long it took.
    pub wall: Duration,
}

/// Everything.
#[derive(Default)]
pub(crate) struct Results {
    /// In the order they ran.
    pub cases: Vec<CaseResult>,
    /// Who counted the processor time.
    pub counted_by: &'static str,
}

impl Row {
    /// The values of one column with their rounds.
    pub(crate) fn values(&self, key: &str) -> Vec<(usize, f64)> {
        let all = self.rounds.iter();
        all.filter_map(|r| Some((r.number, *r.figures.get(key)?)))
            .collect()
    }

    /// How long its turns took together.
    pub(crate) fn spent(&self) -> Duration {
        self.rounds.iter().map(|round| round.wall).sum()
    }

    /// The median of one column.
    pub(crate) fn median(&self, key: &str) -> Option<f64> {
        let values: Vec<f64> = self.values(key).into_iter().map(|(_, v)| v).collect();
        stats::median(&values)
    }
}

impl CaseResult {
    /// The row of one server.
    pub(crate) fn row(&self, kind: Kind) -> Option<&Row> {
        self.rows.iter().find(|row| row.kind == kind)
    }

    /// The median of the rounds' own ratios, `ours` over `theirs`.
    pub(crate) fn ratio(&self, key: &str, ours: Kind, theirs: Kind) -> Option<f64> {
        stats::median(&self.ratios(key, ours, theirs))
    }

    /// These ratios, of the rounds in which both took part.
    pub(crate) fn ratios(&self, key: &str, ours: Kind, theirs: Kind) -> Vec<f64> {
        match (self.row(ours), self.row(theirs)) {
            (Some(ours), Some(theirs)) => stats::ratios(&ours.values(key), &theirs.values(key)),
            _ => Vec::new(),
        }
    }

    /// The peer with the best median of a column among those that failed nothing; of several
    /// kinds of best, `highest` says which.
    pub(crate) fn best_peer(&self, key: &str, highest: bool) -> Option<Kind> {
        let peers = self.rows.iter().filter(|row| row.kind.is_peer());
        let whole = peers.filter(|row| row.median("failed").unwrap_or(0.0) == 0.0);
        let valued = whole.filter_map(|row| Some((row.kind, row.median(key)?)));
        let best = match highest {
            true => valued.max_by(|a, b| a.1.total_cmp(&b.1)),
            false => valued.min_by(|a, b| a.1.total_cmp(&b.1)),
        };
        best.map(|(kind, _)| kind)
    }

    fn json(&self) -> Value {
        let rows = self.rows.iter().map(|row| {
            let medians: BTreeMap<_, _> = self
                .columns
                .iter()
                .filter_map(|c| Some((c.key, row.median(c.key)?)))
                .collect();
            let ratios: BTreeMap<_, _> = self
                .columns
                .iter()
                .filter_map(|c| Some((c.key, self.ratio(c.key, Kind::Farrier, row.kind)?)))
                .collect();
            let rounds: Vec<_> = row
                .rounds
                .iter()
                .map(|r| json!({"round": r.number, "foreign_cores": r.foreign, "figures": r.figures}))
                .collect();
            json!({
                "server": row.kind.name(),
                "note": row.note,
                "median": medians,
                "farrier_over_this": ratios,
                "rounds": rounds,
            })
        });
        json!({
            "case": self.name,
            "what": self.what,
            "seconds": self.seconds,
            "servers": rows.collect::<Vec<_>>(),
        })
    }
}

impl Results {
    /// A case by its name.
    pub(crate) fn case(&self, name: &str) -> Option<&CaseResult> {
        self.cases.iter().find(|case| case.name == name)
    }

    /// The machine-readable form, without what the caller adds.
    pub(crate) fn json(&self) -> Value {
        self.cases.iter().map(CaseResult::json).collect()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A case of one column for tests of what reads results.
    pub(crate) fn case(name: &str, key: &'static str, rows: &[(Kind, &[f64])]) -> CaseResult {
        let rows = rows.iter().map(|(kind, values)| Row {
            kind: *kind,
            note: None,
            rounds: (0..)
                .zip(*values)
                .map(|(number, value)| Round {
                    number,
                    figures: Figures::from([(key, *value)]),
                    foreign: 0.0,
                    wall: Duration::from_secs(1),
                })
                .collect(),
        });
        CaseResult {
            name: name.into(),
            what: "a test".into(),
            columns: &[Column {
                key: "mb_s",
                title: "MB/s",
                ratio: true,
            }],
            rows: rows.collect(),
            seconds: 1.0,
        }
    }

    #[test]
    fn the_best_peer_is_no_floor_and_not_us() {
        let case = case(
            "x",
            "mb_s",
            &[
                (Kind::Farrier, &[90.0, 91.0]),
                (Kind::Dnsmasq, &[10.0, 30.0, 20.0]),
                (Kind::Atftpd, &[25.0]),
                (Kind::FloorPlain, &[100.0]),
            ],
        );
        assert_eq!(case.best_peer("mb_s", true), Some(Kind::Atftpd));
        assert_eq!(case.best_peer("mb_s", false), Some(Kind::Dnsmasq));
        assert_eq!(case.best_peer("p50", false), None);
        let ratio = case.ratio("mb_s", Kind::Farrier, Kind::Dnsmasq);
        // 90/10 and 91/30, whose middle is between.
        assert_eq!(ratio, Some(f64::midpoint(9.0, 91.0 / 30.0)));
    }

    #[test]
    fn a_peer_that_fails_is_not_the_best() {
        let mut failing = case(
            "x",
            "mb_s",
            &[(Kind::RsTftpd, &[99.0]), (Kind::Atftpd, &[1.0])],
        );
        failing.rows[0].rounds[0].figures.insert("failed", 3.0);
        assert_eq!(failing.best_peer("mb_s", true), Some(Kind::Atftpd));
    }
}
