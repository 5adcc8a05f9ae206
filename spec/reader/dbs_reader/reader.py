"""Reader: opens an archive with a passphrase and returns its payload (section 17)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from .archive import Archive
from .block import raw_bytes
from .errors import Authentication, Damaged, DbsError, Unsupported
from .keys import unlock
from .manifest import Entry, Manifest, check_entries, parse_entries, parse_manifest
from .sector import DATA, KIND_NAMES, MANIFEST
from .table import block_hash, root


@dataclass
class Opened:
    """An archive that was unlocked; `manifest` is None in a salvage without it."""

    archive: Archive
    manifest: Manifest | None
    altered_table: bool


def unlock_archive(archive: Archive, passphrase: bytes) -> None:
    """Step 5 of section 17.1. Of several pages the one that opens is taken (17.2)."""
    others = [
        p
        for p in archive.pages
        if p.generation <= archive.page.generation and p != archive.page and p.is_kin(archive.page)
    ]
    archive.page, archive.keys = unlock([archive.page, *others], passphrase)
    archive.cache.clear()


def open_archive(archive: Archive, salvage: bool = False) -> Opened:
    """Steps 6 and 7 of section 17.1, for an archive that is unlocked and whose shape was found."""
    try:
        if archive.X is None:
            raise Damaged("incomplete: there is no manifest; the backup was not finished")
        raw = block_raw(archive, archive.X - 1)
        manifest = parse_manifest(raw, archive.geometry, archive.X - 1)
    except (Damaged, Authentication):
        if not salvage:
            raise
        return Opened(archive, None, False)
    altered = False
    if (manifest.D, manifest.I) != (archive.D, archive.I):
        altered = True
    elif all(b in archive.entries for b in range(manifest.D + manifest.I)):
        entries = [archive.entries[b] for b in range(manifest.D + manifest.I)]
        altered = root(archive.id, entries) != manifest.root
    return Opened(archive, manifest, altered)


def distrust_table(opened: Opened) -> None:
    """A Reader that restores goes on without a table that was altered (17.1, step 7)."""
    if opened.altered_table and opened.manifest:
        opened.archive.take_shape(opened.manifest.D, opened.manifest.I)


def block_raw(archive: Archive, block: int) -> bytes:
    """The raw bytes of a sealed block, healed if needed, or its error (19.4)."""
    healed = archive.heal(block)
    kind, k = archive.kind_of(block), archive.k_of(block)
    if healed.rows is None or k is None:
        where = f"{KIND_NAMES[kind]} block {block}"
        if kind == DATA:
            C = archive.geometry.C
            where += f" (payload {block * C}..{(block + 1) * C})"
        if healed.altered:
            raise Authentication(f"{where} is whole and does not open: it was altered")
        raise Damaged(f"{where} is lost", [block])
    plain = archive.open(block, kind, k, healed.rows)
    if plain is None:
        raise Authentication(f"block {block} does not open")
    return raw_bytes(plain, archive.geometry, k, block)


def data_block(opened: Opened, block: int) -> bytes:
    """A run of the payload, of just the length it has to have (section 11)."""
    raw = block_raw(opened.archive, block)
    C, m = opened.archive.geometry.C, opened.manifest
    want = None
    if m is not None:
        want = C if block < m.D - 1 else m.length - (m.D - 1) * C
    if want is not None and len(raw) != want:
        raise Unsupported(f"data block {block} has {len(raw)} bytes and not {want}")
    return raw


def payload(opened: Opened) -> Iterator[bytes]:
    """The payload in pieces (17.3); ends with an error at the first block that fails."""
    assert opened.manifest is not None
    for block in range(opened.manifest.D):
        yield data_block(opened, block)


def last_that_opens(archive: Archive) -> int:
    """The last data block that can be had, if nothing says how many there are (17.4); -1 if none."""
    for block in sorted(archive.by_block, reverse=True):
        if archive.kind_of(block) == DATA and archive.heal(block).rows is not None:
            return block
    return -1


def salvage(opened: Opened) -> tuple[Iterator[bytes], list[tuple[int, int]]]:
    """The payload with zeros for what is lost, and the list of lost ranges, filled on the way."""
    C = opened.archive.geometry.C
    missing: list[tuple[int, int]] = []

    def pieces() -> Iterator[bytes]:
        m = opened.manifest
        if m is not None:
            blocks, length = m.D, m.length
        else:
            blocks, length = last_that_opens(opened.archive) + 1, None
        for block in range(blocks):
            try:
                raw = data_block(opened, block)
            except DbsError:
                end = (block + 1) * C if length is None else min((block + 1) * C, length)
                missing.append((block * C, end))
                raw = bytes(end - block * C)
            yield raw

    return pieces(), missing


def entries(opened: Opened) -> list[Entry]:
    """The whole index (section 12)."""
    m = opened.manifest
    assert m is not None
    result = parse_entries(m.index) if m.index is not None else []
    for block in range(m.D, m.D + m.I):
        part = parse_entries(block_raw(opened.archive, block))
        if not part:
            raise Unsupported(f"index block {block} is empty")
        result += part
    check_entries(result, m)
    return result


def check_contents(opened: Opened) -> list[DbsError]:
    """Opens every block and checks manifest, root and index, as a Verifier with a key (18)."""
    archive, m = opened.archive, opened.manifest
    assert m is not None
    errors: list[DbsError] = []
    if opened.altered_table:
        errors.append(Authentication("the block table differs from the manifest: it was altered"))
    for block in range(m.D):
        try:
            data_block(opened, block)
        except DbsError as e:
            errors.append(e)
    try:
        entries(opened)
    except DbsError as e:
        errors.append(e)
    # The entry of the manifest block is not part of the root, so it is compared by itself.
    block = m.D + m.I
    healed, entry = archive.heal(block), archive.entries.get(block)
    if entry is not None and healed.rows is not None and not opened.altered_table:
        k = len(healed.rows)
        own = bytes([k]) + block_hash(MANIFEST, k, block, archive.id, healed.rows)
        if own != entry:
            errors.append(Authentication("the entry of the manifest in the block table was altered"))
    return errors

