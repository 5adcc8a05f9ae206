//! Flips every bit of a file with a given probability: `rot IN OUT RATE SEED`. In Rust as a gigabyte has many bits.

use std::error::Error;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::sync::Arc;

#[path = "../../benches/survival/damage.rs"]
#[allow(dead_code)]
mod damage;

use damage::{Damage, Damaged};

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [from, to, rate, seed] = &args[..] else {
        return Err("usage: rot IN OUT RATE SEED".into());
    };
    let rot = [Damage::Rot(rate.parse()?)];
    let damaged = Damaged::new(Arc::new(File::open(from)?), 4096, &rot, seed.parse()?)?;
    let mut out = BufWriter::new(File::create(to)?);
    damaged.write_to(&mut out)?;
    out.flush()?;
    Ok(())
}
