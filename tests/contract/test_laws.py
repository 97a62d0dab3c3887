"""The laws of time, of the batch and of direction: every cell on every backend."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from recell.compiler.build import Variant
from tests.contract.descriptions import cell_named
from tests.contract.harness import RAGGED, Case, agree, case_of, everything, forward, make, same_bits, states_of, turned

NAN = float("nan")
MASKED, RESET = Variant(mask=True), Variant(reset=True)


def joined(pieces: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The outputs of runs after one another, and the last one's states."""
    return pieces[-1] | {"y": np.concatenate([p["y"] for p in pieces])}


def chain(case: Case, backend: str, pieces: list[slice]) -> dict[str, np.ndarray]:
    found: list[dict[str, np.ndarray]] = []
    states = case.states
    for piece in pieces:
        found.append(forward(case.at(piece, states), backend))
        states = states_of(case, found[-1])
    return joined(found)


def test_steps_in_one_call_equal_single_calls(cell: str, backend: str) -> None:
    case = case_of(cell)
    agree(chain(case, backend, [slice(t, t + 1) for t in range(case.steps)]), forward(case, backend))


@pytest.mark.parametrize(("steps", "rows"), [(0, 3), (3, 0), (1, 1)])
@pytest.mark.parametrize("reverse", [False, True])
def test_no_step_and_no_row(cell: str, backend: str, steps: int, rows: int, reverse: bool) -> None:
    """Nothing to do is done: the states that entered come out, and no parameter has a gradient."""
    case = replace(make(cell_named(cell), case_of(cell).sizes, steps=steps, rows=rows), reverse=reverse)
    found = everything(case, backend)
    agree(found, everything(case, "reference"))
    if not steps:
        agree({"states": np.concatenate(states_of(case, found), 1)}, {"states": np.concatenate(case.states, 1)})
    if not steps * rows:
        assert not any(found[f"d {p.name}"].any() for p in case.cell.graph.parameters if p.trainable)


def test_two_chunks_equal_the_whole_with_all_gradients(cell: str, backend: str) -> None:
    case = case_of(cell)
    first = forward(case.at(slice(0, 2)), backend)
    second = everything(case.at(slice(2, None), states_of(case, first)), backend)
    between = tuple(second[f"d initial {s.name}"] for s in case.cell.states)
    head = everything(replace(case.at(slice(0, 2)), dstates=between), backend)
    whole = second | {name: value for name, value in head.items() if name.startswith("d initial ")}
    whole |= {f"d {p.name}": head[f"d {p.name}"] + second[f"d {p.name}"] for p in case.cell.graph.parameters if p.trainable}
    whole |= {name: np.concatenate([head[name], second[name]]) for name in ("y", "dx")}
    agree(whole, everything(case, backend))


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("segment", [1, 2, 3, 9])
def test_steps_computed_again_give_the_same_gradients(cell: str, variant: str, reverse: bool, segment: int) -> None:
    """Of the stash, only the states of every k-th step are kept; the rest is run again, with the same coins."""
    case = turned(case_of(cell, variant), reverse, True)
    for backend in ("reference", "cpu"):
        agree(everything(case, backend, segment=segment), everything(case, backend))


def _in_padding(case: Case, value: float) -> Case:
    """What no row reaches, filled with `value`."""
    padding = np.arange(case.rows)[None] >= np.array(RAGGED)[:, None]
    fill = lambda a: None if a is None else np.where(padding if a.ndim == 2 else padding[..., None], value, a)  # noqa: E731
    return replace(case, active=RAGGED, x=fill(case.x), elapsed=fill(case.elapsed), mask=fill(case.mask), reset=fill(case.reset))


@pytest.mark.parametrize("reverse", [False, True])
def test_padding_changes_nothing_and_may_be_nan(cell: str, backend: str, variant: str, reverse: bool) -> None:
    case = turned(case_of(cell, variant), reverse, True)
    padded = everything(_in_padding(case, NAN), backend)
    agree(padded, everything(_in_padding(case, 0.0), backend), tolerance=0.0)
    padding = np.arange(case.rows)[None] >= np.array(RAGGED)[:, None]
    assert not padded["y"][padding].any() and not padded["dx"][padding].any()


@pytest.mark.parametrize("reverse", [False, True])
def test_a_row_in_a_ragged_batch_equals_the_row_alone(cell: str, backend: str, reverse: bool) -> None:
    case = turned(case_of(cell), reverse, True)
    whole = everything(case, backend)
    for row in (0, 3, 6):
        length = sum(row < count for count in RAGGED)
        if length == 0:
            for state, start in zip(states_of(case, whole), case.states, strict=True):
                agree({"state": state[row]}, {"state": start[row]})
            continue
        alone = everything(replace(case.row(row).at(slice(0, length)), reverse=reverse), backend)
        mine = {name: value for name, value in alone.items() if not name.startswith("d ") or name.startswith("d initial ")}
        here = {name: whole[name][:length, [row]] if name in ("y", "dx") else whole[name][[row]] for name in mine}
        agree(here, mine)


