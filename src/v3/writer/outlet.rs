//! Where the bytes of a container go, one block copy behind the other.

use std::io::{self, Read, Seek, SeekFrom, Write};
use std::sync::Arc;

use super::super::block::Sectors;
use super::super::geometry::Copy;
use crate::disk::{Disk, DiskStream};
use crate::pages::Pages;
use crate::pipeline::{Pipeline, Pool};
use crate::{Error, Result};

/// Writes to a disk that are under way at the same time: with one, it waits for the next.
const WRITERS: usize = 2;

/// Takes sectors in the order of the file.
pub(super) struct Outlet<W> {
    out: W,
    /// How `out` is read and positioned, if it can be.
    seekable: Option<Seekable<W>>,
    disk: Option<DiskWrites>,
    /// Where the next byte goes.
    position: u64,
    /// Where the memory of sectors goes once they are written.
    spent: Pool<Pages>,
}

struct Seekable<W> {
    read: fn(&mut W, u64, &mut [u8]) -> io::Result<()>,
    seek: fn(&mut W, u64) -> io::Result<()>,
    /// Whether `out` is not where the next byte goes.
    moved: bool,
}

/// Threads that write past `out` to the disk beneath it.
struct DiskWrites {
    disk: Arc<Disk>,
    under_way: Pipeline<Placed, Result<Arc<Sectors>>>,
}

/// A copy of a block and its place.
struct Placed {
    sectors: Arc<Sectors>,
    copy: Copy,
    at: u64,
}

impl<W: Write> Outlet<W> {
    /// An output that cannot be read back.
    pub(super) fn stream(out: W, spent: Pool<Pages>) -> Self {
        Outlet {
            out,
            seekable: None,
            disk: None,
            position: 0,
            spent,
        }
    }

    /// An output that can be read back, from its position on.
    pub(super) fn seekable(mut out: W, spent: Pool<Pages>) -> Result<Self>
    where
        W: Read + Seek,
    {
        let position = out.stream_position()?;
        let seekable = Seekable {
            read: |out: &mut W, at, buf| {
                out.seek(SeekFrom::Start(at))?;
                out.read_exact(buf)
            },
            seek: |out: &mut W, at| out.seek(SeekFrom::Start(at)).map(drop),
            moved: false,
        };
        Ok(Outlet {
            out,
            seekable: Some(seekable),
            disk: None,
            position,
            spent,
        })
    }

    /// Where the next byte goes.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Whether what was written can be read.
    pub(super) fn can_be_read(&self) -> bool {
        self.seekable.is_some()
    }

    /// What any thread can read it from, once it is settled.
    pub(super) fn disk(&self) -> Option<Arc<Disk>> {
        self.disk.as_ref().map(|writes| Arc::clone(&writes.disk))
    }

    /// Appends a copy of a block.
    pub(super) fn append(&mut self, sectors: Arc<Sectors>, copy: Copy) -> Result<()> {
        let at = self.position;
        for run in sectors.copy(copy) {
            self.position += run.len() as u64;
        }
        match &mut self.disk {
            Some(writes) => {
                let written = match writes.under_way.is_full() {
                    true => writes.under_way.pop()?,
                    false => None,
                };
                writes.under_way.push(Placed { sectors, copy, at })?;
                if let Some(written) = written {
                    self.recycle(written?);
                }
            }
            None => {
                self.seek(at)?;
                for run in sectors.copy(copy) {
                    self.out.write_all(run)?;
                }
                self.recycle(sectors);
            }
        }
        Ok(())
    }

    /// Waits until all that was appended is written.
    pub(super) fn settle(&mut self) -> Result<()> {
        while let Some(writes) = &mut self.disk
            && let Some(written) = writes.under_way.pop()?
        {
            self.recycle(written?);
        }
        Ok(())
    }

    /// Reads what was written; it must be settled.
    pub(super) fn read(&mut self, at: u64, buf: &mut [u8]) -> Result<()> {
        let seekable = self.seekable.as_mut();
        let seekable =
            seekable.ok_or_else(|| Error::Misuse("the output cannot be read back".into()))?;
        seekable.moved = true;
        Ok((seekable.read)(&mut self.out, at, buf)?)
    }

    /// Appends the last bytes, and gives the output back.
    pub(super) fn finish(mut self, last: &[u8]) -> Result<W> {
        self.settle()?;
        if let Some(seekable) = &mut self.seekable {
            seekable.moved |= self.disk.is_some();
        }
        self.seek(self.position)?;
        self.out.write_all(last)?;
        self.out.flush()?;
        Ok(self.out)
    }

    /// Brings `out` to where the next byte goes.
    fn seek(&mut self, at: u64) -> Result<()> {
        if let Some(seekable) = self.seekable.as_mut().filter(|seekable| seekable.moved) {
            (seekable.seek)(&mut self.out, at)?;
            seekable.moved = false;
        }
        Ok(())
    }

    /// Keeps the memory of sectors that nobody waits for any more.
    fn recycle(&self, sectors: Arc<Sectors>) {
        if let Some(sectors) = Arc::into_inner(sectors) {
            self.spent.give(sectors.into_buffer());
        }
    }
}

impl Outlet<DiskStream> {
    /// A disk, written by threads from the stream's position on.
    pub(super) fn on_disk(out: DiskStream, spent: Pool<Pages>) -> Result<Self> {
        let disk = Arc::clone(out.disk());
        let under_way = Pipeline::new(WRITERS, || {
            let disk = Arc::clone(&disk);
            Ok(
                move |Placed {
                          sectors,
                          copy,
                          mut at,
                      }: Placed| {
                    for run in sectors.copy(copy) {
                        disk.write_all_at(run, at)?;
                        at += run.len() as u64;
                    }
                    Ok(sectors)
                },
            )
        })?;
        let mut outlet = Outlet::seekable(out, spent)?;
        outlet.disk = Some(DiskWrites { disk, under_way });
        Ok(outlet)
    }
}
