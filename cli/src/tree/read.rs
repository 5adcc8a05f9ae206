//! Reading members from a tar stream that is not trusted.

use std::io::{self, Read};

use super::header::{self, BLOCK, Begins, Block, LARGEST_PAX};
use super::member::{Kind, Member};
use super::sparse::Map;

/// A tar stream, member by member. Reading from it reads the data of the member that
/// [`Reader::advance`] came to last; of a sparse file, that is its segments one behind the other.
#[derive(Debug)]
pub struct Reader<R> {
    input: R,
    left: u64,
    padding: u64,
    ended: bool,
}

impl<R: Read> Reader<R> {
    /// A stream that begins with a header.
    pub fn new(input: R) -> Self {
        Reader {
            input,
            left: 0,
            padding: 0,
            ended: false,
        }
    }

    /// The stream itself, just behind what was read of it.
    pub fn input(&self) -> &R {
        &self.input
    }

    /// Gives the stream back.
    pub fn into_input(self) -> R {
        self.input
    }

    /// How many bytes of the present member are still to come, without padding.
    pub fn remaining(&self) -> u64 {
        self.left
    }

    /// Passes over the rest of the present member and reads the next one's headers; none at the end.
    ///
    /// # Errors
    /// What the input says, or the stream is malformed there.
    pub fn advance(&mut self) -> io::Result<Option<Member>> {
        let rest = self.left + self.padding;
        (self.left, self.padding) = (0, 0);
        self.skip(rest)?;

        let mut records = Vec::new();
        let (mut long_name, mut long_link) = (None, None);
        loop {
            let mut bytes = [0; BLOCK as usize];
            if self.ended || !self.fill(&mut bytes)? || bytes.iter().all(|&byte| byte == 0) {
                self.ended = true;
                return Ok(None);
            }
            let block =
                Block::parse(&bytes).ok_or_else(|| bad("a header with a wrong checksum"))?;
            let size = block.size().ok_or_else(|| bad("a header with no size"))?;
            match block.begins() {
                Begins::Pax => records = self.extension(size)?,
                Begins::Global => drop(self.extension(size)?),
                Begins::LongName => long_name = Some(until_zero(self.extension(size)?)),
                Begins::LongLink => long_link = Some(until_zero(self.extension(size)?)),
                Begins::Member => {
                    let (mut member, mut stored) =
                        block.member().ok_or_else(|| bad("a malformed header"))?;
                    if let Some(name) = long_name {
                        member.path = name;
                    }
                    if let Some(link) = long_link {
                        member.link = link;
                    }
                    let sparse = header::apply(&records, &mut member, &mut stored)
                        .ok_or_else(|| bad("malformed PAX records"))?;
                    return self.member(member, stored, sparse).map(Some);
                }
            }
        }
    }

    fn member(
        &mut self,
        mut member: Member,
        stored: u64,
        sparse: header::Sparse,
    ) -> io::Result<Member> {
        self.left = stored;
        self.padding = stored.wrapping_neg() % BLOCK;
        if stored.checked_add(self.padding).is_none() {
            return Err(bad("a member of impossible size"));
        }
        if member.kind == Kind::File {
            member.size = stored;
            if sparse.major == 1 {
                let data = (&mut self.input).take(stored);
                let (map, taken) = Map::decode(data, sparse.size)?;
                self.left -= taken;
                if map.data() > self.left {
                    return Err(bad("a sparse file with too little data"));
                }
                member.size = sparse.size;
                member.sparse = Some(map);
                if let Some(name) = sparse.name {
                    member.path = name;
                }
            } else if sparse.old {
                // Taken for a plain file it would be a wrong one.
                member.kind = Kind::Other;
            }
        }
        // Before POSIX, a folder was a file whose name ends in a slash.
        if member.kind == Kind::File && member.path.ends_with(b"/") {
            member.kind = Kind::Directory;
            member.size = 0;
        }
        while member.path.len() > 1 && member.path.ends_with(b"/") {
            member.path.pop();
        }
        Ok(member)
    }

    fn extension(&mut self, size: u64) -> io::Result<Vec<u8>> {
        if size > LARGEST_PAX {
            return Err(bad("an extended header larger than 1 MiB"));
        }
        let mut bytes = vec![0; size as usize];
        self.input.read_exact(&mut bytes)?;
        self.skip(size.wrapping_neg() % BLOCK)?;
        Ok(bytes)
    }

    fn skip(&mut self, count: u64) -> io::Result<()> {
        let skipped = io::copy(&mut (&mut self.input).take(count), &mut io::sink())?;
        if skipped < count {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }

    /// Reads a whole block, or nothing at the end of the input.
    fn fill(&mut self, block: &mut [u8]) -> io::Result<bool> {
        let mut done = 0;
        while done < block.len() {
            match self.input.read(&mut block[done..]) {
                Ok(0) if done == 0 => return Ok(false),
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(n) => done += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(true)
    }
}

impl<R: Read> Read for Reader<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let most = buf
            .len()
            .min(usize::try_from(self.left).unwrap_or(usize::MAX));
        if most == 0 {
            return Ok(0);
        }
        let n = self.input.read(&mut buf[..most])?;
        if n == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= n as u64;
        Ok(n)
    }
}

fn until_zero(mut name: Vec<u8>) -> Vec<u8> {
    if let Some(end) = name.iter().position(|&byte| byte == 0) {
        name.truncate(end);
    }
    name
}

fn bad(what: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("not a tar stream: {what}"),
    )
}
