"""Unlocking: passphrase, key slots, commitment (sections 8, 9 and 17.2)."""

from __future__ import annotations

import hmac
from dataclasses import dataclass

from argon2.low_level import Type, hash_secret_raw
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from .errors import Authentication, DbsError, Limit, Unsupported, WrongPassphrase
from .page import KEY_SLOT_SIZE, KeySlot, Page
from .sector import k256

# Section 21.
MAX_MEMORY_KIB, MAX_PASSES, MAX_LANES, MAX_PAGES = 1 << 20, 64, 64, 8


@dataclass(frozen=True)
class Keys:
    """The keys of an archive whose commitment held."""

    block_key: bytes
    page_key: bytes


def beyond_limits(slot: KeySlot) -> str | None:
    for name, value, limit in (
        ("memory in KiB", slot.m, MAX_MEMORY_KIB),
        ("passes", slot.t, MAX_PASSES),
        ("lanes", slot.p, MAX_LANES),
    ):
        if value > limit:
            return f"a key slot asks for Argon2id {name} {value}, allowed are {limit}"
    return None


def open_key_slot(slot: KeySlot, archive: bytes, passphrase: bytes) -> bytes | None:
    """The data key, or None if the slot does not open (section 8)."""
    kek = hash_secret_raw(passphrase, slot.raw[8:24], slot.t, slot.m, slot.p, 32, Type.ID, 0x13)
    aad = b"dbs3 key slot" + archive + slot.raw[:24]
    try:
        return AESGCM(kek).decrypt(slot.raw[24:36], slot.raw[36:84], aad)
    except InvalidTag:
        return None


def unlock_page(page: Page, passphrase: bytes) -> Keys:
    """Section 9.3."""
    if page.unsupported:
        raise Unsupported(page.unsupported)
    known = [s for s in page.key_slots if s.type == 1]
    if not known:
        raise Unsupported("every key slot is of an unknown type")
    refused = None
    for slot in known:
        limit = beyond_limits(slot)
        if limit:
            refused = refused or limit
            continue
        data_key = open_key_slot(slot, page.archive, passphrase)
        if data_key is None:
            continue
        keys = Keys(k256(data_key, "dbs3 block key", b""), k256(data_key, "dbs3 page key", b""))
        end = 64 + KEY_SLOT_SIZE * len(page.key_slots)
        message = page.archive + page.record[:32] + page.record[64:end]
        if not hmac.compare_digest(k256(keys.page_key, "dbs3 commit", message), page.record[32:64]):
            raise Authentication("the commitment of the header page does not hold: it was altered")
        return keys
    if refused:
        raise Limit(refused)
    raise WrongPassphrase("no key slot opens with this passphrase")


def unlock(pages: list[Page], passphrase: bytes) -> tuple[Page, Keys]:
    """Section 17.2: the page that counts, and behind it others of no higher generation."""
    newest = max(p.generation for p in pages)
    same = [p for p in pages if p.generation == newest][:MAX_PAGES]
    error: DbsError | None = None
    for page in same:
        try:
            return page, unlock_page(page, passphrase)
        except DbsError as e:
            error = error or e
            if isinstance(e, Unsupported):
                break
    assert error is not None
    older = sorted({p.generation for p in pages if p.generation < newest})
    if older:
        raise type(error)(f"{error}; an older header page exists, of generation {older[-1]}")
    raise error
