//! The other side of the interoperability test, and of the measurements: what this library reads
//! and writes in versions 1 and 2.
//!
//! ```text
//! read FILE PASSPHRASE [OUT]
//! validate FILE PASSPHRASE
//! write OUT PAYLOAD VERSION BLOCK NSYM INTERLEAVE COMPRESS PASSPHRASE
//! ```

use std::error::Error;
use std::fs::File;
use std::io::Write;
use std::sync::Arc;

use dbs::{Limits, Passphrase, Status, v1, v2};
use sha2::{Digest, Sha256};

/// Hashes what is written to it, or passes it on.
struct Out {
    digest: Option<Sha256>,
    file: Option<File>,
    len: u64,
}

impl Write for Out {
    fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
        self.len += buf.len() as u64;
        if let Some(digest) = &mut self.digest {
            digest.update(buf);
        }
        if let Some(file) = &mut self.file {
            file.write_all(buf)?;
        }
        Ok(buf.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["read", file, passphrase, ref out @ ..] => read(file, passphrase, out.first().copied()),
        ["validate", file, passphrase] => validate(file, passphrase),
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
            let payload = File::open(payload)?;
            let numbers = (block.parse()?, nsym.parse()?, interleave.parse()?);
            let passphrase = Passphrase::new(passphrase);
            write(
                out,
                payload,
                version == "2",
                numbers,
                compress == "1",
                &passphrase,
            )
        }
        _ => Err("read, validate or write".into()),
    }
}

fn read(file: &str, passphrase: &str, out: Option<&str>) -> Result<(), Box<dyn Error>> {
    let source = Arc::new(File::open(file)?);
    let passphrase = Passphrase::new(passphrase);
    let mut out = Out {
        digest: out.is_none().then(Sha256::new),
        file: out.map(File::create).transpose()?,
        len: 0,
    };
    if let Some(container) = v2::Container::open(source.clone(), Limits::default())? {
        container.unlock(&passphrase)?.copy_to(&mut out)?;
    } else if let Some(container) = v1::Container::open(source, Limits::default())? {
        container.unlock(&passphrase)?.copy_to(&mut out)?;
    } else {
        return Err("neither version 1 nor 2".into());
    }
    let digest = out.digest.map(|d| d.finalize()).unwrap_or_default();
    let hex: String = digest.iter().map(|b| format!("{b:02x}")).collect();
    println!("{hex} {}", out.len);
    Ok(())
}

fn validate(file: &str, passphrase: &str) -> Result<(), Box<dyn Error>> {
    let source = Arc::new(File::open(file)?);
    let passphrase = (!passphrase.is_empty()).then(|| Passphrase::new(passphrase));
    let report = match v2::Container::open(source.clone(), Limits::default())? {
        Some(container) => container.validate(passphrase.as_ref())?,
        None => match v1::Container::open(source, Limits::default())? {
            Some(container) => container.validate(passphrase.as_ref())?,
            None => return Err("neither version 1 nor 2".into()),
        },
    };
    println!("{} {:?}", report.status().as_str(), report.notes);
    if report.status() == Status::Clean {
        return Ok(());
    }
    Err("not clean".into())
}

fn write(
    out: &str,
    mut payload: File,
    second: bool,
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
    let mut file = File::options();
    let file = file
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(out)?;
    if second {
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
            payload_len: Some(payload.metadata()?.len()),
            ..Default::default()
        };
        let mut writer = v1::Writer::new(file, passphrase, options)?;
        std::io::copy(&mut payload, &mut writer)?;
        writer.finish()?;
    }
    Ok(())
}
