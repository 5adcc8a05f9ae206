"""One side of the interoperability test: what the real package reads and writes.

Takes jobs from standard input, a line each, with tabs between the words, and answers each with a line:

    read FILE PASSPHRASE                            SHA-256 of the payload, its length
    validate FILE PASSPHRASE                        `valid`, or what the package says
    write OUT PAYLOAD VERSION BLOCK NSYM INTERLEAVE COMPRESS PASSPHRASE
    backup OUT PASSPHRASE                           a backup of a few rows, made and validated by the package
"""

import contextlib
import hashlib
import io
import pathlib
import sys
import zlib


def setup():
    import django
    from django.conf import settings

    settings.configure(
        SECRET_KEY="x",
        INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth"],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        DEFAULT_AUTO_FIELD="django.db.models.AutoField",
        USE_TZ=True,
    )
    django.setup()


def kdf():
    from dbs.crypto.kdf import KDFParams

    return KDFParams(time_cost=1, memory_cost=64, parallelism=2)


def payload_of(path, passphrase):
    data = pathlib.Path(path).read_bytes()
    if data[8:10] == b"\x00\x02":
        from dbs.container import StreamReader

        reader = StreamReader(io.BytesIO(data), passphrase)
        body = b"".join(bytes(chunk) for chunk in reader.chunks())
        if not reader.flags & 1:
            return body
        payload = b""
        while body:
            member = zlib.decompressobj()
            payload += member.decompress(body) + member.flush()
            assert member.eof, "a zlib stream ends early"
            body = member.unused_data
        return payload
    from dbs.container import BlockPlan, repair_copies
    from dbs.container.format import read_container
    from dbs.crypto.envelope import EnvelopeMaterial, decrypt_payload

    manifest, copy_a, copy_b = read_container(data)
    ciphertext, report = repair_copies(copy_a, copy_b, BlockPlan.from_dict(manifest["blocks"]))
    assert report.ok and not report.healed, report
    body = decrypt_payload(ciphertext, passphrase, EnvelopeMaterial.from_dict(manifest["crypto"]))
    payload = zlib.decompress(body) if manifest["compression"] == "zlib" else body
    assert hashlib.sha256(payload).hexdigest() == manifest["payload_sha256"]
    return payload


def read(path, passphrase):
    payload = payload_of(path, passphrase)
    return f"{hashlib.sha256(payload).hexdigest()} {len(payload)}"


def validate(path, passphrase):
    from dbs.engine.validate import validate_backup

    result = validate_backup(pathlib.Path(path).read_bytes(), passphrase)
    report = result.repair_report
    if result.ok and result.decrypted_ok and not report.healed:
        return "valid"
    return result.summary()


def write(out, payload, version, block_size, nsym, interleave, compress, passphrase):
    payload = pathlib.Path(payload).read_bytes()
    block_size, nsym, compress = int(block_size), int(nsym), compress == "1"
    if version == "2":
        from dbs.container import StreamWriter

        with open(out, "wb") as file:
            writer = StreamWriter(
                file, passphrase, kdf_params=kdf(), block_size=block_size, nsym=nsym,
                interleave=int(interleave), flags=int(compress),
            )
            if compress:
                for start in range(0, len(payload), 1 << 20):
                    writer.write(zlib.compress(payload[start : start + (1 << 20)], 6))
            else:
                writer.write(payload)
            writer.close()
        return "written"
    from dbs.container import encode_copy, write_container
    from dbs.crypto import encrypt_payload

    body = zlib.compress(payload, 6) if compress else payload
    ciphertext, material = encrypt_payload(body, passphrase, kdf_params=kdf())
    encoded, plan = encode_copy(ciphertext, block_size=block_size, nsym=nsym)
    manifest = {
        "format": "DBS",
        "version": 1,
        "created": "2024-02-29T23:59:59.123456+00:00",
        "compression": "zlib" if compress else None,
        "payload_sha256": hashlib.sha256(payload).hexdigest(),
        "copy_len": plan.copy_len,
        "blocks": plan.to_dict(),
        "crypto": material.to_dict(),
        "stats": {"models": [], "records": 0, "files": 0},
    }
    container = write_container(manifest, encoded, encoded, flags=7 if compress else 6)
    pathlib.Path(out).write_bytes(container)
    return "written"


def backup(out, passphrase):
    from django.contrib.auth.models import Group, Permission
    from django.core.management import call_command

    from dbs.engine.backup import create_backup

    call_command("migrate", verbosity=0)
    group, _ = Group.objects.get_or_create(name="Größe")
    group.permissions.set(Permission.objects.all())
    container = create_backup(passphrase, models=[Permission, Group], kdf_params=kdf())
    pathlib.Path(out).write_bytes(container)
    return validate(out, passphrase)


def main():
    setup()
    jobs = {"read": read, "validate": validate, "write": write, "backup": backup}
    for line in sys.stdin:
        command, *args = line.rstrip("\n").split("\t")
        try:
            # The package may print; an answer is one line.
            with contextlib.redirect_stdout(sys.stderr):
                answer = jobs[command](*args)
        except Exception as error:  # what a release cannot do is an answer that is not expected
            answer = f"{type(error).__name__}: {error}"
        print(answer.replace("\n", " "), flush=True)


if __name__ == "__main__":
    main()
