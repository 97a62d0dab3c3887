"""The placement rule: products per step, what is kept, which phases there are; the numbers of LANGUAGE.md's end."""

from __future__ import annotations

import pytest

from recell import CellError, ShapeError, cell, cells, sigmoid, tanh
from recell.compiler.build import Variant
from recell.compiler.plan import Plan, StepPlan, stage_nodes
from recell.compiler.planner import make_plan
from recell.language.cell import Cell
from tests.contract.descriptions import NAMES, cell_named, description_of
from tests.contract.harness import VARIANTS, sizes_of

HIDDEN = 60

# cell -> products a step in loops, forward and backward; floats a unit and step that are kept
SEEN = {
    "Elman": (1, 1, 0), "LSTM": (1, 1, 5), "PeepholeLSTM": (1, 1, 5), "GRU": (1, 1, 4), "GRUResetBefore": (2, 2, 3),
    "SCRN": (1, 1, 0), "SRU": (0, 0, 4), "PackedLSTM": (1, 1, 5), "AntisymmetricRNN": (1, 1, 1),
}  # fmt: skip


TRAINING = Variant(training=True)


def plan_of(cell: Cell, variant: Variant = TRAINING, sizes: dict[str, int] | None = None) -> Plan:
    return make_plan(cell, sizes_of(cell, HIDDEN, sizes), variant)


def products_a_step(step: StepPlan) -> int:
    return sum(bool(stage.forms) for phase in step.phases if phase.is_loop for stage in phase.stages)


@pytest.mark.parametrize("name", SEEN)
def test_products_and_stash_are_those_that_were_seen(name: str) -> None:
    plan = plan_of(cell_named(name), sizes=dict(description_of(name).sizes))
    came = products_a_step(plan.forward), products_a_step(plan.backward), plan.stash.floats / HIDDEN
    assert came == SEEN[name]


def test_clockwork_keeps_one_float_a_unit_and_the_time() -> None:
    assert plan_of(cell_named("Clockwork")).stash.floats == HIDDEN + 1


def test_slstm_keeps_no_more_than_was_seen() -> None:
    assert plan_of(cell_named("SLSTM")).stash.floats <= 7 * HIDDEN


@pytest.mark.parametrize("name", NAMES)
def test_stash_floats_is_what_the_plan_keeps(name: str) -> None:
    definition = cell_named(name)
    sizes = sizes_of(definition, 24, description_of(name).sizes)
    assert definition.stash_floats(sizes) == make_plan(definition, sizes, Variant(training=True)).stash.floats


def test_stash_floats_asks_for_every_size() -> None:
    with pytest.raises(ShapeError, match="Jordan needs a number for output; came"):
        cells.Jordan.stash_floats({"input": 3, "hidden": 4})
    assert cells.SCRN.stash_floats({"input": 3, "hidden": 4}) == cells.SCRN.stash_floats({"input": 3, "hidden": 4, "context": 40})


def test_independent_units_keep_nothing() -> None:
    """IndRNN (Li et al. 2018): a scan whose output is all that its gradient reads."""

    @cell
    def IndRNN(p, x, h):
        return tanh(p.W @ x + p.u * h + p.b)

    plan = plan_of(IndRNN)
    assert plan.stash.floats == 0
    assert products_a_step(plan.forward) == products_a_step(plan.backward) == 0


def test_a_scan_has_its_products_outside_the_loop() -> None:
    plan = plan_of(cell_named("SRU"))
    (before, loop) = plan.forward.phases
    assert not before.is_loop and len(before.stages[0].forms) == 3
    assert loop.is_loop and not any(stage.forms for stage in loop.stages)


def test_a_scan_s_gradients_of_x_are_one_sum_after_one_loop() -> None:
    """What only one gate's adjoint reads joins the loop, and the three products are formed together."""
    (loop, after) = plan_of(cell_named("SRU")).backward.phases
    assert loop.is_loop and not after.is_loop
    (form,) = after.stages[0].forms
    assert len(form.products) == 3 and form.initial is None


def test_a_bias_starts_the_sum_of_its_product() -> None:
    (before, loop) = plan_of(cell_named("MinLSTM")).forward.phases
    assert all(form.initial is not None for form in before.stages[0].forms) and loop.is_loop


def test_scrn_has_a_scan_a_product_and_a_loop() -> None:
    levels = [(phase.level, phase.is_loop, any(s.forms for s in phase.stages)) for phase in plan_of(cells.SCRN).forward.phases]
    assert levels == [(0, False, True), (1, True, False), (3, True, True)]


def test_a_delayed_input_needs_no_loop() -> None:
    """QRNN's window is a shift of x: only the scan of c is a loop."""
    loops = [phase for phase in plan_of(cell_named("QRNN")).forward.phases if phase.is_loop]
    assert len(loops) == 1 and products_a_step(plan_of(cell_named("QRNN")).forward) == 0


