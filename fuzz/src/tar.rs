//! Tar streams, written by hand: well-formed ones, and what a hostile writer would make.

use arbitrary::Arbitrary;

use crate::Random;

pub const BLOCK: usize = 512;

/// Parts of names: few, so that members meet.
const PARTS: [&[u8]; 20] = [
    b"a",
    b"b",
    b"c",
    b"l",
    b"d",
    b"a",
    b"b",
    b"c",
    b"l",
    b"victim",
    b"outside",
    b"folder",
    b"..",
    b".",
    b"",
    b"caf\xe9",
    b"x\ny",
    b"n\0l",
    b".dbs-unfinished-",
    &[b'w'; 120],
];

/// A name, of a member or of what a link leads to.
#[derive(Debug, Clone, Arbitrary)]
pub struct Name {
    lead: u8,
    parts: Vec<u8>,
    slash: bool,
}

impl Name {
    /// Its bytes; `outside` is the absolute path of a folder that must not be reached.
    pub fn bytes(&self, outside: &[u8]) -> Vec<u8> {
        let parts: Vec<&[u8]> = self
            .parts
            .iter()
            .take(6)
            .map(|part| PARTS[usize::from(*part) % PARTS.len()])
            .collect();
        let mut name = match self.lead % 16 {
            0 => b"/".to_vec(),
            1 => [outside, b"/"].concat(),
            2 => b"../outside/".to_vec(),
            // From the stage, which is a folder in the target.
            3 => b"../../outside/".to_vec(),
            _ => Vec::new(),
        };
        name.extend(parts.join(&b'/'));
        if self.slash && self.lead.is_multiple_of(4) {
            name.push(b'/');
        }
        name
    }
}

/// What a member is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Arbitrary)]
pub enum Kind {
    File,
    /// As it was before POSIX.
    OldFile,
    Directory,
    Symlink,
    HardLink,
    /// A device, a pipe, something unknown.
    Special(u8),
}

/// How a member's name is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Arbitrary)]
pub enum Form {
    Plain,
    Prefix,
    Pax,
    Gnu,
}

/// A member.
#[derive(Debug, Clone, Arbitrary)]
pub struct Item {
    pub name: Name,
    pub link: Name,
    pub kind: Kind,
    form: Form,
    len: u16,
    seed: u8,
    pub mode: u16,
    pub mtime: u32,
    pub nanos: Option<u32>,
    pub uid: u8,
    /// Stretches of data with holes between them.
    sparse: Option<Vec<(u16, u8)>>,
    /// The size in base 256, or in a PAX record.
    size_form: u8,
    /// Records that mean nothing.
    extra: u8,
    /// What the header says of the size, other than the truth.
    lie: Option<(u8, u64)>,
}

/// A file's content, by its stretches of data.
#[derive(Debug, Clone, Default)]
pub struct Content {
    pub size: usize,
    pub segments: Vec<(usize, Vec<u8>)>,
}

impl Content {
    pub fn whole(&self) -> Vec<u8> {
        let mut whole = vec![0; self.size];
        for (at, bytes) in &self.segments {
            whole[*at..at + bytes.len()].copy_from_slice(bytes);
        }
        whole
    }
}

impl Item {
    pub fn is_file(&self) -> bool {
        matches!(self.kind, Kind::File | Kind::OldFile)
    }

    /// Whether it is written as the formats have it.
    pub fn is_well_formed(&self) -> bool {
        self.lie.is_none()
    }

    pub fn content(&self) -> Content {
        let mut random = Random(self.seed.into());
        let Some(sparse) = self.sparse.as_ref().filter(|_| self.is_file()) else {
            let bytes = random.bytes(usize::from(self.len) % 3000);
            return Content {
                size: bytes.len(),
                segments: vec![(0, bytes)],
            };
        };
        let (mut size, mut segments) = (0, Vec::new());
        for (gap, len) in sparse.iter().take(5) {
            size += usize::from(*gap) % 20_000;
            let bytes = random.bytes((*len).into());
            segments.push((size, bytes.clone()));
            size += bytes.len();
        }
        size += usize::from(self.len) % 20_000;
        Content { size, segments }
    }

