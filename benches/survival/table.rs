//! The results as tables.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;

use crate::results::{self, Kind, Row, Verdict};
use crate::{peers, plot, readme};

/// Writes RESULTS.md and survival.svg, and a part of the README.md that is named.
pub fn render(folder: &str, of_project: Option<&str>) -> Result<(), String> {
    let (notes, rows) = results::read(folder)?;
    let write = |name: &str, text: String| {
        std::fs::write(Path::new(folder).join(name), text).map_err(|e| e.to_string())
    };
    write("RESULTS.md", markdown(&notes, &rows))?;
    write("survival.svg", plot::plot(&rows))?;
    of_project.map_or(Ok(()), |path| readme::update(path, &rows))
}

/// All trials with dbs together.
pub struct Totals {
    pub trials: u64,
    pub wrong: u64,
    pub promised: u64,
    pub broken: u64,
    /// Points with a theory, and those where the measurement is not as it says.
    pub points: usize,
    pub odd: usize,
}

impl Totals {
    pub fn of(rows: &[Row]) -> Self {
        let own = || rows.iter().filter(|row| rank(&row.program).0 < 3);
        let sum = |count: fn(&Row) -> u64| own().map(count).sum();
        let known = || own().filter(|row| row.trials > 0 && row.theory.is_some());
        Totals {
            trials: sum(|row| row.trials),
            wrong: sum(|row| row.wrong),
            promised: sum(|row| row.promised),
            broken: sum(|row| row.broken),
            points: known().count(),
            odd: known()
                .filter(|row| matches!(row.verdict(), Verdict::Better | Verdict::Worse))
                .count(),
        }
    }
}

pub fn bytes(n: u64) -> String {
    match n {
        1 => "1 byte".into(),
        n if n >= 1 << 30 && n % (1 << 30) == 0 => format!("{} GiB", n >> 30),
        n if n >= 1 << 20 && n % (1 << 20) == 0 => format!("{} MiB", n >> 20),
        n if n >= 1 << 10 && n % (1 << 10) == 0 => format!("{} KiB", n >> 10),
        n => format!("{n} bytes"),
    }
}

fn percent(p: f64) -> String {
    match p {
        p if p > 0.0 && p < 1e-4 => format!("{:.0e}", p),
        p if p < 1.0 && p > 0.9999 => "> 99.99%".into(),
        p => format!("{:.1}%", p * 100.0),
    }
}

/// A subject: program, content, size.
pub type Subject = (String, String, u64);

pub fn subjects<'a>(rows: impl Iterator<Item = &'a Row>) -> Vec<Subject> {
    let all: BTreeSet<_> = rows
        .map(|row| (row.content.clone(), row.size, rank(&row.program)))
        .collect();
    all.into_iter()
        .map(|(content, size, (_, program))| (program, content, size))
        .collect()
}

/// Our profiles first, in the order of the specification.
fn rank(program: &str) -> (usize, String) {
    let ours = ["standard", "coded", "light"];
    let place = ours.iter().position(|name| *name == program);
    (place.unwrap_or(ours.len()), program.into())
}

pub fn of<'a>(rows: &'a [Row], subject: &'a Subject, kind: Kind) -> impl Iterator<Item = &'a Row> {
    rows.iter().filter(move |row| {
        (&row.program, &row.content, row.size) == (&subject.0, &subject.1, subject.2)
            && row.kind == kind
    })
}

/// Where half of the trials survive, with the range that holds the true value in 95 of 100 cases.
pub struct Half {
    pub value: f64,
    pub range: (f64, f64),
    pub trials: u64,
}

/// The curve of the theory, moved to where it fits all points best: one factor on the axis.
pub fn measured_half(points: &[&Row], curve: &[&Row]) -> Option<Half> {
    let half = theory_half(curve)?;
    // Points at which the outcome was certain say nothing, and are not counted.
    let near: Vec<&&Row> = points
        .iter()
        .filter(|row| row.trials > 0 && row.theory.is_some_and(|p| (0.001..0.999).contains(&p)))
        .collect();
    let trials = near.iter().map(|row| row.trials).sum();
    let fit = |factor: f64| -> f64 {
        let logs = near.iter().map(|row| {
            let chance = chance_at(curve, row.value / factor).clamp(1e-12, 1.0 - 1e-12);
            let lost = row.trials - row.whole;
            row.whole as f64 * chance.ln() + lost as f64 * (1.0 - chance).ln()
        });
        logs.sum()
    };
    let factors: Vec<(f64, f64)> = (-4000..=4000)
        .map(|step| f64::from(step) * 1e-4)
        .map(|log| (log.exp(), fit(log.exp())))
        .collect();
    let best = factors.iter().copied().max_by(|a, b| a.1.total_cmp(&b.1))?;
    // Twice the loss of log-likelihood has a chi-squared distribution.
    let mut within = factors.iter().filter(|(_, log)| *log >= best.1 - 1.92);
    let first = within.next()?.0;
    let last = within.next_back().map_or(first, |(factor, _)| *factor);
    (trials > 0).then_some(Half {
        value: half * best.0,
        range: (half * first, half * last),
        trials,
    })
}

