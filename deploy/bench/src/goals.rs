//! The goals that Farrier set itself: each is a ratio taken inside one interleaved run.

use crate::cases;
use crate::results::{CaseResult, Results};
use crate::servers::Kind;
use lab::stats::{median, percentile};
use lab::table::number;
use serde_json::{Value, json};

/// One goal.
pub(crate) struct Goal {
    /// Its number.
    pub number: u8,
    /// What it is about.
    pub title: &'static str,
    /// What it asks for.
    pub parts: Vec<Part>,
}

/// One condition of a goal.
pub(crate) struct Part {
    /// The case that decides it.
    case: &'static str,
    what: String,
    /// Of each round; the median counts.
    rounds: Vec<f64>,
    wanted: Wanted,
}

#[derive(Clone, Copy)]
enum Wanted {
    AtLeast(f64),
    AtMost(f64),
}
use Wanted::{AtLeast, AtMost};

/// The best peer of a column, instead of a named one.
#[derive(Clone, Copy)]
enum Against {
    This(Kind),
    /// The best of the peers that failed nothing: of rates the highest, of costs the lowest.
    Best,
}
use Against::{Best, This};

/// The columns of the goals' table.
pub(crate) const HEADING: [&str; 6] = [
    "goal and its conditions",
    "wanted",
    "measured",
    "middle half",
    "rounds",
    "verdict",
];

/// All of them, with what was measured.
pub(crate) fn all(results: &Results) -> Vec<Goal> {
    let look = Look { results };
    vec![
        Goal {
            number: 1,
            title: "storm of 256, window 16, GRO clients: rate",
            parts: vec![
                look.x("d256s_w16g", "mb_s", This(Kind::Dnsmasq), AtLeast(8.0)),
                look.x("d256s_w16g", "mb_s", Best, AtLeast(4.0)),
            ],
        },
        Goal {
            number: 2,
            title: "the same storm: CPU",
            parts: vec![
                look.x("d256s_w16g", "cpu_s_gib", This(Kind::Dnsmasq), AtMost(0.09)),
                look.x("d256s_w16g", "cpu_s_gib", Best, AtMost(0.09)),
                look.x("d256s_w16g", "cpu_s_gib", This(Kind::FloorGso), AtMost(1.2)),
                look.x("d256s_w16", "cpu_s_gib", Best, AtMost(0.22)),
            ],
        },
        Goal {
            number: 3,
            title: "storm of 256, window 1",
            parts: vec![
                look.x("d256s_w1", "cpu_s_gib", This(Kind::Dnsmasq), AtMost(0.82)),
                look.x(
                    "d256s_w1",
                    "cpu_s_gib",
                    This(Kind::FloorPlain),
                    AtMost(1.10),
                ),
                look.x("d256s_w1", "mb_s", This(Kind::Dnsmasq), AtLeast(1.25)),
                look.x("d256s_w1", "mb_s", This(Kind::Atftpd), AtLeast(2.2)),
                look.x("d256s_w1", "mb_s", This(Kind::TftpdHpa), AtLeast(2.2)),
                look.x("d256s_w1", "mb_s", This(Kind::RsTftpd), AtLeast(2.2)),
            ],
        },
        Goal {
            number: 4,
            title: "one client as iPXE is, window 1",
            parts: vec![
                look.x("b1428w1", "mb_s", This(Kind::Dnsmasq), AtLeast(1.6)),
                look.x("b1428w1", "mb_s", Best, AtLeast(1.0)),
                look.x("b1428w1", "cpu_s_gib", This(Kind::FloorPlain), AtMost(1.35)),
            ],
        },
        Goal {
            number: 5,
            title: "one client as EDK2 is, windows",
            parts: vec![
                look.x("c_w4", "cpu_s_gib", Best, AtMost(0.5)),
                look.x("c_w4", "mb_s", Best, AtLeast(1.5)),
                look.x("c_w16", "cpu_s_gib", Best, AtMost(0.22)),
                look.x("c_w64", "cpu_s_gib", Best, AtMost(0.15)),
                look.x("c_w64", "mb_s", Best, AtLeast(4.0)),
                look.x("c_w64", "cpu_s_gib", This(Kind::FloorGso), AtMost(1.3)),
            ],
        },
        Goal {
            number: 6,
            title: "no offload on the path, and GSO refused",
            parts: vec![
                look.x("sw_w16", "cpu_s_gib", Best, AtMost(0.32)),
                look.x("sw_w64", "cpu_s_gib", Best, AtMost(0.32)),
                look.no_gso("sw_w16"),
                look.no_gso("sw_w64"),
                look.of("sw_w64", Kind::FarrierNoGso, "failed", AtMost(0.0)),
            ],
        },
        Goal {
            number: 7,
            title: "256 clients x 20 x 4 KiB",
            parts: vec![
                look.x("e_small", "per_s", This(Kind::Dnsmasq), AtLeast(1.6)),
                look.x("e_small", "cpu_us", This(Kind::Dnsmasq), AtMost(0.72)),
                look.of("e_small", Kind::Farrier, "request_repeats", AtMost(0.0)),
                look.spread("e_small"),
            ],
        },
        Goal {
            number: 8,
            title: "loss",
            parts: loss(&look),
        },
        Goal {
            number: 9,
            title: "proxyDHCP",
            parts: dhcp(&look),
        },
        Goal {
            number: 10,
            title: "HTTP",
            parts: http(&look),
        },
        Goal {
            number: 11,
            title: "memory of a storm of 256",
            parts: vec![
                look.of("m256", Kind::Farrier, "kib_per_client", AtMost(16.0)),
                look.of("m256", Kind::Farrier, "processes", AtMost(1.0)),
                look.of("m256", Kind::Farrier, "threads", AtMost(cores() + 2.0)),
            ],
        },
    ]
}

