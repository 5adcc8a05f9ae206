"""The damages of the acceptance run. Each makes a damaged copy of a file; offsets and noise come from a seeded generator."""

import os
import subprocess

SECTOR = 4096
CHUNK = 1 << 20


class Damager:
    def __init__(self, rot_program, random):
        self.rot_program = rot_program
        self.random = random

    def plan(self, profile, size):
        """Names and functions (source, target) of every damage that a file of this size and profile must survive."""
        share, rate = (0.4, "1e-2") if profile == "coded" else (0.2, "2e-3")
        long = size * 45 // 100
        middle = self.random.randrange(size // 4, size // 2)
        yield f"{share:.0%} of 4 KiB sectors zeroed", lambda s, t: self.zero_sectors(s, t, share)
        yield f"bit error rate {rate}", lambda s, t: self.rot(s, t, rate)
        for name, at in [("the beginning", 0), (f"byte {middle}", middle), ("the end", size - long)]:
            yield f"burst of 45% at {name}", lambda s, t, at=at: self.overwrite(s, t, at, long)
        yield "45% cut off the tail", lambda s, t: splice(s, t, [(0, size - long)])
        yield "45% cut off the head", lambda s, t: splice(s, t, [(long, size)])
        yield f"byte {middle} removed", lambda s, t: splice(s, t, [(0, middle), (middle + 1, size)])
        yield f"a byte inserted at {middle}", lambda s, t: splice(s, t, [(0, middle), b"\x42", (middle, size)])
        yield f"4 KiB removed at {middle}", lambda s, t: splice(s, t, [(0, middle), (middle + 4096, size)])
        yield "first and last 64 KiB zeroed", self.zero_ends
        yield "the halves swapped", lambda s, t: splice(s, t, [(size // 2, size), (0, size // 2)])
        before, behind = self.random.randbytes(100_001), self.random.randbytes(77_777)
        yield "junk before and behind", lambda s, t: splice(s, t, [before, (0, size), behind])

    def zero_sectors(self, source, target, share):
        splice(source, target, [(0, os.path.getsize(source))])
        zeros = bytes(SECTOR)
        with open(target, "r+b") as file:
            # Exactly this share, at random places, and with no list of them: what this process takes at
            # most counts as memory of the commands that it starts.
            sectors = os.path.getsize(source) // SECTOR
            wanted = int(sectors * share)
            for sector in range(sectors):
                if self.random.random() * (sectors - sector) < wanted:
                    os.pwrite(file.fileno(), zeros, sector * SECTOR)
                    wanted -= 1

    def rot(self, source, target, rate):
        seed = str(self.random.randrange(1 << 32))
        subprocess.run([self.rot_program, source, target, rate, seed], check=True)

    def overwrite(self, source, target, at, length):
        noise = self.random.randbytes(CHUNK)
        whole, rest = divmod(length, CHUNK)
        pieces = [(0, at)] + [noise] * whole + [noise[:rest], (at + length, os.path.getsize(source))]
        splice(source, target, pieces)

    def zero_ends(self, source, target):
        zeros = bytes(65536)
        splice(source, target, [zeros, (65536, os.path.getsize(source) - 65536), zeros])


def wipe_block(source, target, number, sector_size):
    """Zeroes every sector of one block of an undamaged version 3 file, in both copies."""
    splice(source, target, [(0, os.path.getsize(source))])
    zeros = bytes(sector_size)
    with open(target, "r+b") as file:
        for at in range(0, os.path.getsize(source), sector_size):
            frame = os.pread(file.fileno(), 16, at)
            if frame[5] != 255 and int.from_bytes(frame[8:16], "little") == number:
                os.pwrite(file.fileno(), zeros, at)


def splice(source, target, pieces):
    """Writes ranges (start, end) of the source and bytes, one behind the other."""
    with open(source, "rb") as read, open(target, "wb") as write:
        for piece in pieces:
            if isinstance(piece, bytes):
                write.write(piece)
                continue
            write.flush()
            at, end = piece
            while at < end:
                n = os.copy_file_range(read.fileno(), write.fileno(), min(end - at, 1 << 30), at)
                if n == 0:
                    raise EOFError(f"{source} ends at {at}")
                at += n
