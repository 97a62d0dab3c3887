"""Cycles through states: what lies on one must run step by step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence


def cycles(order: Sequence[int], inputs: Callable[[int], Sequence[int]], readers: Mapping[int, Sequence[int]],
           recurrences: Sequence[tuple[int, int]]) -> dict[int, int]:
    """Node -> its cycle's number, for nodes that lie on a cycle through a state: (leaf before the step, node after it)."""
    from_state: dict[int, int] = {}  # bit k: reached from state k's leaf within the step
    for node in order:
        bits = sum(1 << k for k, (b, _) in enumerate(recurrences) if b == node)
        for i in inputs(node):
            bits |= from_state[i]
        from_state[node] = bits
    to_state: dict[int, int] = {}
    for node in reversed(order):
        bits = sum(1 << k for k, (_, a) in enumerate(recurrences) if a == node)
        for r in readers[node]:
            bits |= to_state[r]
        to_state[node] = bits
    cycle = _state_cycles(recurrences, from_state)
    groups: dict[int, int] = {}
    for node in order:
        for k in range(len(recurrences)):
            if from_state[node] >> k & 1 and to_state[node] & cycle[k]:
                groups[node] = min(groups.get(node, k), min(i for i in range(len(cycle)) if cycle[k] >> i & 1))
    return groups


def _state_cycles(recurrences: Sequence[tuple[int, int]], from_state: dict[int, int]) -> list[int]:
    """Per state: the states of its cycle (bits), 0 if it lies on none."""
    count = len(recurrences)
    reach = [0] * count  # bit k of reach[j]: state j's value reaches state k's next value
    for k, (_, after) in enumerate(recurrences):
        for j in range(count):
            if from_state[after] >> j & 1:
                reach[j] |= 1 << k
    for _ in range(count):
        for j in range(count):
            for k in range(count):
                if reach[j] >> k & 1:
                    reach[j] |= reach[k]
    return [sum(1 << k for k in range(count) if reach[j] >> k & 1 and reach[k] >> j & 1) for j in range(count)]