fn loss(look: &Look<'_>) -> Vec<Part> {
    let mut parts: Vec<Part> = ["f1_w1", "f1_w16", "f1_w16e", "fa1_w1", "f5_w1", "f5_w16"]
        .map(|case| look.of(case, Kind::Farrier, "failed", AtMost(0.0)))
        .into();
    parts.extend([
        look.x("f1_w1", "p50_s", Best, AtMost(0.1)),
        look.x("f1_w16", "p99_s", Best, AtMost(1.0 / 15.0)),
        look.x("f5_w1", "p50_s", Best, AtMost(0.05)),
        look.of("f1_w16", Kind::Farrier, "duplicates_pct", AtMost(15.0)),
        look.of("f1_w16e", Kind::Farrier, "duplicates_pct", AtMost(15.0)),
    ]);
    parts
}

fn dhcp(look: &Look<'_>) -> Vec<Part> {
    vec![
        look.x("dhcp_k1", "cpu_us", This(Kind::Dnsmasq), AtMost(0.65)),
        look.x("dhcp_k1", "cpu_us", This(Kind::FloorOffer), AtMost(1.7)),
        look.x("dhcp_k16", "per_s", This(Kind::Dnsmasq), AtLeast(1.5)),
        look.of("dhcp_open", Kind::Farrier, "lost", AtMost(0.0)),
        look.hosts("dhcp_k1", "dhcp_k1_hosts"),
    ]
}

fn http(look: &Look<'_>) -> Vec<Part> {
    let nginx = This(Kind::Nginx);
    vec![
        look.x("http_64m_c1", "cpu_s_gib", nginx, AtMost(0.70)),
        look.x("http_512m_c1", "cpu_s_gib", nginx, AtMost(0.70)),
        look.x("http_64m_c64", "cpu_s_gib", nginx, AtMost(1.05)),
        look.x("http_64m_c64", "mb_s", nginx, AtLeast(1.0)),
        look.x("http_1m_c64", "cpu_s_gib", nginx, AtMost(0.75)),
        look.x("http_4k_c64", "cpu_us", nginx, AtMost(0.95)),
        look.x("http_4k_c64", "cpu_us", This(Kind::ServeDir), AtMost(0.2)),
    ]
}

struct Look<'a> {
    results: &'a Results,
}

