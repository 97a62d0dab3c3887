"""``recell cells``: the zoo as a table, as docs/cells.md, and one cell alone."""

from __future__ import annotations

import math
import shutil
import textwrap
from dataclasses import asdict, dataclass
from typing import Any

from recell import cells
from recell.cli.own_cell import find_cell
from recell.language.cell import Cell

_INPUT, _HIDDEN, _OTHER = 64, 128, 64  # sizes to count an example's parameters with
_SOURCE_ROOM = 44  # columns: in fewer, a source stands on a line of its own
_PIPED = (200, 24)  # where no terminal says how wide it is

COUNTED = (
    f"Counted at input {_INPUT} and hidden {_HIDDEN}; a cell's further sizes are its own defaults, or {_OTHER}. "
    "x Elman: trainable parameters in those of the Elman of the same input and hidden size. "
    "Stash: floats that a training step keeps for each row and time step, beside input and output."
)
OUT_OF_SCOPE = (
    "A state is a vector, and left of a product stand parameters alone. Outside the language, and so outside the zoo: "
    "**matrix memories** (mLSTM, fast weights: state matrices that outer products write), **convolutional** recurrences "
    "(ConvLSTM) and **tree** recurrences (Tree-LSTM)."
)


@dataclass(frozen=True)
class Row:
    """What the list says of a cell: `parameters` are the trainable ones, `frozen` those that no training changes."""

    states: str
    parameters: int
    frozen: int
    times_elman: float
    stash_floats: int
    source: str


def list_cells() -> dict[str, dict[str, Any]]:
    """Every cell's name, and what the list says of it."""
    return {name: asdict(_row(name)) for name in cells.names()}


def table(width: int | None = None) -> str:
    """The list for a terminal, no line of it wider than the terminal is."""
    width = shutil.get_terminal_size(_PIPED).columns if width is None else width
    rows = {name: _row(name) for name in cells.names()}
    head = ("cell", "states", "parameters", "x Elman", "stash")
    lines = [(name, r.states, f"{r.parameters:,}", f"{r.times_elman:.3g}", f"{r.stash_floats:,}") for name, r in rows.items()]
    widths = [max(len(line[i]) for line in [head, *lines]) for i in range(len(head))]
    shown = [_columns(head, widths) + "  source"]
    for line, row in zip(lines, rows.values(), strict=True):
        shown += _with_source(_columns(line, widths), row.source, width)
    lstm = beside_elman(cells.get("LSTM"))
    return "\n".join([*shown, "", *textwrap.wrap(f"{COUNTED} An LSTM has {lstm}.", width)])


def _columns(line: tuple[str, ...], widths: list[int]) -> str:
    """Two columns of words, then numbers."""
    words = [text.ljust(width) for text, width in zip(line[:2], widths[:2], strict=True)]
    numbers = [text.rjust(width) for text, width in zip(line[2:], widths[2:], strict=True)]
    return "  ".join(words + numbers)


def _with_source(columns: str, source: str, width: int) -> list[str]:
    """Beside the columns where there is room for it, else below them."""
    indent = len(columns) + 2
    if width - indent < _SOURCE_ROOM:
        return [columns, *textwrap.wrap(source, width, initial_indent="    ", subsequent_indent="    ")]
    first, *rest = textwrap.wrap(source, width - indent) or [""]
    return [f"{columns}  {first}", *(" " * indent + line for line in rest)]


def describe_cell(named: str) -> dict[str, Any]:
    """A cell's equations and what it is made of, at input 64 and hidden 128."""
    found = find_cell(named)
    cell = cells.get(found) if isinstance(found, str) else found
    sizes = _example_sizes(cell)
    parameters = cell.parameters(sizes)
    trainable, frozen = _counts(cell)
    kinds = [f"{p.name} {'x'.join(map(str, p.shape)) or 'scalar'}{'' if p.trainable else ' frozen'}" for p in parameters]
    return {
        "name": cell.name,
        "source": _source(cell.name) if isinstance(found, str) else named,
        "equations": cell.equations(),
        "states": _states(cell),
        "parameters": ", ".join(kinds),
        "parameter_count": trainable,
        **({"frozen_count": frozen} if frozen else {}),
        "beside_elman": beside_elman(cell),
        "stash_floats": cell.stash_floats(sizes),
        "sizes": ", ".join(f"{name} {number}" for name, number in sizes.items()),
        "latex": cell.latex(),
    }


