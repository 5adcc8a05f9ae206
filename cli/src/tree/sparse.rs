//! Holes in files, in the form that GNU tar calls PAX format 1.0.

use std::io::{self, Read};

use super::pax;

/// A stretch of data in a sparse file; everything between is a hole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// Where in the file it begins.
    pub offset: u64,
    /// How long it is.
    pub length: u64,
}

/// The data of a sparse file, in ascending order, without overlap, inside the file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Map(Vec<Segment>);

/// A file with more segments is written, or refused, as one without holes: the map of a file is
/// held in memory, and this many take 16 MiB.
pub const MOST_SEGMENTS: usize = 1 << 20;

const BLOCK: usize = 512;

impl Map {
    /// A map of a file of that size, if the segments are in order and inside.
    pub fn new(segments: Vec<Segment>, size: u64) -> Option<Self> {
        let mut end = 0;
        for segment in &segments {
            if segment.offset < end {
                return None;
            }
            end = segment.offset.checked_add(segment.length)?;
        }
        (end <= size && segments.len() <= MOST_SEGMENTS).then_some(Map(segments))
    }

    /// The segments.
    pub fn segments(&self) -> &[Segment] {
        &self.0
    }

    /// How many bytes are data.
    pub fn data(&self) -> u64 {
        self.0.iter().map(|segment| segment.length).sum()
    }

    /// The map as it stands in front of the data, padded to whole blocks.
    pub fn encode(&self, size: u64) -> Vec<u8> {
        let mut lines = Vec::new();
        // GNU tar marks a hole at the end by an empty segment there.
        let end = self.0.last().map_or(0, |last| last.offset + last.length);
        let tail = (end < size).then_some(Segment {
            offset: size,
            length: 0,
        });
        let count = self.0.len() + usize::from(tail.is_some());
        lines.extend_from_slice(format!("{count}\n").as_bytes());
        for segment in self.0.iter().chain(&tail) {
            let line = format!("{}\n{}\n", segment.offset, segment.length);
            lines.extend_from_slice(line.as_bytes());
        }
        lines.resize(lines.len().next_multiple_of(BLOCK), 0);
        lines
    }

    /// Reads a map of a file of that size, and says how many bytes it took.
    ///
    /// # Errors
    /// What the reader says, or the map is malformed.
    pub fn decode(mut input: impl Read, size: u64) -> io::Result<(Self, u64)> {
        let mut numbers = Numbers {
            block: [0; BLOCK],
            at: BLOCK,
            taken: 0,
        };
        let count = numbers.next(&mut input)?;
        if count > MOST_SEGMENTS as u64 {
            return Err(malformed());
        }
        let mut segments = Vec::new();
        for _ in 0..count {
            let offset = numbers.next(&mut input)?;
            let length = numbers.next(&mut input)?;
            if length > 0 {
                segments.push(Segment { offset, length });
            } else if offset > size {
                return Err(malformed());
            }
        }
        let map = Map::new(segments, size).ok_or_else(malformed)?;
        Ok((map, numbers.taken))
    }
}

/// Decimal numbers, a line each, in blocks.
struct Numbers {
    block: [u8; BLOCK],
    at: usize,
    taken: u64,
}

impl Numbers {
    fn next(&mut self, input: &mut impl Read) -> io::Result<u64> {
        let mut digits = Vec::new();
        loop {
            if self.at == BLOCK {
                input.read_exact(&mut self.block)?;
                self.taken += BLOCK as u64;
                self.at = 0;
            }
            let byte = self.block[self.at];
            self.at += 1;
            if byte == b'\n' {
                return pax::decimal(&digits).ok_or_else(malformed);
            }
            digits.push(byte);
            if digits.len() > 20 {
                return Err(malformed());
            }
        }
    }
}

fn malformed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "malformed map of a sparse file")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(u64, u64)], size: u64) -> Option<Map> {
        let segments = pairs
            .iter()
            .map(|&(offset, length)| Segment { offset, length })
            .collect();
        Map::new(segments, size)
    }

    #[test]
    fn maps_come_back() {
        let many: Vec<(u64, u64)> = (0..500).map(|i| (i * 8192, 4096)).collect();
        let cases: [(&[(u64, u64)], u64); 5] = [
            (&[], 0),
            (&[], 1 << 40),
            (&[(0, 10)], 10),
            (&[(4096, 4096), (1 << 33, 4096)], 1 << 34),
            (&many, 1 << 23),
        ];
        for (pairs, size) in cases {
            let map = map(pairs, size).expect("legal");
            let bytes = map.encode(size);
            assert_eq!(bytes.len() % BLOCK, 0);
            let (back, taken) = Map::decode(&bytes[..], size).expect("decode");
            assert_eq!(back, map);
            assert_eq!(taken, bytes.len() as u64);
        }
    }

    #[test]
    fn illegal_maps_are_refused() {
        assert_eq!(map(&[(0, 11)], 10), None);
        assert_eq!(map(&[(5, 1), (0, 1)], 10), None);
        assert_eq!(map(&[(0, 5), (4, 1)], 10), None);
        assert_eq!(map(&[(u64::MAX, 2)], 10), None);
        for text in [
            "x\n",
            "1\n5\n",
            "2000000\n",
            "-1\n",
            "1\n0\n11\n",
            "1\n11\n0\n",
        ] {
            let mut block = text.as_bytes().to_vec();
            block.resize(BLOCK, 0);
            assert!(Map::decode(&block[..], 10).is_err(), "{text:?}");
        }
    }
}
