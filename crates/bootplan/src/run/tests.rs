use super::*;
use proptest::prelude::*;

fn arming(kind: RunKind) -> Arming {
    Arming {
        kind,
        profile: "debian-12".parse().expect("a slug"),
        limit: Limit {
            tries: 3,
            minutes: 240,
        },
        not_before: None,
        window: None,
        force: false,
    }
}

fn run(kind: RunKind) -> Run {
    arming(kind).run(RunId(1), "anna", Timestamp(0))
}

fn minutes(n: i64) -> Timestamp {
    Timestamp(n * 60_000)
}

fn phase(text: &str, to_disk: bool) -> Happening {
    let text = text.to_owned();
    Happening::Reported(Report::Phase { text, to_disk })
}

const TICK: Happening = Happening::Tick { week_minute: 0 };

/// One word for each thing that happens; after each, what the machine would get.
fn story(mut run: Run, words: &str) -> (Run, Vec<String>) {
    let mut told = Vec::new();
    let mut now = 0;
    for word in words.split(' ') {
        let happening = match word {
            "asks" => Happening::Asked,
            "turn" => Happening::Granted,
            "handed" => Happening::HandedOver,
            "phase" => phase("partitioning", false),
            "restarts" => phase("second stage", true),
            "done" => Happening::Reported(Report::Done),
            "gave-up" => Happening::Reported(Report::Failed {
                why: "no disk".to_owned(),
            }),
            "cancel" => Happening::Ordered(Order::Cancel),
            "finish" => Happening::Ordered(Order::Finish),
            "hold" => Happening::Ordered(Order::Hold {
                note: String::new(),
            }),
            "release" => Happening::Ordered(Order::Release),
            "tick" => TICK,
            link if link.starts_with("came-") => Happening::Came {
                attempt: link[5..].parse().expect("a try"),
            },
            wait => {
                now += wait.parse::<i64>().expect("a word or minutes");
                continue;
            }
        };
        if let Some(next) = step(&run, &happening, minutes(now)) {
            run = next;
        }
        told.push(format!("{} {:?}", run.state.slug(), run.standing()));
    }
    (run, told)
}

