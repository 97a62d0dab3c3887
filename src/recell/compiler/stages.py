"""The stages of one phase: sums of products formed at once, then the pointwise work that reads them."""

from __future__ import annotations

from recell.compiler.plan import Form, Product, Stage
from recell.compiler.step import Step


def stages(step: Step, members: list[int]) -> tuple[Stage, ...]:
    """The stages of the phase that computes `members`, nodes of one level in order."""
    inside = set(members)
    absorbed, forms = _forms(step, members)
    stage: dict[int, int] = {}
    for node in members:
        stage[node] = _stage_of(step, node, inside, stage)
    for form in forms.values():
        for product in form.products:
            stage[form.node] = max(stage[form.node], stage.get(product.operand, -1) + 1)
            if product.guard:
                stage[form.node] = max(stage[form.node], stage.get(product.guard.condition, -1) + 1)
    for node in members:  # what reads a form waits for its last product
        if node not in forms and node not in absorbed:
            stage[node] = _stage_of(step, node, inside, stage)
        elif node in forms:
            stage[node] = max(stage[node], _stage_of(step, node, inside, stage))
    count = max(stage.values()) + 1
    points = [n for n in members if n not in absorbed and n not in forms]
    found = [Stage(tuple(f for f in forms.values() if stage[f.node] == k), tuple(n for n in points if stage[n] == k))
             for k in range(count)]
    return tuple(s for s in found if s.forms or s.points)


def _stage_of(step: Step, node: int, inside: set[int], stage: dict[int, int]) -> int:
    inputs = [stage[i] for i in step.inputs(node) if i in inside]
    if step.nodes[node].op == "product":
        return max(inputs, default=-1) + 1
    return max(inputs, default=0)


def _forms(step: Step, members: list[int]) -> tuple[set[int], dict[int, Form]]:
    """Sums of products: absorbed nodes, and root node -> form. `gather` has put the products first."""
    inside = set(members)
    forms: dict[int, Form] = {}
    absorbed: set[int] = set()
    for node in members:
        op = step.nodes[node].op
        if op == "product":
            forms[node] = Form(node, (_product(step, node),), None)
        elif op == "add":
            merged = _merge(step, node, forms, inside)
            if merged is not None:
                for i in step.nodes[node].inputs:
                    if forms.pop(i, None) is not None:
                        absorbed.add(i)
                forms[node] = merged
    return absorbed, forms


def _merge(step: Step, node: int, forms: dict[int, Form], inside: set[int]) -> Form | None:
    left, right = step.nodes[node].inputs
    a, b = _own(step, left, forms), _own(step, right, forms)
    if a is None and b is None:
        return None
    if a is not None and b is not None:
        if a.initial is not None and b.initial is not None:
            return None
        return Form(node, a.products + b.products, a.initial if a.initial is not None else b.initial)
    form, other = (a, right) if a is not None else (b, left)
    assert form is not None
    if form.initial is not None or not _can_start(step, node, other, inside):
        return None
    return Form(node, form.products, other)


def _own(step: Step, node: int, forms: dict[int, Form]) -> Form | None:
    """The form of a node that this sum alone reads."""
    alone = len(step.readers.get(node, ())) == 1 and node not in step.wanted and not _is_after(step, node)
    return forms.get(node) if alone else None


def _is_after(step: Step, node: int) -> bool:
    return any(a == node for _, a in step.recurrences)


def _can_start(step: Step, node: int, other: int, inside: set[int]) -> bool:
    """A bias, or a stream of an earlier phase, of the sum's own size."""
    o = step.nodes[other]
    if o.shape.dims != step.nodes[node].shape.dims:
        return False
    return not o.shape.is_row or (other not in inside and other not in step.before and o.op == "product")


def _product(step: Step, node: int) -> Product:
    matrix, operand = step.nodes[node].inputs
    if step.nodes[matrix].op == "transpose":
        return Product(step.nodes[matrix].inputs[0], True, operand, step.guards.get(node))
    return Product(matrix, False, operand, step.guards.get(node))