impl Look<'_> {
    /// Farrier's ratio to a peer, or to the best.
    fn x(&self, case: &'static str, key: &'static str, against: Against, wanted: Wanted) -> Part {
        let result = self.results.case(case);
        let highest = matches!(wanted, AtLeast(_));
        let other = match against {
            This(kind) => Some(kind),
            Best => result.and_then(|case| case.best_peer(key, highest)),
        };
        let ratios = result.and_then(|case| Some(case.ratios(key, Kind::Farrier, other?)));
        let name = match (against, other) {
            (Best, Some(kind)) => format!("the best peer ({})", kind.name()),
            (Best, None) => "the best peer".to_owned(),
            (This(kind), _) => kind.name().to_owned(),
        };
        Part {
            case,
            what: format!("{} x/{name}", title(case, key)),
            rounds: ratios.unwrap_or_default(),
            wanted,
        }
    }

    /// A figure of one server.
    fn of(&self, case: &'static str, kind: Kind, key: &'static str, wanted: Wanted) -> Part {
        let result = self.results.case(case);
        Part {
            case,
            what: format!("{} of {}", title(case, key), kind.name()),
            rounds: values(result, kind, key),
            wanted,
        }
    }

    /// What it costs without segmentation, against the best peer.
    fn no_gso(&self, case: &'static str) -> Part {
        let result = self.results.case(case);
        let best = result.and_then(|case| case.best_peer("cpu_s_gib", false));
        Part {
            case,
            what: "CPU without GSO x/the best peer".to_owned(),
            rounds: result
                .and_then(|case| Some(case.ratios("cpu_s_gib", Kind::FarrierNoGso, best?)))
                .unwrap_or_default(),
            wanted: AtMost(0.95),
        }
    }

    /// How far the slowest are behind.
    fn spread(&self, case: &'static str) -> Part {
        let of = |key| values(self.results.case(case), Kind::Farrier, key);
        let both = of("p99_s").into_iter().zip(of("p50_s"));
        Part {
            case,
            what: "p99 / p50 of farrier".to_owned(),
            rounds: both.map(|(p99, p50)| p99 / p50).collect(),
            wanted: AtMost(3.0),
        }
    }

    /// What known hosts cost, against none.
    fn hosts(&self, without: &'static str, with: &'static str) -> Part {
        let of = |case| values(self.results.case(case), Kind::Farrier, "cpu_us");
        // The cases ran minutes apart: their rounds are no pairs.
        let base = median(&of(without)).unwrap_or(f64::NAN);
        Part {
            case: with,
            what: format!("CPU us/OFFER of farrier / that of {without}"),
            rounds: of(with).into_iter().map(|with| with / base).collect(),
            wanted: AtMost(1.15),
        }
    }
}

/// Whether a case decides anything: a goal, or (`h_boot32`) that Farrier is never slower.
pub(crate) fn decided_by(case: &str) -> bool {
    let goals = all(&Results::default());
    let mut parts = goals.iter().flat_map(|goal| &goal.parts);
    // Whether something fails is seen in few rounds, too.
    let of_figures = |part: &Part| !matches!(part.wanted, AtMost(0.0));
    case == "h_boot32" || parts.any(|part| part.case == case && of_figures(part))
}

/// What one server had in each round.
fn values(case: Option<&CaseResult>, kind: Kind, key: &str) -> Vec<f64> {
    let row = case.and_then(|case| case.row(kind));
    let values = row.map(|row| row.values(key)).unwrap_or_default();
    values.into_iter().map(|(_, value)| value).collect()
}

