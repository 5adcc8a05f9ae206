//! The results as a plot.

use std::fmt::Write;

use crate::results::{Kind, Row, is_certain};
use crate::table::{Subject, bytes, of, subjects};

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
pub fn plot(rows: &[Row]) -> String {
    let panels = [
        Panel {
            title: "Sectors lost at random",
            axis: "share of all sectors lost",
            left: 70.0,
            points: Kind::Loss,
            curve: Kind::LossCurve,
            from: 0.1,
            to: 0.55,
            logarithmic: false,
            ticks: (1..=5)
                .map(|i| (f64::from(i) / 10.0, format!("{}%", i * 10)))
                .collect(),
        },
        Panel {
            title: "Bits flipped at random",
            axis: "bit error rate",
            left: 650.0,
            points: Kind::Rot,
            curve: Kind::RotCurve,
            from: 1.5e-3,
            to: 3e-2,
            logarithmic: true,
            ticks: [
                (2e-3, "2e-3"),
                (3e-3, "3e-3"),
                (5e-3, "5e-3"),
                (1e-2, "1e-2"),
                (2e-2, "2e-2"),
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
    let height = legend + 22.0 * (ours.len().div_ceil(4) as f64 + 1.0);
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
        let (colour, dash, fill) = style(subject, &sizes);
        let (x, y) = (
            70.0 + (i % 4) as f64 * 280.0,
            legend + (i / 4) as f64 * 22.0,
        );
        let _ = write!(
            out,
            "<path d=\"M{x} {y}h36\" stroke=\"{colour}\" stroke-width=\"2\" \
             stroke-dasharray=\"{dash}\"/>\n\
             <circle cx=\"{}\" cy=\"{y}\" r=\"3.5\" stroke=\"{colour}\" fill=\"{fill}\"/>\n\
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
         reader where chance decides, with the range that holds the true value in 95 of 100 cases.</text>\n</svg>\n",
        height - 10.0
    );
    out
}

/// Colour and dashes of a line, and what its points are filled with.
fn style(subject: &Subject, sizes: &[u64]) -> (&'static str, &'static str, &'static str) {
    let colour = COLOURS.iter().find(|(name, _)| *name == subject.0);
    let colour = colour.map_or("#666", |(_, colour)| colour);
    let size = sizes.iter().position(|size| *size == subject.2);
    let size = size.unwrap_or(0);
    let fill = if size % 2 == 0 { colour } else { "#fff" };
    (colour, DASHES[size % DASHES.len()], fill)
}

fn draw(out: &mut String, rows: &[Row], panel: &Panel, subject: &Subject, sizes: &[u64]) {
    let (colour, dash, fill) = style(subject, sizes);
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
        let outside = row.value < panel.from || row.value > panel.to;
        // Of what is certain there are few trials, and RESULTS.md has them.
        if outside || row.trials == 0 || is_certain(row.theory) {
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
            "<path d=\"M{x:.1} {:.1}V{:.1}\" stroke=\"{colour}\" stroke-opacity=\"0.6\" stroke-width=\"1.5\"/>\n\
             <circle cx=\"{x:.1}\" cy=\"{:.1}\" r=\"3.5\" stroke=\"{colour}\" fill=\"{fill}\"/>\n",
            y((centre + spread).min(1.0)),
            y((centre - spread).max(0.0)),
            y(share)
        );
    }
}
