"""Restores one old backup into the corpus's project; prints what is there then, as JSON.

Arguments: the project's folder, the backup, the passphrase. The working folder is the data folder.
"""

import hashlib
import json
import os
import sys

project, backup, passphrase = sys.argv[1:4]
sys.path.insert(0, project)
data = os.getcwd()
os.environ.update(DJ_DATA=data, DJANGO_SETTINGS_MODULE="site1.settings")

import django  # noqa: E402

django.setup()
from django.core import serializers  # noqa: E402
from django.core.management import call_command  # noqa: E402

from dbs import list_backup, restore_backup  # noqa: E402

for name in ("media", "ext", "root"):
    os.makedirs(os.path.join(data, name), exist_ok=True)
call_command("migrate", verbosity=0)
if sys.argv[4:] == ["salvage"]:
    # A damaged backup through the command: refused, and then what is left of it.
    import io

    from django.apps import apps
    from django.core.management import CommandError

    os.environ["DBS_PASSPHRASE"] = passphrase

    def restore(*options):
        err = io.StringIO()
        try:
            call_command("dbs_restore", backup, *options, stdout=io.StringIO(), stderr=err)
        except CommandError as error:
            return error.returncode, str(error)
        except SystemExit as stop:
            return stop.code, err.getvalue()
        return 0, err.getvalue()

    strict, strict_err = restore("--no-files")
    models = [m for m in apps.get_models() if m._meta.app_label in ("shop", "auth")]
    models = [m for m in models if m._meta.label != "auth.Permission"]
    assert not any(m._base_manager.exists() for m in models)
    code, err = restore("--salvage", "--no-files")
    print(json.dumps({
        "strict": strict, "strict_err": strict_err, "code": code, "err": err,
        "rows": sum(m._base_manager.count() for m in models),
    }))
    sys.exit()
listing = list_backup(backup, passphrase)
# The backups were made in another folder.
old = {f.root for f in listing.files if f.kind == "root"} | {
    os.path.dirname(os.path.dirname(f.name)) + "/root" for f in listing.files if f.kind == "path"
}
base = os.path.dirname(old.pop())
report = restore_backup(backup, passphrase, path_map={base: data})

from django.apps import apps  # noqa: E402

records = []
for label in ("auth.group", "auth.user", "shop.category", "shop.tag", "shop.author",
              "shop.product", "shop.contribution", "shop.orderline"):
    rows = apps.get_model(label)._base_manager.order_by("pk")
    for row in json.loads(serializers.serialize("json", rows)):
        row["fields"].pop("secret_token", None)
        if row["fields"].get("external_path"):
            path = row["fields"]["external_path"]
            assert path.startswith(data + "/"), path
            row["fields"]["external_path"] = base + path[len(data):]
        if "v2" in os.path.basename(backup) and label == "auth.group":
            Permission = apps.get_model("auth.permission")
            # In the order of the ids that they had in the project that was backed up.
            order = ["add_author", "add_backuprecord", "add_anomalyevent", "add_auditevent",
                     "add_backupschedule"]
            row["fields"]["permissions"] = sorted(
                (
                    list(Permission.objects.get(pk=pk).natural_key())
                    for pk in row["fields"]["permissions"]
                ),
                key=lambda key: order.index(key[0]),
            )
        if label == "shop.product" and row["pk"] == 2:
            # Its 997 microseconds were cut to no milliseconds, written as such.
            assert row["fields"]["opens"] == "01:01:07"
            row["fields"]["opens"] += ".000"
        for name in list(row["fields"]):
            if name in ("groups", "permissions", "tags", "user_permissions"):
                if "v1" in os.path.basename(backup):
                    row["fields"][name].sort()
        records.append(row)
files = []
for name in ("media", "ext", "root"):
    top = os.path.join(data, name)
    for folder, _, found in os.walk(top):
        for file in found:
            path = os.path.join(folder, file)
            with open(path, "rb") as f:
                content = f.read()
            relative = os.path.relpath(path, top)
            files.append({
                "kind": {"media": "storage", "ext": "path", "root": "root"}[name],
                "name": os.path.basename(relative) if name == "ext" else relative,
                "size": len(content),
                "sha256": hashlib.sha256(content).hexdigest(),
            })
canonical = json.dumps(records, sort_keys=True, separators=(",", ":"))
print(json.dumps({
    "version": report.version,
    "healed": report.healed,
    "rows": {label: result.rows for label, result in report.models.items()},
    "listed": listing.rows,
    "files": files,
    "records": hashlib.sha256(canonical.encode()).hexdigest(),
    "raw": records if os.environ.get("LEGACY_RAW") else None,
}))