#[test]
fn stories() {
    use RunKind::{Install, NextBoot};
    let cases = [
        (
            "by its own report",
            Install,
            "asks turn handed phase done",
            "installed None",
        ),
        ("it asks and waits", Install, "asks", "armed Queue"),
        ("a slot", Install, "asks turn", "armed Boot"),
        ("a slot nobody asked for", Install, "turn", "armed Queue"),
        ("nothing was sent", Install, "handed", "armed Queue"),
        ("retry", Install, "asks turn handed asks", "installing Boot"),
        (
            "the file was fetched twice",
            Install,
            "asks turn handed handed handed asks",
            "installing Boot",
        ),
        (
            "the guard needs no event",
            Install,
            "asks turn handed asks handed asks handed",
            "installing LocalDisk",
        ),
        (
            "held after the last try",
            Install,
            "asks turn handed asks handed asks handed asks",
            "held LocalDisk",
        ),
        (
            "held, then a late report",
            Install,
            "asks turn handed asks handed asks handed asks done",
            "installed None",
        ),
        (
            "released with all its tries",
            Install,
            "asks turn handed asks handed asks handed asks release asks turn",
            "armed Boot",
        ),
        (
            "it gave up",
            Install,
            "asks turn handed gave-up asks",
            "failed None",
        ),
        (
            "two stages",
            Install,
            "asks turn handed restarts asks asks asks asks",
            "installing LocalDisk",
        ),
        (
            "two stages, done",
            Install,
            "asks turn handed restarts asks done",
            "installed None",
        ),
        (
            "the last file's event got lost",
            Install,
            "asks turn phase asks",
            "installing Boot",
        ),
        (
            "a report from nowhere",
            Install,
            "done phase gave-up",
            "armed Queue",
        ),
        (
            "cancelled",
            Install,
            "asks turn handed cancel done",
            "cancelled None",
        ),
        (
            "finished by a person",
            Install,
            "asks turn finish",
            "installed None",
        ),
        (
            "held by a person",
            Install,
            "hold asks turn handed",
            "held LocalDisk",
        ),
        (
            "nothing after an end",
            Install,
            "cancel release asks turn",
            "cancelled None",
        ),
        (
            "too slow",
            Install,
            "asks turn handed 240 tick",
            "held LocalDisk",
        ),
        (
            "slow",
            Install,
            "asks turn handed 239 phase tick",
            "installing Boot",
        ),
        (
            "silent, and gives its slot back",
            Install,
            "asks turn handed 60 tick",
            "installing Queue",
        ),
        (
            "never came for what it got",
            Install,
            "asks turn 10 tick",
            "armed Queue",
        ),
        (
            "a load longer than its slot is a try",
            Install,
            "asks turn 10 tick handed 20 asks turn 30 tick handed 40 asks turn 50 tick handed 60 asks",
            "held LocalDisk",
        ),
        (
            "a load longer than its slot, done",
            Install,
            "asks turn 10 tick handed done",
            "installed None",
        ),
        (
            "done after a load longer than its slot, whose event got lost",
            Install,
            "asks turn 10 tick done",
            "installed None",
        ),
        (
            "a load that outlasts its slot, and somebody asks in its name meanwhile",
            Install,
            "asks turn 10 tick asks handed",
            "installing Queue",
        ),
        (
            "the link of a try counts it once",
            Install,
            "asks turn came-1 came-1 asks came-2",
            "installing Boot",
        ),
        (
            "a question got lost, and the link says so",
            Install,
            "asks turn handed came-2 came-3",
            "installing LocalDisk",
        ),
        (
            "a link that nobody was given",
            Install,
            "came-1 came-2",
            "armed Queue",
        ),
        (
            "released too early, and done all the same",
            Install,
            "asks turn handed hold release done",
            "installed None",
        ),
        (
            "boots and boots, and nobody sees what it loads",
            Install,
            "asks turn asks 5 asks asks 5 asks 5 asks",
            "held LocalDisk",
        ),
        (
            "one boot asks often",
            Install,
            "asks turn asks asks asks 1 asks 1 asks",
            "armed Boot",
        ),
        (
            "waiting for a slot is no boot of it",
            Install,
            "asks 5 asks 5 asks 5 asks 5 asks turn",
            "armed Boot",
        ),
        (
            "a hand-over begins the count anew",
            Install,
            "asks turn asks 5 asks 5 handed asks 5 asks 5 asks",
            "installing Boot",
        ),
        (
            "its own restarts are no boots of it",
            Install,
            "asks turn handed restarts 5 asks 5 asks 5 asks 5 asks",
            "installing LocalDisk",
        ),
        (
            "one other boot, again and again",
            NextBoot,
            "asks 5 asks 5 asks 5 asks",
            "held LocalDisk",
        ),
        (
            "one other boot, released",
            NextBoot,
            "asks 5 asks 5 asks 5 asks release asks",
            "armed Boot",
        ),
        ("one other boot", NextBoot, "asks", "armed Boot"),
        (
            "one other boot, known by its report",
            NextBoot,
            "asks gave-up",
            "failed None",
        ),
        (
            "one other boot, made",
            NextBoot,
            "asks handed asks",
            "installed None",
        ),
    ];
    for (name, kind, words, expected) in cases {
        let (_, told) = story(run(kind), words);
        assert_eq!(told.last().map(String::as_str), Some(expected), "{name}");
    }
}

#[test]
fn a_run_begins_when_its_time_has_come() {
    let nights = serde_json::json!({"days": ["mon"], "from": "22:00", "to": "05:00"});
    let order = Arming {
        not_before: Some(minutes(100)),
        window: Some(serde_json::from_value(nights).expect("a window")),
        ..arming(RunKind::Install)
    };
    let waiting = order.run(RunId(1), "anna", Timestamp(0));
    assert_eq!(waiting.state, RunState::Waiting);
    let at = |run: &Run, minute: i64, week_minute| {
        step(run, &Happening::Tick { week_minute }, minutes(minute))
    };
    let (noon, night) = (12 * 60, 23 * 60);
    assert_eq!(waiting.standing(), Standing::None);
    assert_eq!(at(&waiting, 99, night), None, "too early");
    assert_eq!(at(&waiting, 100, noon), None, "at noon");
    let armed = at(&waiting, 100, night).expect("its time");
    assert_eq!(armed.state, RunState::Armed);
    let queued = step(&armed, &Happening::Asked, minutes(101)).expect("queued");
    let late = at(&queued, 500, noon).expect("the window has closed");
    assert_eq!((late.state, late.turn), (RunState::Waiting, Turn::None));
    let granted = step(&queued, &Happening::Granted, minutes(102)).expect("a slot");
    assert_eq!(at(&granted, 103, noon), None, "who has begun goes on");
    let silent = at(&granted, 112, night).expect("the slot is gone");
    let closed = at(&silent, 113, noon).expect("the window is, too");
    assert_eq!(closed.state, RunState::Waiting);
    let handed = step(&closed, &Happening::HandedOver, minutes(114)).expect("what was sent");
    assert_eq!((handed.state, handed.tries), (RunState::Installing, 1));
}

