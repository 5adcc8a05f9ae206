//! The same damage at the same storage for other programs that heal files.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use dbs::Source;

use crate::Options;
use crate::damage::{Damage, Damaged, Random};
use crate::results::{self, Kind, Row, Trial};
use crate::subject::{Content, Subject};

/// Rows of this campaign are kept apart from those of the others.
pub const CONTENT: &str = "peers";

type Plan = Box<dyn Fn(u64, &mut Random) -> Vec<Damage>>;

/// What is done to all programs' files, by their length.
fn plans() -> Vec<(Kind, f64, &'static str, Plan)> {
    let mut plans: Vec<(Kind, f64, &'static str, Plan)> = Vec::new();
    for rate in [1e-6, 1e-5, 1e-4, 3e-4, 1e-3, 2e-3, 1e-2] {
        let plan = Box::new(move |_, _: &mut Random| vec![Damage::Rot(rate)]);
        plans.push((Kind::Rot, rate, "", plan));
    }
    for share in [0.01, 0.1, 0.2, 0.4] {
        let plan = Box::new(move |_, _: &mut Random| vec![Damage::Loss(share)]);
        plans.push((Kind::Loss, share, "", plan));
    }
    for part in [0.25, 0.45] {
        let plan = Box::new(move |len: u64, random: &mut Random| {
            let bytes = (len as f64 * part) as u64;
            let at = random.below(len - bytes + 1);
            vec![Damage::Burst(at..at + bytes)]
        });
        plans.push((Kind::Burst, part, "of the file, anywhere", plan));
    }
    let ends = Box::new(|len: u64, _: &mut Random| {
        vec![Damage::Burst(0..65536), Damage::Burst(len - 65536..len)]
    });
    plans.push((Kind::Burst, 0.0, "first and last 64 KiB", ends));
    let tail = |len: u64, _: &mut Random| vec![Damage::Cut(len - len * 45 / 100..len)];
    plans.push((Kind::Cut, 0.45, "of the file, tail", Box::new(tail)));
    let head = |len: u64, _: &mut Random| vec![Damage::Cut(0..len * 45 / 100)];
    plans.push((Kind::Cut, 0.45, "of the file, head", Box::new(head)));
    let cut = |len: u64, random: &mut Random| {
        let at = random.below(len);
        vec![Damage::Cut(at..at + 1)]
    };
    plans.push((Kind::Cut, 1.0, "anywhere", Box::new(cut)));
    let insert = |len: u64, random: &mut Random| vec![Damage::Insert(random.below(len + 1), 1)];
    plans.push((Kind::Insert, 1.0, "anywhere", Box::new(insert)));
    plans
}

/// Measures dbs and every program that was named.
pub fn run(options: &Options) -> Result<(), String> {
    for &size in &options.sizes {
        let mut redundancy = 0.0;
        for &profile in &options.profiles {
            let subject = Subject::new(
                profile,
                size,
                Content::Plain,
                options.seed,
                &options.scratch,
            )?;
            if profile != dbs::Profile::Light {
                redundancy = subject.file_len as f64 / size as f64 - 1.0;
            }
            eprintln!("{}", subject.description());
            measure(
                options,
                subject.name(),
                size,
                subject.file_len,
                |damage, seed| Ok(subject.trial(damage, seed)),
            )?;
        }
        if redundancy == 0.0 {
            return Err("peers are compared with standard or coded".into());
        }
        for (name, program) in &options.peers {
            let folder = options
                .scratch
                .join(format!("survival-{}-{name}", std::process::id()));
            let result =
                Par2::create(program, &folder, size, redundancy, options.seed).and_then(|par2| {
                    let trial = |damage: &[Damage], seed| par2.trial(damage, seed);
                    measure(options, name, size, par2.total(), trial)
                });
            fs::remove_dir_all(&folder).map_err(|e| e.to_string())?;
            result?;
        }
    }
    Ok(())
}

fn measure(
    options: &Options,
    name: &str,
    size: u64,
    file_len: u64,
    run: impl Fn(&[Damage], u64) -> Result<Trial, String>,
) -> Result<(), String> {
    for (kind, value, label, plan) in plans() {
        if !options.kinds.is_empty() && !options.kinds.iter().any(|k| k == kind.name()) {
            continue;
        }
        let begin = Instant::now();
        let mut row = Row::of(name, size, kind, value, label).with(CONTENT, file_len);
        row.seed = options.seed;
        for trial in 0..options.trials {
            if trial >= 2 && begin.elapsed() > options.budget {
                break;
            }
            let mut random = Random::new(&[options.seed, trial, value.to_bits()]);
            let damage = plan(file_len, &mut random);
            row.add(&run(&damage, random.next())?);
        }
        row.seconds = begin.elapsed().as_secs_f64();
        eprintln!("{}", row.summary());
        results::append(&options.folder, &[row])?;
    }
    Ok(())
}

/// A file with its recovery files by par2, damaged as one run of bytes.
struct Par2 {
    program: String,
    folder: std::path::PathBuf,
    files: Vec<(String, Arc<Vec<u8>>)>,
}

const DATA: &str = "data.bin";

impl Par2 {
    fn create(
        program: &str,
        folder: &Path,
        size: u64,
        redundancy: f64,
        seed: u64,
    ) -> Result<Self, String> {
        fs::create_dir_all(folder).map_err(|e| e.to_string())?;
        let mut data = vec![0; size as usize];
        Random::new(&[seed, 9]).fill(&mut data);
        fs::write(folder.join(DATA), data).map_err(|e| e.to_string())?;
        // As a number of blocks, since not every par2 takes more than 100 per cent.
        let recovery = format!("-c{}", (redundancy * 2000.0).round());
        let made = call(
            Command::new(program)
                .args([
                    "create",
                    "-q",
                    "-q",
                    "-b2000",
                    "-n1",
                    &recovery,
                    "data.par2",
                    DATA,
                ])
                .current_dir(folder),
        )?;
        if !made {
            return Err(format!("{program} create failed"));
        }
        let mut names: Vec<String> = fs::read_dir(folder)
            .map_err(|e| e.to_string())?
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .collect();
        // data.bin, data.par2, data.vol....par2
        names.sort();
        let read = |name: String| {
            let bytes = fs::read(folder.join(&name)).map_err(|e| e.to_string())?;
            Ok((name, Arc::new(bytes)))
        };
        Ok(Par2 {
            program: program.into(),
            folder: folder.into(),
            files: names.into_iter().map(read).collect::<Result<_, String>>()?,
        })
    }

    fn total(&self) -> u64 {
        self.files.iter().map(|(_, bytes)| bytes.len() as u64).sum()
    }

    fn trial(&self, damage: &[Damage], seed: u64) -> Result<Trial, String> {
        let failed = |e: std::io::Error| e.to_string();
        fs::remove_dir_all(&self.folder).map_err(failed)?;
        fs::create_dir_all(&self.folder).map_err(failed)?;
        let mut start = 0;
        for (number, (name, bytes)) in self.files.iter().enumerate() {
            let len = bytes.len() as u64;
            let own: Vec<Damage> = damage
                .iter()
                .filter_map(|damage| within(damage, start, len))
                .collect();
            let base: Arc<dyn Source> = Arc::new(Arc::clone(bytes));
            let damaged = Damaged::new(base, 4096, &own, seed ^ number as u64).map_err(failed)?;
            let mut file = fs::File::create(self.folder.join(name)).map_err(failed)?;
            damaged.write_to(&mut file).map_err(failed)?;
            start += len;
        }
        // What is left of the recovery files; par2 looks for the others by their names.
        let done = call(
            Command::new(&self.program)
                .args(["repair", "-q", "-q", "data.par2"])
                .current_dir(&self.folder),
        )?;
        let right = &self.files[0].1;
        let whole = fs::read(self.folder.join(DATA)).is_ok_and(|found| found == **right);
        Ok(Trial {
            whole,
            wrong: done && !whole,
            ..Trial::default()
        })
    }
}

/// The part of a damage to all files that concerns one of them.
fn within(damage: &Damage, start: u64, len: u64) -> Option<Damage> {
    let clip = |range: &std::ops::Range<u64>| {
        let from = range.start.clamp(start, start + len) - start;
        let to = range.end.clamp(start, start + len) - start;
        (from < to).then_some(from..to)
    };
    match damage {
        Damage::Rot(_) | Damage::Loss(_) => Some(damage.clone()),
        Damage::Burst(range) => clip(range).map(Damage::Burst),
        Damage::Cut(range) => clip(range).map(Damage::Cut),
        Damage::Insert(at, bytes) => (start..start + len)
            .contains(at)
            .then(|| Damage::Insert(at - start, *bytes)),
    }
}

fn call(command: &mut Command) -> Result<bool, String> {
    let quiet = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let status = quiet
        .status()
        .map_err(|e| format!("{:?}: {e}", command.get_program()))?;
    Ok(status.success())
}
