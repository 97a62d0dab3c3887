"""Holds a cell to its equations written by hand in plain NumPy: an oracle that never saw a graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from recell.language.cell import Cell
from tests.contract.harness import Case, agree, case_of, everything, forward

Arrays = Mapping[str, np.ndarray]
# p maps parameter names to arrays, s state names to (N, size); the new states, in the cell's order, come back, and under
# "output" the output where it is not the first state. A cell that reads elapsed time has a fourth argument, dt (N, 1)
Step = Callable[..., Mapping[str, np.ndarray]]


def sigm(a: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-a))


def relu(a: np.ndarray) -> np.ndarray:
    return np.maximum(a, 0)


def affine(p: Arrays, gate: str, x: np.ndarray, h: np.ndarray) -> np.ndarray:
    """W x + U h + b of one gate, for rows x and h."""
    return x @ p[f"W_{gate}"].T + h @ p[f"U_{gate}"].T + p[f"b_{gate}"]


def parameters_of(case: Case) -> dict[str, np.ndarray]:
    return {p.name: a for p, a in zip(case.cell.graph.parameters, case.parameters, strict=True)}


def equals_by_hand(name: str | Case, step: Step) -> None:
    """Outputs of every step and the last states, from non-zero states."""
    case = case_of(name) if isinstance(name, str) else name
    states: Mapping[str, np.ndarray] = {s.name: a for s, a in zip(case.cell.states, case.states, strict=True)}
    outputs = []
    for t, x in enumerate(case.x):
        elapsed = () if case.elapsed is None else (case.elapsed[t][:, None],)
        found = dict(step(parameters_of(case), x, states, *elapsed))
        outputs.append(found.pop("output", found[case.cell.states[0].name]))
        states = found
    found = forward(case, "reference")
    agree({"y": found["y"]}, {"y": np.stack(outputs)})
    agree({name: found[f"last {name}"] for name in states}, states)


def computes_as(case: Case, other: Cell, parameters: Arrays) -> None:
    """The other cell with these parameters gives the same outputs, states and gradients of x and of the first states."""
    values = tuple(parameters[p.name] for p in other.graph.parameters)
    found, expected = everything(replace(case, cell=other, parameters=values), "reference"), everything(case, "reference")
    shared = [name for name in expected if not name.startswith("d ") or name.startswith("d initial")]
    agree({name: found[name] for name in shared}, {name: expected[name] for name in shared})
