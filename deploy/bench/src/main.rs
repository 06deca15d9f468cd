//! The benchmark: Farrier, its peers and the physical floor, over the same wire, on the same
//! files, in turn. It measures and does not judge: whatever the figures, it ends with success.
//!
//! `docs/PERFORMANCE.md` says how to read it.

mod cases;
mod client;
mod figures;
mod files;
mod floor;
mod goals;
mod group;
mod net;
mod report;
mod results;
mod runner;
mod schedule;
mod servers;

use anyhow::{Context, Result, bail};
use cases::{Case, Work};
use clap::{Parser, Subcommand};
use files::Files;
use floor::Floor;
use lab::process::run;
use lab::{sandbox, table};
use report::Facts;
use results::Results;
use runner::Runner;
use serde_json::json;
use servers::{Kind, Places};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// Measures Farrier and its peers. Needs root; touches no interface of this host.
#[derive(Parser)]
#[command(name = "bench", version)]
#[command(args_conflicts_with_subcommands = true)]
struct Args {
    /// The farrier program, a release build.
    #[arg(long, env = "FARRIER_BIN", default_value = "target/release/farrier")]
    farrier: PathBuf,
    /// Where `deploy/setup.sh bench` put the peers.
    #[arg(long, default_value = ".lab/peers")]
    peers: PathBuf,
    /// Where logs are kept.
    #[arg(long, default_value = ".lab/logs/bench")]
    logs: PathBuf,
    /// Rounds of a case that a goal is about, at least; others have fewer, and short ones more.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// One round of the cases that the goals are about.
    #[arg(long)]
    quick: bool,
    /// Processors wait awake meanwhile: a virtual one that sleeps takes long to wake.
    #[arg(long)]
    awake: bool,
    /// Only these servers (names as in the tables).
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Every figure is written to this file.
    #[arg(long, default_value = ".lab/bench.json")]
    json: PathBuf,
    /// Replace the generated part of this Markdown file.
    #[arg(long)]
    markdown: Option<PathBuf>,
    /// Cases to run, by name or by the beginning of it; all when left out. `list` lists them.
    cases: Vec<String>,
    #[command(subcommand)]
    command: Option<Action>,
}

#[derive(Subcommand)]
enum Action {
    /// Answers without a protocol (the benchmark starts this itself).
    #[command(hide = true)]
    Floor {
        /// Which.
        floor: Floor,
        /// The files of HTTP lie below it.
        #[arg(default_value = ".")]
        root: PathBuf,
    },
}