def markdown() -> str:
    """docs/cells.md: every cell of the zoo, generated."""
    names = cells.names()
    parts = [
        "# Cells",
        "Generated: `recell cells --markdown > docs/cells.md`.",
        _filled(f"{len(names)} cells, each in a file of `src/recell/cells/`, found by being there. {COUNTED}"),
        _table_of([(name, _row(name)) for name in names]),
        _filled(f"An LSTM has {beside_elman(cells.get('LSTM'))}. `recell cells NAME` prints a cell in LaTeX too."),
        *(_section(name) for name in names),
        "## Out of scope",
        _filled(OUT_OF_SCOPE),
    ]
    return "\n\n".join(parts)


def _table_of(rows: list[tuple[str, Row]]) -> str:
    lines = ["| cell | states | parameters | x Elman | stash |", "|---|---|---:|---:|---:|"]
    for name, row in rows:
        frozen = f" + {row.frozen:,} frozen" if row.frozen else ""
        numbers = f"{row.parameters:,}{frozen} | {row.times_elman:.3g} | {row.stash_floats:,}"
        lines.append(f"| [{name}](#{name.lower()}) | {row.states} | {numbers} |")
    return "\n".join(lines)


def _section(name: str) -> str:
    row, told = _row(name), cells.told(name).split("\n\n")
    text = [_filled(part) for part in told]
    return "\n\n".join([f"## {name}", *text, f"States: {row.states}.", f"```text\n{cells.get(name).equations()}\n```"])


def _filled(text: str) -> str:
    return textwrap.fill(" ".join(text.split()), 140, break_long_words=False, break_on_hyphens=False)


def beside_elman(cell: Cell) -> str:
    """How its trainable parameters compare with an Elman's of the same input and hidden size, both counted."""
    return f"{_times_elman(cell):.3g} times the parameters of the Elman of its size"


def _times_elman(cell: Cell) -> float:
    elman, sizes = cells.get("Elman"), _example_sizes(cell)
    of_elman = elman.parameters(elman.resolve(sizes["input"], sizes["hidden"]))
    return _counts(cell)[0] / sum(math.prod(p.shape) for p in of_elman)


def _counts(cell: Cell) -> tuple[int, int]:
    """Numbers in the trainable parameters and in the frozen ones."""
    counts = {True: 0, False: 0}
    for parameter in cell.parameters(_example_sizes(cell)):
        counts[parameter.trainable] += math.prod(parameter.shape)
    return counts[True], counts[False]


def _row(name: str) -> Row:
    cell = cells.get(name)
    trainable, frozen = _counts(cell)
    stash = cell.stash_floats(_example_sizes(cell))
    return Row(_states(cell), trainable, frozen, round(_times_elman(cell), 4), stash, _source(name))


def _states(cell: Cell) -> str:
    return ", ".join(state.name for state in cell.states)


def _source(name: str) -> str:
    """The first line of what the author says of a cell: the paper and the variant."""
    return cells.told(name).split("\n")[0]


def _example_sizes(cell: Cell) -> dict[str, int]:
    """Numbers for every size: a cell's own defaults, and 64 for what has none."""
    others = dict.fromkeys(cell.symbols - {"input", "hidden"} - cell.defaults.keys(), _OTHER)
    forced = cell.graph.forced_input
    given = {"hidden": _HIDDEN, **cell.defaults, **others}
    return cell.resolve(_INPUT if forced is None else forced.evaluate(given), _HIDDEN, others)
