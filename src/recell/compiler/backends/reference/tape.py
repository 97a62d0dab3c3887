"""One step's values in NumPy, and the way back through them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from types import CodeType
from typing import Any

import numpy as np

from recell.compiler import coins as generator
from recell.compiler.build import Coins
from recell.graph.graph import Graph, Node
from recell.graph.ops import OPS

Values = list[Any]


class Interpreter:
    """Values by node: row values (N, size) or (N, 1); parameter values (size,), () or (rows, columns)."""

    def __init__(self, graph: Graph, sizes: Mapping[str, int], dtype: Any) -> None:
        self.graph, self.sizes, self.dtype = graph, sizes, dtype

    # -- forward --------------------------------------------------------------------------------------------------
    def parameters(self, leaves: Sequence[Any], coins: Coins | None) -> Values:
        """What depends on parameters alone, once a call; None at row nodes."""
        values: Values = []
        for node in self.graph.nodes:
            if node.shape.is_row:
                values.append(None)
            elif node.op == "parameter":
                values.append(np.asarray(leaves[node.attributes[0]], self.dtype))
            elif node.op == "coin":
                values.append(self._parameter_coin(node, coins))
            else:
                values.append(self._compute(node, values))
        return values

    def step(self, x: Any, states: tuple[Any, ...], elapsed: Any, parameters: Values, coins: Coins | None, t: int) -> Values:
        values = list(parameters)
        for place, node in enumerate(self.graph.nodes):
            if not node.shape.is_row:
                continue
            if node.op == "input":
                values[place] = x
            elif node.op == "state":
                values[place] = states[node.attributes[0]]
            elif node.op == "elapsed":
                values[place] = elapsed.astype(self.dtype)
            elif node.op == "coin":
                values[place] = self._coin(node, x.shape[0], coins, t)
            else:
                values[place] = self._compute(node, values)
        return values

    def _coin(self, node: Node, rows: int, coins: Coins | None, t: int) -> Any:
        rate, per, number = node.attributes
        width = node.shape.dims[0].evaluate(self.sizes) if node.shape.dims else 1
        if coins is None:
            return np.full((rows, width), rate, self.dtype)
        numbers = np.arange(rows) if coins.rows is None else np.asarray(coins.rows)
        start = generator.prefix(coins.seed, coins.layer, coins.direction, number)
        heads = generator.heads(start, numbers.astype(np.int64)[:, None], np.arange(width, dtype=np.int64)[None],
                                coins.first_step + t if per == "step" else 0, rate)
        return heads.astype(self.dtype)

    def _parameter_coin(self, node: Node, coins: Coins | None) -> Any:
        """One coin an entry, the same for all rows and steps of the call."""
        rate, _, number = node.attributes
        shape = tuple(d.evaluate(self.sizes) for d in node.shape.dims)
        if coins is None:
            return np.full(shape, rate, self.dtype)
        start = generator.prefix(coins.seed, coins.layer, coins.direction, number)
        return generator.entries(start, shape, lambda n: np.arange(n, dtype=np.int64), rate).astype(self.dtype)

    def _compute(self, node: Node, values: Values) -> Any:
        inputs = [values[i] for i in node.inputs]
        match node.op:
            case "constant":
                return np.asarray(node.attributes[0], self.dtype)
            case "product":
                return inputs[1] @ inputs[0].T
            case "concat":
                if not node.shape.is_row:
                    return np.concatenate([np.atleast_1d(v) for v in inputs])
                rows = max(v.shape[0] for v in inputs if np.ndim(v) == 2)
                return np.concatenate([np.broadcast_to(v, (rows, np.shape(v)[-1] if np.ndim(v) else 1)) for v in inputs], axis=1)
            case "slice":
                start, size = (a.evaluate(self.sizes, least=0) for a in node.attributes)
                return inputs[0][..., start : start + size]
            case "transpose":
                return inputs[0].T
            case _:
                meaning = OPS[node.op].numpy
                assert meaning is not None, node.op
                return np.asarray(meaning(*inputs)).astype(self.dtype)

    # -- backward -------------------------------------------------------------------------------------------------
    def step_back(self, values: Values, seeds: dict[int, Any], sums: dict[int, Any]) -> dict[Any, Any]:
        """Adjoints of x and the states before the step; gradients of parameter values are added to `sums`."""
        adjoints = dict(seeds)
        found: dict[Any, Any] = {}
        for place in reversed(range(len(self.graph.nodes))):
            node = self.graph.nodes[place]
            if not node.shape.is_row or place not in adjoints:
                continue
            g = adjoints.pop(place)
            if node.op == "input":
                found["input"] = g
            elif node.op == "state":
                found[("state", node.attributes[0])] = g
            for i, part in zip(node.inputs, self._pull(node, values, values[place], g), strict=True):
                if part is not None:
                    table = adjoints if self.graph.nodes[i].shape.is_row else sums
                    part = _unbroadcast(part, values[i], self.graph.nodes[i].shape.is_row, node.op == "product")
                    table[i] = table[i] + part if i in table else part
        return found

    def parameters_back(self, values: Values, sums: dict[int, Any]) -> tuple[Any, ...]:
        """Gradients of the leaf parameters from those of what was computed of them; None where frozen."""
        adjoints = dict(sums)
        for place in reversed(range(len(self.graph.nodes))):
            node = self.graph.nodes[place]
            if node.shape.is_row or place not in adjoints or node.op in ("parameter", "constant"):
                continue
            for i, part in zip(node.inputs, self._pull(node, values, values[place], adjoints[place]), strict=True):
                if part is not None:
                    part = _reduce_to(part, np.shape(values[i]))
                    adjoints[i] = adjoints[i] + part if i in adjoints else part
        return tuple(np.asarray(adjoints.get(p.node, np.zeros_like(values[p.node]))) if p.trainable else None
                     for p in self.graph.parameters)

    def _pull(self, node: Node, values: Values, y: Any, g: Any) -> list[Any]:
        """The adjoint's share of each input."""
        inputs = [values[i] for i in node.inputs]
        match node.op:
            case "product":
                return [g.T @ inputs[1], g @ inputs[0]]
            case "matmul":
                left = np.outer(g, inputs[1]) if np.ndim(inputs[1]) == 1 else g @ inputs[1].T
                return [left, inputs[0].T @ g]
            case "transpose":
                return [g.T]
            case "concat":
                widths = [np.shape(v)[-1] if np.ndim(v) else 1 for v in inputs]
                return np.split(g, np.cumsum(widths)[:-1], axis=-1)
            case "slice":
                start, size = (a.evaluate(self.sizes, least=0) for a in node.attributes)
                whole = np.zeros(np.shape(g)[:-1] + (np.shape(inputs[0])[-1],), self.dtype)
                whole[..., start : start + size] = g
                return [whole]
            case _:
                names = dict(zip("abc", inputs, strict=False)) | {"y": y, "g": g}
                return [None if text is None else eval(_code(text), _ENVIRONMENT, names)  # noqa: S307 - a row of our own table
                        for text in OPS[node.op].derivative]


@cache
def _code(text: str) -> CodeType:
    return compile(text, "<op table>", "eval")


_ENVIRONMENT: dict[str, Any] = {
    **{name: row.numpy for name, row in OPS.items() if row.numpy is not None},
    "splat": lambda g, a: g + np.zeros_like(a),
    "extent": lambda a: np.shape(a)[-1],
    "sum": lambda a: np.sum(a, axis=-1, keepdims=np.ndim(a) > 1),
    "__builtins__": {},
}


def _unbroadcast(part: Any, value: Any, is_row: bool, is_product: bool) -> Any:
    """Undoes broadcasting: over units for a number per row, over rows for a parameter."""
    if is_row:
        part = np.asarray(part)
        return part.sum(axis=1, keepdims=True) if np.shape(value)[-1] == 1 and part.shape[-1] != 1 else part
    if is_product:
        return part  # already a matrix
    return _reduce_to(part.sum(axis=0), np.shape(value))


def _reduce_to(part: Any, shape: tuple[int, ...]) -> Any:
    part = np.asarray(part)
    if part.shape == shape:
        return part
    if not shape:
        return part.sum()
    return np.broadcast_to(part, shape) if part.ndim < len(shape) or part.shape == (1,) else part.sum(axis=0)
