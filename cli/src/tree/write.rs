//! Writing members to a tar stream.

use std::io::{self, Read, Write};

use super::header::{self, BLOCK};
use super::member::{Kind, Member};

/// A tar stream under construction, which knows where it is.
#[derive(Debug)]
pub struct Writer<W> {
    output: W,
    offset: u64,
    buffer: Vec<u8>,
}

/// What became of one member.
#[derive(Debug)]
pub struct Written {
    /// Where in the stream its first header begins.
    pub offset: u64,
    /// How many bytes of the stream it takes, padding included.
    pub length: u64,
    /// Bytes of its data that could not be had and are zeros now.
    pub missing: u64,
    /// Why, unless the file was shorter than its size said.
    pub error: Option<io::Error>,
}

impl<W: Write> Writer<W> {
    /// A stream with nothing in it.
    pub fn new(output: W) -> Self {
        Writer {
            output,
            offset: 0,
            buffer: vec![0; 256 * 1024],
        }
    }

    /// The output, to be used with care.
    pub fn output(&mut self) -> &mut W {
        &mut self.output
    }

    /// Appends a member. `data` gives the bytes of a file; of a sparse file, its segments one behind
    /// the other. What it gives too little is filled with zeros, what it gives too much is left.
    ///
    /// # Errors
    /// What the output says; errors of `data` are told in [`Written`].
    pub fn member(&mut self, member: &Member, mut data: impl Read) -> io::Result<Written> {
        let offset = self.offset;
        self.put(&header::encode(member))?;
        let size = match (member.kind, &member.sparse) {
            (Kind::File, Some(map)) => map.data(),
            (Kind::File, None) => member.size,
            _ => 0,
        };
        let mut left = size;
        let mut error = None;
        while left > 0 {
            let most = self
                .buffer
                .len()
                .min(usize::try_from(left).unwrap_or(usize::MAX));
            match data.read(&mut self.buffer[..most]) {
                Ok(0) => break,
                Ok(n) => {
                    self.output.write_all(&self.buffer[..n])?;
                    self.offset += n as u64;
                    left -= n as u64;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => {
                    error = Some(e);
                    break;
                }
            }
        }
        self.zeros(left)?;
        self.zeros(size.wrapping_neg() % BLOCK)?;
        Ok(Written {
            offset,
            length: self.offset - offset,
            missing: left,
            error,
        })
    }

    /// Ends the stream and gives its output back.
    ///
    /// # Errors
    /// What the output says.
    pub fn finish(mut self) -> io::Result<W> {
        self.zeros(2 * BLOCK)?;
        Ok(self.output)
    }

    fn zeros(&mut self, mut count: u64) -> io::Result<()> {
        static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];
        while count > 0 {
            let n = count.min(ZEROS.len() as u64);
            self.put(&ZEROS[..n as usize])?;
            count -= n;
        }
        Ok(())
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.output.write_all(bytes)?;
        self.offset += bytes.len() as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::member::Time;
    use super::super::read::Reader;
    use super::super::sparse::{Map, Segment};
    use super::*;

    fn members() -> Vec<(Member, Vec<u8>)> {
        let mut all = Vec::new();
        let mut folder = Member::new("folder", Kind::Directory);
        folder.mode = 0o1750;
        folder.mtime.seconds = 1_700_000_000;
        all.push((folder, vec![]));
        for size in [0, 1, 511, 512, 513, 100_000] {
            let mut file = Member::new(format!("folder/{size}"), Kind::File);
            file.size = size;
            file.mtime = Time {
                seconds: -5,
                nanoseconds: 123_456_789,
            };
            (file.uid, file.gid) = (u32::MAX, 1000);
            all.push((file, (0..size).map(|i| (i % 251) as u8).collect()));
        }
        let mut long = Member::new(vec![b'l'; 3000], Kind::Symlink);
        long.link = vec![b't'; 2000];
        all.push((long, vec![]));
        let mut foreign = Member::new(b"caf\xe9\n\x01".to_vec(), Kind::HardLink);
        foreign.link = "größe".into();
        foreign.xattrs = vec![(b"user.a=b".to_vec(), b"\0\n=\xff".to_vec())];
        // The key of an extended attribute cannot hold "=", so this one is split elsewhere.
        foreign.xattrs[0].0 = b"user.ab".to_vec();
        all.push((foreign, vec![]));
        let mut sparse = Member::new("holes", Kind::File);
        sparse.size = 1 << 36;
        let segments = [(4096, 5), (1 << 35, 3)]
            .map(|(offset, length)| Segment { offset, length })
            .to_vec();
        sparse.sparse = Map::new(segments, sparse.size);
        all.push((sparse, b"abcdexyz".to_vec()));
        all
    }

    fn write(members: &[(Member, Vec<u8>)]) -> Vec<u8> {
        let mut writer = Writer::new(Vec::new());
        let mut end = 0;
        for (member, data) in members {
            let written = writer.member(member, &data[..]).expect("write");
            assert_eq!(written.offset, end);
            assert_eq!(written.missing, 0);
            end += written.length;
        }
        writer.finish().expect("finish")
    }

    #[test]
    fn members_come_back() {
        let members = members();
        let stream = write(&members);
        assert_eq!(stream.len() % 512, 0);
        let mut reader = Reader::new(&stream[..]);
        for (member, data) in &members {
            assert_eq!(reader.advance().expect("read").as_ref(), Some(member));
            let mut back = Vec::new();
            reader.read_to_end(&mut back).expect("data");
            assert_eq!(&back, data);
        }
        assert_eq!(reader.advance().expect("end"), None);
        assert_eq!(reader.advance().expect("end"), None);
    }

    #[test]
    fn data_may_be_passed_over() {
        let members = members();
        let stream = write(&members);
        let mut reader = Reader::new(&stream[..]);
        let mut count = 0;
        while reader.advance().expect("read").is_some() {
            count += 1;
        }
        assert_eq!(count, members.len());
    }

    #[test]
    fn another_reader_agrees() {
        let members = members();
        let stream = write(&members[..members.len() - 1]);
        let mut archive = tar::Archive::new(&stream[..]);
        let mut entries = archive.entries().expect("entries");
        for (member, data) in &members[..members.len() - 1] {
            let mut entry = entries.next().expect("member").expect("read");
            let path = entry.path_bytes().into_owned();
            assert_eq!(path.strip_suffix(b"/").unwrap_or(&path), member.path);
            let link = entry.link_name_bytes().unwrap_or_default().into_owned();
            assert_eq!(link, member.link);
            let mut back = Vec::new();
            entry.read_to_end(&mut back).expect("data");
            assert_eq!(&back, data);
        }
        assert!(entries.next().is_none());
    }

    #[test]
    fn a_file_that_shrinks_does_not_shift_the_next() {
        let mut file = Member::new("shrinks", Kind::File);
        file.size = 1000;
        let mut writer = Writer::new(Vec::new());
        let written = writer.member(&file, &b"abc"[..]).expect("write");
        assert_eq!((written.missing, written.length), (997, 512 + 1024));
        file.path = b"grows".to_vec();
        file.size = 2;
        let written = writer.member(&file, &b"abc"[..]).expect("write");
        assert_eq!(written.missing, 0);
        let stream = writer.finish().expect("finish");
        let mut reader = Reader::new(&stream[..]);
        assert_eq!(reader.advance().expect("read").map(|m| m.size), Some(1000));
        assert!(reader.advance().expect("read").is_some());
        let mut back = Vec::new();
        reader.read_to_end(&mut back).expect("data");
        assert_eq!(back, b"ab");
    }

    #[test]
    fn no_stream_brings_the_reader_down() {
        let stream = write(&members());
        let drain = |stream: &[u8]| {
            let mut reader = Reader::new(stream);
            while let Ok(Some(_)) = reader.advance() {}
        };
        for at in 0..stream.len().min(6000) {
            drain(&stream[..at]);
            let mut altered = stream.clone();
            altered[at] = altered[at].wrapping_add(1);
            drain(&altered);
        }
    }

    #[test]
    fn a_huge_extension_is_refused() {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(tar::EntryType::XHeader);
        header.set_size(1 << 40);
        header.set_cksum();
        let stream = header.as_bytes().chain(io::repeat(b'1'));
        assert!(Reader::new(stream).advance().is_err());
    }
}
