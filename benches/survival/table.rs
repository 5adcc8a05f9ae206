//! The results as a table and as a plot.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;

use crate::peers;
use crate::results::{self, Kind, Row, Verdict};

/// Writes RESULTS.md and survival.svg.
pub fn render(folder: &str) -> Result<(), String> {
    let (notes, rows) = results::read(folder)?;
    let write = |name: &str, text: String| {
        std::fs::write(Path::new(folder).join(name), text).map_err(|e| e.to_string())
    };
    write("RESULTS.md", markdown(&notes, &rows))?;
    write("survival.svg", plot(&rows))
}

fn bytes(n: u64) -> String {
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
type Subject = (String, String, u64);

fn subjects<'a>(rows: impl Iterator<Item = &'a Row>) -> Vec<Subject> {
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

fn of<'a>(rows: &'a [Row], subject: &'a Subject, kind: Kind) -> impl Iterator<Item = &'a Row> {
    rows.iter().filter(move |row| {
        (&row.program, &row.content, row.size) == (&subject.0, &subject.1, subject.2)
            && row.kind == kind
    })
}

/// Where measured survival passes one half, between the two points around it.
fn measured_half(points: &[&Row]) -> Option<f64> {
    let share = |row: &Row| row.whole as f64 / row.trials as f64;
    points.windows(2).find_map(|pair| {
        let (a, b) = (share(pair[0]), share(pair[1]));
        (a >= 0.5 && b < 0.5).then(|| {
            let part = (a - 0.5) / (a - b);
            pair[0].value * (pair[1].value / pair[0].value).powf(part)
        })
    })
}

/// Where the theory passes one half.
fn theory_half(curve: &[&Row]) -> Option<f64> {
    curve
        .iter()
        .min_by(|a, b| {
            let off = |row: &Row| (row.theory.unwrap_or(0.0) - 0.5).abs();
            off(a).total_cmp(&off(b))
        })
        .map(|row| row.value)
}

fn value(row: &Row) -> String {
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
    let measured: u64 = rows.iter().map(|row| row.trials).sum();
    let wrong: u64 = rows
        .iter()
        .filter(|r| rank(&r.program).0 < 3)
        .map(|row| row.wrong)
        .sum();
    let _ = write!(
        out,
        "\n{measured} trials. A wrong byte was returned as if it were right in {wrong} of them.\n\n\
         ## Where half of the trials survive\n\n\
         | profile | content | payload | file / payload | sectors lost: computed | measured | bits \
         flipped: computed | measured |\n|---|---|---|---|---|---|---|---|\n"
    );
    for subject in &ours {
        let get = |kind| of(rows, subject, kind).collect::<Vec<_>>();
        let show = |p: Option<f64>, kind| {
            let shown = |p| value(&Row::of("", 0, kind, p, ""));
            p.map_or("-".into(), shown)
        };
        let ratio = get(Kind::LossCurve)
            .first()
            .map_or(0.0, |row| row.file_len as f64 / row.size as f64);
        let _ = writeln!(
            out,
            "| `{}` | {} | {} | {ratio:.2} | {} | {} | {} | {} |",
            subject.0,
            subject.1,
            bytes(subject.2),
            show(theory_half(&get(Kind::LossCurve)), Kind::Loss),
            show(measured_half(&get(Kind::Loss)), Kind::Loss),
            show(theory_half(&get(Kind::RotCurve)), Kind::Rot),
            show(measured_half(&get(Kind::Rot)), Kind::Rot),
        );
    }
    let odd = rows
        .iter()
        .filter(|row| matches!(row.verdict(), Verdict::Better | Verdict::Worse));
    let known = rows
        .iter()
        .filter(|row| row.trials > 0 && row.theory.is_some());
    let _ = write!(
        out,
        "\nContent *plain* is random bytes, so that all blocks but the last ones are full; *mixed* \
         compresses into blocks of all lengths.\n\n\
         Of {} points with a theory, measurement and theory differ by more than chance would give \
         once in a thousand times at {}.\n",
        known.count(),
        odd.clone().count(),
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
                    show(row.theory),
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
        out += "\n## Campaigns\n\n";
        for note in notes {
            let _ = writeln!(out, "- {note}");
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

/// One panel of the plot.
struct Panel {
    title: &'static str,
    axis: &'static str,
    left: f64,
    points: Kind,
    curve: Kind,
    from: f64,
    to: f64,
    logarithmic: bool,
    ticks: Vec<(f64, String)>,
}

const WIDTH: f64 = 500.0;
const HEIGHT: f64 = 300.0;
const TOP: f64 = 60.0;

impl Panel {
    fn x(&self, value: f64) -> f64 {
        let scale = |v: f64| if self.logarithmic { v.log10() } else { v };
        let part = (scale(value) - scale(self.from)) / (scale(self.to) - scale(self.from));
        self.left + part.clamp(0.0, 1.0) * WIDTH
    }
}

fn y(chance: f64) -> f64 {
    TOP + (1.0 - chance) * HEIGHT
}

const COLOURS: [(&str, &str); 3] = [
    ("standard", "#1f6fb4"),
    ("coded", "#c2410c"),
    ("light", "#4d7c0f"),
];
const DASHES: [&str; 4] = ["", "6 3", "2 3", "8 3 2 3"];

/// Survival over the share of sectors lost and over the bit error rate, as SVG.
fn plot(rows: &[Row]) -> String {
    let panels = [
        Panel {
            title: "Sectors lost at random",
            axis: "share of all sectors lost",
            left: 70.0,
            points: Kind::Loss,
            curve: Kind::LossCurve,
            from: 0.0,
            to: 0.55,
            logarithmic: false,
            ticks: (0..=5)
                .map(|i| (f64::from(i) / 10.0, format!("{}%", i * 10)))
                .collect(),
        },
        Panel {
            title: "Bits flipped at random",
            axis: "bit error rate",
            left: 650.0,
            points: Kind::Rot,
            curve: Kind::RotCurve,
            from: 3e-4,
            to: 4e-2,
            logarithmic: true,
            ticks: [
                (3e-4, "3e-4"),
                (1e-3, "1e-3"),
                (3e-3, "3e-3"),
                (1e-2, "1e-2"),
                (3e-2, "3e-2"),
            ]
            .map(|(v, s)| (v, s.to_owned()))
            .to_vec(),
        },
    ];
    let ours = subjects(rows.iter().filter(|row| row.content == "plain"));
    let mut sizes: Vec<u64> = ours.iter().map(|subject| subject.2).collect();
    sizes.sort_unstable();
    sizes.dedup();
    let legend = TOP + HEIGHT + 70.0;
    let height = legend + 22.0 * (ours.len().div_ceil(3) as f64 + 1.0);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 1180 {height}\" \
         font-family=\"sans-serif\" font-size=\"13\" fill=\"#222\">\n\
         <title>How likely a file survives random damage</title>\n\
         <rect width=\"1180\" height=\"{height}\" fill=\"#fff\"/>\n"
    );
    for panel in &panels {
        let (left, right, bottom) = (panel.left, panel.left + WIDTH, TOP + HEIGHT);
        let middle = left + WIDTH / 2.0;
        let _ = write!(
            out,
            "<text x=\"{middle}\" y=\"{}\" text-anchor=\"middle\" font-size=\"16\" \
             font-weight=\"bold\">{}</text>\n\
             <text x=\"{middle}\" y=\"{}\" text-anchor=\"middle\">{}</text>\n",
            TOP - 22.0,
            panel.title,
            bottom + 42.0,
            panel.axis
        );
        for step in 0..=4 {
            let chance = f64::from(step) / 4.0;
            let at = y(chance);
            let _ = write!(
                out,
                "<path d=\"M{left} {at}H{right}\" stroke=\"#ddd\"/>\n\
                 <text x=\"{}\" y=\"{}\" text-anchor=\"end\">{:.0}%</text>\n",
                left - 8.0,
                at + 4.0,
                chance * 100.0
            );
        }
        for (value, text) in &panel.ticks {
            let at = panel.x(*value);
            let _ = write!(
                out,
                "<path d=\"M{at} {TOP}V{bottom}\" stroke=\"#eee\"/>\n\
                 <text x=\"{at}\" y=\"{}\" text-anchor=\"middle\">{text}</text>\n",
                bottom + 20.0
            );
        }
        let _ = write!(
            out,
            "<path d=\"M{left} {TOP}V{bottom}H{right}\" stroke=\"#555\" fill=\"none\"/>\n\
             <text transform=\"translate({} {}) rotate(-90)\" text-anchor=\"middle\">\
             files that survive whole</text>\n",
            left - 50.0,
            TOP + HEIGHT / 2.0
        );
        for subject in &ours {
            draw(&mut out, rows, panel, subject, &sizes);
        }
    }
    for (i, subject) in ours.iter().enumerate() {
        let (colour, dash) = style(subject, &sizes);
        let (x, y) = (
            70.0 + (i % 3) as f64 * 300.0,
            legend + (i / 3) as f64 * 22.0,
        );
        let _ = write!(
            out,
            "<path d=\"M{x} {y}h36\" stroke=\"{colour}\" stroke-width=\"2\" \
             stroke-dasharray=\"{dash}\"/>\n\
             <circle cx=\"{}\" cy=\"{y}\" r=\"3.5\" fill=\"{colour}\"/>\n\
             <text x=\"{}\" y=\"{}\">{}, {}</text>\n",
            x + 18.0,
            x + 46.0,
            y + 4.0,
            subject.0,
            bytes(subject.2)
        );
    }
    let _ = write!(
        out,
        "<text x=\"70\" y=\"{}\" fill=\"#555\">Lines: computed. Points: measured with the real \
         reader, with the range that holds the true value in 95 of 100 cases.</text>\n</svg>\n",
        height - 10.0
    );
    out
}

fn style(subject: &Subject, sizes: &[u64]) -> (&'static str, &'static str) {
    let colour = COLOURS.iter().find(|(name, _)| *name == subject.0);
    let size = sizes
        .iter()
        .position(|size| *size == subject.2)
        .unwrap_or(0);
    (
        colour.map_or("#666", |(_, colour)| colour),
        DASHES[size % DASHES.len()],
    )
}

fn draw(out: &mut String, rows: &[Row], panel: &Panel, subject: &Subject, sizes: &[u64]) {
    let (colour, dash) = style(subject, sizes);
    let mut path = String::new();
    for row in of(rows, subject, panel.curve) {
        let letter = if path.is_empty() { 'M' } else { 'L' };
        let at = (panel.x(row.value), y(row.theory.unwrap_or(0.0)));
        let _ = write!(path, "{letter}{:.1} {:.1}", at.0, at.1);
    }
    let _ = writeln!(
        out,
        "<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" \
         stroke-dasharray=\"{dash}\"/>"
    );
    for row in of(rows, subject, panel.points) {
        if row.value < panel.from || row.value > panel.to || row.trials == 0 {
            continue;
        }
        let (n, share) = (row.trials as f64, row.whole as f64 / row.trials as f64);
        // Wilson's interval.
        let z = 1.96_f64;
        let centre = (share + z * z / (2.0 * n)) / (1.0 + z * z / n);
        let spread =
            z / (1.0 + z * z / n) * (share * (1.0 - share) / n + z * z / (4.0 * n * n)).sqrt();
        let x = panel.x(row.value);
        let _ = write!(
            out,
            "<path d=\"M{x:.1} {:.1}V{:.1}\" stroke=\"{colour}\" stroke-opacity=\"0.5\"/>\n\
             <circle cx=\"{x:.1}\" cy=\"{:.1}\" r=\"3.5\" fill=\"{colour}\"/>\n",
            y((centre + spread).min(1.0)),
            y((centre - spread).max(0.0)),
            y(share)
        );
    }
}