/// What a curve says between its points, and beyond its ends as if it went on straight; straight in
/// the logarithm of the value and of the odds.
fn chance_at(curve: &[&Row], value: f64) -> f64 {
    let odds = |row: &Row| {
        let chance = row.theory.unwrap_or(0.5);
        (chance / (1.0 - chance)).ln()
    };
    let next = curve.partition_point(|row| row.value < value);
    let next = next.clamp(1, curve.len().saturating_sub(1).max(1));
    let (Some(a), Some(b)) = (curve.get(next - 1), curve.get(next)) else {
        return 0.5;
    };
    let part = (value / a.value).ln() / (b.value / a.value).ln();
    let log = odds(a) + part * (odds(b) - odds(a));
    1.0 / (1.0 + (-log).exp())
}

/// Where the theory passes one half.
pub fn theory_half(curve: &[&Row]) -> Option<f64> {
    curve
        .iter()
        .min_by(|a, b| {
            let off = |row: &Row| (row.theory.unwrap_or(0.0) - 0.5).abs();
            off(a).total_cmp(&off(b))
        })
        .map(|row| row.value)
}

/// Two cells: where half of the trials should survive, and where they do.
fn half_cells(points: &[&Row], curve: &[&Row], kind: Kind) -> String {
    let shown = |p| value(&Row::of("", 0, kind, p, ""));
    let computed = theory_half(curve).map_or("-".into(), shown);
    let measured = measured_half(points, curve).map_or("-".into(), |half| {
        let (from, to) = half.range;
        format!(
            "{} ({} to {}; {} trials)",
            shown(half.value),
            shown(from),
            shown(to),
            half.trials
        )
    });
    format!("{computed} | {measured}")
}

pub fn value(row: &Row) -> String {
    match row.kind {
        Kind::Rot | Kind::RotCurve => format!("{:.2e}", row.value),
        Kind::Loss | Kind::LossCurve => format!("{:.2}%", row.value * 100.0),
        _ if row.content == peers::CONTENT && row.value < 1.0 && row.value > 0.0 => {
            format!("{:.0}% {}", row.value * 100.0, row.label)
        }
        _ if row.content == peers::CONTENT && row.value == 0.0 => row.label.clone(),
        Kind::Mix => format!("{:.0}% {}", row.value * 100.0, row.label),
        _ => format!("{} {}", bytes(row.value as u64), row.label),
    }
}

fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Rot | Kind::RotCurve => "bits flipped",
        Kind::Loss | Kind::LossCurve => "sectors lost",
        Kind::Burst => "overwritten in one piece",
        Kind::Cut => "cut out",
        Kind::Insert => "pushed in",
        Kind::Mix => "all at once",
    }
}

