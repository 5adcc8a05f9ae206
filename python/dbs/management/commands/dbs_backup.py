"""Back up the project into one encrypted, self-healing file."""

from __future__ import annotations

import json
import os
from typing import Any

from django.core.management.base import CommandError

from dbs import conf, passphrases, retention
from dbs.backup import timestamped_name, write_backup
from dbs.exceptions import ConfigurationError, Error
from dbs.management.base import IO, USAGE, DbsCommand, system_says


class Command(DbsCommand):
    help = __doc__

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("output", nargs="?", help="File to write; must not exist yet.")
        parser.add_argument(
            "--output-dir",
            metavar="DIR",
            help="Write into this directory under a name made of the time. For cron; "
            "default: the setting DBS_BACKUP_DIR.",
        )
        parser.add_argument(
            "--keep",
            type=int,
            metavar="N",
            help="With --output-dir: afterwards remove the oldest backups that this command "
            "wrote there, but the newest N.",
        )
        parser.add_argument("--prefix", help="With --output-dir: how names begin.")
        parser.add_argument("--force", action="store_true", help="Overwrite an existing file.")
        parser.add_argument("--database", default="default", help="Alias of the database.")
        parser.add_argument(
            "--model", action="append", metavar="APP.MODEL", help="Only this model (repeatable)."
        )
        parser.add_argument(
            "--allow-missing-files",
            action="store_true",
            help="Leave out files that cannot be read, and list them, instead of stopping.",
        )
        parser.add_argument(
            "--profile",
            default="standard",
            choices=["standard", "coded", "light"],
            help="How the redundancy is spent (default: standard, two copies).",
        )
        parser.add_argument("--no-compress", action="store_true", help="Store without compression.")
        parser.add_argument(
            "--no-verify", action="store_true", help="Do not read the backup back after writing."
        )
        parser.add_argument("--threads", type=int, help="Threads for the codec.")
        parser.add_argument(
            "--push",
            metavar="TARGET",
            help="Send the backup to this SFTP target of DBS_SSH_TARGETS as well.",
        )
        parser.add_argument(
            "--storage",
            metavar="ALIAS",
            help="Save the backup in this storage of STORAGES as well.",
        )
        parser.add_argument("--json", action="store_true", help="Report as JSON.")
        passphrases.add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        output = options["output"]
        directory = options["output_dir"]
        if output and directory:
            raise CommandError("Give a file or --output-dir, not both.", returncode=USAGE)
        if not output:
            directory = directory or conf.setting("DBS_BACKUP_DIR")
            if not directory:
                raise CommandError(
                    "Give the file to write, or --output-dir, or set DBS_BACKUP_DIR.",
                    returncode=USAGE,
                )
        elif options["keep"] is not None or options["prefix"]:
            raise CommandError("--keep and --prefix go with --output-dir.", returncode=USAGE)
        if options["prefix"] and os.path.basename(options["prefix"]) != options["prefix"]:
            raise CommandError("--prefix is how a name begins, without a directory.", returncode=USAGE)
        if options["threads"] is not None and options["threads"] < 1:
            raise CommandError("--threads must be at least 1.", returncode=USAGE)
        if options["keep"] is not None and options["keep"] < 1:
            raise CommandError("--keep must be at least 1.", returncode=USAGE)
        targets = self._targets(options)
        passphrase = passphrases.resolve(options, self.stderr, confirm=True, required=True)
        assert passphrase is not None
        settings = {
            "using": options["database"],
            "models": options["model"],
            "allow_missing_files": options["allow_missing_files"],
            "profile": options["profile"],
            "compress": not options["no_compress"],
            "verify": not options["no_verify"],
            "overwrite": options["force"],
            "threads": options["threads"],
        }
        removed: list[str] = []
        if directory:
            directory = os.path.abspath(os.fspath(directory))
            os.makedirs(directory, mode=0o700, exist_ok=True)
            with retention.ledger(directory) as ledger:
                output = os.path.join(directory, timestamped_name(options["prefix"]))
                report = write_backup(output, passphrase, **settings)
                ledger.add(output, report.verified)
                if options["keep"] is not None:
                    removed = ledger.keep(options["keep"])
        else:
            try:
                report = write_backup(output, passphrase, **settings)
            except FileExistsError:
                raise CommandError(
                    f"{output} exists. Choose another name, or overwrite it with --force.",
                    returncode=USAGE,
                ) from None
        if not options["json"]:
            self.note(options, report.notes)
            for item in report.missing_files:
                self.stderr.write(f"Left out: {item}")
            self.stdout.write(f"{output}: {report.summary()}")
            for name in removed:
                self.stdout.write(f"removed {name}")
        sent = []
        for send in targets:
            sent.append(self._sent(send, output))
            if not options["json"]:
                self.stdout.write(f"sent to {sent[-1]}")
        if options["json"]:
            document = {**report.as_dict(), "sent": sent, "removed": removed}
            self.stdout.write(json.dumps(document, indent=1))

    def _sent(self, send: Any, output: str) -> str:
        try:
            return str(send(output))
        except (Error, OSError) as error:
            text = system_says(error) if isinstance(error, OSError) else str(error)
            raise CommandError(
                f"{text} The backup itself is complete: {output}", returncode=IO
            ) from None

    def _targets(self, options: dict[str, Any]) -> list[Any]:
        """Where the backup is to be sent. Looked up first, so that a typing error costs no backup."""
        from dbs.transports import SSHTarget, push_backup, store_backup

        sends: list[Any] = []
        try:
            if options["push"]:
                target = SSHTarget.from_settings(options["push"])
                sends.append(lambda path: push_backup(path, os.path.basename(path), target))
        except ConfigurationError as error:
            raise CommandError(str(error), returncode=USAGE) from None
        if options["storage"]:
            alias = options["storage"]
            from django.core.files.storage import storages

            storages[alias]
            sends.append(lambda path: store_backup(path, os.path.basename(path), alias))
        return sends
