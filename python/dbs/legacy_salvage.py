"""What is left of a payload of django-dbs 0.1.0 to 0.7.0 that has lost a part: whole rows and files.

The payload goes to a temporary file without a name, with zeros for what is lost. Rows are JSON and
files have a SHA-256 beside them, so that nothing with a hole in it is ever taken for whole.
"""

from __future__ import annotations

import hashlib
import io
import json
import mmap
import re
import struct
import tempfile
from collections.abc import Iterator
from typing import Any

from .events import End, Event, File, Meta
from .exceptions import RestoreError
from .legacy import FRAME_LIMIT, file_of, groups, meta_of

_NOTHING = (
    "Too much of the backup is lost to tell rows and files apart. Use another copy of it; the bytes "
    "that are left come out with the command line alone: `dbs restore --salvage -o FILE`."
)
_STEP = 1 << 20
_ROW = {"model", "pk", "fields"}
#: How frames of version 2 begin. The bodies of all but D tell them apart from chance.
_FRAME = re.compile(
    rb'H[\0-\x10][\s\S]{3}\{"version"|M[\0-\x10][\s\S]{3}\[\{"kind"|R[\0-\x10][\s\S]{3}\[\{"model"'
    rb'|E\0[\s\S]{3}\{"index"|T[\0-\x10][\s\S]{3}\{"stats"|D\0[\0-\x10][\s\S]{6}'
)


def events(payload: Any, version: int, skipped: list[str]) -> Iterator[Event]:
    """The events of an old payload, as far as they can be had; the rest is named in `skipped`.

    `version` is that of the container.
    """
    with tempfile.TemporaryFile(prefix="dbs-") as file:
        holes = _salvage(payload, file)
        length = file.seek(0, io.SEEK_END)
        if not length:
            raise RestoreError(_NOTHING)
        with mmap.mmap(file.fileno(), length, access=mmap.ACCESS_READ) as data:
            left = _Left(data, holes, skipped)
            if data[:8] == b"DBSPAY01":
                yield from left.first()
            elif data[:8] == b"DBSPAY02" or version == 2:
                yield from left.second()
            else:
                raise RestoreError(_NOTHING)


def _salvage(payload: Any, file: Any) -> list[tuple[int, int]]:
    """Writes what is left; the holes in it, in order."""
    if not payload.seekable:
        return payload.salvage_stream(file)
    # An old payload in a container of version 3, as `dbs convert` makes it.
    ranges = [block["payload"] for block in payload.salvage_to(file).failed_blocks]
    return sorted((range_["start"], range_["end"]) for range_ in ranges if range_)


