"""Known answers of section 6, and the decoder against random damage."""

import hashlib
import random

from dbs_reader.code import correct, fill, interpolation, solve, vote


def row(K: int, s: int) -> bytes:
    """G[s][0..K]: column 0 is the factor of position 0, here taken as one more known slot."""
    from dbs_reader.code import EXP, LOG, weights

    points = tuple(range(K + 1))
    w = weights(points)
    top = sum(LOG[s ^ j] for j in points)
    return bytes(EXP[(top - LOG[s ^ c] + LOG[w[c]]) % 255] for c in points)


def parity(K: int, data: bytes, slots: list[int]) -> bytes:
    rows = {c + 1: bytes([d]) for c, d in enumerate(data)}
    return b"".join(fill(K, len(data), rows, slots).values())


def test_matrix() -> None:
    assert row(3, 4).hex() == "1b1c1214"
    assert row(3, 255).hex() == "a02a55de"
    assert row(223, 224)[:9].hex() == "645046 8ab07a0bdeb8".replace(" ", "")
    for K, digest in (
        (223, "00f54f5ff08e70224eda5b189196a4817ac8620a2aaf70592efe7b4f12959979"),
        (119, "94b2b5fcaddd9fde470bdf889a838b41f3a11bc258bffb63621dcdae139d4dbc"),
    ):
        rows = b"".join(row(K, s) for s in range(K + 1, 256))
        assert hashlib.blake2b(rows, digest_size=32).hexdigest() == digest
        assert list(row(K, 255)[1:]) == interpolation(K, K, tuple(range(1, K + 1)), 255)


def test_parity() -> None:
    assert parity(3, b"\x68\x65\x6c", [4, 5, 6, 7]).hex() == "e3d0a9fb"
    assert parity(3, b"\x01\x02\x03", [4, 5, 6, 7, 8, 9]).hex() == "040506070809"
    slots = [224, 225, 239, 240, 255]
    assert parity(223, b"\x01", slots).hex() == "50648612a0"
    assert parity(223, bytes(range(223, 0, -1)), slots).hex() == "c72fc6a5ed"
    assert parity(119, bytes(range(119, 0, -1)), [120, 127, 128, 255]).hex() == "0f9786aa"


def test_errors_and_erasures_up_to_the_bound() -> None:
    random.seed(3)
    for K, k, m in ((3, 3, 4), (3, 1, 2), (223, 223, 32), (223, 9, 16), (119, 119, 136), (119, 60, 70)):
        data = {c: random.randbytes(40) for c in range(1, k + 1)}
        slots = list(range(1, k + 1)) + list(range(K + 1, K + 1 + m))
        word = fill(K, k, data, slots)
        lost = random.sample(slots, random.randrange(m // 2 + 1))
        rows = {s: bytearray(r) for s, r in word.items() if s not in lost}
        erased = {s: bytearray(40) for s in rows}
        for j in range(40):
            s = random.randrange(m - len(lost) + 1)
            e = (m - len(lost) - s) // 2
            bad = random.sample(sorted(rows), min(s + e, len(rows)))
            for i, slot in enumerate(bad):
                if i < s:
                    erased[slot][j] = 1
                    rows[slot][j] = 0
                else:
                    rows[slot][j] ^= random.randrange(1, 256)
        got = correct(K, k, {s: bytes(r) for s, r in rows.items()}, erased, set())
        assert got == data, (K, k, m)


def test_too_many_errors_never_pass_unnoticed_as_other_than_a_code_word() -> None:
    random.seed(4)
    for _ in range(200):
        errors = solve(random.randbytes(6), random.sample(range(1, 256), random.randrange(7)))
        assert errors is None or len(errors) <= 6


def test_vote() -> None:
    data = {1: b"hello"}
    word = fill(223, 1, data, [1, *range(224, 232), *range(240, 248)])
    for s in list(word)[:13]:
        word[s] = random.randbytes(5)
    assert vote(list(word.items()), 223) == [b"hello"]


def test_copies_that_are_wrong_in_the_same_way_do_not_outvote_two_slots() -> None:
    right, wrong = b"\x07" * 9, b"\x55" * 9
    rows = fill(3, 1, {1: right}, [4, 5])
    assert vote([(1, wrong), (1, wrong), (4, rows[4]), (5, rows[5])], 3) == [right]
    # Where its copies differ, a slot has no voice.
    other = b"\x66" * 9
    assert vote([(1, wrong), (1, other), (4, rows[4])], 3) == [right]
    assert vote([(1, wrong), (4, rows[4])], 3, limit=1) == []