/// What a column is called, also of a case that did not run.
fn title(case: &str, key: &'static str) -> &'static str {
    let cases = cases::all();
    let columns = cases.iter().find(|c| c.name == case).map(|c| c.columns);
    let mut columns = columns.unwrap_or_default().iter();
    columns.find(|c| c.key == key).map_or(key, |c| c.title)
}

fn cores() -> f64 {
    std::thread::available_parallelism().map_or(1.0, |n| n.get() as f64)
}

impl Goal {
    /// A few words. A goal is met by all its parts.
    pub(crate) fn verdict(&self) -> String {
        let count = |wanted| {
            self.parts
                .iter()
                .filter(|part| part.met() == wanted)
                .count()
        };
        let (missed, unknown, all) = (count(Some(false)), count(None), self.parts.len());
        match (missed, unknown) {
            (0, 0) => "met".to_owned(),
            (0, _) if unknown == all => "not measured".to_owned(),
            (0, _) => "met so far".to_owned(),
            _ => format!("missed {missed}/{all}"),
        }
    }

    /// Whether anything of it was measured.
    pub(crate) fn is_measured(&self) -> bool {
        self.parts.iter().any(|part| part.measured().is_some())
    }

    /// The machine-readable form.
    pub(crate) fn json(&self) -> Value {
        let parts: Vec<Value> = self
            .parts
            .iter()
            .map(|part| {
                json!({"case": part.case, "what": part.what, "measured": part.measured(), "rounds": part.rounds,
                       "wanted": part.limit(), "met": part.met()})
            })
            .collect();
        json!({"goal": self.number, "title": self.title, "verdict": self.verdict(), "parts": parts})
    }
}

impl Part {
    /// The median of the rounds.
    fn measured(&self) -> Option<f64> {
        median(&self.rounds)
    }

    /// Half of the rounds lie between these two; nothing of a single round.
    fn middle_half(&self) -> String {
        let quarter = |share| percentile(&self.rounds, share).map_or("-".into(), number);
        match self.rounds.len() {
            0 | 1 => "-".to_owned(),
            _ => format!("{} to {}", quarter(0.25), quarter(0.75)),
        }
    }

    fn met(&self) -> Option<bool> {
        let measured = self.measured()?;
        Some(match self.wanted {
            AtLeast(limit) => measured >= limit,
            AtMost(limit) => measured <= limit,
        })
    }

    fn limit(&self) -> String {
        match self.wanted {
            AtLeast(limit) => format!(">= {}", number(limit)),
            AtMost(limit) => format!("<= {}", number(limit)),
        }
    }

    /// Whether it is met, and how far the figure is from the limit.
    fn verdict(&self) -> String {
        let (Some(measured), Some(met)) = (self.measured(), self.met()) else {
            return "-".to_owned();
        };
        let word = if met { "met" } else { "MISSED" };
        let (AtLeast(limit) | AtMost(limit)) = self.wanted;
        let far = 100.0 * (measured / limit - 1.0).abs();
        match far {
            _ if limit == 0.0 || far == 0.0 => word.to_owned(),
            _ if far < 1.0 => format!("{word} by {far:.1} %"),
            _ => format!("{word} by {far:.0} %"),
        }
    }

    /// A row for people, as [`HEADING`] says.
    pub(crate) fn row(&self) -> [String; HEADING.len()] {
        [
            format!("{}: {}", self.case, self.what),
            self.limit(),
            self.measured().map_or("not measured".into(), number),
            self.middle_half(),
            self.rounds.len().to_string(),
            self.verdict(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::tests::case;

    #[test]
    fn a_goal_is_met_only_by_all_its_parts() {
        let mut results = Results::default();
        let goal = |results: &Results| {
            let goals = all(results);
            assert_eq!(goals.len(), 11);
            goals[0].verdict()
        };
        assert_eq!(goal(&results), "not measured");
        results.cases.push(case(
            "d256s_w16g",
            "mb_s",
            &[
                (Kind::Farrier, &[900.0, 1000.0]),
                (Kind::Dnsmasq, &[100.0, 100.0]),
                (Kind::RsTftpd, &[200.0, 200.0]),
            ],
        ));
        assert_eq!(goal(&results), "met");
        results.cases[0].rows[2].rounds[0]
            .figures
            .insert("mb_s", 800.0);
        assert_eq!(goal(&results), "missed 1/2");
    }

    #[test]
    fn a_part_says_how_far_it_is_from_its_limit() {
        let verdict = |measured: Option<f64>, wanted| {
            let part = Part {
                case: "x",
                what: String::new(),
                rounds: measured.into_iter().collect(),
                wanted,
            };
            part.verdict()
        };
        assert_eq!(verdict(Some(0.63), AtMost(0.7)), "met by 10 %");
        assert_eq!(verdict(Some(6.0), AtLeast(8.0)), "MISSED by 25 %");
        assert_eq!(verdict(Some(1.0), AtMost(1.0)), "met");
        assert_eq!(verdict(Some(1.002), AtMost(1.0)), "MISSED by 0.2 %");
        assert_eq!(verdict(Some(0.0), AtMost(0.0)), "met");
        assert_eq!(verdict(Some(1.0), AtMost(0.0)), "MISSED");
        assert_eq!(verdict(None, AtMost(0.0)), "-");
    }

    #[test]
    fn what_a_goal_is_about_decides() {
        assert!(decided_by("http_64m_c1") && decided_by("dhcp_k1") && decided_by("h_boot32"));
        assert!(!decided_by("http_64m_c16") && !decided_by("f5_w16"));
    }

    #[test]
    fn every_part_names_a_column_of_a_case() {
        for part in all(&Results::default()).iter().flat_map(|g| &g.parts) {
            // Keys have underlines between letters; headings never.
            assert!(
                cases::all().iter().any(|c| c.name == part.case),
                "{}",
                part.case
            );
            let words = part.what.split_whitespace().take(2);
            for word in words {
                assert!(!word.contains('_'), "{}", part.what);
            }
        }
    }
}
