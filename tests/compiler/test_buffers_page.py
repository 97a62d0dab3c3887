"""docs/buffers.md names every buffer of the cpu backend, and no other; its worked example counts what the programs say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recell import cells
from recell.compiler.backends.cpu import assemble
from recell.compiler.backends.cpu.assemble import Assembled, backward_program, forward_program, output_form
from recell.compiler.backends.cpu.backend import CpuKernel
from recell.compiler.backends.cpu.emitter import Emitter
from recell.compiler.backends.cpu.stream import Packed, packed_affine
from recell.compiler.build import Variant
from recell.compiler.plan import Plan
from recell.compiler.planner import make_plan
from recell.modifiers import layer_norm
from tests.contract.descriptions import cell_named, description_of
from tests.contract.harness import sizes_of

PAGE = Path(__file__).parents[2] / "docs" / "buffers.md"
WITHOUT, SAVING, BACKWARD, STREAM = "Forward without gradient", "Forward that saves", "Backward", "Stream"
# Plain gates, a reset gate, rows at once, modules of units and time, delays, states off every cycle, y as a local, elapsed.
NAMES = ("LSTM", "GRU", "LSTM normed and zoned out", "Clockwork", "Elman dilated", "QRNN", "Jordan", "SRU", "Normed")
VARIANTS = (Variant(training=True), Variant(training=True, mask=True, reset=True))
EXAMPLE, STEPS, ROWS = {"input": 256, "hidden": 256}, 100, 64
Row = tuple[str, ...]


def table(heading: str) -> list[Row]:
    """The rows of the first table below a heading, without the table's own head."""
    _, found, rest = PAGE.read_text(encoding="utf-8").partition(f"\n## {heading}\n")
    assert found, f"docs/buffers.md has no section {heading!r}"
    lines = [line for line in rest.partition("\n## ")[0].splitlines() if line.startswith("|")]
    return [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in lines[2:]]


def named(heading: str) -> set[tuple[str, str, bool]]:
    """(kind, slots, whether in the run's block) of every row that names slots; the others are no program's."""
    found: set[tuple[str, str, bool]] = set()
    for kind, slots, _, owner, *_ in table(heading):
        for one in slots.split(" or ") if slots != "-" else ():
            found.add((kind.strip("`"), one, owner == "block"))
    return found


def programs(name: str, variant: Variant) -> dict[str, Assembled]:
    return of_plan(make_plan(cell_named(name), sizes_of(cell_named(name), 21, dict(description_of(name).sizes)), variant))


def of_plan(plan: Plan) -> dict[str, Assembled]:
    without, saving = (forward_program(plan, output_form(plan), saving=saving, double=False) for saving in (False, True))
    return {WITHOUT: without, SAVING: saving, BACKWARD: backward_program(plan, output_form(plan), double=False)}


def in_layouts() -> dict[str, set[tuple[str, str, bool]]]:
    found: dict[str, set[tuple[str, str, bool]]] = {WITHOUT: set(), SAVING: set(), BACKWARD: set()}
    for name in NAMES:
        for variant in VARIANTS:
            for kind, program in programs(name, variant).items():
                found[kind] |= {(b.key[0], b.slots, b.internal) for b in program.layout.buffers}
    return found


def test_the_page_names_every_buffer_and_no_other() -> None:
    for kind, buffers in in_layouts().items():
        page = named(kind)
        assert page == buffers, f"{kind}: not on the page {sorted(buffers - page)}; nowhere else {sorted(page - buffers)}"


class Seen:
    """In the place of a stream: what a link is given."""

    def __init__(self) -> None:
        self.buffers: dict[tuple[str, int], Any] = {}

    def add(self, packed: Packed, rows: int, buffers: dict[tuple[str, int], Any]) -> None:
        self.buffers = {**packed.values, **buffers}


def bound(name: str) -> tuple[CpuKernel, Seen, dict[tuple[str, int], Any]]:
    cell = cell_named(name)
    sizes = sizes_of(cell, 21, dict(description_of(name).sizes))
    kernel, seen = CpuKernel(cell, sizes, "float32", Variant()), Seen()
    packed = kernel.packed([np.ones(p.shape, np.float32) for p in cell.parameters(sizes)])
    states = [np.zeros((2, size), np.float32) for size in cell.state_sizes(sizes)]
    kernel.bind(seen, packed, np.zeros((2, sizes["input"]), np.float32), states)
    return kernel, seen, {b.key: b for b in packed.layout.buffers}


def test_the_page_names_every_buffer_of_a_stream() -> None:
    layers = packed_affine(np.ones((3, 5), np.float32), np.ones(3, np.float32)).layout
    buffers = {(b.key[0], b.slots, b.internal) for b in layers.buffers}
    for name in NAMES:
        buffers |= {(b.key[0], b.slots, b.internal) for b in bound(name)[2].values()}
    assert named(STREAM) == buffers


