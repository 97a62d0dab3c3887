"""Holds a cell whose output may be a local to its equations by hand in plain NumPy: an oracle that never saw a graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from tests.contract.harness import agree, case_of, forward

Arrays = Mapping[str, np.ndarray]
# p maps parameter names to arrays, s state names to (N, size); the new states and the output come back
Step = Callable[[Arrays, np.ndarray, Arrays], tuple[Arrays, np.ndarray]]


def outputs_equal_by_hand(name: str, step: Step) -> None:
    """Outputs of every step and the last states, from non-zero states."""
    case = case_of(name)
    p = {info.name: a for info, a in zip(case.cell.graph.parameters, case.parameters, strict=True)}
    states: Arrays = {s.name: a for s, a in zip(case.cell.states, case.states, strict=True)}
    outputs = []
    for x in case.x:
        states, output = step(p, x, states)
        outputs.append(output)
    found = forward(case, "reference")
    agree({"y": found["y"]}, {"y": np.stack(outputs)})
    agree({name: found[f"last {name}"] for name in states}, states)


def sigm(a: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-a))
