"""What is left of a backup with damage beyond repair: whole files, and every whole row."""

from __future__ import annotations

import io
import json
import tarfile
from collections import Counter
from collections.abc import Iterator
from typing import Any

from . import container
from .events import ROWS, End, Event, Meta, Rows, parse_meta, tar_file
from .exceptions import Damaged, RestoreError
from .files import ROOT
from .reports import amount
from .tarstream import BLOCK, META, SUMMARY

#: Bytes asked for at a time; what cannot be had is lost in steps of this size at most.
PIECE = 256 << 10


def events(payload: Any, skipped: list[str]) -> Iterator[Event]:
    """The events of a tar of ours, as far as they can be had; the rest is named in `skipped`."""
    meta: Meta | None = None
    summary: dict[str, Any] = {}
    ended = False
    nowhere: Counter[str] = Counter()
    entries = payload.entries()
    for entry in entries:
        name = entry["path"].decode("utf-8", "surrogateescape")
        start = entry["offset"]
        padded = -(-entry["size"] // BLOCK) * BLOCK
        data = start + entry["length"] - padded
        if name == META:
            try:
                meta = parse_meta(payload.read_at(data, entry["size"]))
            except Damaged:
                meta = _described_by(entries)
                skipped.append("the description of the backup is lost; its index stands in for it")
            yield meta
        elif meta is None:
            raise RestoreError("This is no backup of a Django project.")
        elif name == SUMMARY:
            ended = True
            try:
                summary = json.loads(payload.read_at(data, entry["size"]))
            except Damaged:
                skipped.append("the list of files that were missing when the backup was made")
        elif match := ROWS.fullmatch(name):
            yield Rows(match.group(1), map(json.loads, _lines(payload, data, entry["size"])))
        elif name.startswith(ROOT) and not meta.roots:
            # Which directory it was stood in the description.
            nowhere[name[: name.index("/", len(ROOT))]] += 1
        elif not _readable(payload, start, entry["length"]):
            skipped.append(f"{name.removeprefix('files/')}: lost")
        else:
            view = io.BufferedReader(container.Ranges(payload, start), PIECE)
            with tarfile.open(
                fileobj=view, mode="r:", encoding="utf-8", errors="surrogateescape"
            ) as tar:
                info = tar.next()
                if info is None:
                    raise RestoreError(f"{name} is not where the index says.")
                yield tar_file(info, tar.extractfile(info) if info.isfile() else None, meta)
    if meta is None:
        raise RestoreError("The backup's index is lost, or it is no backup of a Django project.")
    for name, count in nowhere.items():
        skipped.append(
            f"{name}: {amount(count, 'entry', 'entries')} of a directory whose name is lost; "
            "`dbs restore --salvage` brings them back as plain files"
        )
    if not summary and meta.counts is None:
        skipped.append("some rows, perhaps: how many there were is lost")
    if not ended:
        skipped.append("the end of the backup's index is lost; what it listed is unknown")
    yield End(counts=summary.get("rows"), summary=summary)


def _described_by(entries: list[Any]) -> Meta:
    """What the names in the index say."""
    names = (entry["path"].decode("utf-8", "surrogateescape") for entry in entries)
    models = (match.group(1) for name in names if (match := ROWS.fullmatch(name)))
    return Meta(models=list(dict.fromkeys(models)))


def _pieces(payload: Any, start: int, length: int) -> Iterator[bytes | None]:
    """The bytes of a range; None for what is lost."""
    end = start + length
    while start < end:
        size = min(PIECE, end - start)
        try:
            yield payload.read_at(start, size)
        except Damaged:
            yield None
        start += size


def _readable(payload: Any, start: int, length: int) -> bool:
    return all(piece is not None for piece in _pieces(payload, start, length))


def _lines(payload: Any, start: int, length: int) -> Iterator[bytes]:
    """Whole lines; one that a gap has cut is lost."""
    kept: bytes | None = b""
    for piece in _pieces(payload, start, length):
        if piece is None:
            kept = None
            continue
        if kept is None:
            # Behind a gap: the first line may have begun inside it.
            _, found, piece = piece.partition(b"\n")
            if not found:
                continue
            kept = b""
        lines = (kept + piece).split(b"\n")
        kept = lines.pop()
        yield from (line for line in lines if line)
    if kept:
        yield kept