    /// Appends the member; the places of its header blocks are added to `headers`.
    pub fn write(&self, outside: &[u8], out: &mut Vec<u8>, headers: &mut Vec<usize>) {
        let (name, link) = (self.name.bytes(outside), self.link.bytes(outside));
        let content = self.content();
        let sparse = self.sparse.is_some() && self.is_file();
        let mut data = Vec::new();
        let mut pax = Vec::new();
        if sparse {
            record(&mut pax, b"GNU.sparse.major", b"1");
            record(&mut pax, b"GNU.sparse.minor", b"0");
            record(&mut pax, b"GNU.sparse.name", &name);
            let size = content.size.to_string();
            record(&mut pax, b"GNU.sparse.realsize", size.as_bytes());
            let mut map = format!("{}\n", content.segments.len());
            for (at, bytes) in &content.segments {
                map += &format!("{at}\n{}\n", bytes.len());
            }
            data.extend(map.as_bytes());
            pad(&mut data);
        }
        for (_, bytes) in &content.segments {
            data.extend(bytes);
        }
        // What the plain fields cannot hold is written otherwise.
        let (fits, link_fits) = (plain(&name, 100), plain(&link, 100));
        let split = (1..name.len().min(155))
            .find(|&at| name[at] == b'/' && (1..=100).contains(&(name.len() - at - 1)))
            .filter(|_| plain(&name, 255));
        let form = match self.form {
            Form::Plain if !fits => Form::Pax,
            Form::Prefix if split.is_none() => Form::Pax,
            Form::Gnu if name.contains(&0) || name.is_empty() => Form::Pax,
            form => form,
        };
        let (mut field, mut prefix) = (&name[..], &b""[..]);
        match form {
            Form::Plain => {}
            Form::Prefix => {
                let at = split.unwrap_or(0);
                (prefix, field) = (&name[..at], &name[at + 1..]);
            }
            Form::Pax => {
                record(&mut pax, b"path", &name);
                field = b"elsewhere";
            }
            Form::Gnu => {
                long(b'L', &name, out, headers);
                field = b"elsewhere";
            }
        }
        let mut link_field = &link[..];
        if !link_fits {
            match form {
                Form::Gnu if !link.contains(&0) => long(b'K', &link, out, headers),
                _ => record(&mut pax, b"linkpath", &link),
            }
            link_field = b"elsewhere";
        }
        if let Some(nanos) = self.nanos {
            let time = format!("{}.{:09}", self.mtime, nanos % 1_000_000_000);
            record(&mut pax, b"mtime", time.as_bytes());
        }
        match self.extra % 8 {
            1 => record(&mut pax, b"comment", b"of no meaning"),
            2 => record(&mut pax, b"SCHILY.xattr.user.dbs", &[0, b'\n', b'=']),
            3 => record(&mut pax, b"SCHILY.xattr.trusted.overlay.opaque", b"y"),
            4 => {
                let mut global = Vec::new();
                record(&mut global, b"path", b"../outside/global");
                extended(b'g', &global, out, headers);
            }
            _ => {}
        }
        let mut size = data.len() as u64;
        if self.size_form % 4 == 1 {
            record(&mut pax, b"size", size.to_string().as_bytes());
            size = 0;
        }
        let lie = self.lie.map(|(how, value)| match how % 4 {
            0 => value,
            1 => u64::MAX - value % 1024,
            2 => (1 << 40) + value % 1024,
            _ => value % 4096,
        });
        if let Some(lie) = lie {
            match self.size_form % 4 {
                1 => record(&mut pax, b"size", lie.to_string().as_bytes()),
                3 => record(&mut pax, b"GNU.sparse.realsize", lie.to_string().as_bytes()),
                _ => size = lie,
            }
        }
        if !pax.is_empty() {
            extended(b'x', &pax, out, headers);
        }
        let flag = match self.kind {
            Kind::File => b'0',
            Kind::OldFile => 0,
            Kind::Directory => b'5',
            Kind::Symlink => b'2',
            Kind::HardLink => b'1',
            Kind::Special(flag) => match flag {
                b'x' | b'g' | b'L' | b'K' | 0 | b'0' | b'1' | b'2' | b'5' | b'7' => b'3',
                other => other,
            },
        };
        let mut block = header(field, flag, size, self.size_form % 4 == 2);
        block[345..345 + prefix.len()].copy_from_slice(prefix);
        octal(&mut block[100..108], u64::from(self.mode & 0o7777));
        octal(&mut block[108..116], self.uid.into());
        octal(&mut block[116..124], self.uid.into());
        octal(&mut block[136..148], self.mtime.into());
        block[157..157 + link_field.len()].copy_from_slice(link_field);
        checksum(&mut block);
        headers.push(out.len());
        out.extend(block);
        out.extend(&data);
        pad(out);
    }
}

fn plain(name: &[u8], most: usize) -> bool {
    name.len() <= most && !name.contains(&0)
}

fn pad(out: &mut Vec<u8>) {
    out.resize(out.len().next_multiple_of(BLOCK), 0);
}

fn octal(field: &mut [u8], value: u64) {
    let digits = field.len() - 1;
    field[..digits].copy_from_slice(format!("{value:0digits$o}").as_bytes());
}

fn header(name: &[u8], flag: u8, size: u64, binary: bool) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    block[..name.len()].copy_from_slice(name);
    octal(&mut block[100..108], 0o644);
    octal(&mut block[108..116], 0);
    octal(&mut block[116..124], 0);
    octal(&mut block[136..148], 0);
    if binary || size > 0o77_777_777_777 {
        block[124] = 0x80;
        block[128..136].copy_from_slice(&size.to_be_bytes());
    } else {
        octal(&mut block[124..136], size);
    }
    block[156] = flag;
    block[257..265].copy_from_slice(b"ustar\x0000");
    block
}

/// Makes a header's checksum right.
pub fn checksum(block: &mut [u8]) {
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

fn record(out: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let len = (rest + 1..)
        .find(|len| len.to_string().len() + rest == *len)
        .unwrap_or(rest);
    out.extend(format!("{len} ").as_bytes());
    out.extend(key);
    out.push(b'=');
    out.extend(value);
    out.push(b'\n');
}

fn extended(flag: u8, records: &[u8], out: &mut Vec<u8>, headers: &mut Vec<usize>) {
    let mut block = header(b"PaxHeaders.0/x", flag, records.len() as u64, false);
    checksum(&mut block);
    headers.push(out.len());
    out.extend(block);
    out.extend(records);
    pad(out);
}

fn long(flag: u8, name: &[u8], out: &mut Vec<u8>, headers: &mut Vec<usize>) {
    let mut block = header(b"././@LongLink", flag, name.len() as u64 + 1, false);
    checksum(&mut block);
    headers.push(out.len());
    out.extend(block);
    out.extend(name);
    out.push(0);
    pad(out);
}
