"""Restore rows and files from a backup."""

from __future__ import annotations

import json
import sys
from typing import Any

from django.core.management.base import CommandError

from dbs import passphrases
from dbs.management.base import UNRECOVERABLE, USAGE, DbsCommand
from dbs.reports import amount
from dbs.restore import restore_backup


class Command(DbsCommand):
    help = __doc__

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("input", help="The backup.")
        parser.add_argument("--database", default="default", help="Alias of the database.")
        parser.add_argument(
            "--flush",
            action="store_true",
            help="Empty the tables of the backup first, instead of merging by primary key.",
        )
        parser.add_argument(
            "--dry-run",
            action="store_true",
            help="Do all of it, say what it would change, and take it back.",
        )
        parser.add_argument(
            "--model", action="append", metavar="APP.MODEL", help="Only this model (repeatable)."
        )
        parser.add_argument(
            "--file", action="append", metavar="PATTERN", help="Only files like this (repeatable)."
        )
        parser.add_argument("--no-data", action="store_true", help="Do not restore rows.")
        parser.add_argument("--no-files", action="store_true", help="Do not restore files.")
        parser.add_argument(
            "--skip-unknown",
            action="store_true",
            help="Leave out rows and columns that this project has no model or field for.",
        )
        parser.add_argument(
            "--map",
            action="append",
            default=[],
            metavar="OLD=NEW",
            help="Restore what lay under the directory OLD to NEW (repeatable).",
        )
        parser.add_argument(
            "--restore-root",
            action="append",
            default=[],
            metavar="DIR",
            help="Allow files to be restored below DIR, as DBS_RESTORE_ROOTS does (repeatable).",
        )
        parser.add_argument(
            "--no-input",
            "--noinput",
            action="store_false",
            dest="interactive",
            help="Do not ask before --flush.",
        )
        parser.add_argument(
            "--salvage",
            action="store_true",
            help="Restore what is left of a backup that is damaged beyond repair, and list what "
            "is lost. Exit code 3 if anything is.",
        )
        parser.add_argument("--json", action="store_true", help="Report as JSON.")
        passphrases.add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        if options["no_data"] and options["no_files"]:
            raise CommandError("--no-data and --no-files leave nothing to restore.", returncode=USAGE)
        mapping = {}
        for item in options["map"]:
            old, separator, new = item.partition("=")
            if not (old and separator and new):
                raise CommandError(f"--map {item}: write OLD=NEW.", returncode=USAGE)
            mapping[old] = new
        source = options["input"]
        if options["salvage"]:
            self.last_resort = "the command line alone: `dbs restore --salvage`, as plain files"
        passphrase = self.read_passphrase(options, source)
        if options["flush"] and not options["dry_run"] and options["interactive"]:
            self._confirm(options["database"])
        report = restore_backup(
            source,
            passphrase,
            using=options["database"],
            flush=options["flush"],
            dry_run=options["dry_run"],
            data=not options["no_data"],
            files=not options["no_files"],
            models=options["model"],
            only_files=options["file"],
            skip_unknown=options["skip_unknown"],
            path_map=mapping,
            restore_roots=options["restore_root"],
            salvage=options["salvage"],
        )
        if options["json"]:
            self.stdout.write(json.dumps(report.as_dict(), indent=1))
            self._end(report)
            return
        self.note(options, report.notes)
        for item in dict.fromkeys(report.skipped):
            self.stderr.write(f"Left out: {item}")
        if options["verbosity"] > 1 or options["dry_run"]:
            if report.created:
                self.stdout.write(f"made {report.created}")
            for label, result in report.models.items():
                if result.rows or result.deleted:
                    self.stdout.write(
                        f"{label}: {amount(result.rows, 'row')} ({result.inserted:,} new, "
                        f"{result.updated:,} replaced, {result.deleted:,} deleted before)"
                    )
        self.stdout.write(f"{source}: {report.summary()}")
        if report.healed and not report.beyond_repair:
            self.stderr.write(
                "The backup is damaged. Write a healthy copy of it with `manage.py dbs_repair`."
            )
        self._end(report)

    def _end(self, report: Any) -> None:
        if report.beyond_repair:
            raise SystemExit(UNRECOVERABLE)

    def _confirm(self, database: str) -> None:
        if not sys.stdin.isatty():
            raise CommandError(
                "--flush deletes rows. Say --no-input to do so without being asked.",
                returncode=USAGE,
            )
        answer = input(f"All rows of the backup's tables in {database!r} will be replaced. Type yes: ")
        if answer != "yes":
            raise CommandError("Nothing was changed.", returncode=USAGE)
