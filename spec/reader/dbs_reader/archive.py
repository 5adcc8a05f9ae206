"""One archive in one or more inputs: its shape, its table, and its blocks healed (17.1, 18, 20)."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

from .block import unseal
from .errors import Damaged, Misuse
from .heal import Found, Healed, Judge, believe, ladder
from .keys import Keys
from .layout import Layout, order_backwards
from .locate import Source, choose, near_magic
from .page import Page
from .sector import DATA, END, INDEX, MANIFEST, TABLE, Frame, distance
from .table import TableBlock, block_hash, build_table, parse_table
from .walk import walk

SHIFTS = 16
OWN_BASES = 8


class Archive:
    """Everything that can be known of an archive without its payload."""

    def __init__(self, inputs: list[bytes]) -> None:
        found = [Source(data) for data in inputs]
        # 20.2: the first input that has a valid page decides, and without any the first.
        decides = next((source for source in found if source.pages), found[0])
        self.id, S = decides.archive, decides.S
        self.sources = []
        for source in found:
            own = source.archive
            if own != self.id:
                source = Source(source.data, self.id)
            foreign = source.S != S or (source.holding and not source.intact)
            if not self.sources and source is not decides:
                # 18, step 1: a first input without a page has to hold something of the archive.
                if foreign or not source.intact and distance(own, self.id) > 16:
                    raise Damaged("nothing of the archive of the other inputs is in the first one")
            elif foreign:
                raise Misuse("the inputs are not of one archive")
            self.sources.append(source)
        self.keys: Keys | None = None
        self.notes: list[str] = []
        self.pages: list[Page] = []
        candidates = []
        for source in self.sources:
            pages = source.pages
            self.pages += [p for p in pages if p not in self.pages]
            candidates += [p for p in [source.own_page(pages)] if p]
        self.page = choose(candidates)
        self.geometry = self.page.geometry
        for source in self.sources:
            source.restrict(self.page)
        self.rotten: dict[int, Counter[tuple[int, int]]] = defaultdict(Counter)
        self.claims: Counter[int] = Counter()
        self._collect()
        self._read_rotten_frames()
        # The shape; None where it is not known.
        self.D: int | None = None
        self.I: int | None = None
        self.N: int | None = None
        self.tables: dict[int, TableBlock] = {}
        self.entries: dict[int, bytes] = {}
        self.layout: Layout | None = None
        self.guesses: list[tuple[int, int]] = []
        self.hints: dict[tuple[str, int], set[int]] = defaultdict(set)
        self.shifts: list[list[int]] = [[0] for _ in self.sources]
        self.cache: dict[int, Healed] = {}

    def _collect(self) -> None:
        """Intact sectors by block, and end sectors."""
        self.by_block: dict[int, list[tuple[int, int]]] = defaultdict(list)
        self.ends: Counter[int] = Counter()
        for i, source in enumerate(self.sources):
            for offset, frame in source.intact:
                if frame.kind == END:
                    self.ends[frame.block] += 1
                else:
                    self.by_block[frame.block].append((i, offset))

    # -- Shape ---------------------------------------------------------------------------------

    @property
    def X(self) -> int | None:
        return None if self.D is None or self.I is None else self.D + self.I + 1

    @property
    def hopeless(self) -> bool:
        """Whether more blocks are claimed than sectors fit into the inputs: some have none at all.

        Nothing is looped over or allocated for such a claim (sections 14.4 and 21).
        """
        room = sum(len(source.data) // source.S for source in self.sources)
        return self.X is not None and self.X > room

    def find_shape(self) -> None:
        """Finds N, D, I, the table and the layout (section 17.1, steps 3 and 4)."""
        shapes = self._tables_by_frames()
        if not shapes:
            shapes = self._tables_by_place()
        if shapes:
            self._take(*self._best(shapes))
        else:
            self._shape_by_frames()
        self._find_layout()
        if self.tables and self.layout:
            self._more_tables()

    def frames_say(self, block: int) -> list[tuple[int, int]]:
        """(kind, k) that intact sectors of the block have, the one with most slots first (19.5)."""
        slots: dict[tuple[int, int], set[int]] = defaultdict(set)
        for i, offset in self.by_block.get(block, ()):
            frame = self.sources[i].frame(offset)
            slots[frame.kind, frame.k].add(frame.slot)
        return sorted(slots, key=lambda pair: (-len(slots[pair]), pair))

    def _table_judge(self, block: int) -> Judge:
        def judge(rows: list[bytes]) -> bool:
            table = parse_table(b"".join(rows), self.id, block, self.geometry)
            return table is not None and self.D in (None, table.D) and self.I in (None, table.I)

        return judge

    def _try_table(self, block: int, k: int) -> TableBlock | None:
        healed = self._climb(block, TABLE, k, self._table_judge(block))
        if healed.rows is None:
            return None
        return parse_table(b"".join(healed.rows), self.id, block, self.geometry)

    def _tables_by_frames(self) -> dict[tuple[int, int], dict[int, TableBlock]]:
        """Valid table blocks that intact sectors lead to, by (D, I)."""
        shapes: dict[tuple[int, int], dict[int, TableBlock]] = defaultdict(dict)
        for block in sorted(self.by_block, reverse=True):
            for kind, k in self.frames_say(block)[:4]:
                table = self._try_table(block, k) if kind == TABLE else None
                if table:
                    shapes[table.D, table.I][block - table.X] = table
        return shapes

    def _tables_by_place(self) -> dict[tuple[int, int], dict[int, TableBlock]]:
        """The same where no sector of the table may be intact: from the end, or by a walk."""
        claims = [N for N, _ in self.ends.most_common(4)]
        claims += [b + 1 for b in sorted(self.by_block, reverse=True)[:2]]
        source = self.sources[0]
        blocks = walk(source, self.page)
        if blocks:
            self.guesses = blocks
            claims.insert(0, len(blocks))
            self.layout = Layout(self.geometry, self.page.lag, [k for _, k in blocks])
            self._find_shifts()
        claims += [N for N, _ in self.claims.most_common(6)]
        for N in dict.fromkeys(claims):
            shape = self.geometry.shape(N)
            if shape is None:
                continue
            X, T = shape
            self._hint_tail(N, X)
            shapes: dict[tuple[int, int], dict[int, TableBlock]] = defaultdict(dict)
            for block in [b for b in range(N - 1, max(X, N - 64) - 1, -1)]:
                table = self._try_table(block, self.geometry.table_k(X, block - X))
                if table and table.X == X:
                    shapes[table.D, table.I][block - X] = table
            if shapes:
                return shapes
            self.hints.clear()
        self.layout = None
        return {}

    def _read_rotten_frames(self) -> None:
        """What damaged frames say, for blocks and counts that nothing else tells (20.4)."""
        for source in self.sources:
            for at in source.grid():
                if near_magic(source.data, at) and not source.covered(at):
                    frame = source.frame(at)
                    if distance(frame.archive, self.id) <= 16 and frame.kind in (TABLE, END):
                        self.claims[frame.block + (frame.kind == TABLE)] += 1
                    if frame.kind != END and 1 <= frame.k <= self.geometry.K:
                        self.rotten[frame.block][frame.kind, frame.k] += 1

    def _hint_tail(self, N: int, X: int) -> None:
        """Where the table's copies begin, counted from the end of the file (section 15)."""
        source, S = self.sources[0], self.sources[0].S
        ends = [o for o, f in source.intact if f.kind == END and f.block == N]
        for end in {*ends[:OWN_BASES], len(source.data) - S}:
            offset = end
            for copy, block in order_backwards(N, self.page.lag, self.geometry.copy_b):
                if block < X or offset < 0:
                    break
                offset -= S * len(self.geometry.slots(copy, self.geometry.table_k(X, block - X)))
                self.hints[copy, block].add(offset)

    def _best(
        self, shapes: dict[tuple[int, int], dict[int, TableBlock]]
    ) -> tuple[tuple[int, int], dict[int, TableBlock]]:
        """Of table blocks that disagree, those that a key or the order confirms (19.5, rule 4)."""
        if len(shapes) == 1:
            return next(iter(shapes.items()))
        self.notes.append("conflicting tables")

        def score(item: tuple[tuple[int, int], dict[int, TableBlock]]) -> tuple[bool, int]:
            (D, I), tables = item
            self._take((D, I), tables)
            self._find_layout()
            opens = self.keys is not None and self.heal(D + I).rows is not None
            in_place = self.in_place(self.sources[0]) if self.layout else 0
            self.cache.clear()
            return opens, in_place

        return max(shapes.items(), key=score)

    def _take(self, shape: tuple[int, int], tables: dict[int, TableBlock]) -> None:
        self.D, self.I = shape
        self.tables, self.entries, self.layout = dict(tables), {}, None
        self.N = self.geometry.blocks(self.D + self.I + 1)
        for table in tables.values():
            self.entries.update(enumerate(table.entries, table.first))

    def _shape_by_frames(self) -> None:
        """D, I and N from the kinds of intact sectors (section 18, step 6), or of a walk."""
        kinds = {b: said[0][0] for b in self.by_block if (said := self.frames_say(b))}
        for b, (kind, _) in enumerate(self.guesses):
            kinds.setdefault(b, kind)
        manifests = [b for b, kind in kinds.items() if kind == MANIFEST]
        if not manifests:
            return
        X = max(manifests, key=lambda b: (len(self.by_block.get(b, ())), b)) + 1
        D = min(b for b, kind in kinds.items() if kind != DATA)
        self.take_shape(min(D, X - 1), X - 1 - min(D, X - 1))

    def take_shape(self, D: int, I: int) -> None:
        """Takes D and I without a table: all k are those of the frames from now on."""
        self._take((D, I), {})
        self.cache.clear()

    def _find_layout(self) -> None:
        """The canonical order, if the k of every block is known."""
        self.layout = None
        if self.N is None or self.hopeless:
            return
        ks = []
        for block in range(self.N):
            k = self.k_of(block)
            if k is None:
                return
            ks.append(k)
        self.layout = Layout(self.geometry, self.page.lag, ks)
        self._find_shifts()

    def _find_shifts(self) -> None:
        """By how much sectors stand beside their places: the most frequent values (20.3)."""
        assert self.layout is not None
        self.shifts = []
        for source in self.sources:
            count: Counter[int] = Counter()
            for offset, frame in source.intact:
                count.update(offset - place for place in self._places(source, frame))
            usual = [0, len(source.data) - self.layout.sectors * source.S]
            self.shifts.append(list(dict.fromkeys(usual + [s for s, _ in count.most_common(SHIFTS)])))

    def _places(self, source: Source, frame: Frame) -> list[int]:
        """The offsets at which a sector with this frame should stand."""
        assert self.layout is not None
        if frame.kind == END:
            return [self.layout.end * source.S]
        if frame.block >= len(self.layout.ks):
            return []
        return [place * source.S for place in self.layout.places(frame.block, frame.slot)]

    def in_place(self, source: Source) -> int:
        """How many intact sectors stand at their places."""
        return sum(offset in self._places(source, frame) for offset, frame in source.intact)

    def _more_tables(self) -> None:
        """Table blocks that were not found before the layout was known."""
        assert self.N is not None and self.X is not None
        for block in range(self.X, self.N):
            if block - self.X not in self.tables:
                table = self._try_table(block, self.geometry.table_k(self.X, block - self.X))
                if table:
                    self.tables[block - self.X] = table
                    self.entries.update(enumerate(table.entries, table.first))

    # -- Blocks --------------------------------------------------------------------------------

    def kind_of(self, block: int) -> int:
        if self.D is None or self.I is None:
            return DATA
        if block < self.D:
            return DATA
        if block < self.D + self.I:
            return INDEX
        return MANIFEST if block == self.D + self.I else TABLE

    def k_of(self, block: int) -> int | None:
        """From the table, from N, from intact frames, from a walk, or from damaged frames."""
        if self.X is not None and block >= self.X:
            return self.geometry.table_k(self.X, block - self.X)
        if block in self.entries:
            return self.entries[block][0]
        for kind, k in self.frames_say(block):
            if kind == self.kind_of(block):
                return k
        if block < len(self.guesses):
            return self.guesses[block][1]
        for (kind, k), _ in self.rotten[block].most_common() if block in self.rotten else ():
            if kind == self.kind_of(block):
                return k
        return None

    def judge_of(self, block: int, kind: int, k: int) -> Judge | None:
        """Section 19: the AEAD if there is a key, else the entry of the table."""
        if kind == TABLE:
            return self._table_judge(block)
        if self.keys is not None:
            return lambda rows: self.open(block, kind, k, rows) is not None
        entry = self.entries.get(block)
        if entry is None:
            return None
        return lambda rows: block_hash(kind, k, block, self.id, rows) == entry[1:]

    def open(self, block: int, kind: int, k: int, rows: list[bytes]) -> bytes | None:
        assert self.keys is not None
        return unseal(b"".join(rows), self.keys, self.id, block, kind, k)

    def heal(self, block: int) -> Healed:
        """The ladder for one block, once."""
        if block not in self.cache:
            kind, k = self.kind_of(block), self.k_of(block)
            if k is None:
                self.cache[block] = Healed(None, 5)
            else:
                self.cache[block] = self._climb(block, kind, k, self.judge_of(block, kind, k))
        return self.cache[block]

    def _climb(self, block: int, kind: int, k: int, judge: Judge | None) -> Healed:
        found = Found()
        for i, offset in self.by_block.get(block, ()):
            source = self.sources[i]
            frame = source.frame(offset)
            if (frame.kind, frame.k) == (kind, k) and frame.slot:
                found.add(frame.slot, source.payload(offset))
        direct = self._in_place(block, k) if self.keys and kind != TABLE else iter(())
        return ladder(found, self.geometry, k, judge, direct, lambda: self._believed(block, kind, k))

    def _in_place(self, block: int, k: int) -> Iterator[list[bytes]]:
        """Rung 1: the data sectors at copy A's canonical places."""
        if self.layout is None or block >= len(self.layout.ks) or self.layout.ks[block] != k:
            return
        for source in self.sources:
            start = (self.layout.start["A", block] + 1) * source.S
            if start + k * source.S <= len(source.data):
                yield [source.payload(start + i * source.S) for i in range(k)]

    def _believed(self, block: int, kind: int, k: int) -> dict[int, list[bytes]]:
        """Payloads of believed sectors by slot, from all inputs (section 19.1)."""
        result: dict[int, list[bytes]] = defaultdict(list)
        for i, source in enumerate(self.sources):
            nearest: dict[int, tuple[int, int]] = {}
            for copy in "AB":
                slots = self.geometry.slots(copy, k)
                if not slots:
                    continue
                seen = believe(source, self._bases(i, copy, block, slots), slots, kind, k, block)
                for offset, (slot, wrong) in seen.items():
                    if offset not in nearest or wrong < nearest[offset][1]:
                        nearest[offset] = slot, wrong
            for offset, (slot, _) in nearest.items():
                result[slot].append(source.payload(offset))
        return result

    def _bases(self, i: int, copy: str, block: int, slots: list[int]) -> set[int]:
        """File offsets at which this copy may begin."""
        source = self.sources[i]
        bases = set(self.hints.get((copy, block), ())) if i == 0 else set()
        if self.layout and block < len(self.layout.ks):
            start = self.layout.start[copy, block] * source.S
            bases |= {start + shift for shift in self.shifts[i]}
        own: Counter[int] = Counter()
        for j, offset in self.by_block.get(block, ()):
            slot = source.frame(offset).slot if j == i else -1
            if slot in slots:
                own[offset - slots.index(slot) * source.S] += 1
        return bases | {base for base, _ in own.most_common(OWN_BASES)}

    # -- All of it -----------------------------------------------------------------------------

    def heal_all(self) -> list[int]:
        """Heals every block and rebuilds lost table blocks; the numbers of those that are lost."""
        if self.N is None or self.X is None or self.hopeless:
            return []
        lost = [b for b in range(self.N) if self.heal(b).rows is None]
        for block in [b for b in lost if b >= self.X]:
            if self._rebuild(block):
                self.notes.append(f"table block {block} was rebuilt")
                lost.remove(block)
        return lost

    def _rebuild(self, block: int) -> bool:
        """Section 18, step 6."""
        assert self.D is not None and self.I is not None and self.X is not None
        t = block - self.X
        first = t * self.geometry.E
        entries = []
        for b in range(first, min(self.X, first + self.geometry.E)):
            healed, k = self.heal(b), self.k_of(b)
            if healed.rows is None or k is None or healed.rung > 3:
                return False
            entries.append(bytes([k]) + block_hash(self.kind_of(b), k, b, self.id, healed.rows))
        content = build_table(self.D, self.I, t, entries, self.id, self.geometry)
        P = self.geometry.P
        self.cache[block] = Healed([content[o : o + P] for o in range(0, len(content), P)], 3)
        return True
