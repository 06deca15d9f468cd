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
            "a boot that waits anew has been sent nothing",
            Install,
            "asks turn 10 tick asks handed done",
            "armed Queue",
        ),
        ("one other boot", NextBoot, "asks", "armed Boot"),
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

#[derive(Clone, Debug)]
enum Act {
    /// The machine boots; what it is offered it fetches so often.
    Boot(usize, u8),
    Report(usize, Report),
    Order(usize, Order),
    Pass(i64),
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
        8 => (0..MACHINES, 0u8..3).prop_map(|(n, times)| Act::Boot(n, times)),
        2 => (0..MACHINES, report).prop_map(|(n, report)| Act::Report(n, report)),
        1 => (0..MACHINES, order).prop_map(|(n, order)| Act::Order(n, order)),
        1 => (0i64..90).prop_map(Act::Pass),
    ]
}

const MACHINES: usize = 6;

fn take(run: &mut Run, happening: &Happening, now: i64) {
    if let Some(next) = step(run, happening, minutes(now)) {
        *run = next;
    }
}

proptest! {
    /// Whatever happens in whatever order: nobody is handed over more often than the limit says,
    /// never more than the slots install at the same time, and an end is an end.
    #[test]
    fn no_disk_is_wiped_for_ever(
        acts in prop::collection::vec(any_act(), 1..120),
        slots in 1u16..4,
    ) {
        let mut runs: Vec<Run> = (0..MACHINES)
            .map(|n| Run { id: RunId(n as i64), ..run(RunKind::Install) })
            .collect();
        let mut handed = [0u8; MACHINES];
        let mut now = 0;
        for act in acts {
            let before = runs.clone();
            match act {
                Act::Boot(n, times) => {
                    take(&mut runs[n], &Happening::Asked, now);
                    if runs[n].standing() == Standing::Boot {
                        for _ in 0..times {
                            take(&mut runs[n], &Happening::HandedOver, now);
                        }
                        handed[n] += times.min(1);
                    }
                }
                Act::Report(n, report) => take(&mut runs[n], &Happening::Reported(report), now),
                Act::Order(n, order) => {
                    let release = order == Order::Release;
                    take(&mut runs[n], &Happening::Ordered(order), now);
                    if release && runs[n].tries == 0 {
                        handed[n] = 0;
                    }
                }
                Act::Pass(more) => {
                    now += more;
                    for run in &mut runs {
                        take(run, &TICK, now);
                    }
                }
            }
            let all = runs.iter().map(|run| (MachineId(run.id.0), run));
            for id in next_turns(all, slots) {
                let n = usize::try_from(id.0).expect("small");
                let granted = step(&runs[n], &Happening::Granted, minutes(now));
                runs[n] = granted.expect("it is queued");
            }
            for (n, run) in runs.iter().enumerate() {
                prop_assert!(handed[n] <= run.limit.tries, "machine {n}: {run:?}");
                prop_assert!(!before[n].is_over() || before[n] == *run, "changed after its end");
                let active = matches!(run.state, RunState::Armed | RunState::Installing);
                prop_assert!(active || run.turn == Turn::None, "a slot for nothing: {run:?}");
            }
            let taken = runs.iter().filter(|run| run.turn == Turn::Granted).count();
            prop_assert!(taken <= usize::from(slots));
        }
    }
}
