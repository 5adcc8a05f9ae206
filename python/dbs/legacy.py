"""Payloads that django-dbs 0.1.0 to 0.7.0 wrote, read as a stream.

`DBSPAY01` is a JSON document and then the bytes of all files; `DBSPAY02` is a sequence of frames.
Both become the same events that a payload of ours becomes (see `events.py`).
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from typing import Any

from .events import End, Event, File, Meta, Rows
from .exceptions import RestoreError

MAGICS = (b"DBSPAY01", b"DBSPAY02")
FRAME_LIMIT = 256 << 20
#: The app of django-dbs itself. Up to 0.7.0 it had tables of its own, and backed them up.
OWN_APP = "dbs"
_STEP = 1 << 20


def _damaged(what: str) -> RestoreError:
    return RestoreError(f"The backup's payload is not what django-dbs writes: {what}.")


def _exactly(stream: Any, count: int, what: str) -> bytes:
    parts = []
    while count:
        part = stream.read(count)
        if not part:
            raise _damaged(f"it ends inside {what}")
        parts.append(part)
        count -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def is_own_model(label: str) -> bool:
    """Whether a model of a backup is one of django-dbs itself, of which nothing is left."""
    return label.partition(".")[0] == OWN_APP


def events(stream: Any) -> Iterator[Event]:
    magic = _exactly(stream, 8, "its first bytes")
    if magic == b"DBSPAY01":
        return _first(stream)
    if magic == b"DBSPAY02":
        return _second(stream)
    raise _damaged("unknown first bytes")


class _Limited:
    """A given number of bytes of a stream."""

    def __init__(self, stream: Any, length: int) -> None:
        self._stream = stream
        self.left = length

    def read(self, size: int = -1) -> bytes:
        if size is None or size < 0 or size > self.left:
            size = self.left
        if not size:
            return b""
        data = self._stream.read(size)
        if not data:
            raise _damaged("it ends inside a file")
        self.left -= len(data)
        return data

    def drain(self) -> None:
        while self.read(_STEP):
            pass


def meta_of(document: dict[str, Any], order: list[str] | None) -> Meta:
    migrations = document.get("migrations") or {}
    counts = None
    stats = document.get("stats")
    if isinstance(stats, dict) and isinstance(stats.get("models"), list):
        counts = {
            str(item["model"]).lower(): int(item["count"])
            for item in stats["models"]
            if isinstance(item, dict) and "model" in item and "count" in item
        }
    return Meta(
        created=str(document.get("created", "")),
        django=str(document.get("django_version", "")),
        migrations={str(app): [str(name)] for app, name in dict(migrations).items()},
        models=[label.lower() for label in order] if order is not None else None,
        counts=counts,
    )


def file_of(item: Any) -> File:
    if not isinstance(item, dict):
        raise _damaged("a file's description is not an object")
    kind = item.get("kind")
    name = item.get("name")
    size = item.get("size", item.get("length"))
    if kind not in ("storage", "path", "root") or not isinstance(name, str):
        raise _damaged(f"a file of kind {kind!r}")
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise _damaged(f"the size of {name} is {size!r}")
    field = None
    if item.get("model") and item.get("field"):
        field = f"{str(item['model']).lower()}.{item['field']}"
    if kind == "storage" and field is None:
        raise _damaged(f"{name} belongs to no field")
    root = item.get("root")
    if kind == "root" and not isinstance(root, str):
        raise _damaged(f"{name} belongs to no root")
    return File(kind=kind, name=name, size=size, field=field, root=root, storage=None)


# Version 1


class _Document:
    """The JSON object of a version 1 payload, parsed as it is read."""

    def __init__(self, stream: Any, length: int) -> None:
        self._stream = _Limited(stream, length)
        self._text = ""
        self._at = 0
        self._bytes = b""
        self._decoder = json.JSONDecoder()

    def _more(self) -> bool:
        data = self._stream.read(_STEP)
        if not data:
            return False
        # The writer escapes everything outside ASCII, so that pieces decode on their own.
        try:
            text = data.decode("ascii")
        except UnicodeDecodeError:
            raise _damaged("its JSON is not ASCII") from None
        self._text = self._text[self._at :] + text
        self._at = 0
        return True

    def _peek(self) -> str:
        while True:
            while self._at < len(self._text) and self._text[self._at] in " \t\r\n":
                self._at += 1
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                raise _damaged("its JSON ends too early")

    def take(self, expected: str) -> None:
        if self._peek() != expected:
            raise _damaged(f"its JSON has {self._peek()!r} where {expected!r} should be")
        self._at += 1

    def value(self) -> Any:
        self._peek()
        step = 1
        while True:
            try:
                value, end = self._decoder.raw_decode(self._text, self._at)
                # A number at the very end of the buffer may go on.
                if end < len(self._text) or not self._stream.left:
                    self._at = end
                    return value
            except (ValueError, RecursionError) as error:
                if not self._stream.left or isinstance(error, RecursionError):
                    raise _damaged("its JSON is broken") from None
            # Doubling, so that one huge value is not scanned once for every piece.
            for _ in range(step):
                if not self._more():
                    break
            step *= 2

    def members(self) -> Iterator[str]:
        self.take("{")
        if self._peek() == "}":
            self._at += 1
            return
        while True:
            key = self.value()
            self.take(":")
            yield key
            if self._peek() == "}":
                self._at += 1
                return
            self.take(",")

    def items(self) -> Iterator[Any]:
        self.take("[")
        if self._peek() == "]":
            self._at += 1
            return
        while True:
            yield self.value()
            if self._peek() == "]":
                self._at += 1
                return
            self.take(",")

    def finish(self) -> None:
        self._stream.drain()


def _first(stream: Any) -> Iterator[Event]:
    (length,) = struct.unpack(">I", _exactly(stream, 4, "the length of its JSON"))
    document = _Document(stream, length)
    head: dict[str, Any] = {}
    listed: list[tuple[int, File]] = []
    meta_sent = False
    for key in document.members():
        if key == "records":
            meta_sent = True
            yield meta_of(head, head.get("order"))
            yield from groups(document.items())
        elif key == "files":
            for item in document.items():
                offset = item.get("offset") if isinstance(item, dict) else None
                if not isinstance(offset, int) or isinstance(offset, bool):
                    raise _damaged("a file without a place")
                if item.get("size") != item.get("length"):
                    raise _damaged("a file whose size is not its length")
                listed.append((offset, file_of(item)))
        else:
            head[key] = document.value()
    document.finish()
    if not meta_sent:
        yield meta_of(head, [])
    position = 0
    for offset, file in listed:
        if offset != position:
            raise _damaged(f"{file.name} does not follow the file before it")
        body = _Limited(stream, file.size)
        file.stream = body
        yield file
        body.drain()
        position += file.size
    yield End()


def groups(rows: Iterator[Any]) -> Iterator[Rows]:
    """Consecutive rows of one model together."""
    label: str | None = None
    group: list[Any] = []
    for row in rows:
        if not isinstance(row, dict) or not isinstance(row.get("model"), str):
            raise _damaged("a record without a model")
        this = row["model"].lower()
        if group and (this != label or len(group) == 2000):
            yield Rows(str(label), iter(group))
            group = []
        label = this
        group.append(row)
    if group:
        yield Rows(str(label), iter(group))


# Version 2


def _frames(stream: Any) -> Iterator[tuple[bytes, int]]:
    while True:
        kind = stream.read(1)
        if not kind:
            return
        (length,) = struct.unpack(">I", _exactly(stream, 4, "a frame"))
        if length > FRAME_LIMIT:
            raise _damaged(f"a frame of {length} bytes")
        yield kind, length


def _json(stream: Any, length: int, what: type) -> Any:
    try:
        document = json.loads(_exactly(stream, length, "a frame"))
    except (ValueError, RecursionError):
        raise _damaged("the JSON of a frame is broken") from None
    if not isinstance(document, what):
        raise _damaged("a frame holds the wrong kind of JSON")
    return document


class _Frames:
    """The D frames of one file as a stream; stops at its E frame."""

    def __init__(self, stream: Any, frames: Iterator[tuple[bytes, int]], index: int) -> None:
        self._stream = stream
        self._frames = frames
        self._index = index
        self._left = 0
        self.end: dict[str, Any] | None = None
        self.count = 0

    def first(self, kind: bytes, length: int) -> None:
        self._frame(kind, length)

    def _frame(self, kind: bytes, length: int) -> None:
        if kind == b"D":
            if length < 4:
                raise _damaged("a short data frame")
            (index,) = struct.unpack(">I", _exactly(self._stream, 4, "a data frame"))
            if index != self._index:
                raise _damaged("data of another file inside a file")
            self._left = length - 4
        elif kind == b"E":
            self.end = _json(self._stream, length, dict)
            if self.end.get("index") != self._index:
                raise _damaged("the end of another file inside a file")
        else:
            raise _damaged("a frame of another kind inside a file")

    def read(self, size: int = -1) -> bytes:
        while not self._left and self.end is None:
            frame = next(self._frames, None)
            if frame is None:
                raise _damaged("it ends inside a file")
            self._frame(*frame)
        if not self._left:
            return b""
        take = self._left if size is None or size < 0 else min(size, self._left)
        data = _exactly(self._stream, take, "a data frame")
        self._left -= take
        self.count += take
        return data

    def drain(self) -> None:
        while self.read(_STEP):
            pass


def _second(stream: Any) -> Iterator[Event]:
    frames = _frames(stream)
    listed: list[File] = []
    seen_head = False
    done = 0
    for kind, length in frames:
        if not seen_head:
            if kind != b"H":
                raise _damaged("no head frame")
            head = _json(stream, length, dict)
            order = head.get("order")
            if not isinstance(order, list):
                raise _damaged("a head without the order of models")
            yield meta_of(head, [str(label) for label in order])
            seen_head = True
        elif kind == b"M":
            listed += [file_of(item) for item in _json(stream, length, list)]
        elif kind in (b"D", b"E"):
            if done >= len(listed):
                raise _damaged("more files than it lists")
            file = listed[done]
            body = _Frames(stream, frames, done)
            body.first(kind, length)
            if body.end is not None and body.end.get("skipped"):
                yield File(
                    kind=file.kind,
                    name=file.name,
                    size=0,
                    field=file.field,
                    root=file.root,
                    storage=None,
                    left_out=str(body.end["skipped"]),
                )
            else:
                file.stream = body
                yield file
                body.drain()
                if body.end is not None and body.end.get("skipped"):
                    file.left_out = str(body.end["skipped"])
                elif body.end is None or body.end.get("size") != body.count:
                    raise _damaged(f"{file.name} has {body.count} bytes")
            done += 1
        elif kind == b"R":
            yield from groups(iter(_json(stream, length, list)))
        elif kind == b"T":
            trailer = _json(stream, length, dict)
            if stream.read(1):
                raise _damaged("data behind its end")
            yield End(counts=meta_of(trailer, None).counts)
            return
        else:
            raise _damaged(f"a frame of kind {kind!r}")
    raise _damaged("no end")
