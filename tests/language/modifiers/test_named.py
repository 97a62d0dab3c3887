"""A modifier's text is its call: read, never run."""

from __future__ import annotations

import pytest

from recell import modifiers
from recell.errors import CellError
from recell.language.modifiers.named import MODIFIERS


def test_every_modifier_has_its_name() -> None:
    assert set(MODIFIERS) == set(modifiers.__all__)


@pytest.mark.parametrize(("text", "modifier"), [
    ("zoneout(h=0.05, c=0.5)", modifiers.zoneout(h=0.05, c=0.5)),
    ("layer_norm", modifiers.layer_norm()),
    (" layer_norm(per='gates') ", modifiers.layer_norm(per="gates")),
    ("dilation(3)", modifiers.dilation(3)),
    ("recurrent_dropout(0.25)", modifiers.recurrent_dropout(0.25)),
])  # fmt: skip
def test_a_call_is_read(text, modifier) -> None:
    assert modifiers.named(text) == modifier


@pytest.mark.parametrize("text", [
    "", "zoneout(", "zoneout(h=x)", "zoneout(h=__import__('os'))", "os.system('x')", "zoneout(**{'h': 0.1})", "1 + 1", None, 3,
    "zonout(h=0.1)", "dilation()", "dilation(k=2, m=3)", "zoneout(h=2)", "lambda: 1", "(" * 5000,
])  # fmt: skip
def test_anything_else_is_refused_in_one_line(text) -> None:
    with pytest.raises(CellError) as refused:
        modifiers.named(text)
    assert "\n" not in str(refused.value)
