//! The other side of the interoperability test: what this library reads and writes in versions 1
//! and 2.
//!
//! Takes jobs from standard input, a line each, with tabs between the words, and answers each with
//! a line:
//!
//! ```text
//! read FILE PASSPHRASE                 SHA-256 of the payload, its length
//! extract FILE PASSPHRASE OUT
//! validate FILE PASSPHRASE             the status and the notes
//! write OUT PAYLOAD VERSION BLOCK NSYM INTERLEAVE COMPRESS PASSPHRASE
//! ```

use std::error::Error;
use std::fs::File;
use std::io::Write;

use dbs::{Archive, Passphrase, Unlocked, v1, v2};
use sha2::{Digest, Sha256};

fn main() -> Result<(), Box<dyn Error>> {
    for line in std::io::stdin().lines() {
        let line = line?;
        let words: Vec<&str> = line.split('\t').collect();
        let answer = answer(&words).unwrap_or_else(|error| format!("error: {error}"));
        println!("{}", answer.replace('\n', " "));
    }
    Ok(())
}

fn answer(words: &[&str]) -> Result<String, Box<dyn Error>> {
    match *words {
        ["read", file, passphrase] => {
            let mut out = Hashed::default();
            unlock(file, passphrase)?.copy_to(&mut out)?;
            let digest = out.digest.finalize();
            let hex: String = digest.iter().map(|b| format!("{b:02x}")).collect();
            Ok(format!("{hex} {}", out.len))
        }
        ["extract", file, passphrase, out] => {
            unlock(file, passphrase)?.copy_to(&mut File::create(out)?)?;
            Ok("extracted".into())
        }
        ["validate", file, passphrase] => {
            let passphrase = Passphrase::new(passphrase);
            let report = Archive::open(File::open(file)?)?.validate(Some(&passphrase))?;
            Ok(format!("{} {:?}", report.status().as_str(), report.notes))
        }
        [
            "write",
            out,
            payload,
            version,
            block,
            nsym,
            interleave,
            compress,
            passphrase,
        ] => {
            let numbers = (block.parse()?, nsym.parse()?, interleave.parse()?);
            let payload = File::open(payload)?;
            let passphrase = Passphrase::new(passphrase);
            write(out, payload, version, numbers, compress == "1", &passphrase)?;
            Ok("written".into())
        }
        _ => Err("no such job".into()),
    }
}

fn unlock(file: &str, passphrase: &str) -> Result<Unlocked, Box<dyn Error>> {
    Ok(Archive::open(File::open(file)?)?.unlock(&Passphrase::new(passphrase))?)
}

/// Hashes what is written to it.
#[derive(Default)]
struct Hashed {
    digest: Sha256,
    len: u64,
}

impl Write for Hashed {
    fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
        self.len += buf.len() as u64;
        self.digest.update(buf);
        Ok(buf.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn write(
    out: &str,
    mut payload: File,
    version: &str,
    (block_size, nsym, interleave): (usize, usize, u64),
    compress: bool,
    passphrase: &Passphrase,
) -> Result<(), Box<dyn Error>> {
    let kdf = v1::Kdf {
        time_cost: 1,
        memory_cost: 64,
        parallelism: 2,
        key_length: 32,
    };
    let mut options = File::options();
    let file = options.read(true).write(true).create(true).truncate(true);
    let file = file.open(out)?;
    if version == "2" {
        let geometry = v2::Geometry {
            block_size,
            nsym,
            interleave,
        };
        let options = v2::WriterOptions {
            geometry,
            kdf,
            compress,
            fixed: None,
        };
        let mut writer = v2::Writer::new(file, passphrase, options)?;
        std::io::copy(&mut payload, &mut writer)?;
        writer.finish()?;
    } else {
        let options = v1::WriterOptions {
            block_size: block_size as u64,
            nsym,
            kdf,
            compress,
            // Known for some, so that both ways to order the file are taken.
            payload_len: (nsym % 2 == 0).then_some(payload.metadata()?.len()),
            ..Default::default()
        };
        let mut writer = v1::Writer::new(file, passphrase, options)?;
        std::io::copy(&mut payload, &mut writer)?;
        writer.finish()?;
    }
    Ok(())
}
