//! What was measured: one row for each point, kept as text, so that campaigns can be run in parts.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::SystemTime;

use crate::subject::Subject;

/// What a row is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Rot,
    Loss,
    Burst,
    Cut,
    Insert,
    Mix,
    RotCurve,
    LossCurve,
}

const KINDS: [(Kind, &str); 8] = [
    (Kind::Rot, "rot"),
    (Kind::Loss, "loss"),
    (Kind::Burst, "burst"),
    (Kind::Cut, "cut"),
    (Kind::Insert, "insert"),
    (Kind::Mix, "mix"),
    (Kind::RotCurve, "rot-curve"),
    (Kind::LossCurve, "loss-curve"),
];

impl Kind {
    pub fn name(self) -> &'static str {
        KINDS
            .iter()
            .find(|(kind, _)| *kind == self)
            .map_or("", |(_, name)| name)
    }

    fn parse(text: &str) -> Option<Self> {
        KINDS
            .iter()
            .find(|(_, name)| *name == text)
            .map(|(kind, _)| *kind)
    }
}

/// What came of one trial.
#[derive(Debug, Clone, Default)]
pub struct Trial {
    /// Every byte of the payload came back.
    pub whole: bool,
    /// A wrong byte was returned as if it were right. This must never happen.
    pub wrong: bool,
    /// The guarantees promise every byte: of every block enough sectors are intact.
    pub promised: bool,
    /// Blocks of the payload, if it came to restoring them, and how many were lost.
    pub blocks: u64,
    pub lost: u64,
    /// What it ended with instead.
    pub error: Option<&'static str>,
}

/// A point of the campaign, or of a curve.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Profile, or name of another program.
    pub program: String,
    pub size: u64,
    pub content: String,
    pub kind: Kind,
    pub value: f64,
    pub label: String,
    pub trials: u64,
    pub whole: u64,
    pub wrong: u64,
    pub blocks: u64,
    pub lost: u64,
    /// Trials that ended before any block was tried.
    pub unopened: u64,
    /// Trials in which the guarantees promise every byte, and those of them that were not whole.
    pub promised: u64,
    pub broken: u64,
    pub theory: Option<f64>,
    pub block_theory: Option<f64>,
    pub file_len: u64,
    pub seconds: f64,
    /// What the file and its damage were made from.
    pub seed: u64,
}

/// Whether the theory leaves nothing to chance.
pub fn is_certain(theory: Option<f64>) -> bool {
    theory.is_some_and(|p| !(0.001..0.999).contains(&p))
}

impl Row {
    pub fn new(subject: &Subject, kind: Kind, value: f64, label: &str) -> Self {
        let mut row = Row::of(subject.name(), subject.size, kind, value, label)
            .with(subject.content.name(), subject.file_len);
        row.seed = subject.seed;
        row
    }

    pub fn of(program: &str, size: u64, kind: Kind, value: f64, label: &str) -> Self {
        Row {
            program: program.into(),
            size,
            content: "plain".into(),
            kind,
            value,
            label: label.into(),
            trials: 0,
            whole: 0,
            wrong: 0,
            blocks: 0,
            lost: 0,
            unopened: 0,
            promised: 0,
            broken: 0,
            theory: None,
            block_theory: None,
            file_len: 0,
            seconds: 0.0,
            seed: 0,
        }
    }

    pub fn with(mut self, content: &str, file_len: u64) -> Self {
        self.content = content.into();
        self.file_len = file_len;
        self
    }

    pub fn add(&mut self, trial: &Trial) {
        self.trials += 1;
        self.whole += u64::from(trial.whole);
        self.wrong += u64::from(trial.wrong);
        self.blocks += trial.blocks;
        self.lost += trial.lost;
        self.unopened += u64::from(trial.error.is_some());
        self.promised += u64::from(trial.promised);
        self.broken += u64::from(trial.promised && !trial.whole);
    }

    /// Takes over what was counted at the same point with another seed.
    fn merge(&mut self, other: &Row) {
        self.trials += other.trials;
        self.whole += other.whole;
        self.wrong += other.wrong;
        self.blocks += other.blocks;
        self.lost += other.lost;
        self.unopened += other.unopened;
        self.promised += other.promised;
        self.broken += other.broken;
        self.seconds += other.seconds;
    }