def test_the_input_product_joins_the_loop_where_its_sum_is_formed() -> None:
    plan = plan_of(cells.LSTM)
    (loop,) = plan.forward.phases
    assert all(len(form.products) == 2 and form.initial is not None for form in loop.stages[0].forms)
    assert len(loop.stages[0].forms) == 4


def test_weight_gradients_are_formed_after_the_loop() -> None:
    plan = plan_of(cells.LSTM)
    outers = {node for node, _, _ in plan.backward.outers}
    assert len(outers) == 8
    placed = {n for phase in plan.backward.phases for stage in phase.stages for n in stage_nodes(stage)}
    assert not outers & placed


def test_spelling_does_not_matter() -> None:
    packed, plain = plan_of(cell_named("PackedLSTM")), plan_of(cells.LSTM)
    assert packed.stash.floats == plain.stash.floats
    for one, other in ((packed.forward, plain.forward), (packed.saving, plain.saving), (packed.backward, plain.backward)):
        assert drawn(one) == drawn(other)


def drawn(step: StepPlan) -> list[object]:
    """The phases of a plan as their stages' products and instructions; what orders the instructions is the author's spelling."""
    return [
        [(sorted(len(f.products) for f in s.forms), sorted(step.nodes[n].op for n in s.points)) for s in phase.stages]
        for phase in step.phases
    ] + [len(step.outers)]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_value_stands_where_its_inputs_are_ready(name: str, variant: str) -> None:
    """The law of a plan: whatever a stage reads is given, carried by a state, or was made by then."""
    plan = plan_of(cell_named(name), VARIANTS[variant], dict(description_of(name).sizes))
    for step in (plan.forward, plan.saving, plan.backward):
        ready = (
            {n for n, node in enumerate(step.nodes) if not node.shape.is_row} | set(step.given) | {b for b, _ in step.recurrences}
        )
        for phase in step.phases:
            for stage in phase.stages:
                for form in stage.forms:
                    needed = [p.operand for p in form.products] + ([form.initial] if form.initial is not None else [])
                    needed += [p.guard.condition for p in form.products if p.guard]
                    assert set(needed) <= ready
                ready |= {form.node for form in stage.forms}
                for node in stage.points:
                    assert set(step.nodes[node].inputs) <= ready, (step.nodes[node], phase.level)
                    ready.add(node)
        assert set(step.kept) <= ready
        assert {i for _, a, b in step.outers for i in (a, b)} <= ready
        assert {guard.condition for guard in step.outer_guards.values()} <= ready


def test_two_parameters_with_one_gradient_are_summed_once() -> None:
    @cell
    def Twice(p, x, h):
        return tanh(p.W @ x + p.V @ x + p.b + p.c + p.U @ h)

    plan = plan_of(Twice)
    outers = [node for node, _, _ in plan.backward.outers]
    assert len(outers) == len(set(outers)) == 2


def test_a_frozen_parameter_has_no_gradient() -> None:
    @cell
    def Frozen(p, x, h):
        return tanh(p.matrix("W", trainable=False) @ x + p.U @ h + p.vector("b", trainable=False))

    plan = plan_of(Frozen)
    assert [g is None for g in plan.derived.parameter_gradients] == [True, False, True]
    assert len(plan.backward.outers) == 1


def test_without_the_gradient_of_x_nothing_is_made_of_it() -> None:
    plan = plan_of(cells.LSTM, Variant(input_gradient=False))
    assert plan.derived.input_gradient is None
    assert all(phase.is_loop for phase in plan.backward.phases)


def test_a_gate_between_two_products_makes_two_stages() -> None:
    @cell
    def Before(p, x, h):
        return tanh(p.W @ x + p.U @ (sigmoid(p.V @ h) * h))

    assert products_a_step(plan_of(Before).forward) == 2


def test_a_foreign_graph_is_refused() -> None:
    from dataclasses import replace

    from recell.compiler.passes import prepare

    graph = cells.Elman.graph
    broken = replace(graph, nodes=(*graph.nodes[:-1], replace(graph.nodes[-1], op="warp")))
    with pytest.raises(CellError, match="unknown op 'warp'"):
        prepare(broken, Variant(mask=True))


def test_a_delayed_value_is_made_before_products_over_all_steps_read_it() -> None:
    """`new` is read in the loop too, and may not sink there: U @ c runs everywhere at once, before the loop."""

    @cell(output="o")
    def Delayed(p, x, h, c):
        n = tanh(p.U @ c - p.v * h)
        new = tanh(p.W @ x)
        o = n * new  # noqa: F841 (the output)
        return n, new

    step = plan_of(Delayed).forward
    (before, after) = next((b, a) for b, a in step.recurrences if step.nodes[b].attributes == (1,))
    reading = [ph.level for ph in step.phases for s in ph.stages for f in s.forms for p in f.products if p.operand == before]
    assert reading and step.level[after] < min(reading)
