from __future__ import annotations

from recell.bench.questions.deepbench import SHAPES, shapes_of


def test_the_shapes_are_those_of_the_training_set() -> None:
    assert {kind: len(shapes) for kind, shapes in SHAPES.items()} == {"RNN": 12, "LSTM": 22, "GRU": 19}
    assert {(2560, 128, 50)} <= set(SHAPES["RNN"]) and {(4096, 16, 25), (1536, 8, 50)} <= set(SHAPES["LSTM"])


def test_steps_are_capped_unless_the_full_ones_are_asked_for() -> None:
    capped = shapes_of("GRU", full=False)
    assert max(steps for steps, *_ in capped) == 50 and len(capped) == len(set(capped)) == 7
    full = shapes_of("GRU", full=True)
    assert (1500, 32, 2816, 2816) in full and (1, 32, 512, 512) in full and len(full) == 19
    assert shapes_of("RNN", full=True) == shapes_of("RNN", full=False)
