"""Check a backup. Exit code 0: clean; 1: damaged, and all of it can be recovered; 3: beyond repair."""

from __future__ import annotations

import json
from typing import Any

from dbs import passphrases
from dbs.checking import validate_backup
from dbs.management.base import RECOVERABLE, UNRECOVERABLE, DbsCommand


class Command(DbsCommand):
    help = __doc__
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("input", help="The backup.")
        parser.add_argument("--json", action="store_true", help="Report as JSON.")
        passphrases.add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        passphrase = passphrases.resolve(options, self.stderr, confirm=False, required=False)
        report = validate_backup(options["input"], passphrase)
        if options["json"]:
            self.stdout.write(json.dumps(report.container.as_dict(), indent=1))
        else:
            self.note(options, list(report.container.notes))
            self.stdout.write(f"{options['input']}: {report.summary()}")
        if not report.ok:
            if not options["json"]:
                self.stderr.write("Use another copy of this backup; what is left of this one "
                                  "comes back with `manage.py dbs_restore --salvage`.")
            raise SystemExit(UNRECOVERABLE)
        if not report.clean:
            if not options["json"]:
                self.stderr.write("Write a healthy copy with `manage.py dbs_repair`.")
            raise SystemExit(RECOVERABLE)
