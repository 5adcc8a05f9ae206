//! Manifest and index: deterministic CBOR (RFC 8949, section 4.2) with integer keys.

use minicbor::decode::Error as DecodeError;
use minicbor::encode::Error as EncodeError;
use minicbor::{Decoder, Encoder};

use crate::{Error, Result};

/// Media type of a payload that is one stream of bytes.
pub const MEDIA_STREAM: &str = "application/octet-stream";
/// Media type of a payload that is an archive of files, as a PAX tar stream.
pub const MEDIA_TAR: &str = "application/x-tar";

/// What the archive is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Media type of the payload.
    pub media_type: String,
    /// The program that wrote the archive.
    pub producer: String,
    /// When it was written, in seconds since 1970-01-01 UTC.
    pub created: i64,
    /// Length of the payload in bytes.
    pub payload_len: u64,
    /// Data blocks.
    pub data_blocks: u64,
    /// Index blocks.
    pub index_blocks: u32,
    /// Root hash of the block table.
    pub table_root: [u8; 32],
    /// Entries in the index.
    pub entries: u64,
    /// The index itself, where it is short: then there are no index blocks.
    pub inline_index: Vec<u8>,
}

/// What an entry of an archive of files is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A folder.
    Directory,
    /// A symbolic link.
    Symlink,
    /// Another name of an earlier entry.
    HardLink,
    /// Anything else that tar knows.
    Other,
}

impl EntryKind {
    const ALL: [EntryKind; 5] = [
        EntryKind::File,
        EntryKind::Directory,
        EntryKind::Symlink,
        EntryKind::HardLink,
        EntryKind::Other,
    ];
}

/// One entry of the index: a member of the tar stream, and where it stands in the payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The name, as bytes, as in the tar stream.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: EntryKind,
    /// Bytes of content.
    pub size: u64,
    /// Time of the last change: seconds since 1970-01-01 UTC.
    pub mtime: i64,
    /// Nanoseconds behind those seconds.
    pub mtime_nanos: u32,
    /// Permission bits.
    pub mode: u32,
    /// Where its first tar header begins in the payload.
    pub offset: u64,
    /// Bytes of the payload that its headers, content and padding take.
    pub length: u64,
    /// Where a link leads.
    pub link: Option<Vec<u8>>,
}

