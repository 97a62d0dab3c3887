"""``recell tasks``."""

from __future__ import annotations

import inspect
from typing import Any

from recell.cli.train import need_torch


def list_tasks() -> dict[str, str]:
    """Every task's name and what it learns."""
    need_torch("this command")
    from recell import tasks

    return {name: _about(tasks.find(name)).partition("\n")[0] for name in tasks.names()}


def describe_task(name: str) -> dict[str, Any]:
    """What a task learns from, as its class says it, and its options with their defaults."""
    need_torch("this command")
    from recell import tasks

    task = tasks.find(name)
    options = tasks.options_to_json(task().get_params())
    return {"name": task.name().replace("_", "-"), "about": _about(task), "options": options}


def told(described: dict[str, Any]) -> str:
    """The same for people: the text, then an option a line."""
    options: dict[str, Any] = described["options"]
    width = max(map(len, options))
    rows = [f"{option:<{width}}  {default}" for option, default in options.items()]
    heading = "Options and their defaults, by --set NAME=VALUE where train has none of the name:"
    return "\n".join([described["about"], "", heading, *rows])


def _about(task: type[Any]) -> str:
    return inspect.getdoc(task) or ""
