"""What a payload holds, as a sequence of events, whatever its format."""

from __future__ import annotations

import json
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Union

from .exceptions import RestoreError
from .files import FIELD, NAME, PATH, ROOT, STORAGE
from .tarstream import META, SUMMARY, members, mtime_ns


@dataclass
class Meta:
    """What is known before the first row. `models` is None where only the rows tell."""

    created: str = ""
    django: str = ""
    migrations: dict[str, list[str]] = field(default_factory=dict)
    models: list[str] | None = None
    counts: dict[str, int] | None = None
    storages: dict[str, list[str]] = field(default_factory=dict)
    path_fields: list[str] = field(default_factory=list)
    roots: list[str] = field(default_factory=list)


@dataclass
class Rows:
    """Some rows of one model; a model may come in several of these."""

    model: str
    rows: Iterator[dict[str, Any]]


@dataclass
class File:
    """One file. `left_out` says why there is none, and may be known only after reading."""

    kind: str
    name: str
    size: int = 0
    field: str | None = None
    root: str | None = None
    storage: str | None = None
    type: str = "file"
    target: str = ""
    mode: int | None = None
    mtime_ns: int | None = None
    stream: Any = None
    left_out: str | None = None

    @property
    def shown(self) -> str:
        if self.kind == "root":
            return f"{self.root}/{self.name}" if self.name else str(self.root)
        return self.name


@dataclass
class End:
    """The payload is complete."""

    counts: dict[str, int] | None = None
    summary: dict[str, Any] = field(default_factory=dict)


Event = Union[Meta, Rows, File, End]

ROWS = re.compile(r"rows/([^/]+?)(?:\.part\d+)?\.jsonl\Z")
_TYPES = {tarfile.REGTYPE: "file", tarfile.AREGTYPE: "file", tarfile.DIRTYPE: "dir",
          tarfile.SYMTYPE: "symlink"}


def tar_events(stream: Any, seekable: bool) -> Iterator[Event]:
    """The events of a tar of ours."""
    meta: Meta | None = None
    try:
        for info, body in members(stream, seekable):
            if meta is None:
                if info.name != META or body is None:
                    raise RestoreError(
                        "This is no backup of a Django project: its first entry is "
                        f"{info.name!r}. Files are restored with the command `dbs restore`."
                    )
                meta = parse_meta(body.read())
                yield meta
            elif info.name == SUMMARY and body is not None:
                summary = json.loads(body.read())
                yield End(counts=summary.get("rows"), summary=summary)
                return
            elif body is not None and (match := ROWS.fullmatch(info.name)):
                yield Rows(match.group(1), map(json.loads, body))
            elif info.name.startswith("files/"):
                yield tar_file(info, body, meta)
    except tarfile.TarError as error:
        raise RestoreError(f"The tar inside the backup cannot be read: {error}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RestoreError(f"The backup's contents cannot be understood: {error!r}") from error
    raise RestoreError("The backup's contents end too early.")


def parse_meta(data: bytes) -> Meta:
    document = json.loads(data)
    if document.get("format") != 1:
        raise RestoreError(
            f"The backup has format {document.get('format')!r}, which this version of DBS does "
            "not know. Install a newer one."
        )
    listed = document["models"]
    return Meta(
        created=document["created"],
        django=document["django"],
        migrations=document.get("migrations", {}),
        models=[item["model"] for item in listed],
        counts={item["model"]: item["rows"] for item in listed},
        storages=document.get("storages", {}),
        path_fields=document.get("path_fields", []),
        roots=document.get("roots", []),
    )


def tar_file(info: tarfile.TarInfo, body: Any, meta: Meta) -> File:
    kind = _TYPES.get(info.type)
    if kind is None:
        raise RestoreError(f"{info.name} is of a kind that no backup holds.")
    file = File(
        kind="",
        name="",
        size=info.size,
        field=info.pax_headers.get(FIELD),
        type=kind,
        target=info.linkname if kind == "symlink" else "",
        mode=info.mode,
        mtime_ns=mtime_ns(info),
        stream=body,
    )
    name = info.name
    if name.startswith(STORAGE):
        key, _, rest = name[len(STORAGE) :].partition("/")
        file.kind, file.storage = "storage", key
        file.name = info.pax_headers.get(NAME, rest)
    elif name.startswith(PATH + "/"):
        file.kind = "path"
        file.name = info.pax_headers.get(NAME, name[len(PATH) :])
    elif name.startswith(ROOT):
        number, _, rest = name[len(ROOT) :].partition("/")
        index = int(number)
        if not 0 <= index < len(meta.roots):
            raise RestoreError(f"{name} belongs to no root of the backup.")
        file.kind, file.root, file.name = "root", meta.roots[index], rest.rstrip("/")
    else:
        raise RestoreError(f"{name} is at no place where a backup has files.")
    if file.kind != "root" and kind != "file":
        raise RestoreError(f"{name} is a {kind} where only files can be.")
    return file