class _Left:
    """What a salvage wrote: the bytes, and its holes as (start, end).

    A hole with `start` equal to `end` is one of unknown length, for which nothing stands.
    """

    def __init__(self, data: Any, holes: list[tuple[int, int]], skipped: list[str]) -> None:
        self.data = data
        self.size = len(data)
        self.holes = holes
        self.skipped = skipped

    def hole(self, start: int, end: int) -> tuple[int, int] | None:
        """The first hole in a range."""
        for a, b in self.holes:
            if (a < end and b > start) or start < a == b < end:
                return a, b
        return None

    def rows(self, start: int, end: int, tail: bytes = b"") -> Iterator[dict[str, Any]]:
        """The whole row objects of the JSON list that ends before `tail`, or else at `end`."""
        at = self.data.find(b'{"model"', start, end)
        sure = self.hole(start, max(start, at)) is None
        while at >= 0:
            if not sure and not self._in_the_list(at, end, tail):
                at = self.data.find(b'{"model"', at + 1, end)
                continue
            for row, after in self._run(at, end):
                yield row
                at = after
            hole = self.hole(at, end)
            if hole is None:
                return
            sure = False
            at = self.data.find(b'{"model"', max(hole[1], at + 1), end)

    def _run(self, at: int, end: int) -> Iterator[tuple[dict[str, Any], int]]:
        """Rows one behind the other, each with the place behind it."""
        while True:
            row, after = self._object(at, end)
            if row is None or row.keys() != _ROW or not isinstance(row["model"], str):
                return
            yield row, after
            if self.data[after : after + 2] != b", ":
                return
            at = after + 2

    def _in_the_list(self, at: int, end: int, tail: bytes) -> bool:
        """Whether what looks like a row behind a hole is one, and no part of a row's value.

        Rows go on to the end of the list, or to the next hole.
        """
        last = at
        for _, last in self._run(at, end):
            pass
        if last == at:
            return False
        behind = b"]" + tail
        if self.data[last : last + len(behind)] == behind:
            return bool(tail) or last + 1 == end
        hole = self.hole(last, end)
        return hole is not None and b', {"model"'.startswith(self.data[last : min(last + 10, hole[0])])

    def _object(self, start: int, end: int) -> tuple[Any, int]:
        """The JSON object at `start` and where it ends; no object if a part of it is lost."""
        hole = self.hole(start, end)
        limit = end if hole is None else hole[0]
        window = 4096
        while True:
            stop = min(start + window, limit)
            text = bytes(self.data[start:stop]).decode("utf-8", "replace")
            try:
                value, length = json.JSONDecoder().raw_decode(text)
                return value, start + len(text[:length].encode("utf-8"))
            except (ValueError, RecursionError):
                if stop == limit:
                    return None, start
                window *= 4

    # Version 1

    def first(self) -> Iterator[Event]:
        (length,) = struct.unpack(">I", self.data[8:12].ljust(4, b"\0"))
        start = 12 + length
        end = min(start, self.size)
        if self.hole(0, 12) or not length:
            raise RestoreError(_NOTHING)
        rows = self.data.find(b'"records": [', 12, end)
        head: dict[str, Any] = {}
        if rows >= 0 and self.hole(12, rows) is None:
            text = bytes(self.data[12:rows]).decode("ascii", "replace").rstrip(", ")
            head = _document(text + "}") or {}
        self.skipped.append(
            "one seal covers the whole of a backup of version 1: with a part of it lost, what is "
            "left proves nothing against somebody who altered it"
        )
        meta = meta_of(head, None)
        yield meta
        yield from groups(self.rows(max(rows, 12), end, b', "files": ['))
        listed = self._listed(end)
        if listed is None:
            self.skipped.append("the backup's list of files is lost, and all files with it")
        for item in listed or ():
            yield from self._first_file(item, start)
        yield End(counts=meta.counts)

    def _listed(self, end: int) -> list[Any] | None:
        """The entries of the list of files that are whole."""
        # The last one: rows stand before it, and may hold such a text.
        at = self.data.rfind(b'], "files": [', 12, end)
        if at < 0:
            return None
        found = []
        lost = False
        while (at := self.data.find(b'{"kind"', at, end)) >= 0:
            item, after = self._object(at, end)
            if item is None:
                lost = True
                hole = self.hole(at, end)
                after = max(hole[1] if hole else end, at + 1)
            else:
                found.append(item)
            at = after
        if lost:
            self.skipped.append("a part of the backup's list of files is lost")
        return found

    def _first_file(self, item: Any, base: int) -> Iterator[File]:
        file = file_of(item)
        start = base + int(item.get("offset") or 0)
        spans = [(start, start + file.size)]
        if self._whole(spans, file.size, item.get("sha256")):
            file.stream = _Spans(self.data, spans)
            yield file
        else:
            self.skipped.append(f"{file.shown}: lost")

    # Version 2

    def second(self) -> Iterator[Event]:
        listed: dict[int, File] = {}
        number = 0
        counts = files = None
        spans: dict[int, list[tuple[int, int]]] = {}
        done: set[int] = set()
        started = False
        for kind, start, end in self._frames():
            whole = self.hole(start, end) is None
            document = _document(self.data[start:end]) if whole and kind in b"HMET" else None
            if kind == b"H" and isinstance(document, dict):
                yield meta_of(document, document.get("order"))
                started = True
                continue
            if not started:
                yield Meta()
                started = True
            if kind == b"M":
                for item in document or self._first_items(start, end):
                    listed[number] = file_of(item)
                    number += 1
                if not whole:
                    # How many it listed is unknown: the numbers of those behind it are so, too.
                    self.skipped.append("a part of the backup's list of files is lost")
                    number += 1 << 32
            elif kind == b"D" and whole and end - start >= 4:
                (index,) = struct.unpack(">I", self.data[start : start + 4])
                spans.setdefault(index, []).append((start + 4, end))
            elif kind == b"E" and isinstance(document, dict):
                index = document.get("index")
                if isinstance(index, int) and index in listed:
                    done.add(index)
                    yield from self._second_file(listed[index], spans.pop(index, []), document)
            elif kind == b"R":
                yield from groups(self.rows(start, end))
            elif kind == b"T" and isinstance(document, dict):
                counts = meta_of(document, None).counts
                files = document.get("stats", {}).get("files")
        if not started:
            raise RestoreError(_NOTHING)
        for index, file in listed.items():
            if index not in done:
                self.skipped.append(f"{file.shown}: lost")
        if counts is None:
            self.skipped.append(
                "the end of the backup is lost: how many rows and files it had is unknown"
            )
        elif isinstance(files, int) and files > len(listed):
            self.skipped.append(f"{files - len(listed)} files, with their names: lost")
        yield End(counts=counts)

    def _first_items(self, start: int, end: int) -> Iterator[Any]:
        """The entries of a list of files up to the first that is lost."""
        at = self.data.find(b"{", start, end)
        while at >= 0:
            item, at = self._object(at, end)
            if item is None:
                return
            yield item
            at = at + 1 if self.data[at : at + 2] == b",{" else -1

    def _frames(self) -> Iterator[tuple[bytes, int, int]]:
        """The frames: kind, and where the body is. Behind a hole the next one is searched for."""
        at = 8 if self.data[:8] == b"DBSPAY02" else 0
        at = at if at and self.hole(0, 8) is None else self._next_frame(0)
        while at + 5 <= self.size:
            hole = self.hole(at, at + 5)
            found = None if hole else self._frame(at)
            if found is None:
                at = self._next_frame(max(hole[1], at + 1) if hole else at + 1)
                continue
            kind, start, end = found
            hole = self.hole(start, end)
            if hole and hole[0] == hole[1]:
                # How much is lost is not known: the frame's length leads nowhere.
                at = self._next_frame(hole[1])
                continue
            yield kind, start, min(end, self.size)
            at = end

    def _frame(self, at: int) -> tuple[bytes, int, int] | None:
        kind = self.data[at : at + 1]
        (length,) = struct.unpack(">I", self.data[at + 1 : at + 5])
        if kind not in b"HMDERT" or length > FRAME_LIMIT:
            return None
        return kind, at + 5, at + 5 + length

    def _next_frame(self, at: int) -> int:
        """Where a frame begins, at or behind `at`; the end of the data if none does."""
        while match := _FRAME.search(self.data, at):
            at = match.start()
            after = self._frame(at)
            if after is not None and (match[0][:1] != b"D" or self._leads_on(after[2])):
                return at
            at += 1
        return self.size

    def _leads_on(self, at: int) -> bool:
        """Whether another frame, or a hole, stands where a data frame says that it ends."""
        if at >= self.size:
            return at == self.size
        return _FRAME.match(self.data, at) is not None or self.hole(at, at + 5) is not None

    def _second_file(
        self, file: File, spans: list[tuple[int, int]], end: dict[str, Any]
    ) -> Iterator[File]:
        if end.get("skipped"):
            file.left_out = str(end["skipped"])
            yield file
        elif self._whole(spans, end.get("size"), end.get("sha256")):
            file.size = sum(b - a for a, b in spans)
            file.stream = _Spans(self.data, spans)
            yield file
        else:
            self.skipped.append(f"{file.shown}: lost")

    def _whole(self, spans: list[tuple[int, int]], size: Any, digest: Any) -> bool:
        if any(b > self.size or self.hole(a, b) for a, b in spans):
            return False
        if sum(b - a for a, b in spans) != size:
            return False
        state = hashlib.sha256()
        stream = _Spans(self.data, spans)
        while piece := stream.read(_STEP):
            state.update(piece)
        return state.hexdigest() == digest


class _Spans:
    """Ranges of the data as one stream."""

    def __init__(self, data: Any, spans: list[tuple[int, int]]) -> None:
        self._data = data
        self._spans = [span for span in reversed(spans) if span[0] < span[1]]

    def read(self, size: int = -1) -> bytes:
        if not self._spans:
            return b""
        start, end = self._spans.pop()
        stop = end if size < 0 else min(end, start + size)
        if stop < end:
            self._spans.append((stop, end))
        return bytes(self._data[start:stop])


def _document(text: Any) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
