"""A modifier out of text: ``"zoneout(h=0.1)"``, as an option or a command line holds it."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

from recell.errors import CellError, message, unknown
from recell.language.modifiers.common import Modifier
from recell.language.modifiers.dilation import dilation
from recell.language.modifiers.dropouts import recurrent_dropout, weight_drop
from recell.language.modifiers.layer_norm import layer_norm
from recell.language.modifiers.zoneout import zoneout

MODIFIERS: dict[str, Callable[..., Modifier]] = {
    made.__name__: made for made in (dilation, layer_norm, recurrent_dropout, weight_drop, zoneout)
}


def named(text: str) -> Modifier:
    """The modifier that a text writes as its call, or as its name alone; nothing of the text is run.

    >>> named("zoneout(h=0.05, c=0.5)")
    Zoneout(rates=(('h', 0.05), ('c', 0.5)))
    >>> named("layer_norm") == named("layer_norm()")
    True

    Raises CellError for what is no such call, for an unknown name and for arguments that do not fit.
    """
    name, arguments, options = _call(text)
    if name not in MODIFIERS:
        raise CellError(unknown("modifier", name, MODIFIERS))
    try:
        return MODIFIERS[name](*arguments, **options)
    except TypeError as error:
        raise CellError(message(f"the modifier {text!r} does not fit: {error}", write=f"{name} with its own arguments")) from None


def _call(text: Any) -> tuple[str, list[Any], dict[str, Any]]:
    try:
        tree = ast.parse(text.strip(), mode="eval").body
        if isinstance(tree, ast.Name):
            return tree.id, [], {}
        if isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name):
            arguments = [ast.literal_eval(value) for value in tree.args]
            options = {keyword.arg: ast.literal_eval(keyword.value) for keyword in tree.keywords if keyword.arg}
            if len(options) == len(tree.keywords):
                return tree.func.id, arguments, options
    except (AttributeError, SyntaxError, ValueError, RecursionError):
        pass  # said below, as everything that is no call
    raise CellError(message("a modifier is written as its call", came=f"{text!r:.60}", write="'zoneout(h=0.1)'"))
