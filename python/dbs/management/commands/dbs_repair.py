"""Write a repaired copy of a damaged backup. Needs no passphrase."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import CommandError

from dbs.checking import ValidationReport, repair_backup
from dbs.management.base import USAGE, DbsCommand


class Command(DbsCommand):
    help = __doc__
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("input", help="The damaged backup.")
        parser.add_argument("output", help="File for the repaired copy; must not exist yet.")
        parser.add_argument("--force", action="store_true", help="Overwrite an existing file.")
        parser.add_argument("--json", action="store_true", help="Report as JSON.")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            report = repair_backup(options["input"], options["output"], overwrite=options["force"])
        except FileExistsError:
            raise CommandError(
                f"{options['output']} exists. Choose another name, or overwrite it with --force.",
                returncode=USAGE,
            ) from None
        if options["json"]:
            self.stdout.write(json.dumps(report.as_dict(), indent=1))
        else:
            self.note(options, list(report.notes))
            self.stdout.write(f"{options['input']}: {ValidationReport(report).summary()}")
            self.stdout.write(f"{options['output']}: written, nothing is damaged")
