//! What was measured: one row for each point, kept as text, so that campaigns can be run in parts.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io::Write;
use std::path::Path;

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
    pub theory: Option<f64>,
    pub block_theory: Option<f64>,
    pub file_len: u64,
    pub seconds: f64,
}

impl Row {
    pub fn new(subject: &Subject, kind: Kind, value: f64, label: &str) -> Self {
        Row::of(subject.name(), subject.size, kind, value, label)
            .with(subject.content.name(), subject.file_len)
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
            theory: None,
            block_theory: None,
            file_len: 0,
            seconds: 0.0,
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
    }

    pub fn summary(&self) -> String {
        let theory = |p: Option<f64>| p.map_or("-".into(), |p| format!("{p:.3e}"));
        format!(
            "{:9} {:>6} {:9.3e} {:>3}/{:<3} theory {:10} blocks lost {}/{} theory {:10} \
             unopened {} wrong {} {:5.1} s {}{}",
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
            _ if self.wrong > 0 => Verdict::Worse,
            (Some(Verdict::Worse), _) | (_, Some(Verdict::Worse)) => Verdict::Worse,
            (Some(Verdict::Better), _) | (_, Some(Verdict::Better)) => Verdict::Better,
            (None, None) => Verdict::Unknown,
            _ => Verdict::Agrees,
        }
    }

    fn key(&self) -> String {
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
            "{}\t{}\t{}\t{}\t{:e}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{:.1}",
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
            number(self.theory),
            number(self.block_theory),
            self.file_len,
            self.seconds,
        )
    }
}

const HEADER: &str = "program\tsize\tcontent\tkind\tvalue\tlabel\ttrials\twhole\twrong\tblocks\t\
                      blocks_lost\tunopened\ttheory\tblock_theory\tfile_len\tseconds";

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
        theory,
        block_theory,
        file_len,
        seconds,
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
    row.theory = theory.parse().ok();
    row.block_theory = block_theory.parse().ok();
    row.file_len = file_len.parse().ok()?;
    row.seconds = seconds.parse().ok()?;
    Some(row)
}

fn path(folder: &str) -> std::path::PathBuf {
    Path::new(folder).join("results.tsv")
}

/// Adds rows to those that are kept.
pub fn append(folder: &str, rows: &[Row]) -> Result<(), String> {
    fs::create_dir_all(folder).map_err(|e| format!("{folder}: {e}"))?;
    let path = path(folder);
    let new = !path.exists();
    let file = fs::File::options().append(true).create(true).open(&path);
    let mut file = file.map_err(|e| format!("{}: {e}", path.display()))?;
    let mut text = if new {
        format!("{HEADER}\n")
    } else {
        String::new()
    };
    for row in rows {
        text += &format!("{row}\n");
    }
    file.write_all(text.as_bytes()).map_err(|e| e.to_string())
}

/// All rows; of those for the same point the last one.
pub fn read(folder: &str) -> Result<Vec<Row>, String> {
    let path = path(folder);
    let text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let mut rows = BTreeMap::new();
    for line in text.lines().skip(1) {
        let row = parse(line).ok_or_else(|| format!("not a result: {line}"))?;
        rows.insert(row.key(), row);
    }
    let mut rows: Vec<Row> = rows.into_values().collect();
    rows.sort_by(|a, b| {
        let order = |row: &Row| (row.kind, row.content.clone(), row.size);
        order(a).cmp(&order(b)).then(a.value.total_cmp(&b.value))
    });
    Ok(rows)
}