impl Manifest {
    /// The bytes of the manifest.
    ///
    /// # Errors
    /// None that can happen: the encoder writes to memory.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut encoder = Encoder::new(Vec::new());
        self.encode(&mut encoder)
            .map_err(|e| Error::Misuse(format!("manifest: {e}")))?;
        Ok(encoder.into_writer())
    }

    fn encode(
        &self,
        e: &mut Encoder<Vec<u8>>,
    ) -> std::result::Result<(), EncodeError<std::convert::Infallible>> {
        e.map(8 + u64::from(!self.inline_index.is_empty()))?;
        e.u8(1)?.str(&self.media_type)?;
        e.u8(2)?.str(&self.producer)?;
        e.u8(3)?.i64(self.created)?;
        e.u8(4)?.u64(self.payload_len)?;
        e.u8(5)?.u64(self.data_blocks)?;
        e.u8(6)?.u32(self.index_blocks)?;
        e.u8(7)?.bytes(&self.table_root)?;
        e.u8(8)?.u64(self.entries)?;
        if !self.inline_index.is_empty() {
            e.u8(9)?.bytes(&self.inline_index)?;
        }
        Ok(())
    }

    /// Parses a manifest.
    ///
    /// # Errors
    /// [`Error::Unsupported`] where it is malformed, or has a critical key that this version does
    /// not know. It was authentic, so its writer is wrong or newer.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let mut media_type = None;
        let mut producer = None;
        let mut numbers = [None; 4];
        let mut created = None;
        let mut table_root = None;
        let mut inline_index = None;
        let mut decoder = Decoder::new(bytes);
        map(&mut decoder, "manifest", |key, d| {
            match key {
                1 => media_type = Some(d.str()?.to_owned()),
                2 => producer = Some(d.str()?.to_owned()),
                3 => created = Some(d.i64()?),
                4 => numbers[0] = Some(d.u64()?),
                5 => numbers[1] = Some(d.u64()?),
                6 => numbers[2] = Some(u64::from(d.u32()?)),
                7 => table_root = <[u8; 32]>::try_from(d.bytes()?).ok(),
                8 => numbers[3] = Some(d.u64()?),
                9 => inline_index = Some(d.bytes()?.to_vec()),
                _ => skip(d)?,
            }
            Ok(())
        })?;
        if decoder.position() != bytes.len() {
            return Err(malformed("manifest", "bytes behind its end"));
        }
        let missing = || malformed("manifest", "a key is missing");
        let manifest = Manifest {
            media_type: media_type.ok_or_else(missing)?,
            producer: producer.ok_or_else(missing)?,
            created: created.ok_or_else(missing)?,
            payload_len: numbers[0].ok_or_else(missing)?,
            data_blocks: numbers[1].ok_or_else(missing)?,
            index_blocks: numbers[2]
                .and_then(|n| n.try_into().ok())
                .ok_or_else(missing)?,
            table_root: table_root.ok_or_else(missing)?,
            entries: numbers[3].ok_or_else(missing)?,
            inline_index: Vec::new(),
        };
        let (blocks, inline) = (manifest.index_blocks > 0, inline_index.is_some());
        if blocks && inline || (blocks || inline) != (manifest.entries > 0) {
            return Err(malformed(
                "manifest",
                "the index and its number of entries do not agree",
            ));
        }
        if manifest.entries > 0 && manifest.media_type != MEDIA_TAR {
            return Err(malformed(
                "manifest",
                "an index of what is no archive of files",
            ));
        }
        let manifest = Manifest {
            inline_index: inline_index.unwrap_or_default(),
            ..manifest
        };
        Ok(manifest)
    }
}

impl Entry {
    /// The bytes of the entry.
    ///
    /// # Errors
    /// None that can happen: the encoder writes to memory.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut encoder = Encoder::new(Vec::new());
        self.encode(&mut encoder)
            .map_err(|e| Error::Misuse(format!("index entry: {e}")))?;
        Ok(encoder.into_writer())
    }

    fn encode(
        &self,
        e: &mut Encoder<Vec<u8>>,
    ) -> std::result::Result<(), EncodeError<std::convert::Infallible>> {
        e.map(7 + u64::from(self.mtime_nanos != 0) + u64::from(self.link.is_some()))?;
        e.u8(1)?.bytes(&self.path)?;
        e.u8(2)?.u8(self.kind as u8)?;
        e.u8(3)?.u64(self.size)?;
        e.u8(4)?.i64(self.mtime)?;
        if self.mtime_nanos != 0 {
            e.u8(5)?.u32(self.mtime_nanos)?;
        }
        e.u8(6)?.u32(self.mode)?;
        e.u8(7)?.u64(self.offset)?;
        e.u8(8)?.u64(self.length)?;
        if let Some(link) = &self.link {
            e.u8(9)?.bytes(link)?;
        }
        Ok(())
    }

    /// Parses the sequence of entries that an index holds.
    ///
    /// # Errors
    /// As those of [`Manifest::from_bytes`].
    pub fn sequence(bytes: &[u8]) -> Result<Vec<Self>> {
        let mut decoder = Decoder::new(bytes);
        let mut entries = Vec::new();
        while decoder.position() < bytes.len() {
            entries.push(Self::decode(&mut decoder)?);
        }
        Ok(entries)
    }

    fn decode(decoder: &mut Decoder<'_>) -> Result<Self> {
        let mut path = None;
        let mut kind = None;
        let mut numbers = [None; 3];
        let mut mtime = None;
        let mut mtime_nanos = 0;
        let mut mode = None;
        let mut link = None;
        map(decoder, "index entry", |key, d| {
            match key {
                1 => path = Some(d.bytes()?.to_vec()),
                2 => kind = EntryKind::ALL.get(usize::from(d.u8()?)).copied(),
                3 => numbers[0] = Some(d.u64()?),
                4 => mtime = Some(d.i64()?),
                5 => mtime_nanos = d.u32()?,
                // What is no permission bit is nothing to go by.
                6 => mode = Some((d.u64()? & 0o7777) as u32),
                7 => numbers[1] = Some(d.u64()?),
                8 => numbers[2] = Some(d.u64()?),
                9 => link = Some(d.bytes()?.to_vec()),
                _ => skip(d)?,
            }
            Ok(())
        })?;
        let missing = || malformed("index entry", "a key is missing or out of range");
        if mtime_nanos >= 1_000_000_000 {
            return Err(missing());
        }
        Ok(Entry {
            path: path.ok_or_else(missing)?,
            kind: kind.ok_or_else(missing)?,
            size: numbers[0].ok_or_else(missing)?,
            mtime: mtime.ok_or_else(missing)?,
            mtime_nanos,
            mode: mode.ok_or_else(missing)?,
            offset: numbers[1].ok_or_else(missing)?,
            length: numbers[2].ok_or_else(missing)?,
            link,
        })
    }
}

