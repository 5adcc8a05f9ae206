"""The Reed-Solomon code (section 6): encoding, erasures, errors and erasures.

Rows are byte strings of P bytes, one for each slot; a column is byte j of every row.
Whole rows are multiplied by a constant with `bytes.translate` and added as big integers.
"""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from itertools import product

EXP = [0] * 510
LOG = [0] * 256


def _fill_tables() -> None:
    value = 1
    for power in range(255):
        EXP[power] = EXP[power + 255] = value
        LOG[value] = power
        value = value << 1 ^ (0x11D if value & 0x80 else 0)


_fill_tables()


def mul(a: int, b: int) -> int:
    return EXP[LOG[a] + LOG[b]] if a and b else 0


def inv(a: int) -> int:
    return EXP[255 - LOG[a]]


MUL = [bytes(mul(a, b) for b in range(256)) for a in range(256)]
POWERS = [bytes([1] * 256)]  # POWERS[j][x] = x^j, with 0^0 = 1
for _ in range(256):
    POWERS.append(bytes(mul(p, x) for x, p in enumerate(POWERS[-1])))


def combine(coefficients: list[int], rows: list[bytes]) -> bytes:
    """Sum of coefficient times row."""
    total = 0
    for coefficient, row in zip(coefficients, rows):
        if coefficient:
            total ^= int.from_bytes(row.translate(MUL[coefficient]), "little")
    return total.to_bytes(len(rows[0]), "little")


def virtual(K: int, k: int) -> list[int]:
    """Positions that are 0 in every code word of a block: 0 and the slots k+1 to K (section 6)."""
    return [0, *range(k + 1, K + 1)]


@lru_cache(maxsize=512)
def weights(points: tuple[int, ...]) -> dict[int, int]:
    """For each point c the inverse of the product of (c - j) over all other points j."""
    result = {}
    for c in points:
        result[c] = EXP[-sum(LOG[c ^ j] for j in points if j != c) % 255]
    return result


@lru_cache(maxsize=4096)
def interpolation(K: int, k: int, known: tuple[int, ...], wanted: int) -> list[int]:
    """Factors of the k known slots in the value of another slot (Lagrange, sections 6 and 6.4)."""
    points = tuple(virtual(K, k)) + known
    w = weights(points)
    top = sum(LOG[wanted ^ j] for j in points) % 255
    return [EXP[(top - LOG[wanted ^ c] + LOG[w[c]]) % 255] for c in known]


def fill(K: int, k: int, rows: dict[int, bytes], wanted: list[int]) -> dict[int, bytes]:
    """The rows of the wanted slots, from at least k rows that are right (erasures, section 6.4)."""
    known = tuple(sorted(rows)[:k])
    values = [rows[c] for c in known]
    return {
        s: rows[s] if s in rows else combine(interpolation(K, k, known, s), values)
        for s in wanted
    }


def vote(ballots: list[tuple[int, bytes]], K: int, limit: int = 256) -> list[bytes]:
    """Candidates for the one data row of a block with k = 1 (section 6.4, "One data sector").

    `ballots` are slots and what was received of them; a slot may vote more than once. Ties give
    several candidates, the product of all ties if there are at most `limit` of them.
    """
    votes = []
    for s, row in ballots:
        factor = 1 if s == 1 else interpolation(K, 1, (1,), s)[0]
        votes.append(row.translate(MUL[inv(factor)]))
    choices: list[list[int]] = []
    combinations = 1
    for column in zip(*votes):
        count = Counter(column)
        best = max(count.values())
        tied = [value for value, n in count.items() if n == best]
        if len(tied) > 1:
            said: dict[int, set[int]] = {}
            for (s, _), value in zip(ballots, column):
                said.setdefault(s, set()).add(value)
            voices = Counter(values.pop() for values in said.values() if len(values) == 1)
            tied = [value for value in tied if voices[value] == max(voices[v] for v in tied)]
        choices.append(tied)
        combinations *= len(tied)
        if combinations > limit:
            return []
    return [bytes(c) for c in product(*choices)] if votes else []


