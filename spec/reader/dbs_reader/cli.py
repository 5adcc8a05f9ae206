"""The command (spec/behaviour.md): validate, repair, restore, info."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterable
from typing import Any

from . import facts, healer, reader
from .archive import Archive
from .errors import Authentication, Damaged, DbsError, Io, Limit, Misuse
from .sector import DATA, KIND_NAMES

# Behaviour 1.2: `validate` takes the first of these that applies.
ORDER = [6, 7, 4, 5, 3, 1, 0]
MAX_FILE = 1 << 30
MAX_PASSPHRASE = 64 << 10


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="dbs_reader", description="A second reader of DBS version 3.")
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("validate", "repair", "restore", "info"):
        p = commands.add_parser(name)
        p.add_argument("file")
        p.add_argument("--json", action="store_true")
        if name in ("validate", "restore"):
            p.add_argument("--passphrase-file")
            p.add_argument("--passphrase-stdin", action="store_true")
        if name in ("repair", "restore"):
            p.add_argument("-o", dest="out", required=True)
            p.add_argument("--force", action="store_true")
        if name == "repair":
            p.add_argument("--with", dest="others", nargs="+", default=[])
        if name == "restore":
            p.add_argument("--salvage", action="store_true")
    options = parser.parse_args(arguments)
    command = {"validate": validate, "repair": repair, "restore": restore, "info": info}[options.command]
    try:
        return command(options)
    except DbsError as e:
        print(f"{options.file}: {type(e).__name__}: {e}", file=sys.stderr)
        return e.exit_code
    except OSError as e:
        print(e, file=sys.stderr)
        return Io.exit_code


def read(path: str) -> bytes:
    if os.path.isfile(path) and os.path.getsize(path) > MAX_FILE:
        raise Limit(f"the file has {os.path.getsize(path)} bytes, this reader takes {MAX_FILE}")
    with open(path, "rb") as f:
        return f.read()


def passphrase(options: argparse.Namespace) -> bytes | None:
    """Behaviour 1.4, without the prompt."""
    if options.passphrase_file:
        with open(options.passphrase_file, "rb") as f:
            line = f.readline()
    elif options.passphrase_stdin:
        line = sys.stdin.buffer.readline()
    elif "DBS_PASSPHRASE" in os.environ:
        line = os.environb[b"DBS_PASSPHRASE"]
    else:
        return None
    if line.endswith(b"\n"):
        line = line[:-2] if line.endswith(b"\r\n") else line[:-1]
    if not line or len(line) > MAX_PASSPHRASE:
        raise Misuse("an empty passphrase, or one that is too long")
    return line


def write(path: str, pieces: Iterable[bytes], force: bool) -> None:
    """Behaviour 1.5: the output appears whole or not at all."""
    if path == "-":
        for piece in pieces:
            sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()
        return
    target = os.path.realpath(path)
    if os.path.exists(target) and not force:
        raise Misuse(f"{path} is there already (use --force)")
    handle, name = tempfile.mkstemp(prefix=".dbs-unfinished-", dir=os.path.dirname(target))
    try:
        with os.fdopen(handle, "wb") as f:
            for piece in pieces:
                f.write(piece)
            f.flush()
            os.fsync(f.fileno())
        os.replace(name, target)
    except BaseException:
        os.unlink(name)
        raise


def as_json(report: healer.Report, archive: Archive, decrypted: bool) -> dict[str, Any]:
    """Behaviour 9. The files that a lost block touches are not looked for."""
    failed = []
    for block in report.lost:
        start, end = healer.payload_range(archive, block)
        kind = archive.kind_of(block)
        failed.append(
            {
                "block": block,
                "kind": KIND_NAMES[kind],
                "payload": {"start": start, "end": end} if kind == DATA else None,
                "files": None,
            }
        )
    return {
        "format_version": 3,
        "status": report.status,
        "blocks": report.blocks,
        "blocks_healed": report.blocks_healed,
        "sectors": report.sectors,
        "sectors_bad": report.sectors_bad,
        "failed_blocks": failed,
        "decrypted": decrypted,
        "notes": report.notes,
    }


def examine(archive: Archive, secret: bytes | None) -> tuple[healer.Report, list[DbsError]]:
    """The report of a Verifier, and with a passphrase all errors of reading."""
    errors: list[DbsError] = []
    if secret is not None:
        reader.unlock_archive(archive, secret)
    archive.find_shape()
    report = healer.verify(archive)
    if archive.keys is not None:
        try:
            errors += reader.check_contents(reader.open_archive(archive))
        except DbsError as e:
            errors.append(e)
    return report, errors


def first_code(report: healer.Report, errors: list[DbsError]) -> int:
    """Of several findings the one that counts (behaviour 1.2)."""
    codes = {{"clean": 0, "recoverable": 1, "unrecoverable": 3}[report.status]}
    codes |= {e.exit_code for e in errors}
    return next(code for code in ORDER if code in codes)


def validate(options: argparse.Namespace) -> int:
    """Behaviour 3."""
    secret = passphrase(options)
    archive = Archive([read(options.file)])
    report, errors = examine(archive, secret)
    decrypted = archive.keys is not None
    report.notes += [str(e) for e in errors if isinstance(e, Authentication)]
    if options.json:
        print(json.dumps(as_json(report, archive, decrypted), separators=(",", ":")))
    else:
        print(f"{options.file}: version 3, {report.blocks} blocks, {report.sectors} sectors: {report.status}")
        print(f"  {report.sectors_bad} sectors are bad, {report.blocks_healed} blocks were healed")
        for note in report.notes:
            print(f"  {note}")
        if report.lost:
            print(f"  {healer.describe(archive, report.lost)}")
    for e in errors:
        print(f"{options.file}: {type(e).__name__}: {e}", file=sys.stderr)
    return first_code(report, errors)


def repair(options: argparse.Namespace) -> int:
    """Behaviour 4, `-o OUT`."""
    if options.out == "-":
        raise Misuse("the healed file is not written to standard output")
    archive = Archive([read(path) for path in [options.file, *options.others]])
    archive.find_shape()
    if options.json:
        report = healer.verify(archive)
        print(json.dumps(as_json(report, archive, False), separators=(",", ":")))
    write(options.out, [healer.repaired(archive)], options.force)
    return 0


def restore(options: argparse.Namespace) -> int:
    """Behaviour 5, `-o FILE|-`."""
    secret = passphrase(options)
    if secret is None:
        raise Misuse("no passphrase was given")
    archive = Archive([read(options.file)])
    reader.unlock_archive(archive, secret)
    archive.find_shape()
    opened = reader.open_archive(archive, options.salvage)
    reader.distrust_table(opened)
    if not options.salvage:
        write(options.out, reader.payload(opened), options.force)
        return 0
    pieces, missing = reader.salvage(opened)
    write(options.out, pieces, options.force)
    for start, end in missing:
        print(f"{options.file}: lost {start}..{end}", file=sys.stderr)
    if opened.manifest is None:
        print(f"{options.file}: the backup was not finished, or its end is lost", file=sys.stderr)
    return Damaged.exit_code if missing or opened.manifest is None else 0


def info(options: argparse.Namespace) -> int:
    """Behaviour 7."""
    archive = Archive([read(options.file)])
    archive.find_shape()
    values = facts.facts(archive)
    if options.json:
        print(json.dumps(values, separators=(",", ":")))
    else:
        for name, value in values.items():
            print(f"{name}: {value}")
    return 0
