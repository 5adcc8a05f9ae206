//! Copy B, written half a file behind copy A.

use std::io::{self, Write};
use std::sync::Arc;

use super::super::geometry::Copy;
use super::super::order::Order;
use super::super::sector::Kind;
use super::super::table::Census;
use super::{Body, Writer};
use crate::pages::Pages;
use crate::pipeline::Pipeline;
use crate::source::Source;
use crate::{Error, Result};

/// A block of copy A, and the room for what is read of it, with a header page before it.
struct Copied {
    block: u64,
    kind: Kind,
    /// Where its data sectors stand.
    at: u64,
    bytes: Pages,
    check: u32,
}

impl<W: Write> Writer<W> {
    /// Reads copy A back, checks it, and writes copy B behind it.
    ///
    /// The check is a CRC-32 of each block's data sectors, against disks and memory that fail. It need
    /// not hold against an attacker: who can change copy A now can change both copies later.
    pub(super) fn write_copy_b(&mut self, body: &Body, census: &Census, ks: Vec<u8>) -> Result<()> {
        self.outlet.settle()?;
        let order = Order::new(body.loom.geometry, 0, ks);
        let blocks = order.blocks();
        // Copy A is all that was written so far.
        let start = self.outlet.position() - order.offset(Copy::B, 0);
        let size = body.loom.geometry.sector_size();
        let disk = self.outlet.disk();
        let mut pipeline = Pipeline::new(self.options.workers(), || {
            let (loom, disk) = (body.loom.clone(), disk.clone());
            Ok(move |mut copied: Copied| {
                let (block, sectors) = (copied.block, &mut copied.bytes[size..]);
                let whole = match &disk {
                    Some(disk) => disk.read_full_at(sectors, copied.at)? == sectors.len(),
                    // It was read before.
                    None => true,
                };
                if !whole || crc32fast::hash(sectors) != copied.check {
                    return Err(Error::Io(io::Error::other(format!(
                        "block {block} reads back from the output other than it was written"
                    ))));
                }
                loom.weave_copy_b(copied.kind, block, copied.bytes)
            })
        })?;
        let mut next = 0;
        for _ in 0..blocks {
            while next < blocks && !pipeline.is_full() {
                let mut bytes = self.buffers.sectors.take();
                bytes.resize((1 + usize::from(order.k(next))) * size);
                let at = start + order.offset(Copy::A, next) + size as u64;
                if disk.is_none() {
                    self.outlet.read(at, &mut bytes[size..])?;
                }
                pipeline.push(Copied {
                    block: next,
                    kind: census.kind(next),
                    at,
                    bytes,
                    check: body.checks[next as usize],
                })?;
                next += 1;
            }
            let sectors = pipeline.pop()?.unwrap_or_else(|| {
                Err(Error::Misuse("copy B: fewer blocks than expected".into()))
            })?;
            self.outlet.append(Arc::new(sectors), Copy::B)?;
        }
        Ok(())
    }
}