#[test]
fn the_queue_is_in_the_order_of_asking() {
    let runs: Vec<(MachineId, Run)> = [(1, 30), (2, 10), (3, 20), (4, 10)]
        .into_iter()
        .map(|(id, since)| {
            let run = Run {
                id: RunId(id),
                turn: Turn::Queued {
                    since: minutes(since),
                },
                ..run(RunKind::Install)
            };
            (MachineId(id), run)
        })
        .collect();
    let all = || runs.iter().map(|(id, run)| (*id, run));
    let ids = |list: Vec<MachineId>| list.iter().map(|id| id.0).collect::<Vec<i64>>();
    assert_eq!(ids(queue(all())), [2, 4, 3, 1]);
    assert_eq!(ids(next_turns(all(), 3)), [2, 4, 3]);
    assert_eq!(ids(next_turns(all(), 0)), [2, 4, 3, 1]);
}

#[test]
fn people_hear_of_states_phases_and_tries_only() {
    let before = run(RunKind::Install);
    let (queued, _) = story(before.clone(), "asks");
    assert_eq!(queued.event(&before, "x"), None);
    let (handed, _) = story(before.clone(), "asks turn handed");
    let event = handed.event(&before, "x").expect("told");
    assert!(matches!(
        event,
        EventKind::RunChanged {
            tries: 1,
            of: 3,
            ..
        }
    ));
}

#[test]
fn what_an_installer_says_is_one_line() {
    let (granted, _) = story(run(RunKind::Install), "asks turn handed");
    let text = format!("part\n{}", "x".repeat(999));
    let said = step(&granted, &phase(&text, false), minutes(1)).expect("taken");
    let phase = said.phase.expect("a phase");
    assert!(phase.starts_with("part x"), "{phase}");
    assert_eq!(phase.chars().count(), 200);
}

#[test]
fn what_is_fetched_keeps_the_slot() {
    let (granted, _) = story(run(RunKind::Install), "asks turn");
    let fetched = step(&granted, &Happening::Fetched, minutes(9)).expect("a sign of life");
    assert_eq!(step(&fetched, &TICK, minutes(18)), None);
    let gone = step(&fetched, &TICK, minutes(19)).expect("silent");
    assert_eq!(step(&gone, &Happening::Fetched, minutes(20)), None);
    let (retry, _) = story(run(RunKind::Install), "asks turn handed 59 asks");
    assert_eq!(step(&retry, &TICK, minutes(61)), None, "it began anew");
}

#[derive(Clone, Debug)]
enum Act {
    /// The machine boots, and fetches its menu.
    Boot(usize),
    /// What the menu says has been sent, so often.
    Load(usize, u8),
    /// Somebody asks in its name.
    Ask(usize),
    Report(usize, Report),
    Order(usize, Order),
    /// Time, and whether windows are open then.
    Pass(i64, bool),
}

fn any_act() -> impl Strategy<Value = Act> {
    let report = prop_oneof![
        4 => any::<bool>().prop_map(|to_disk| Report::Phase { text: "x".to_owned(), to_disk }),
        1 => Just(Report::Done),
        1 => Just(Report::Failed { why: "x".to_owned() }),
    ];
    let order = prop_oneof![
        1 => Just(Order::Cancel),
        1 => Just(Order::Finish),
        1 => Just(Order::Hold { note: String::new() }),
        4 => Just(Order::Release),
    ];
    prop_oneof![
        8 => (0..MACHINES).prop_map(Act::Boot),
        8 => (0..MACHINES, 1u8..3).prop_map(|(n, times)| Act::Load(n, times)),
        1 => (0..MACHINES).prop_map(Act::Ask),
        2 => (0..MACHINES, report).prop_map(|(n, report)| Act::Report(n, report)),
        1 => (0..MACHINES, order).prop_map(|(n, order)| Act::Order(n, order)),
        3 => (0i64..90, any::<bool>()).prop_map(|(more, open)| Act::Pass(more, open)),
    ]
}