    pub fn summary(&self) -> String {
        let theory = |p: Option<f64>| p.map_or("-".into(), |p| format!("{p:.3e}"));
        format!(
            "{:9} {:>6} {:9.3e} {:>3}/{:<3} theory {:10} blocks lost {}/{} theory {:10} \
             unopened {} wrong {} broken {} {:5.1} s {}{}",
            self.program,
            self.kind.name(),
            self.value,
            self.whole,
            self.trials,
            theory(self.theory),
            self.lost,
            self.blocks,
            theory(self.block_theory),
            self.unopened,
            self.wrong,
            self.broken,
            self.seconds,
            self.label,
            match self.verdict() {
                Verdict::Agrees | Verdict::Unknown => "",
                Verdict::Better => "  (better than the theory)",
                Verdict::Worse => "  <-- WORSE THAN THE THEORY",
            },
        )
    }

    /// Whether so few or so many trials survived that the theory would give it less than once in a
    /// thousand times.
    pub fn verdict(&self) -> Verdict {
        let files = self.theory.map(|p| compare(self.trials, self.whole, p));
        let survived = self.blocks - self.lost;
        let blocks = self.block_theory.filter(|_| self.blocks > 0);
        let blocks = blocks.map(|p| compare(self.blocks, survived, 1.0 - p));
        match (files, blocks) {
            _ if self.trials == 0 => Verdict::Unknown,
            _ if self.wrong + self.broken > 0 => Verdict::Worse,
            (Some(Verdict::Worse), _) | (_, Some(Verdict::Worse)) => Verdict::Worse,
            (Some(Verdict::Better), _) | (_, Some(Verdict::Better)) => Verdict::Better,
            (None, None) => Verdict::Unknown,
            _ => Verdict::Agrees,
        }
    }

    /// The point, without the seed.
    pub fn key(&self) -> String {
        let Row {
            program,
            size,
            content,
            kind,
            label,
            ..
        } = self;
        let value = match kind {
            // The points of a curve move with the theory.
            Kind::RotCurve | Kind::LossCurve => 0.0,
            _ => self.value,
        };
        format!(
            "{program}\t{size}\t{content}\t{}\t{label}\t{value}",
            kind.name()
        )
    }
}

/// What to say of a measurement beside a theory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Agrees,
    Better,
    Worse,
    Unknown,
}

fn compare(trials: u64, successes: u64, chance: f64) -> Verdict {
    const ODD: f64 = 5e-4;
    let (mut at_most, mut at_least) = (0.0, 0.0);
    let mut log = 0.0;
    let power = |p: f64, n: u64| if n == 0 { 0.0 } else { n as f64 * p.ln() };
    for i in 0..=trials {
        if i > 0 {
            log += ((trials - i + 1) as f64 / i as f64).ln();
        }
        let exact = (log + power(chance, i) + power(1.0 - chance, trials - i)).exp();
        if i <= successes {
            at_most += exact;
        }
        if i >= successes {
            at_least += exact;
        }
    }
    match () {
        () if at_most < ODD => Verdict::Worse,
        () if at_least < ODD => Verdict::Better,
        () => Verdict::Agrees,
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |p: Option<f64>| p.map_or("-".into(), |p| format!("{p:e}"));
        write!(
            f,
            "{}\t{}\t{}\t{}\t{:e}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{:.1}\t{}",
            self.program,
            self.size,
            self.content,
            self.kind.name(),
            self.value,
            self.label,
            self.trials,
            self.whole,
            self.wrong,
            self.blocks,
            self.lost,
            self.unopened,
            self.promised,
            self.broken,
            number(self.theory),
            number(self.block_theory),
            self.file_len,
            self.seconds,
            self.seed,
        )
    }
}

const HEADER: &str = "program\tsize\tcontent\tkind\tvalue\tlabel\ttrials\twhole\twrong\tblocks\t\
                      blocks_lost\tunopened\tpromised\tbroken\ttheory\tblock_theory\tfile_len\tseconds\tseed";

fn parse(line: &str) -> Option<Row> {
    let fields: Vec<&str> = line.split('\t').collect();
    let [program, size, content, kind, value, label, counts @ ..] = &fields[..] else {
        return None;
    };
    let [
        trials,
        whole,
        wrong,
        blocks,
        lost,
        unopened,
        promised,
        broken,
        theory,
        block_theory,
        file_len,
        seconds,
        seed,
    ] = counts
    else {
        return None;
    };
    let mut row = Row::of(program, size.parse().ok()?, Kind::parse(kind)?, 0.0, label);
    row.content = (*content).into();
    row.value = value.parse().ok()?;
    row.trials = trials.parse().ok()?;
    row.whole = whole.parse().ok()?;
    row.wrong = wrong.parse().ok()?;
    row.blocks = blocks.parse().ok()?;
    row.lost = lost.parse().ok()?;
    row.unopened = unopened.parse().ok()?;
    row.promised = promised.parse().ok()?;
    row.broken = broken.parse().ok()?;
    row.theory = theory.parse().ok();
    row.block_theory = block_theory.parse().ok();
    row.file_len = file_len.parse().ok()?;
    row.seconds = seconds.parse().ok()?;
    row.seed = seed.parse().ok()?;
    Some(row)
}

