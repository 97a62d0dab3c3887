"""Fused instructions of every cell's stages compute what the nodes compute one by one."""

from __future__ import annotations

import numpy as np
import pytest

from recell import cells
from recell.compiler.backends.cpu.fusion import Fusion, Fusions
from recell.compiler.build import Variant
from recell.compiler.planner import make_plan
from recell.graph.ops import OPS
from tests.contract.descriptions import sizes_of

ARITHMETIC = {"add": np.add, "sub": np.subtract, "mul": np.multiply, "rsub": lambda a, b: b - a}
SLOPES = {"sigmoid_slope": lambda y: y * (1 - y), "tanh_slope": lambda y: 1 - y * y}


def steps(name: str):
    cell = cells.get(name)
    others = dict.fromkeys(cell.symbols - {"input", "hidden"} - cell.defaults.keys(), 5)
    plan = make_plan(cell, sizes_of(cell, 5, others, inputs=5), Variant(training=True))
    return plan.saving, plan.backward


def fused_value(op: str, values: list[np.ndarray]) -> np.ndarray:
    if op == "accumulate_mul":
        return values[0] * values[1]
    slope = next((s for s in SLOPES if op.endswith(s)), None)
    if slope is None:
        inner, outer = op.split("_")
        return ARITHMETIC[outer](ARITHMETIC[inner](values[0], values[1]), values[2])
    inner = op.removesuffix(slope).removesuffix("mul_").rstrip("_")
    factor = ARITHMETIC[inner](values[0], values[1]) if inner else values[0]
    return factor * SLOPES[slope](values[-1])


def check_stage(nodes, stage, readers) -> dict[int, Fusion]:
    """One stage with nothing kept: the fused values are the nodes' own, and nothing that is needed has gone."""
    fusions = Fusions(nodes, stage.points, readers, ())
    random = np.random.default_rng(0)
    values: dict[int, np.ndarray] = {}

    def value(i: int) -> np.ndarray:
        if i not in values:
            n = nodes[i]
            values[i] = np.float64(n.attributes[0]) if n.op == "constant" else random.normal(size=3)
            if i in stage.points and OPS[n.op].kind == "point":
                values[i] = OPS[n.op].numpy(*[value(k) for k in n.inputs])
        return values[i]

    for node, fusion in fusions.of.items():
        expected = value(nodes[node].inputs[0] if nodes[node].op == "batch_sum" else node)  # what is summed
        np.testing.assert_allclose(fused_value(fusion.op, [value(i) for i in fusion.operands]), expected, rtol=1e-12, atol=1e-12)
        for inner in fusion.absorbed:
            assert set(readers[inner]) <= {node, *fusion.absorbed}, (inner, readers[inner])
    assert not fusions.absorbed & {i for f in fusions.of.values() for i in f.operands}
    assert not fusions.absorbed & set(fusions.of)
    return fusions.of


@pytest.mark.parametrize("name", cells.names())
def test_fused_is_one_by_one(name: str) -> None:
    for step in steps(name):
        readers = step.readers()
        for phase in step.phases:
            for stage in phase.stages:
                check_stage(step.nodes, stage, readers)


# GRU computes 1 - z for its state already, and shares it; Elman's adjoint is a sum, which keeps its own pair.
@pytest.mark.parametrize(("name", "gates"), [("LSTM", 5), ("GRU", 2), ("Elman", 0)])
def test_every_gate_has_its_slope(name: str, gates: int) -> None:
    _, step = steps(name)
    readers = step.readers()
    found = [f.op for phase in step.phases for s in phase.stages for f in check_stage(step.nodes, s, readers).values()]
    assert sum(op.endswith("slope") for op in found) == gates


def test_a_placed_value_is_not_absorbed() -> None:
    _, step = steps("LSTM")
    for phase in step.phases:
        for stage in phase.stages:
            assert not Fusions(step.nodes, stage.points, step.readers(), set(stage.points)).of