/// Walks a map with ascending integer keys. Negative keys are critical: unknown ones are refused.
fn map<'b>(
    decoder: &mut Decoder<'b>,
    what: &str,
    mut each: impl FnMut(i128, &mut Decoder<'b>) -> std::result::Result<(), DecodeError>,
) -> Result<()> {
    let cbor = |e: DecodeError| malformed(what, &e.to_string());
    let count = decoder
        .map()
        .map_err(cbor)?
        .ok_or_else(|| malformed(what, "indefinite map"))?;
    let mut last = None;
    for _ in 0..count {
        let key = i128::from(decoder.int().map_err(cbor)?);
        if key < 0 {
            return Err(Error::Unsupported(format!("{what}: critical key {key}")));
        }
        if last.is_some_and(|last| last >= key) {
            return Err(malformed(what, "keys out of order"));
        }
        last = Some(key);
        each(key, decoder).map_err(cbor)?;
    }
    Ok(())
}

/// An array or map that is not complete.
enum Open {
    /// So many items are still to come.
    Items(u64),
    /// A break ends it.
    Array,
    /// A break ends it where no value is missing.
    Map { odd: bool },
}

/// Passes over one item, however deep it is, if it is well-formed and its text is UTF-8.
fn skip(d: &mut Decoder<'_>) -> std::result::Result<(), DecodeError> {
    let ill = |why| Err(DecodeError::message(why));
    let mut open: Vec<Open> = Vec::new();
    // Behind a tag, and in an array of one item, which need no place in `open`.
    let mut due = false;
    loop {
        let Head {
            major,
            info,
            argument,
        } = head(d)?;
        match (major, argument) {
            (7, None) => match open.pop() {
                Some(Open::Array | Open::Map { odd: false }) if !due => {}
                _ => return ill("a break at a wrong place"),
            },
            (2 | 3, None) => loop {
                let piece = head(d)?;
                match piece.argument {
                    None if piece.major == 7 => break,
                    Some(len) if piece.major == major => string(d, major, len)?,
                    _ => return ill("a wrong piece of a string"),
                }
            },
            (4, None) => open.push(Open::Array),
            (5, None) => open.push(Open::Map { odd: false }),
            (_, None) => return ill("an integer or a tag without a value"),
            (2 | 3, Some(len)) => string(d, major, len)?,
            (4, Some(count @ 2..)) => open.push(Open::Items(count)),
            (5, Some(count @ 1..)) => match count.checked_mul(2) {
                Some(count) => open.push(Open::Items(count)),
                None => return ill("more items than there can be"),
            },
            (7, Some(0..32)) if info == 24 => return ill("a simple value that is too long"),
            _ => {}
        }
        due = matches!((major, argument), (4, Some(1)) | (6, _));
        if due || matches!((major, argument), (4 | 5, None | Some(1..))) {
            continue;
        }
        // The item is complete, and with it what it was the last item of.
        loop {
            match open.last_mut() {
                None => return Ok(()),
                Some(Open::Items(1)) => {
                    open.pop();
                }
                Some(Open::Items(count)) => {
                    *count -= 1;
                    break;
                }
                Some(Open::Array) => break,
                Some(Open::Map { odd }) => {
                    *odd = !*odd;
                    break;
                }
            }
        }
    }
}