fn main() -> ExitCode {
    let args = Args::parse();
    match start(&args) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start(args: &Args) -> Result<ExitCode> {
    match &args.command {
        Some(Action::Floor { floor, root }) => {
            floor::serve(*floor, root)?;
            return Ok(ExitCode::SUCCESS);
        }
        None => {}
    }
    // A word among the cases, for `make bench BENCH=list` has options before it.
    if args.cases == ["list"] {
        for case in cases::all() {
            println!("{:<14} {}", case.name, case.what);
        }
        return Ok(ExitCode::SUCCESS);
    }
    let cases = chosen(args)?;
    let Some(run_dir) = sandbox::worker()? else {
        let words: Vec<String> = std::env::args().skip(1).collect();
        let name = format!("farrier-bench-{}", std::process::id());
        let run_dir = std::env::temp_dir().join(&name);
        group::sweep(&name);
        let code = sandbox::keep(&words, &run_dir, &args.logs);
        group::sweep(&name);
        return code;
    };
    measure(args, &cases, &run_dir)?;
    Ok(ExitCode::SUCCESS)
}

/// The cases asked for.
fn chosen(args: &Args) -> Result<Vec<Case>> {
    let all = cases::all();
    let mut names = std::collections::BTreeSet::new();
    for name in &args.cases {
        let begins = |case: &&Case| case.name.starts_with(name.as_str());
        // A whole name is no beginning: f5_w1 is not f5_w16.
        let exact = all.iter().find(|case| case.name == name);
        let found: Vec<_> = match exact {
            Some(case) => vec![case.name],
            None => all.iter().filter(begins).map(|case| case.name).collect(),
        };
        if found.is_empty() {
            bail!("no case begins with '{name}': see `bench list`");
        }
        names.extend(found);
    }
    let wanted = |case: &Case| match args.cases.is_empty() {
        true => !args.quick || case.quick,
        false => names.contains(case.name),
    };
    let cases = all.into_iter().filter(wanted);
    Ok(match args.quick {
        true => cases.map(Case::quickly).collect(),
        false => cases.collect(),
    })
}

fn measure(args: &Args, cases: &[Case], run_dir: &Path) -> Result<()> {
    // As perf figures are taken: neighbours at normal priority matter less. Children inherit it.
    let _ = rustix::process::setpriority_process(None, -10);
    let _awake = args.awake.then(stay_awake).transpose()?;
    let root = run_dir.join("files");
    // Everything of the servers lies on it, so that a disk plays no part.
    nix::mount::mount(
        Some("tmpfs"),
        run_dir,
        Some("tmpfs"),
        nix::mount::MsFlags::empty(),
        None::<&str>,
    )
    .context("mount a tmpfs for the files")?;
    std::fs::create_dir_all(&root).with_context(|| format!("create {}", root.display()))?;

    let places = Places {
        farrier: absolute(&args.farrier),
        peers: absolute(&args.peers),
        root,
        run: run_dir.to_owned(),
        name: name_of(run_dir),
    };
    let files = Files::make();
    files.put(&places.root)?;
    let image = |case: &Case| matches!(&case.work, Work::Http(h) if h.file == cases::File::Image);
    if cases.iter().any(image) {
        files.put_image(&places.root)?;
    }
    let rounds = if args.quick { 1 } else { args.rounds };
    let mut runner = Runner::new(&places, &files, rounds, only(args)?)?;
    let mut results = Results::default();
    for (n, case) in cases.iter().enumerate() {
        eprintln!("[{}/{}] {}: {}", n + 1, cases.len(), case.name, case.what);
        if sandbox::stopping() {
            break;
        }
        match runner.case(case) {
            Ok(result) => results.cases.push(result),
            Err(error) => eprintln!("bench: {}: {error:#}", case.name),
        }
    }
    results.counted_by = runner.counted_by;
    write(args, &results)
}

/// Has idle processors poll instead of sleep, until the file is closed.
fn stay_awake() -> Result<File> {
    let open = || -> std::io::Result<File> {
        let mut file = File::options().write(true).open(AWAKE)?;
        // The longest wake-up that is borne, in microseconds.
        file.write_all(&0i32.to_ne_bytes())?;
        Ok(file)
    };
    open().with_context(|| format!("write {AWAKE}"))
}

const AWAKE: &str = "/dev/cpu_dma_latency";

fn only(args: &Args) -> Result<Vec<Kind>> {
    let all: Vec<Kind> = cases::all().into_iter().flat_map(|c| c.servers).collect();
    let find = |name: &String| {
        let kind = all.iter().find(|kind| kind.name() == name);
        kind.copied()
            .with_context(|| format!("no server is called '{name}'"))
    };
    args.only.iter().map(find).collect()
}

fn write(args: &Args, results: &Results) -> Result<()> {
    let goals = goals::all(results);
    print!("{}", report::text(results, &goals));
    let facts = facts(results);
    println!("\n{}", facts.lines.join("\n"));
    println!("every figure: {}", args.json.display());
    let all = json!({
        "command": facts.command,
        "facts": facts.lines,
        "goals": goals.iter().map(goals::Goal::json).collect::<Vec<_>>(),
        "cases": results.json(),
    });
    let text = serde_json::to_string_pretty(&all).context("write JSON")?;
    let parent = args.json.parent().filter(|p| !p.as_os_str().is_empty());
    if let Some(parent) = parent {
        std::fs::create_dir_all(parent).with_context(|| format!("create {}", parent.display()))?;
    }
    std::fs::write(&args.json, text).with_context(|| format!("write {}", args.json.display()))?;
    if let (Some(path), true) = (&args.markdown, sandbox::stopping()) {
        println!("{} stays as it was: not all was measured", path.display());
    } else if let Some(path) = &args.markdown {
        let fresh = report::markdown(results, &goals, &facts);
        let old = std::fs::read_to_string(path).unwrap_or_default();
        std::fs::write(path, table::replaced(&old, "bench --markdown", &fresh))
            .with_context(|| format!("write {}", path.display()))?;
    }
    Ok(())
}

fn facts(results: &Results) -> Facts {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpus = read("/proc/cpuinfo");
    let model = cpus
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("unknown processor", |(_, model)| model);
    let count = cpus.lines().filter(|l| l.starts_with("processor")).count();
    let commit = run(Command::new("git").args(["describe", "--always", "--dirty"]));
    let day = run(Command::new("date").arg("--iso-8601"));
    let minutes = results.cases.iter().map(|case| case.seconds).sum::<f64>() / 60.0;
    Facts {
        command: command(std::env::args().skip(1)),
        lines: vec![
            format!(
                "{count} x {model}, Linux {}",
                read("/proc/sys/kernel/osrelease").trim()
            ),
            format!(
                "Farrier at commit {}, {}",
                commit.unwrap_or_default().trim(),
                day.unwrap_or_default().trim()
            ),
            "medians, and medians of each round's own ratio; how many rounds stands with each figure".into(),
            format!(
                "{} cases in {:.0} minutes",
                results.cases.len(),
                minutes.ceil()
            ),
        ],
    }
}

/// How a person would call this run: without what the makefile itself says.
fn command(mut words: impl Iterator<Item = String>) -> String {
    let mut said = Vec::new();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--farrier" | "--peers" | "--logs" => drop(words.next()),
            _ => said.push(word),
        }
    }
    match said.is_empty() {
        true => "make bench".to_owned(),
        false => format!("make bench BENCH='{}'", said.join(" ")),
    }
}

fn name_of(run_dir: &Path) -> String {
    run_dir
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_are_chosen_by_their_whole_name_or_its_beginning() -> Result<()> {
        let names = |words: &str| -> Result<Vec<&str>> {
            let args = Args::try_parse_from(format!("bench {words}").split_whitespace())?;
            Ok(chosen(&args)?.iter().map(|case| case.name).collect())
        };
        assert_eq!(names("f5_w1")?, ["f5_w1"]);
        assert_eq!(names("f5 e_small")?, ["e_small", "f5_w1", "f5_w16"]);
        assert_eq!(names("")?.len(), cases::all().len());
        assert!(names("--quick")?.len() < cases::all().len());
        assert!(names("nonsense").is_err());
        Ok(())
    }

    #[test]
    fn a_run_is_called_as_a_person_calls_it() {
        let called = |words: &str| command(words.split_whitespace().map(str::to_owned));
        assert_eq!(called("--farrier a/b"), "make bench");
        assert_eq!(
            called("--farrier a/b --quick c_w64"),
            "make bench BENCH='--quick c_w64'"
        );
    }
}