fn markdown(notes: &[String], rows: &[Row]) -> String {
    let mut out = String::from(
        "# What a file survives: measured beside computed\n\n\
         Made by the program in this folder (see [README.md](README.md)); the numbers are in \
         [results.tsv](results.tsv). A trial damages a real file at random, restores it with the \
         real reader, and compares every byte. *Whole* means that every byte came back.\n\n\
         ![Survival of random damage](survival.svg)\n",
    );
    let ours: Vec<Subject> = subjects(rows.iter().filter(|row| row.content != peers::CONTENT));
    let Totals {
        trials,
        wrong,
        promised,
        broken,
        points,
        odd,
    } = Totals::of(rows);
    let _ = write!(
        out,
        "\n{trials} trials with dbs. A wrong byte was returned as if it were right in {wrong} of them.\n\n\
         In {promised} of them the [guarantees](../../spec/dbs-v3.md#23-guarantees) promised every \
         byte, as enough sectors of every block were left intact; in {broken} of these a byte was \
         missing.\n\n## Where half of the trials survive\n\n\
         | profile | content | payload | file / payload | sectors lost: computed | measured | bits \
         flipped: computed | measured |\n|---|---|---|---|---|---|---|---|\n"
    );
    for subject in &ours {
        let get = |kind| of(rows, subject, kind).collect::<Vec<_>>();
        let ratio = get(Kind::LossCurve)
            .first()
            .map_or(0.0, |row| row.file_len as f64 / row.size as f64);
        let halves = [(Kind::Loss, Kind::LossCurve), (Kind::Rot, Kind::RotCurve)];
        let halves = halves.map(|(kind, curve)| half_cells(&get(kind), &get(curve), kind));
        let _ = writeln!(
            out,
            "| `{}` | {} | {} | {ratio:.2} | {} | {} |",
            subject.0,
            subject.1,
            bytes(subject.2),
            halves[0],
            halves[1],
        );
    }
    let _ = write!(
        out,
        "\nContent *plain* is random bytes, so that all blocks but the last ones are full; *mixed* \
         compresses into blocks of all lengths.\n\
         Measured: the computed curve, moved to where it fits all trials best that chance decides; \
         in brackets the range that holds the true value in 95 of 100 cases.\n\n\
         Of {points} points with a theory, measurement and theory differ by more than chance would give \
         once in a thousand times at {odd}.\n",
    );
    for subject in &ours {
        let _ = write!(
            out,
            "\n## `{}`, {}, {}\n\n| damage | | whole | measured | computed | blocks lost | computed \
             | |\n|---|---|---|---|---|---|---|---|\n",
            subject.0,
            subject.1,
            bytes(subject.2)
        );
        for kind in [
            Kind::Rot,
            Kind::Loss,
            Kind::Burst,
            Kind::Cut,
            Kind::Insert,
            Kind::Mix,
        ] {
            for row in of(rows, subject, kind) {
                let show = |p: Option<f64>| p.map_or("-".into(), percent);
                let blocks = if row.blocks > 0 && row.block_theory.is_some() {
                    format!("{} of {}", row.lost, row.blocks)
                } else {
                    "-".into()
                };
                let _ = writeln!(
                    out,
                    "| {} | {} | {} of {} | {} | {} | {blocks} | {} | {} |",
                    name(kind),
                    value(row),
                    row.whole,
                    row.trials,
                    percent(row.whole as f64 / row.trials as f64),
                    match row.theory {
                        // No formula, but a count: the guarantees leave the others open.
                        None if row.trials > 0 => {
                            let least = row.promised as f64 / row.trials as f64;
                            format!("{} at least", percent(least))
                        }
                        theory => show(theory),
                    },
                    show(row.block_theory),
                    match row.verdict() {
                        Verdict::Worse => "worse than computed",
                        Verdict::Better => "better than computed",
                        Verdict::Agrees | Verdict::Unknown => "",
                    }
                );
            }
        }
    }
    beside(rows, &mut out);
    if !notes.is_empty() {
        out += "\n## Campaigns\n\nThey may have been stopped before their end; what was finished stands above.\n\n";
        // Rounds differ in their seeds only.
        let rounds: BTreeSet<&str> = notes
            .iter()
            .map(|note| note.split(" --seed ").next().unwrap_or_default())
            .collect();
        for round in rounds {
            let _ = writeln!(out, "- {round}");
        }
    }
    out
}

/// Other programs, with the same damage at the same storage.
fn beside(rows: &[Row], out: &mut String) {
    let rows: Vec<&Row> = rows
        .iter()
        .filter(|row| row.content == peers::CONTENT)
        .collect();
    let sizes: BTreeSet<u64> = rows.iter().map(|row| row.size).collect();
    for size in sizes {
        let rows: Vec<&Row> = rows
            .iter()
            .copied()
            .filter(|row| row.size == size)
            .collect();
        let mut programs: Vec<(usize, String)> = rows.iter().map(|r| rank(&r.program)).collect();
        programs.sort();
        programs.dedup();
        let _ = write!(
            out,
            "\n## Beside other programs, {}\n\nTrials that came back whole. The data and the \
             recovery files of par2 (2000 blocks) are damaged as one run of bytes.\n\n| damage | |",
            bytes(size)
        );
        let mut lines = vec![String::from("|---|---|")];
        let mut stored = String::from("| stored / payload | |");
        for (_, program) in &programs {
            let _ = write!(out, " {program} |");
            lines[0] += "---|";
            let ratio = rows
                .iter()
                .find(|r| r.program == *program)
                .map_or(0.0, |r| r.file_len as f64 / r.size as f64);
            let _ = write!(stored, " {ratio:.2} |");
        }
        lines.push(stored);
        let mut points: Vec<(Kind, f64, String)> = rows
            .iter()
            .map(|r| (r.kind, r.value, r.label.clone()))
            .collect();
        points.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)).then(a.2.cmp(&b.2)));
        points.dedup();
        for point in points {
            let here: Vec<&&Row> = rows
                .iter()
                .filter(|r| (r.kind, r.value, &r.label) == (point.0, point.1, &point.2))
                .collect();
            let mut line = format!("| {} | {} |", name(point.0), value(here[0]));
            for (_, program) in &programs {
                let cell = here.iter().find(|r| r.program == *program);
                let cell = cell.map_or("".into(), |r| format!("{}/{}", r.whole, r.trials));
                let _ = write!(line, " {cell} |");
            }
            lines.push(line);
        }
        let _ = writeln!(out, "\n{}", lines.join("\n"));
    }
}
