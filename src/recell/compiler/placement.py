"""The one placement rule: at which level, in a loop or everywhere at once, every value of a step is computed."""

from __future__ import annotations

from recell.compiler.step import Step


def levels(step: Step) -> dict[int, int]:
    """Node -> level, for every node that the step needs."""
    level = _raised(step)
    _join_sums(step, level)
    _sink_points(step, level)
    _pull_products(step, level)
    return level


def _raised(step: Step) -> dict[int, int]:
    level = dict.fromkeys(step.order, 0)
    group_level: dict[int, int] = {}
    changed = True
    while changed:
        changed = False
        for node in step.order:
            new = _lowest(step, node, level, group_level)
            if new != level[node]:
                level[node] = new
                changed = True
    return level


def _lowest(step: Step, node: int, level: dict[int, int], group_level: dict[int, int]) -> int:
    inputs = max((level[i] for i in step.inputs(node)), default=0)
    if node in step.guards:  # a loop's conditions are there before it begins
        condition = level[step.guards[node].condition]
        inputs = max(inputs, condition + condition % 2)
    if node in step.group:
        group = step.group[node]
        group_level[group] = max(group_level.get(group, 1), inputs | 1)
        return group_level[group]
    if node in step.before and node not in step.given:  # a delay off every cycle: read once its stream is there
        after = level[step.before[node]]
        return after if after % 2 else after + 2
    if step.is_product(node):
        return inputs + inputs % 2
    return inputs


def _join_sums(step: Step, level: dict[int, int]) -> None:
    """A product joins the later phase that adds it to products of its own, which saves a stream."""
    for node in step.order:
        if not step.is_product(node) or node in step.group or len(step.readers[node]) != 1:
            continue
        reader = step.readers[node][0]
        if step.nodes[reader].op == "add" and level[reader] % 2 == 0 and node not in step.wanted and not step.later[node]:
            level[node] = level[reader]


def _sink_points(step: Step, level: dict[int, int]) -> None:
    free = _sums_alone(step)
    loops = {level[n] for n in step.group}
    for node in reversed(step.order):
        if node in step.group or not step.is_point(node) or level[node] % 2 or node in step.conditions | free:
            continue
        if _starts_product(step, node):
            continue
        target = min((level[r] for r in (*step.readers[node], *step.later[node]) if r not in free), default=0)
        if target % 2 == 0 and not all(i in step.given for i in step.inputs(node)):
            target = target - 1 if target - 1 in loops else 0
        level[node] = max(level[node], target)
    for node in step.order:
        if node in free:
            level[node] = max([level[node], *(level[i] for i in step.inputs(node))])


def _starts_product(step: Step, node: int) -> bool:
    """A bias added to a product costs nothing where the product is made: its sum starts from it."""
    n, rows = step.nodes[node], step.inputs(node)
    if n.op != "add" or len(rows) != 1 or any(step.nodes[i].shape.dims != n.shape.dims for i in n.inputs):
        return False
    return step.is_product(rows[0]) and step.readers[rows[0]] == [node]


def _sums_alone(step: Step) -> set[int]:
    """Sums over the batch, and what only they read: they are made where their inputs are."""
    streams = {*step.wanted, *step.conditions, *(i for o in step.outers for i in step.nodes[o].inputs)}
    streams |= {after for _, after in step.recurrences}
    free = set(step.batch_sums)
    for node in reversed(step.order):
        alone = bool(step.readers[node]) and all(r in free for r in step.readers[node])
        if alone and step.is_point(node) and node not in step.group and node not in streams:
            free.add(node)
    return free


def _pull_products(step: Step, level: dict[int, int]) -> None:
    """An input product joins the loop where its sum is formed, if that loop has products of its own."""
    loops = {level[n] for n in step.group if step.is_product(n)}
    for node in reversed(step.order):
        if not step.is_product(node) or node in step.group or len(step.readers[node]) != 1:
            continue
        reader = step.readers[node][0]
        if step.nodes[reader].op == "add" and level[reader] in loops and node not in step.wanted and not step.later[node]:
            level[node] = level[reader]
