"""List the models and files in a backup."""

from __future__ import annotations

import json
from typing import Any

from dbs import passphrases
from dbs.checking import list_backup
from dbs.management.base import DbsCommand
from dbs.reports import amount, size


class Command(DbsCommand):
    help = __doc__
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("input", help="The backup.")
        parser.add_argument("--json", action="store_true", help="As JSON.")
        passphrases.add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        passphrase = self.read_passphrase(options, options["input"])
        listing = list_backup(options["input"], passphrase)
        if options["json"]:
            document = {
                "created": listing.created,
                "django": listing.django,
                "rows": listing.rows,
                "files": [
                    {"kind": f.kind, "name": f.shown, "type": f.type, "size": f.size}
                    for f in listing.files
                ],
                "missing": listing.missing,
            }
            self.stdout.write(json.dumps(document, indent=1))
            return
        self.stdout.write(f"created {listing.created}, Django {listing.django}")
        for label, count in listing.rows.items():
            self.stdout.write(f"{count:>12,}  {label}")
        for file in listing.files:
            self.stdout.write(f"{file.size:>12,}  {file.shown}{'/' if file.type == 'dir' else ''}")
        for name in listing.missing:
            self.stdout.write(f"{'missing':>12}  {name}")
        total = sum(f.size for f in listing.files)
        self.stdout.write(
            f"{amount(sum(listing.rows.values()), 'row')}, "
            f"{amount(len(listing.files), 'file')} ({size(total)})"
        )