const MACHINES: usize = 6;

/// Machines that are to be installed, some of them at night.
struct Site {
    runs: Vec<Run>,
    /// What a menu that was fetched makes its machine load.
    loading: [bool; MACHINES],
    /// How often a disk was written since the last order of a person.
    written: [u8; MACHINES],
    now: i64,
    slots: u16,
}

impl Site {
    fn new(slots: u16) -> Site {
        let nights = serde_json::json!({"days": ["mon"], "from": "22:00", "to": "05:00"});
        let window: Window = serde_json::from_value(nights).expect("a window");
        let order = |n: usize| Run {
            id: RunId(n as i64),
            window: (n % 2 == 1).then(|| window.clone()),
            ..run(RunKind::Install)
        };
        Site {
            runs: (0..MACHINES).map(order).collect(),
            loading: [false; MACHINES],
            written: [0; MACHINES],
            now: 0,
            slots,
        }
    }

    fn take(&mut self, n: usize, happening: &Happening) {
        if let Some(next) = step(&self.runs[n], happening, minutes(self.now)) {
            self.runs[n] = next;
        }
        let all = self.runs.iter().map(|run| (MachineId(run.id.0), run));
        for id in next_turns(all, self.slots) {
            let n = usize::try_from(id.0).expect("small");
            let granted = step(&self.runs[n], &Happening::Granted, minutes(self.now));
            self.runs[n] = granted.expect("it is queued");
        }
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Boot(n) => {
                self.take(n, &Happening::Asked);
                self.loading[n] = self.runs[n].standing() == Standing::Boot;
            }
            Act::Load(n, times) if self.loading[n] => {
                self.loading[n] = false;
                self.written[n] += 1;
                for _ in 0..times {
                    self.take(n, &Happening::HandedOver);
                }
            }
            Act::Load(..) => {}
            Act::Ask(n) => self.take(n, &Happening::Asked),
            Act::Report(n, report) => self.take(n, &Happening::Reported(report)),
            Act::Order(n, order) => {
                let release = order == Order::Release;
                self.take(n, &Happening::Ordered(order));
                if release && self.runs[n].tries == 0 {
                    self.written[n] = 0;
                }
            }
            Act::Pass(more, open) => {
                self.now += more;
                let week_minute = if open { 23 * 60 } else { 12 * 60 };
                for n in 0..MACHINES {
                    self.take(n, &Happening::Tick { week_minute });
                }
            }
        }
    }
}

proptest! {
    /// Whatever happens in whatever order, and however long a load lasts: no disk is written more
    /// often than the limit says, what is loaded is counted, never more than the slots install at
    /// the same time, and an end is an end.
    #[test]
    fn no_disk_is_wiped_for_ever(
        acts in prop::collection::vec(any_act(), 1..160),
        slots in 1u16..4,
    ) {
        let mut site = Site::new(slots);
        for act in acts {
            let (before, written) = (site.runs.clone(), site.written);
            site.act(act);
            for (n, run) in site.runs.iter().enumerate() {
                prop_assert!(site.written[n] <= run.limit.tries, "machine {n}: {run:?}");
                prop_assert!(!before[n].is_over() || before[n] == *run, "changed after its end");
                let open = matches!(
                    before[n].state,
                    RunState::Waiting | RunState::Armed | RunState::Installing
                );
                if open && site.written[n] > written[n] {
                    let counted = before[n].counted || run.tries > before[n].tries;
                    prop_assert!(counted, "not counted: {run:?}");
                }
                let active = matches!(run.state, RunState::Armed | RunState::Installing);
                prop_assert!(active || run.turn == Turn::None, "a slot for nothing: {run:?}");
            }
            let taken = site.runs.iter().filter(|run| run.turn == Turn::Granted).count();
            prop_assert!(taken <= usize::from(slots));
        }
    }
}