def correct(
    K: int, k: int, rows: dict[int, bytes], erased: dict[int, bytes], certain: set[int]
) -> dict[int, bytes] | None:
    """Corrects errors and erasures column by column (sections 6.4 and 19.2).

    `rows` are the slots of which something was received; `erased[s][j]` is not 0 where column j of
    slot s is erased; slots that are not in `rows` are erased everywhere. Returns the data rows, or
    None if a column cannot be decoded or would change a byte of a certain slot.

    Slots without a row are punctured from the code. What is left is a code over the points
    A = {0, virtual slots, slots with a row} with the checks S_l = sum of w_i * i^l * r_i, l from 0
    to |A| - K - 2, where w_i are the weights of Lagrange's formula on A. This is section 6.3 for
    a smaller set of points: 2e + s <= m_A + m_B becomes 2e + s' <= number of checks.
    """
    checks = len(rows) - k
    if checks < 0:
        return None
    slots = sorted(rows)
    length = len(rows[slots[0]])
    w = weights(tuple(virtual(K, k) + slots))
    values = [rows[s] for s in slots]
    syndromes = b"".join(
        combine([mul(w[s], POWERS[l][s]) for s in slots], values) for l in range(checks)
    )
    fixed = {s: bytearray(rows[s]) for s in slots}
    for j in range(length):
        gaps = [s for s in slots if s in erased and erased[s][j]]
        column = syndromes[j::length] if checks else b""
        if not any(column):
            # All checks hold. Erased bytes stay as they are (they fit), if there are not too many.
            if len(gaps) > checks:
                return None
            continue
        errors = solve(column, gaps)
        if errors is None:
            return None
        for s, value in errors.items():
            if s not in fixed or s in certain:
                return None
            fixed[s][j] ^= mul(value, inv(w[s]))
    return fill(K, k, {s: bytes(row) for s, row in fixed.items()}, list(range(1, k + 1)))


def solve(syndromes: bytes, erasures: list[int]) -> dict[int, int] | None:
    """Error values by position, from syndromes S_l = sum of e_i * i^l (no position is 0).

    Berlekamp-Massey with the erasure locator as its start, roots by evaluation, Forney's formula.
    The result is checked against every syndrome.
    """
    checks = len(syndromes)
    if len(erasures) > checks:
        return None
    locator = [1]
    for x in erasures:
        locator = _add(locator, [0] + [mul(x, c) for c in locator])
    previous, degree, gap, last = locator, len(erasures), 1, 1
    for n in range(len(erasures), checks):
        delta = 0
        for i, c in enumerate(locator[: n + 1]):
            if c and syndromes[n - i]:
                delta ^= EXP[LOG[c] + LOG[syndromes[n - i]]]
        if not delta:
            gap += 1
            continue
        scale = mul(delta, inv(last))
        update = _add(locator, [0] * gap + [mul(scale, c) for c in previous])
        if 2 * degree <= n + len(erasures):
            previous, degree, gap, last = locator, n + 1 + len(erasures) - degree, 1, delta
        else:
            gap += 1
        locator = update
    while locator and not locator[-1]:
        locator.pop()
    count = len(locator) - 1
    if 2 * (count - len(erasures)) + len(erasures) > checks:
        return None
    # values[y] is the locator polynomial at y; its roots are the inverses of the positions.
    values = 0
    for power, c in enumerate(locator):
        values ^= int.from_bytes(POWERS[power].translate(MUL[c]), "little")
    table = values.to_bytes(256, "little")
    roots = [y for y in range(1, 256) if not table[y]]
    if len(roots) != count:
        return None
    omega = [
        _dot(locator[: n + 1], syndromes[: n + 1]) for n in range(min(count, checks))
    ]
    result = {}
    for y in roots:
        top = bottom = 0
        for power, c in enumerate(omega):
            top ^= mul(c, POWERS[power][y])
        for power in range(1, len(locator), 2):
            bottom ^= mul(locator[power], POWERS[power - 1][y])
        if not bottom:
            return None
        x = inv(y)
        value = mul(x, mul(top, inv(bottom)))
        if value:
            result[x] = value
    for l in range(checks):
        total = 0
        for x, value in result.items():
            total ^= mul(value, POWERS[l][x])
        if total != syndromes[l]:
            return None
    return result


def _add(a: list[int], b: list[int]) -> list[int]:
    if len(a) < len(b):
        a, b = b, a
    return [x ^ y for x, y in zip(a, b)] + a[len(b) :]


def _dot(a: list[int], b: bytes) -> int:
    """Sum of a[i] * b[n - i]."""
    total = 0
    for i, c in enumerate(a):
        total ^= mul(c, b[len(b) - 1 - i])
    return total
