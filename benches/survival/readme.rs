//! The part of the project's README.md that says where half of the files survive.

use std::fmt::Write;

use crate::peers;
use crate::results::{Kind, Row};
use crate::table::{Half, Totals, bytes, measured_half, of, subjects, theory_half, value};

const BEGIN: &str = "<!-- Written by `survival render` from benches/survival/results.tsv -->\n";
const END: &str = "<!-- Until here -->\n";

/// Writes the part anew, between the lines that mark it.
pub fn update(path: &str, rows: &[Row]) -> Result<(), String> {
    let text = std::fs::read_to_string(path).map_err(|e| format!("{path}: {e}"))?;
    let (head, rest) = text
        .split_once(BEGIN)
        .ok_or(format!("{path}: where does the part begin?"))?;
    let (_, tail) = rest
        .split_once(END)
        .ok_or(format!("{path}: where does the part end?"))?;
    let text = format!("{head}{BEGIN}{}{END}{tail}", part(rows));
    std::fs::write(path, text).map_err(|e| format!("{path}: {e}"))
}

fn part(rows: &[Row]) -> String {
    let mut out = String::from(
        "Where half of the files survive, computed / measured with the real reader (in brackets \
         the range that holds the true value in 95 of 100 cases):\n\n\
         | | sectors lost | bits flipped |\n|---|---|---|\n",
    );
    for subject in subjects(rows.iter().filter(|row| row.content != peers::CONTENT)) {
        let cell = |kind, curve| {
            let points: Vec<&Row> = of(rows, &subject, kind).collect();
            let curve: Vec<&Row> = of(rows, &subject, curve).collect();
            let shown = |p: f64| value(&Row::of("", 0, kind, p, ""));
            let computed = theory_half(&curve).map_or("-".into(), shown);
            let measured = measured_half(&points, &curve);
            let measured = measured.map_or("-".into(), |Half { value, range, .. }| {
                let (from, to) = (shown(range.0), shown(range.1));
                format!("{} ({from} to {to})", shown(value))
            });
            format!("{computed} / {measured}")
        };
        let _ = writeln!(
            out,
            "| `{}`, {} | {} | {} |",
            subject.0,
            bytes(subject.2),
            cell(Kind::Loss, Kind::LossCurve),
            cell(Kind::Rot, Kind::RotCurve),
        );
    }
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
        "\nIn {trials} trials a wrong byte was returned as if it were right {wrong} times. In the {promised} of them in which enough \
         sectors were intact for the guarantees to promise every byte,\na byte was missing {broken} times. Of {points} points with a \
         theory, measurement and theory differ by more than chance allows at {odd}. Each point, with bursts, cuts and insertions, is in\n\
         [RESULTS.md](benches/survival/RESULTS.md); `benches/survival/full` does it all again.\n",
    );
    out
}
