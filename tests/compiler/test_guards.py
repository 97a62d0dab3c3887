"""Which products a step can do without, and that nothing comes out otherwise for it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from recell import cell, floor, mean, sigmoid, tanh, where
from recell.compiler.build import Variant
from recell.compiler.guards import Guard
from recell.compiler.plan import Plan, StepPlan
from recell.compiler.planner import make_plan
from recell.language.cell import Cell
from tests.contract.harness import VARIANTS, Case, agree, by_reference, everything, make, sizes_of


@cell
def Ticking(p, x, h, t):
    """Everything waits for its tick."""
    return where(t % 3 == 0, tanh(p.W @ x + p.U @ h + p.b), h)


@cell
def Resting(p, x, h, t):
    """The same by the other branch, and by a condition of several."""
    rests = (t % 2 == 1) * (floor(t / 4) % 2 == 0)
    return where(rests, h, tanh(p.W @ x + p.U @ h + p.b))


@cell
def Gated(p, x, h, c, t):
    """Gates that are kept for the backward step, multiplied with each other."""
    due = t % 4 == 1
    f = sigmoid(p.W_f @ x + p.U_f @ h + p.b_f)
    g = tanh(p.W_g @ x + p.U_g @ h)
    c = where(due, f * c + (1 - f) * g, c)
    return where(due, tanh(c), h), c


@cell
def Two(p, x, h, s, t):
    """Two clocks, one that reads the other's state, one whose products all steps need."""
    slow = where(t % 4 == 0, tanh(p.W_s @ x + p.U_s @ s), s)
    return tanh(p.W @ x + p.U @ h + p.V @ slow), slow


@cell
def Irregular(p, x, h, dt):
    """Time elapsed, its own for every row."""
    return where(dt > 1, tanh(p.W @ x + p.U @ h + p.b), h / (1 + dt))


@cell(output="z")
def Shown(p, x, h, t):
    """What is put out is needed at every step."""
    z = p.W @ x + p.U @ h
    h = where(t % 2 == 0, tanh(z), h)
    return h


@cell
def ByState(p, x, h):
    """A condition that only the loop knows is no guard."""
    return where(mean(h) > 0, tanh(p.W @ x + p.U @ h), h)


GUARDED = {c.name: c for c in (Ticking, Resting, Gated, Two, Irregular)}
FREE = {c.name: c for c in (Shown, ByState)}


def plan_of(definition: Cell, variant: Variant = VARIANTS["training"]) -> Plan:
    return make_plan(definition, sizes_of(definition, 6), variant)


def guards_of(step: StepPlan) -> list[Guard | None]:
    return [p.guard for phase in step.phases for stage in phase.stages for f in stage.forms for p in f.products]


def outer_guards(step: StepPlan) -> list[Guard | None]:
    return [step.outer_guards.get(node) for node, _, _ in step.outers]


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("name", ["Ticking", "Resting", "Gated", "Irregular"])
def test_every_product_has_its_guard(name: str, variant: str) -> None:
    """In all three steps and in the weight gradients; masks and resets change nothing."""
    plan = plan_of(GUARDED[name], VARIANTS[variant])
    for step in (plan.forward, plan.saving, plan.backward):
        assert guards_of(step) and all(guards_of(step))
    assert outer_guards(plan.backward) and all(outer_guards(plan.backward))


def test_the_other_branch_counts_where_the_condition_does_not_hold() -> None:
    whens = {name: {g.when for g in guards_of(plan_of(GUARDED[name]).forward) if g} for name in ("Ticking", "Resting")}
    assert whens == {"Ticking": {True}, "Resting": {False}}


def test_only_what_waits_is_guarded() -> None:
    plan = plan_of(Two)
    for step in (plan.forward, plan.saving):
        assert sorted(map(bool, guards_of(step))) == [False] * 3 + [True] * 2
    assert sorted(map(bool, outer_guards(plan.backward))) == [False] * 3 + [True] * 2


def test_what_somebody_else_reads_is_computed() -> None:
    plan = plan_of(Shown)
    assert not any(guards_of(plan.forward)) and not any(guards_of(plan.saving))


def test_a_condition_of_states_is_no_guard() -> None:
    plan = plan_of(ByState, VARIANTS["all"])
    assert not any([*guards_of(plan.saving), *guards_of(plan.backward), *outer_guards(plan.backward)])


@pytest.mark.parametrize("name", GUARDED)
def test_a_guard_is_there_before_what_it_guards(name: str) -> None:
    """Before the loop begins, so that products of given inputs may still be computed ahead of it."""
    plan = plan_of(GUARDED[name], VARIANTS["all"])
    for step in (plan.forward, plan.saving, plan.backward):
        for phase in step.phases:
            for form in (f for stage in phase.stages for f in stage.forms):
                for product in form.products:
                    if product.guard and product.guard.condition not in step.given:
                        assert step.level[product.guard.condition] < phase.level


def case(name: str, variant: str, *, rows: int, together: bool, steps: int = 9, **how) -> Case:
    """Rows whose time runs together, as in a batch of sequences from their start, or each at a step of its own."""
    definition = {**GUARDED, **FREE}[name]
    made = make(definition, sizes_of(definition, 13), rows=rows, steps=steps, variant=VARIANTS[variant], seed=len(name))
    if together:
        timeless = [np.zeros_like(v) if s.size is None else v for v, s in zip(made.states, definition.states, strict=True)]
        elapsed = None if made.elapsed is None else np.repeat(made.elapsed[:, :1], rows, 1)
        made = replace(made, states=tuple(timeless), elapsed=elapsed)
    return replace(made, **how)


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("name", [*GUARDED, *FREE])
def test_results_and_gradients_are_the_definition_s(name: str, variant: str, together: bool) -> None:
    for rows in (1, 6, 37):
        for reverse in (False, True):
            one = case(name, variant, rows=rows, together=together, reverse=reverse)
            agree(everything(one, "cpu"), by_reference(one))


@pytest.mark.parametrize("name", GUARDED)
def test_ragged_rows_and_segments(name: str) -> None:
    active = (12, 12, 11, 7, 7, 4, 1, 1, 0)
    one = case(name, "all", rows=12, together=True, active=active)
    agree(everything(one, "cpu"), by_reference(one))
    plain = case(name, "all", rows=12, together=True)
    agree(everything(plain, "cpu", segment=4), by_reference(plain))


@pytest.mark.parametrize("name", GUARDED)
def test_in_single_precision_too(name: str) -> None:
    one = case(name, "training", rows=70, together=True)
    agree(everything(one, "cpu", "float32"), by_reference(one), "float32")
