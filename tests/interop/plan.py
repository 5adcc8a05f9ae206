"""Plans the interoperability test: payloads, and for each program the jobs in order with what it has to answer.

    plan.py DIR [--all]

Writes DIR/payload-N and DIR/STEP.jobs, DIR/STEP.expected for the steps that `run` goes through. A job is a line of
words with tabs between them, as `package.py` and `ours.rs` take them; an answer is a line.
"""

import hashlib
import itertools
import pathlib
import sys

PASSPHRASE = "pässwörd-漢字"
# version, block size, nsym, interleave: the limits of each, and what lies between.
CASES = [
    (1, 65536, 16, 0), (1, 1000, 7, 0), (1, 4096, 64, 0), (1, 300, 254, 0), (1, 777, 1, 0),
    (2, 65536, 16, 64), (2, 1000, 7, 64), (2, 512, 128, 1), (2, 2048, 2, 3), (2, 4096, 33, 4096),
]
MORE = [
    (1, 1, 16, 0), (1, 16, 3, 0), (1, 17, 30, 0), (1, 1 << 20, 32, 0),
    (2, 16 << 20, 16, 1), (2, 513, 17, 2), (2, 3000, 64, 5), (2, 65536, 128, 4),
]
PACKAGES = {1: ["0.1.0", "0.7.0"], 2: ["0.7.0"]}  # which releases read a version
WRITERS = {1: "0.1.0", 2: "0.7.0"}  # and which one wrote it


def lengths(version, block, everything):
    """Empty, one byte, either side of each edge of a block, several blocks."""
    # The tag stands in the last block of version 1, and in each of version 2 with the descriptor.
    room = block - 16 if version == 1 else block - 32
    found = {0, 1, room - 1, room, room + 1, 3 * block + 5}
    if everything:
        found |= {2, block - 1, block, block + 1, 2 * room, 2 * room + 1, 7 * block + 1}
        if block < 100_000:
            found |= {70 * block + 3}
    return sorted(n for n in found if n >= 0)


def payload(length):
    """Bytes that compress by a third."""
    out, seed = bytearray(), b"dbs"
    while len(out) < length:
        seed = hashlib.sha256(seed).digest()
        out += seed + b"a" * 16
    return bytes(out[:length])


class Steps:
    def __init__(self, folder):
        self.folder, self.steps = folder, {}

    def add(self, step, answer, *job):
        self.steps.setdefault(step, []).append(("\t".join(map(str, job)), answer))

    def write(self):
        for step, lines in self.steps.items():
            for kind, column in [("jobs", 0), ("expected", 1)]:
                text = "".join(line[column] + "\n" for line in lines)
                (self.folder / f"{step}.{kind}").write_text(text)
        print(sum(map(len, self.steps.values())), "jobs in", len(self.steps), "steps")


def main(folder, *rest):
    folder, everything = pathlib.Path(folder), "--all" in rest
    steps, sizes, number = Steps(folder), set(), itertools.count()
    for version, block, nsym, interleave in CASES + (MORE if everything else []):
        for length in lengths(version, block, everything):
            # The releases are slow where every byte is a block of its own.
            if version == 1 and block < 100 and length > 20_000:
                continue
            sizes.add(length)
            digest = f"{hashlib.sha256(payload(length)).hexdigest()} {length}"
            shape = (version, block, nsym, interleave)
            for compress in [0, 1]:
                file = folder / f"ours-{next(number)}.dbs"
                steps.add("1-ours", "written", "write", file, folder / f"payload-{length}", *shape, compress, PASSPHRASE)
                for release in PACKAGES[version]:
                    steps.add(f"2-package-{release}", digest, "read", file, PASSPHRASE)
                writer = WRITERS[version]
                if everything or compress == length % 2:
                    file = folder / f"theirs-{next(number)}.dbs"
                    steps.add(f"2-package-{writer}", "written",
                              "write", file, folder / f"payload-{length}", *shape, compress, PASSPHRASE)
                    steps.add("3-ours", digest, "read", file, PASSPHRASE)
                    steps.add("3-ours", "clean []", "validate", file, PASSPHRASE)
    # A backup of the package itself. Its payload in a container of ours must pass the package's own validation.
    for version, release in WRITERS.items():
        theirs, inner, ours = (folder / f"{kind}-{release}" for kind in ["backup", "inner", "outer"])
        steps.add(f"2-package-{release}", "valid", "backup", theirs, PASSPHRASE)
        steps.add("3-ours", "clean []", "validate", theirs, PASSPHRASE)
        steps.add("3-ours", "extracted", "extract", theirs, PASSPHRASE, inner)
        steps.add("3-ours", "written", "write", ours, inner, version, 65536, 16, 64, 1, PASSPHRASE)
        for reader in PACKAGES[version]:
            steps.add(f"4-package-{reader}", "valid", "validate", ours, PASSPHRASE)
    for length in sizes:
        (folder / f"payload-{length}").write_bytes(payload(length))
    steps.write()


if __name__ == "__main__":
    main(*sys.argv[1:])