@pytest.mark.parametrize("name", NAMES)
def test_a_stream_moves_its_states_on_in_place(name: str) -> None:
    _, seen, layout = bound(name)
    assert {key for key, buffer in layout.items() if not buffer.internal} <= set(seen.buffers)
    for kind, k in layout:
        assert kind != "initial" or seen.buffers["initial", k] is seen.buffers["final", k]


class Recorder(Emitter):
    """Counts what names each buffer: (buffer, "written" | "products" | "points" | "outer") -> how often."""

    def __init__(self, **options: bool) -> None:
        super().__init__(**options)
        self.buffer_of: dict[int, int] = {}
        self.seen: Counter[tuple[int, str]] = Counter()

    def memory(self, buffer: int, slot: int, leading: int, column: int, width: int) -> int:
        operand = super().memory(buffer, slot, leading, column, width)
        self.buffer_of[operand] = buffer
        return operand

    def accumulator(self, buffer: int, offset: int, width: int) -> int:
        operand = super().accumulator(buffer, offset, width)
        self.buffer_of[operand] = buffer
        return operand

    def note(self, how: str, *operands: int) -> None:
        self.seen.update((self.buffer_of[o], how) for o in operands if o in self.buffer_of)

    def form(self, destination: int, initial: int = -1) -> None:
        super().form(destination, initial)
        self.note("written", destination)
        self.note("points", initial)

    def segment(self, matrix: int, operand: int) -> None:
        super().segment(matrix, operand)
        self.note("products", operand)

    def point(self, op: str, destination: int, a: int = -1, b: int = -1, c: int = -1, immediate: int = 0) -> None:
        super().point(op, destination, a, b, c, immediate)
        self.note("written", destination)
        self.note("points", a, b, c)

    def pair(self, a: int, b: int, buffer: int, offset: int, leading: int) -> None:
        super().pair(a, b, buffer, offset, leading)
        self.note("outer", a, b)


def counted(kind: str, program: Assembled, recorder: Recorder) -> Iterator[Row]:
    """A row of the example's table for every buffer with a slot a step or a state's two, or a row of scratch."""
    sizes = program.layout.internal_bytes(STEPS, ROWS, 4)
    for i, buffer in enumerate(program.layout.buffers):
        if buffer.key[0] in ("initial", "final", "dinitial", "dfinal") or buffer.slots == "vector":
            continue
        size = sizes.get(buffer.key, buffer.elements(STEPS, ROWS) * 4)
        counts = [str(recorder.seen[i, how]) for how in ("written", "products", "points", "outer")]
        yield kind, buffer.key[0], f"{size:,}", *counts


def test_the_worked_example_is_what_the_programs_say(monkeypatch: pytest.MonkeyPatch) -> None:
    recorders: dict[object, Recorder] = {}

    def emitter(**options: bool) -> Recorder:
        made = Recorder(**options)
        return recorders.setdefault(made.program, made)

    monkeypatch.setattr(assemble, "Emitter", emitter)
    plan = make_plan(cells.LSTM, EXAMPLE, VARIANTS[0])
    expected: Counter[Row] = Counter()
    for kind, program in of_plan(plan).items():
        expected.update(counted(kind, program, recorders[program.program]))
    page = {(kind, key.strip("`"), size, *rest): int(count) for kind, key, size, count, *rest in table("Worked example")}
    assert page == expected, f"the table should say\n{chr(10).join(map(str, expected.items()))}"


def block_bytes(program: Assembled) -> int:
    return sum(program.layout.internal_bytes(STEPS, ROWS, 4).values())


def test_the_sums_of_the_worked_example() -> None:
    text = PAGE.read_text(encoding="utf-8")
    kernel = CpuKernel(cells.LSTM, EXAMPLE, "float32", VARIANTS[0])
    said = {"floats": kernel.plan.stash.floats, "packs": kernel.program("saving", kernel.form).program.pack_bytes()}
    for name, program in (("without", "inference"), ("saves", "saving"), ("backward", "backward")):
        said[name] = block_bytes(kernel.program(program, kernel.form))
    for name, number in said.items():
        assert f"{number:,}" in text, f"docs/buffers.md does not say {number:,} ({name})"


def test_what_stays_with_a_stash() -> None:
    plan = make_plan(cells.LSTM.with_(layer_norm()), EXAMPLE, VARIANTS[0])
    program = forward_program(plan, output_form(plan), saving=True, double=False)
    idle = sum(b.elements(STEPS, ROWS) * 4 for b in program.layout.buffers if b.key[0] in ("scratch", "rolling"))
    assert f"{idle / 1e6:.1f} of {block_bytes(program) / 1e6:.1f} MB" in PAGE.read_text(encoding="utf-8")