/// How an item begins.
struct Head {
    major: u8,
    info: u8,
    /// `None` for what has no definite length, and for a break.
    argument: Option<u64>,
}

fn head(d: &mut Decoder<'_>) -> std::result::Result<Head, DecodeError> {
    let (input, at) = (d.input(), d.position());
    let first = *input.get(at).ok_or_else(DecodeError::end_of_input)?;
    let info = first & 31;
    let len = match info {
        24..=27 => 1 << (info - 24),
        28..=30 => return Err(DecodeError::message("a reserved head")),
        _ => 0,
    };
    let bytes = input.get(at + 1..at + 1 + len);
    let bytes = bytes.ok_or_else(DecodeError::end_of_input)?;
    d.set_position(at + 1 + len);
    let argument = match info {
        31 => None,
        24..=27 => Some(bytes.iter().fold(0, |n, byte| n << 8 | u64::from(*byte))),
        _ => Some(info.into()),
    };
    Ok(Head {
        major: first >> 5,
        info,
        argument,
    })
}

/// Passes over the bytes of a string, or of a piece of one.
fn string(d: &mut Decoder<'_>, major: u8, len: u64) -> std::result::Result<(), DecodeError> {
    let (input, at) = (d.input(), d.position());
    let end = usize::try_from(len)
        .ok()
        .and_then(|len| at.checked_add(len));
    let bytes = end.and_then(|end| input.get(at..end));
    let bytes = bytes.ok_or_else(DecodeError::end_of_input)?;
    if major == 3 && std::str::from_utf8(bytes).is_err() {
        return Err(DecodeError::message("a text string that is not UTF-8"));
    }
    d.set_position(at + bytes.len());
    Ok(())
}

fn malformed(what: &str, why: &str) -> Error {
    Error::Unsupported(format!(
        "{what}: {why}; it is authentic, so its writer does not follow the specification"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(link: Option<&[u8]>) -> Entry {
        Entry {
            path: b"a/\xff".to_vec(),
            kind: EntryKind::Symlink,
            size: 1 << 40,
            mtime: -5,
            mtime_nanos: if link.is_some() { 7 } else { 0 },
            mode: 0o755,
            offset: 512,
            length: 1024,
            link: link.map(<[u8]>::to_vec),
        }
    }

    #[test]
    fn entries_are_parsed_as_they_are_written() {
        let entries = [entry(None), entry(Some(b"target"))];
        let bytes: Vec<u8> = entries.iter().flat_map(|e| e.to_bytes().unwrap()).collect();
        assert_eq!(Entry::sequence(&bytes).unwrap(), entries);
        for cut in 1..bytes.len() {
            let parsed = Entry::sequence(&bytes[..cut]);
            assert!(parsed.is_err() || cut == entries[0].to_bytes().unwrap().len());
        }
    }

    #[test]
    fn unknown_keys_are_ignored_unless_critical() {
        let manifest = Manifest {
            media_type: MEDIA_TAR.into(),
            producer: "dbs".into(),
            created: 1,
            payload_len: 2,
            data_blocks: 3,
            index_blocks: 4,
            table_root: [5; 32],
            entries: 6,
            inline_index: vec![],
        };
        let mut bytes = manifest.to_bytes().unwrap();
        assert_eq!(Manifest::from_bytes(&bytes).unwrap(), manifest);
        bytes[0] += 1;
        bytes.extend_from_slice(&[10, 0x60]);
        assert_eq!(Manifest::from_bytes(&bytes).unwrap(), manifest);
        let at = bytes.len() - 2;
        bytes[at] = 0x20;
        assert!(matches!(
            Manifest::from_bytes(&bytes),
            Err(Error::Unsupported(_))
        ));
        bytes[at] = 8;
        assert!(matches!(
            Manifest::from_bytes(&bytes),
            Err(Error::Unsupported(_))
        ));
    }
}
