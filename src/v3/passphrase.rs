//! Changing passphrases: only header pages are written, nothing is encrypted again.

use std::sync::Arc;

use super::container::Container;
use super::keys::Keys;
use super::page::{KdfParams, Page};
use super::sector::{Frame, write_tags};
use super::{block::Loom, layout};
use crate::secret::random;
use crate::{Error, Passphrase, Result};

/// What to do with the passphrases of a container.
#[derive(Debug, Clone)]
pub enum PassphraseChange {
    /// Another passphrase opens it too.
    Add(Passphrase, KdfParams),
    /// The passphrase that opened it no longer does. The last one cannot be removed.
    Remove,
    /// Another passphrase takes the place of the one that opened it.
    Replace(Passphrase, KdfParams),
}

impl Container {
    /// Changes the passphrases: calls `write` with the offset and the bytes of every sector that
    /// must be written to the file, in the order of the file.
    ///
    /// If writing stops half-way, pages of two generations are left; a reader takes the newer one,
    /// and a repair completes the change. Who has an older copy of the file can still open that
    /// copy with a passphrase removed here.
    ///
    /// # Errors
    /// [`Error::WrongPassphrase`], [`Error::Authentication`]; [`Error::Misuse`] where sectors do
    /// not lie where they belong (repair first), where no key slot is free, or the last passphrase
    /// would go.
    pub fn change_passphrase(
        self: &Arc<Self>,
        current: &Passphrase,
        change: PassphraseChange,
        mut write: impl FnMut(u64, &[u8]) -> Result<()>,
    ) -> Result<()> {
        let order = &self.structure().order;
        if self.file_len() != order.file_len() || !self.is_canonical() {
            return Err(Error::Misuse(
                "sectors do not lie where they belong; repair the file first".into(),
            ));
        }
        let (keys, slot) = self.keys_and_slot(current)?;
        let page = changed(self, &keys, slot, change)?;
        let geometry = page.geometry;
        let loom = Loom::new(self.structure().healer.loom.archive, &page)?;
        let size = geometry.sector_size();
        let mut sector = vec![0; size];
        for (copy, block) in order.walk() {
            let kind = self.structure().census.kind(block);
            let (k, archive) = (order.k(block), loom.archive);
            let frame = Frame {
                kind,
                slot: 0,
                k,
                block,
                archive,
            };
            sector[..layout::FRAME_LEN].copy_from_slice(&frame.to_bytes());
            sector[layout::FRAME_LEN..size - layout::TAG_LEN].copy_from_slice(loom.page());
            write_tags(&mut sector, size);
            write(order.offset(copy, block), &sector)?;
        }
        write(
            order.file_len() - size as u64,
            &loom.end_sector(order.blocks()),
        )
    }
}

/// The page after a change.
fn changed(
    container: &Container,
    keys: &Keys,
    slot: usize,
    change: PassphraseChange,
) -> Result<Page> {
    let mut page = container.page().clone();
    let archive = &container.structure().healer.loom.archive;
    let wrap = |passphrase: &Passphrase, kdf| {
        let (mut salt, mut nonce) = ([0; 16], [0; 12]);
        random(&mut salt)?;
        random(&mut nonce)?;
        Ok::<_, Error>(keys.wrap(passphrase, archive, kdf, salt, nonce)?.to_bytes())
    };
    match change {
        PassphraseChange::Add(new, kdf) => {
            let room = page.geometry.key_slots();
            if page.key_slots.len() >= room {
                return Err(Error::Misuse(format!(
                    "all {room} key slots are taken; remove a passphrase first"
                )));
            }
            page.key_slots.push(wrap(&new, kdf)?);
        }
        PassphraseChange::Remove => {
            if page.key_slots.len() == 1 {
                return Err(Error::Misuse(
                    "this is the last passphrase; nobody could open the file without it".into(),
                ));
            }
            page.key_slots.remove(slot);
        }
        PassphraseChange::Replace(new, kdf) => page.key_slots[slot] = wrap(&new, kdf)?,
    }
    page.generation = page
        .generation
        .checked_add(1)
        .ok_or_else(|| Error::Misuse("the passphrases were changed too often".into()))?;
    page.commitment = keys.commitment(archive, &page);
    Ok(page)
}
