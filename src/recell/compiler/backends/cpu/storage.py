"""Where the values of a step plan live: which buffers a program has, how large, and which operand names which value."""

from __future__ import annotations

from dataclasses import dataclass, field

STEPS, STEPS_PLUS_ONE, TWO, ROW, VECTOR = "steps", "steps + 1", "two", "row", "vector"  # how many slots of N rows

# Values of rc_slot in native/include/recell.h.
SLOT_STEP, SLOT_NEW, SLOT_PREVIOUS, SLOT_ROLL_NEW, SLOT_ROLL_PREVIOUS, SLOT_ROW, SLOT_VECTOR = range(7)


@dataclass(frozen=True)
class Buffer:
    """One pointer of a run. `key` says what it is; internal ones are taken from the workspace pool."""

    key: tuple[str, int]
    slots: str
    width: int  # elements per row (leading dimension)
    internal: bool = False

    def elements(self, steps: int, rows: int) -> int:
        """How many elements it holds (for internal buffers)."""
        if self.slots in (STEPS, STEPS_PLUS_ONE):
            return (steps + (self.slots == STEPS_PLUS_ONE)) * rows * self.width
        return {TWO: 2, ROW: 1}[self.slots] * rows * self.width


@dataclass(frozen=True)
class Place:
    """A value in memory: columns of a buffer at a slot."""

    buffer: int
    slot: int
    column: int
    width: int


@dataclass
class Layout:
    """The buffers of one program, and the memory places of its values."""

    buffers: list[Buffer] = field(default_factory=list)
    index: dict[tuple[str, int], int] = field(default_factory=dict)
    places: dict[int, Place] = field(default_factory=dict)  # node -> where it is read from (and written to)
    copies: dict[int, list[Place]] = field(default_factory=dict)  # node -> further places it is written to

    def buffer(self, key: tuple[str, int], slots: str, width: int, *, internal: bool = False) -> int:
        if key not in self.index:
            self.index[key] = len(self.buffers)
            self.buffers.append(Buffer(key, slots, width, internal))
        return self.index[key]

    def put(self, node: int, place: Place) -> None:
        """The first place of a node is the one that is read; the others get copies."""
        if node in self.places:
            self.copies.setdefault(node, []).append(place)
        else:
            self.places[node] = place

    def internal_bytes(self, steps: int, rows: int, item: int) -> dict[tuple[str, int], int]:
        """Bytes of each internal buffer by its key, rounded up to a cache line."""
        return {b.key: -(-b.elements(steps, rows) * item // 64) * 64 for b in self.buffers if b.internal}