def test_rows_are_independent(cell: str, backend: str, variant: str) -> None:
    """Each row alone gives what it gives in the batch, its coins included; a NaN in one row stays there."""
    case = case_of(cell, variant)
    whole = everything(case, backend)
    for row in (0, 4):
        alone = everything(case.row(row), backend)
        mine = {name: value for name, value in alone.items() if not name.startswith("d ") or name.startswith("d initial ")}
        agree({name: whole[name][:, [row]] if name in ("y", "dx") else whole[name][[row]] for name in mine}, mine)
    spoilt = case.x.copy()
    spoilt[:, 2] = NAN
    found = forward(replace(case, x=spoilt), backend)
    others = [r for r in range(case.rows) if r != 2]
    agree({"y": found["y"][:, others]}, {"y": whole["y"][:, others]})


def test_nan_in_the_input_comes_out_as_nan(cell: str, backend: str) -> None:
    case = case_of(cell)
    spoilt = case.x.copy()
    spoilt[1, 2] = NAN
    y = forward(replace(case, x=spoilt), backend)["y"]
    assert np.isnan(y[1:, 2]).any() and not np.isnan(y[0]).any() and not np.isnan(np.delete(y, 2, 1)).any()


@pytest.mark.parametrize("streams", ["plain", "mask", "reset"])  # not with coins: a coin belongs to its step's number
def test_the_reverse_direction_is_a_reversed_sequence(cell: str, backend: str, streams: str) -> None:
    case = case_of(cell, streams)
    backwards = list(range(case.steps))[::-1]
    flipped = everything(case.at(backwards), backend)
    flipped |= {name: flipped[name][::-1] for name in ("y", "dx")}
    agree(everything(replace(case, reverse=True), backend), flipped)


@pytest.mark.parametrize("reverse", [False, True])
def test_a_reset_is_a_fresh_start(cell: str, backend: str, reverse: bool) -> None:
    case = case_of(cell)
    cut = 2
    streams = np.zeros((case.steps, case.rows))
    streams[cut] = 1
    found = everything(replace(case, variant=RESET, reset=streams, reverse=reverse), backend)
    early, late = (slice(cut + 1, None), slice(0, cut + 1)) if reverse else (slice(0, cut), slice(cut, None))
    first = everything(replace(case.at(early), reverse=reverse, dstates=tuple(np.zeros_like(d) for d in case.dstates)), backend)
    second = everything(replace(case.at(late, case.fresh_states), reverse=reverse), backend)
    order = [second, first] if reverse else [first, second]
    expected = {name: np.concatenate([piece[name] for piece in order]) for name in ("y", "dx")}
    expected |= {name: value for name, value in second.items() if name.startswith("last ")}
    expected |= {name: value for name, value in first.items() if name.startswith("d initial ")}
    expected |= {f"d {p.name}": first[f"d {p.name}"] + second[f"d {p.name}"] for p in case.cell.graph.parameters if p.trainable}
    agree(found, expected)


@pytest.mark.parametrize("reverse", [False, True])
def test_masked_steps_hold_the_state(cell: str, backend: str, reverse: bool) -> None:
    """As if they were not there, whatever stands there; the output is the held state, or 0 where it is a local."""
    case = replace(case_of(cell), reverse=reverse)
    counts = [0, 2, 4]
    skipped = [1, 3]
    mask = np.zeros((case.steps, case.rows))
    mask[counts] = 1
    x, dy, elapsed = case.x.copy(), case.dy.copy(), None if case.elapsed is None else case.elapsed.copy()
    x[skipped], dy[skipped] = NAN, 0
    if elapsed is not None:
        elapsed[skipped] = NAN
    found = everything(replace(case, variant=MASKED, mask=mask, x=x, dy=dy, elapsed=elapsed), backend)
    short = everything(case.at(counts), backend)
    assert not found["dx"][skipped].any()
    before = [2, 4] if reverse else [0, 2]
    held = found["y"][before] * _is_state(case)
    agree({"y": found["y"][skipped]}, {"y": held})
    agree(found | {name: found[name][counts] for name in ("y", "dx")}, short)


def _is_state(case: Case) -> np.ndarray:
    """(output,) 1 where a unit of the output is a state's, 0 where it is a local's."""
    graph = case.cell.graph
    widths = [graph.nodes[o].shape.dims[0].evaluate(case.sizes) for o in graph.output]
    return np.concatenate([np.full(w, float(s >= 0)) for w, s in zip(widths, graph.output_states, strict=True)])


def test_a_mask_of_ones_and_a_reset_of_zeros_change_nothing(cell: str, backend: str) -> None:
    case = case_of(cell)
    ones = np.ones((case.steps, case.rows))
    agree(
        everything(replace(case, variant=Variant(mask=True, reset=True), mask=ones, reset=0 * ones), backend),
        everything(case, backend),
    )


def test_elapsed_is_one_where_it_is_absent(cell: str, backend: str) -> None:
    case = case_of(cell)
    if case.elapsed is not None:
        agree(
            everything(replace(case, elapsed=None), backend),
            everything(replace(case, elapsed=np.ones_like(case.elapsed)), backend),
        )


def test_coins_are_drawn_by_seed_layer_and_direction(cell: str, backend: str) -> None:
    case = case_of(cell, "training")
    first = forward(case, backend)
    same_bits(forward(case, backend), first)
    assert case.coins is not None
    for other in ({"seed": 5}, {"layer": 2}, {"direction": 1}):
        changed = forward(replace(case, coins=replace(case.coins, **other)), backend)
        assert (changed["y"] != first["y"]).any() == case.cell.has_coins
