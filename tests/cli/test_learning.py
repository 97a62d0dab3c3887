from __future__ import annotations

import json

from recell import tasks


def test_every_task_is_listed_with_what_it_learns(recell) -> None:
    listed = json.loads(recell("tasks", "--json").out)
    assert tuple(listed) == tasks.names() and all(line.startswith("Learns ") for line in listed.values())
    assert all(f"{name} " in recell("tasks").out for name in listed)


def test_a_task_says_its_data_and_every_option(recell) -> None:
    for name in tasks.names():
        options = json.loads(json.dumps(tasks.find(name)().get_params()))
        described = json.loads(recell("tasks", name, "--json").out)
        assert described["options"] == options and described["name"] == name
        shown = recell("tasks", name).out
        assert described["about"] in shown and all(f"\n{option} " in shown for option in options)
    ran = recell("tasks", "tager")
    assert ran.code == 2 and "tagger" in ran.err and ran.err.count("\n") == 1
