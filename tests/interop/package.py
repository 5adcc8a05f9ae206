"""One side of the interoperability test: what the real package reads and writes.

    package.py read FILE PASSPHRASE                 SHA-256 of the payload, length, or an error
    package.py validate FILE PASSPHRASE             exit code 0 if the package calls it valid
    package.py write OUT PAYLOAD VERSION BLOCK NSYM INTERLEAVE COMPRESS PASSPHRASE
"""

import hashlib
import io
import sys
import zlib


def setup():
    import django
    from django.conf import settings

    settings.configure(
        SECRET_KEY="x",
        INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth"],
        DATABASES={},
    )
    django.setup()


def read(path, passphrase):
    from dbs.container.format import read_container

    with open(path, "rb") as fh:
        data = fh.read()
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
            assert member.eof
            body = member.unused_data
        return payload
    from dbs.container import BlockPlan, repair_copies
    from dbs.crypto.envelope import EnvelopeMaterial, decrypt_payload

    manifest, copy_a, copy_b = read_container(data)
    ciphertext, report = repair_copies(copy_a, copy_b, BlockPlan.from_dict(manifest["blocks"]))
    assert report.ok and not report.healed, report
    body = decrypt_payload(ciphertext, passphrase, EnvelopeMaterial.from_dict(manifest["crypto"]))
    payload = zlib.decompress(body) if manifest["compression"] == "zlib" else body
    assert hashlib.sha256(payload).hexdigest() == manifest["payload_sha256"]
    return payload


def write(out, payload, version, block_size, nsym, interleave, compress, passphrase):
    from dbs.crypto.kdf import KDFParams

    params = KDFParams(time_cost=1, memory_cost=64, parallelism=2)
    with open(payload, "rb") as fh:
        payload = fh.read()
    if version == 2:
        from dbs.container import StreamWriter

        with open(out, "wb") as fh:
            writer = StreamWriter(
                fh, passphrase, kdf_params=params, block_size=block_size, nsym=nsym,
                interleave=interleave, flags=1 if compress else 0,
            )
            if compress:
                for start in range(0, len(payload), 1 << 20):
                    writer.write(zlib.compress(payload[start : start + (1 << 20)], 6))
            else:
                writer.write(payload)
            writer.close()
        return
    from dbs.container import encode_copy, write_container
    from dbs.crypto import encrypt_payload

    body = zlib.compress(payload, 6) if compress else payload
    ciphertext, material = encrypt_payload(body, passphrase, kdf_params=params)
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
    with open(out, "wb") as fh:
        fh.write(write_container(manifest, encoded, encoded, flags=7 if compress else 6))


def main(command, *args):
    setup()
    if command == "read":
        payload = read(*args)
        print(hashlib.sha256(payload).hexdigest(), len(payload))
    elif command == "validate":
        from dbs.engine.validate import validate_backup

        with open(args[0], "rb") as fh:
            result = validate_backup(fh.read(), args[1])
        print(result.summary())
        return 0 if result.ok and result.decrypted_ok else 1
    elif command == "write":
        out, payload, version, block_size, nsym, interleave, compress, passphrase = args
        write(out, payload, int(version), int(block_size), int(nsym), int(interleave),
              compress == "1", passphrase)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
