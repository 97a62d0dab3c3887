from __future__ import annotations

import torch

from recell import worked
from recell.worked.examples import shapes
from recell.worked.learning import seeded


def test_the_shapes_are_those_of_their_names() -> None:
    example = worked.shapes()
    steps = {name: (x[0], y[0]) for name, _, x, y in example.rows}
    assert steps == {
        "one to one": (1, 1), "one to many": (1, 5), "many to one": (4, 1),
        "many to many out of step": (4, 5), "many to many in step": (4, 4),
    }  # fmt: skip


def test_the_code_shown_runs_and_is_short() -> None:
    example = worked.shapes()
    for (code,), model in zip(example.more[0].rows, shapes.MODELS, strict=True):
        known = dict(vars(shapes))
        exec(code, known)  # the code that the table shows
        x = torch.randn(shapes.MODELS[model][0], 1, 3)
        with seeded(3):
            expected = model(x)
        with seeded(3):
            assert torch.equal(known[model.__name__](x), expected)
        assert len(code.splitlines()) <= 7


def test_in_step_an_output_knows_no_later_input() -> None:
    x = torch.randn(4, 1, 3)
    later = torch.cat([x[:2], torch.randn(2, 1, 3)])
    with seeded(0):
        y = shapes.many_to_many_in_step(x)
    with seeded(0):
        other = shapes.many_to_many_in_step(later)
    assert torch.equal(y[:2], other[:2]) and not torch.equal(y[2:], other[2:])
    with seeded(0):
        out_of_step = shapes.many_to_many_out_of_step(x)
    with seeded(0):
        assert not torch.equal(shapes.many_to_many_out_of_step(later)[0], out_of_step[0])  # everything was read before