fn path(folder: &str) -> std::path::PathBuf {
    Path::new(folder).join("results.tsv")
}

/// Adds rows to those that are kept.
pub fn append(folder: &str, rows: &[Row]) -> Result<(), String> {
    let lines: Vec<String> = rows.iter().map(Row::to_string).collect();
    append_lines(folder, &lines)
}

/// Notes when, on what and with what a campaign runs.
pub fn note(folder: &str, asked: &str) -> Result<(), String> {
    let (date, machine) = (today(), machine());
    let line = format!("# {date}, {machine}: {asked}");
    append_lines(folder, &[line])
}

fn append_lines(folder: &str, lines: &[String]) -> Result<(), String> {
    fs::create_dir_all(folder).map_err(|e| format!("{folder}: {e}"))?;
    let path = path(folder);
    let header = (!path.exists()).then(|| format!("{HEADER}\n"));
    let file = fs::File::options().append(true).create(true).open(&path);
    let mut file = file.map_err(|e| format!("{}: {e}", path.display()))?;
    let mut text = header.unwrap_or_default();
    for line in lines {
        text += &format!("{line}\n");
    }
    file.write_all(text.as_bytes()).map_err(|e| e.to_string())
}

/// The date in UTC.
fn today() -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let mut days = now.map_or(0, |now| now.as_secs() / 86400);
    let mut year = 1970;
    let leap = |year: u64| {
        u64::from(year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)))
    };
    while days >= 365 + leap(year) {
        days -= 365 + leap(year);
        year += 1;
    }
    let mut month = 1;
    for len in [31, 28 + leap(year), 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if days < len {
            break;
        }
        days -= len;
        month += 1;
    }
    format!("{year}-{month:02}-{:02}", days + 1)
}

/// Processor and number of cores.
fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        (name.trim() == "model name").then(|| value.trim().to_owned())
    });
    let model = model.unwrap_or_else(|| std::env::consts::ARCH.into());
    format!("{model} ({cores} cores)")
}

/// What was measured already: the trials of every point and seed.
pub fn done(folder: &str) -> Result<BTreeMap<(String, u64), u64>, String> {
    if !path(folder).exists() {
        return Ok(BTreeMap::new());
    }
    let (_, rows) = read_all(folder)?;
    Ok(rows.into_iter().map(|(at, row)| (at, row.trials)).collect())
}

/// All campaigns that were noted; and all rows, those with different seeds for the same point added
/// up. Of those with the same seed the last one counts.
pub fn read(folder: &str) -> Result<(Vec<String>, Vec<Row>), String> {
    let (notes, rows) = read_all(folder)?;
    let mut points: BTreeMap<String, Row> = BTreeMap::new();
    for ((key, _), row) in rows {
        match points.entry(key) {
            Entry::Occupied(mut point) => point.get_mut().merge(&row),
            Entry::Vacant(point) => {
                point.insert(row);
            }
        }
    }
    let mut rows: Vec<Row> = points.into_values().collect();
    rows.sort_by(|a, b| {
        let order = |row: &Row| (row.kind, row.content.clone(), row.size);
        order(a).cmp(&order(b)).then(a.value.total_cmp(&b.value))
    });
    Ok((notes, rows))
}

/// Rows by point and seed.
type Rows = BTreeMap<(String, u64), Row>;

fn read_all(folder: &str) -> Result<(Vec<String>, Rows), String> {
    let path = path(folder);
    let text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let mut notes = Vec::new();
    let mut rows = BTreeMap::new();
    for line in text.lines().skip(1) {
        if let Some(note) = line.strip_prefix("# ") {
            notes.push(note.to_owned());
            continue;
        }
        let row = parse(line).ok_or_else(|| format!("not a result: {line}"))?;
        rows.insert((row.key(), row.seed), row);
    }
    Ok((notes, rows))
}
