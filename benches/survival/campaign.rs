//! The survival campaign: damages real files at random, restores them with the real reader, and puts
//! what was measured beside what the theory says. See README.md in this folder.
//!
//!     cargo run --release --example survival -- run --sizes 16M --trials 20
//!     cargo run --release --example survival -- render
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod damage;
mod peers;
mod plot;
mod readme;
mod results;
mod subject;
mod table;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use damage::{Damage, Random};
use dbs::Profile;
use results::{Kind, Row};
use subject::{Content, Subject};

/// What is asked for on the command line.
struct Options {
    sizes: Vec<u64>,
    profiles: Vec<Profile>,
    contents: Vec<Content>,
    kinds: Vec<String>,
    values: Vec<f64>,
    trials: u64,
    few: u64,
    places: u64,
    budget: Duration,
    seed: u64,
    rounds: u64,
    folder: String,
    readme: Option<String>,
    scratch: std::path::PathBuf,
    peers: Vec<(String, String)>,
}

const HELP: &str = "\
survival run|peers|render [options]
  run     measures dbs; every finished point is added to results.tsv
  peers   measures dbs and par2 with the same damage at the same storage
  render  writes RESULTS.md, survival.svg and the table in README.md from results.tsv
options
  --sizes 16M,64M,1G       payload sizes (16M)
  --profiles standard,coded,light
  --contents plain,mixed   random bytes; or blocks of all lengths (plain)
  --kinds rot,loss,burst,cut,insert,mix   (all)
  --values V,V             only these rates or shares (all)
  --trials N               where the theory is between 0.1% and 99.9% (20)
  --few N                  where the outcome should be certain (3)
  --places N               bursts, cuts and insertions at random places, and mixes (20)
  --seconds N              most time for a point (60); at least two trials are made
  --seed N                 (1)
  --rounds N               what chance decides N times, with seeds that follow; all else once (1)
  --folder DIR             where results are kept (benches/survival)
  --readme FILE            of which render writes a part (README.md, if --folder is not given)
  --scratch DIR            for payloads of 512 MiB and more, and for peers (the system's)
  --peer NAME=PROGRAM      a par2 program; may be repeated";

fn options(mut args: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options = Options {
        sizes: vec![16 << 20],
        profiles: vec![Profile::Standard, Profile::Coded, Profile::Light],
        contents: vec![Content::Plain],
        kinds: Vec::new(),
        values: Vec::new(),
        trials: 20,
        few: 3,
        places: 20,
        budget: Duration::from_secs(60),
        seed: 1,
        rounds: 1,
        folder: "benches/survival".into(),
        readme: Some("README.md".into()),
        scratch: std::env::temp_dir(),
        peers: Vec::new(),
    };
    while let Some(name) = args.next() {
        let value = args.next().ok_or(format!("{name}: a value is missing"))?;
        let number = || value.parse::<u64>().map_err(|e| format!("{name}: {e}"));
        let list = || value.split(',').map(str::to_owned);
        match name.as_str() {
            "--sizes" => options.sizes = list().map(|s| size(&s)).collect::<Result<_, _>>()?,
            "--profiles" => {
                options.profiles = list().map(|s| profile(&s)).collect::<Result<_, _>>()?;
            }
            "--contents" => {
                options.contents = list()
                    .map(|s| Content::parse(&s).ok_or(format!("content {s}?")))
                    .collect::<Result<_, _>>()?;
            }
            "--kinds" => options.kinds = list().collect(),
            "--values" => {
                let parse = |s: String| s.parse().map_err(|e| format!("{name}: {e}"));
                options.values = list().map(parse).collect::<Result<_, String>>()?;
            }
            "--trials" => options.trials = number()?,
            "--few" => options.few = number()?,
            "--places" => options.places = number()?,
            "--seconds" => options.budget = Duration::from_secs(number()?),
            "--seed" => options.seed = number()?,
            "--rounds" => options.rounds = number()?,
            "--folder" => (options.folder, options.readme) = (value, None),
            "--readme" => options.readme = Some(value),
            "--scratch" => options.scratch = value.into(),
            "--peer" => {
                let (name, program) = value.split_once('=').ok_or("--peer NAME=PROGRAM")?;
                options.peers.push((name.into(), program.into()));
            }
            other => return Err(format!("{other}?\n{HELP}")),
        }
    }
    Ok(options)
}

fn size(text: &str) -> Result<u64, String> {
    let (digits, shift) = match text.as_bytes().last() {
        Some(b'K') => (&text[..text.len() - 1], 10),
        Some(b'M') => (&text[..text.len() - 1], 20),
        Some(b'G') => (&text[..text.len() - 1], 30),
        _ => (text, 0),
    };
    let number: u64 = digits.parse().map_err(|e| format!("size {text}: {e}"))?;
    Ok(number << shift)
}

fn profile(text: &str) -> Result<Profile, String> {
    match text {
        "standard" => Ok(Profile::Standard),
        "coded" => Ok(Profile::Coded),
        "light" => Ok(Profile::Light),
        other => Err(format!("profile {other}?")),
    }
}

/// Makes the damage of a trial.
type Plan = Box<dyn Fn(&mut Random) -> Vec<Damage>>;

/// What is tried again and again.
struct Point {
    kind: Kind,
    /// The rate, share or number of bytes.
    value: f64,
    /// What it is in words, where the number alone does not tell.
    label: String,
    /// What the theory says.
    theory: Option<f64>,
    /// Whether the places of the damage are drawn anew for every trial.
    varies: bool,
    damage: Plan,
}

/// Rates and shares that are measured whatever the theory says.
const RATES: [f64; 10] = [1e-6, 1e-5, 1e-4, 3e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 3e-2];
const SHARES: [f64; 7] = [0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5];
/// Around the point where half of the trials survive.
const CHANCES: [f64; 5] = [0.99, 0.9, 0.5, 0.1, 0.01];

fn points(subject: &Subject) -> Vec<Point> {
    let mut points = Vec::new();
    let shape = &subject.shape;
    let rounded = |value: f64| format!("{value:.3e}").parse::<f64>().unwrap_or(value);
    let rates = CHANCES.map(|chance| rounded(shape.rot_survived(chance)));
    for rate in RATES.into_iter().chain(rates) {
        points.push(Point {
            kind: Kind::Rot,
            value: rate,
            label: String::new(),
            theory: Some(shape.survives_rot(rate)),
            varies: false,
            damage: Box::new(move |_| vec![Damage::Rot(rate)]),
        });
    }
    let shares = CHANCES.map(|chance| rounded(shape.loss_survived(chance)));
    for share in SHARES.into_iter().chain(shares) {
        points.push(Point {
            kind: Kind::Loss,
            value: share,
            label: String::new(),
            theory: Some(shape.survives_loss(share)),
            varies: false,
            damage: Box::new(move |_| vec![Damage::Loss(share)]),
        });
    }
    points.sort_by(|a, b| a.kind.cmp(&b.kind).then(a.value.total_cmp(&b.value)));
    points.dedup_by(|a, b| a.kind == b.kind && a.value == b.value);
    points.extend(bursts(subject));
    points.extend(mixes(subject));
    points
}

/// The longest burst that must be survived, at random places; and one sector more where it kills.
fn bursts(subject: &Subject) -> Vec<Point> {
    let (len, size) = (subject.file_len, subject.sector);
    let burst = subject.burst;
    let most = burst.bytes(&subject.geometry);
    let at_most = burst.sectors * size;
    let mut points = Vec::new();
    let mut add = |kind, value: u64, label: &str, theory, damage: Box<dyn Fn(&mut Random) -> _>| {
        points.push(Point {
            kind,
            value: value as f64,
            label: label.into(),
            theory: Some(theory),
            varies: label.ends_with("anywhere"),
            damage,
        });
    };
    add(
        Kind::Burst,
        most,
        "longest promised, anywhere",
        1.0,
        Box::new(move |random| {
            let at = random.below(len - most + 1);
            vec![Damage::Burst(at..at + most)]
        }),
    );
    let worst = burst.fatal_from * size;
    add(
        Kind::Burst,
        at_most,
        "longest promised, whole sectors, worst place",
        1.0,
        Box::new(move |_| vec![Damage::Burst(worst..worst + at_most)]),
    );
    add(
        Kind::Burst,
        at_most + size,
        "one sector more, worst place",
        0.0,
        Box::new(move |_| vec![Damage::Burst(worst..worst + at_most + size)]),
    );
    for (label, from, to) in [
        ("tail, longest promised", len - at_most, len),
        ("head, longest promised", 0, at_most),
    ] {
        add(
            Kind::Cut,
            at_most,
            label,
            1.0,
            Box::new(move |_| vec![Damage::Cut(from..to)]),
        );
    }
    for bytes in [1, size, most] {
        let label = if bytes == most {
            "longest promised, anywhere"
        } else {
            "anywhere"
        };
        add(
            Kind::Cut,
            bytes,
            label,
            1.0,
            Box::new(move |random| {
                let at = random.below(len - bytes + 1);
                vec![Damage::Cut(at..at + bytes)]
            }),
        );
    }
    for bytes in [1, 5000, len / 4] {
        add(
            Kind::Insert,
            bytes,
            "anywhere",
            1.0,
            Box::new(move |random| vec![Damage::Insert(random.below(len + 1), bytes)]),
        );
    }
    points
}

/// Everything at once, each at a fraction of what it may be alone.
fn mixes(subject: &Subject) -> Vec<Point> {
    let len = subject.file_len;
    let rate = subject.shape.rot_survived(0.999);
    let share = subject.shape.loss_survived(0.999);
    let most = subject.burst.bytes(&subject.geometry);
    let mut points = Vec::new();
    for part in [0.05, 0.1, 0.2] {
        let bytes = (most as f64 * part) as u64;
        points.push(Point {
            kind: Kind::Mix,
            value: part,
            label: "of what each may be alone: bits flipped, sectors lost, a burst, a cut, an \
                    insertion"
                .into(),
            theory: None,
            varies: true,
            damage: Box::new(move |random| {
                let burst = random.below(len - bytes + 1);
                let cut = random.below(len - 4000);
                // Rot at a rate that leaves most sectors intact: what is moved is found by them.
                vec![
                    Damage::Rot((rate * part).min(2e-6)),
                    Damage::Loss(share * part),
                    Damage::Burst(burst..burst + bytes),
                    Damage::Cut(cut..cut + 1 + random.below(3999)),
                    Damage::Insert(random.below(len), 1 + random.below(9999)),
                ]
            }),
        });
    }
    points
}

fn measure(options: &Options, subject: &Subject, point: &Point, trials: u64) -> Row {
    let begin = Instant::now();
    let mut row = Row::new(subject, point.kind, point.value, &point.label);
    row.theory = point.theory;
    row.block_theory = subject.block_theory(point.kind, point.value);
    for trial in 0..trials {
        if trial >= 2 && begin.elapsed() > options.budget {
            break;
        }
        let seeds = [subject.seed, trial, point.value.to_bits()];
        let damage = (point.damage)(&mut Random::new(&seeds));
        let seed = Random::new(&seeds).next();
        row.add(&subject.trial(&damage, seed));
    }
    row.seconds = begin.elapsed().as_secs_f64();
    row
}

fn run(options: &Options) -> Result<(), String> {
    let done = results::done(&options.folder)?;
    for round in 0..options.rounds {
        let seed = options.seed + round;
        for &size in &options.sizes {
            for &profile in &options.profiles {
                for &content in &options.contents {
                    let subject = Subject::new(profile, size, content, seed, &options.scratch)?;
                    eprintln!("seed {seed}: {}", subject.description());
                    measure_all(options, &subject, round == 0, &done)?;
                }
            }
        }
    }
    Ok(())
}

/// Points that were measured before are not measured again: a campaign that was stopped goes on.
fn measure_all(
    options: &Options,
    subject: &Subject,
    first: bool,
    done: &BTreeMap<(String, u64), u64>,
) -> Result<(), String> {
    let curves = subject.curves();
    let known = |row: &Row| done.keys().any(|(key, _)| *key == row.key());
    if first && !curves.iter().all(known) {
        results::append(&options.folder, &curves)?;
    }
    for point in points(subject) {
        let kind = options.kinds.iter().any(|kind| kind == point.kind.name());
        let value = options.values.contains(&point.value);
        if !(kind || options.kinds.is_empty()) || !(value || options.values.is_empty()) {
            continue;
        }
        let trials = match point.kind {
            Kind::Rot | Kind::Loss if !results::is_certain(point.theory) => options.trials,
            _ if !first => 0,
            _ if point.varies => options.places,
            _ => options.few,
        };
        let key = Row::new(subject, point.kind, point.value, &point.label).key();
        let before = done.get(&(key, subject.seed)).copied();
        if before.unwrap_or(0) < trials {
            let row = measure(options, subject, &point, trials);
            eprintln!("{}", row.summary());
            results::append(&options.folder, &[row])?;
        }
    }
    Ok(())
}

/// What was asked for, less what differs from machine to machine.
fn without_paths(args: &[String]) -> String {
    let mut asked = args.first().cloned().unwrap_or_default();
    for option in args.get(1..).unwrap_or_default().chunks(2) {
        if !["--folder", "--scratch", "--peer"].contains(&option[0].as_str()) {
            asked += &format!(" {}", option.join(" "));
        }
    }
    asked
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let command = args.first().cloned().unwrap_or_default();
    let asked = without_paths(&args);
    let done = options(args.into_iter().skip(1)).and_then(|options| match command.as_str() {
        "run" => results::note(&options.folder, &asked).and_then(|()| run(&options)),
        "peers" => results::note(&options.folder, &asked).and_then(|()| peers::run(&options)),
        "render" => table::render(&options.folder, options.readme.as_deref()),
        _ => Err(HELP.into()),
    });
    if let Err(message) = done {
        eprintln!("{message}");
        std::process::exit(2);
    }
}
