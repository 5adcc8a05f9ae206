//! A member's header blocks: the records of PAX where the plain fields cannot hold what is to be
//! kept, then the plain header.

use tar::{EntryType, Header};

use super::member::{Kind, Member, Time};
use super::pax;

/// Tar counts in blocks of this many bytes.
pub const BLOCK: u64 = 512;

/// The largest extended header that is read or written; extended attributes are the one thing that
/// can make it large.
pub const LARGEST_PAX: u64 = 1 << 20;

/// What the octal digits of the field for sizes and times can hold.
const LARGEST_OCTAL: u64 = 0o77_777_777_777;
const LARGEST_ID: u32 = 0o7_777_777;

const XATTR: &[u8] = b"SCHILY.xattr.";

/// The blocks in front of a member's data: extended header, plain header, map of a sparse file.
pub fn encode(member: &Member) -> Vec<u8> {
    let map = match (&member.sparse, member.kind) {
        (Some(map), Kind::File) => Some((map, map.encode(member.size))),
        _ => None,
    };
    let stored = match (&map, member.kind) {
        (Some((map, encoded)), _) => encoded.len() as u64 + map.data(),
        (None, Kind::File) => member.size,
        _ => 0,
    };
    let mut path = member.path.clone();
    if member.kind == Kind::Directory {
        path.push(b'/');
    }

    let mut out = Vec::new();
    let records = records(member, &path, stored);
    if !records.is_empty() {
        let mut header = plain(EntryType::XHeader, &pax_name(&path, b"PaxHeaders.0"));
        header.set_mode(0o644);
        header.set_size(records.len() as u64);
        header.set_cksum();
        out.extend_from_slice(header.as_bytes());
        out.extend_from_slice(&records);
        pad(&mut out);
    }
    let name = match map {
        Some(_) => pax_name(&path, b"GNUSparseFile.0"),
        None => path,
    };
    let mut header = plain(entry_type(member.kind), &name);
    header.set_mode(member.mode & 0o7777);
    header.set_uid(u64::from(member.uid.min(LARGEST_ID)));
    header.set_gid(u64::from(member.gid.min(LARGEST_ID)));
    header.set_size(stored.min(LARGEST_OCTAL));
    header.set_mtime(u64::try_from(member.mtime.seconds).map_or(0, |s| s.min(LARGEST_OCTAL)));
    let link = &mut header.as_old_mut().linkname;
    let fits = member.link.len().min(link.len());
    link[..fits].copy_from_slice(&member.link[..fits]);
    header.set_cksum();
    out.extend_from_slice(header.as_bytes());
    if let Some((_, encoded)) = map {
        out.extend_from_slice(&encoded);
    }
    out
}

/// Fills the last block with zeros.
pub fn pad(out: &mut Vec<u8>) {
    out.resize(out.len().next_multiple_of(BLOCK as usize), 0);
}

fn records(member: &Member, path: &[u8], stored: u64) -> Vec<u8> {
    let mut out = Vec::new();
    let sparse = member.kind == Kind::File && member.sparse.is_some();
    let foreign = [path, &member.link[..]]
        .iter()
        .any(|name| std::str::from_utf8(name).is_err());
    if foreign {
        // Names in PAX are UTF-8 unless this says that they are plain bytes.
        pax::push(&mut out, b"hdrcharset", b"BINARY");
    }
    if sparse {
        pax::push(&mut out, b"GNU.sparse.major", b"1");
        pax::push(&mut out, b"GNU.sparse.minor", b"0");
        pax::push(&mut out, b"GNU.sparse.name", path);
        let size = member.size.to_string();
        pax::push(&mut out, b"GNU.sparse.realsize", size.as_bytes());
    } else if !is_plain(path) {
        pax::push(&mut out, b"path", path);
    }
    if !is_plain(&member.link) {
        pax::push(&mut out, b"linkpath", &member.link);
    }
    if stored > LARGEST_OCTAL {
        pax::push(&mut out, b"size", stored.to_string().as_bytes());
    }
    let Time {
        seconds,
        nanoseconds,
    } = member.mtime;
    if nanoseconds != 0 || !(0..=LARGEST_OCTAL as i64).contains(&seconds) {
        let time = pax::write_time(member.mtime);
        pax::push(&mut out, b"mtime", time.as_bytes());
    }
    for (key, id) in [("uid", member.uid), ("gid", member.gid)] {
        if id > LARGEST_ID {
            pax::push(&mut out, key.as_bytes(), id.to_string().as_bytes());
        }
    }
    for (name, value) in &member.xattrs {
        pax::push(&mut out, &[XATTR, name].concat(), value);
    }
    out
}

/// Whether the plain fields hold this name.
fn is_plain(name: &[u8]) -> bool {
    name.len() <= 100 && name.is_ascii()
}

/// A name for old readers: that of the member with a folder put before its last part, cut to fit.
fn pax_name(path: &[u8], folder: &[u8]) -> Vec<u8> {
    let path = path.strip_suffix(b"/").unwrap_or(path);
    let base = path.rsplit(|&byte| byte == b'/').next().unwrap_or(path);
    let mut name = [folder, b"/", base].concat();
    name.truncate(100);
    name
}

fn plain(kind: EntryType, name: &[u8]) -> Header {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(0);
    let field = &mut header.as_old_mut().name;
    let fits = name.len().min(field.len());
    field[..fits].copy_from_slice(&name[..fits]);
    header
}

fn entry_type(kind: Kind) -> EntryType {
    match kind {
        Kind::File | Kind::Other => EntryType::Regular,
        Kind::Directory => EntryType::Directory,
        Kind::Symlink => EntryType::Symlink,
        Kind::HardLink => EntryType::Link,
    }
}

/// A block that may be a plain header.
#[derive(Debug)]
pub struct Block<'a> {
    header: &'a Header,
}

/// What a header block begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begins {
    /// A member.
    Member,
    /// Records for the next member.
    Pax,
    /// Records for all that follow.
    Global,
    /// The long name of the next member, as GNU tar once wrote it.
    LongName,
    /// The long link of the next member, as GNU tar once wrote it.
    LongLink,
}

impl<'a> Block<'a> {
    /// The block as a header, if its checksum holds.
    pub fn parse(bytes: &'a [u8; BLOCK as usize]) -> Option<Self> {
        let header = Header::from_byte_slice(bytes);
        let sum: u32 = (0..)
            .zip(bytes)
            .map(|(at, &byte)| match at {
                148..156 => u32::from(b' '),
                _ => u32::from(byte),
            })
            .sum();
        (header.cksum().ok()? == sum).then_some(Block { header })
    }

    /// Size of what follows the header.
    pub fn size(&self) -> Option<u64> {
        self.header.entry_size().ok()
    }

    /// What the block begins.
    pub fn begins(&self) -> Begins {
        match self.header.entry_type() {
            EntryType::XHeader => Begins::Pax,
            EntryType::XGlobalHeader => Begins::Global,
            EntryType::GNULongName => Begins::LongName,
            EntryType::GNULongLink => Begins::LongLink,
            _ => Begins::Member,
        }
    }

    /// The member that the plain fields tell of, with the size of its data in the stream.
    pub fn member(&self) -> Option<(Member, u64)> {
        let header = self.header;
        let mut member = Member::new(header.path_bytes().into_owned(), Kind::Other);
        member.kind = match header.entry_type() {
            EntryType::Regular | EntryType::Continuous => Kind::File,
            EntryType::Directory => Kind::Directory,
            EntryType::Symlink => Kind::Symlink,
            EntryType::Link => Kind::HardLink,
            _ => Kind::Other,
        };
        member.mode = header.mode().ok()? & 0o7777;
        member.mtime.seconds = header.mtime().map_or(0, |time| time as i64);
        member.uid = header
            .uid()
            .map_or(0, |id| id.min(u64::from(u32::MAX)) as u32);
        member.gid = header
            .gid()
            .map_or(0, |id| id.min(u64::from(u32::MAX)) as u32);
        member.link = header
            .link_name_bytes()
            .map_or(Vec::new(), |l| l.into_owned());
        Some((member, self.size()?))
    }
}

/// What PAX records change in a member; none if one of them is malformed.
pub fn apply(records: &[u8], member: &mut Member, stored: &mut u64) -> Option<Sparse> {
    let mut sparse = Sparse::default();
    for (key, value) in pax::parse(records)? {
        match key {
            b"path" => member.path = value.to_vec(),
            b"linkpath" => member.link = value.to_vec(),
            b"size" => *stored = pax::decimal(value)?,
            b"mtime" => member.mtime = pax::parse_time(value)?,
            b"uid" => member.uid = u32::try_from(pax::decimal(value)?).ok()?,
            b"gid" => member.gid = u32::try_from(pax::decimal(value)?).ok()?,
            b"GNU.sparse.major" => sparse.major = pax::decimal(value)?,
            b"GNU.sparse.name" => sparse.name = Some(value.to_vec()),
            b"GNU.sparse.realsize" => sparse.size = pax::decimal(value)?,
            // The forms before 1.0.
            b"GNU.sparse.map" | b"GNU.sparse.offset" => sparse.old = true,
            _ => {
                if let Some(name) = key.strip_prefix(XATTR) {
                    member.xattrs.push((name.to_vec(), value.to_vec()));
                }
            }
        }
    }
    Some(sparse)
}

/// What PAX records say of the holes in a file.
#[derive(Debug, Default)]
pub struct Sparse {
    /// 1 if a map stands in front of the data.
    pub major: u64,
    /// The name of the file.
    pub name: Option<Vec<u8>>,
    /// Its size with its holes.
    pub size: u64,
    /// A form that is not read here.
    pub old: bool,
}
