from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from recell import runtime


def test_generate_prints_the_prompt_and_what_follows(recell, model: Path) -> None:
    ran = recell("generate", model, "--prompt", "the c", "--length", 40, "--seed", 3, "--temperature", 0.7)
    expected = runtime.load(model).generate("the c", 40, seed=3, temperature=0.7)
    assert ran.code == 0 and ran.out == f"the c{expected}\n"
    data = json.loads(
        recell("generate", model, "--prompt", "the c", "--length", 40, "--seed", 3, "--temperature", 0.7, "--json").out
    )
    assert data == {"prompt": "the c", "text": expected}


def test_a_conversation_remembers(recell, model: Path, monkeypatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("the cat\n\n sat\n"))
    ran = recell("generate", model, "--interactive", "--length", 6, "--temperature", 0, "--json")
    answers = [json.loads(line) for line in ran.out.splitlines()]
    assert [answer["prompt"] for answer in answers] == ["the cat", "", " sat"]
    assert answers[0]["text"] == runtime.load(model).generate("the cat", 6, temperature=0)
    whole = runtime.load(model).generate("the cat", 12, temperature=0)
    assert answers[0]["text"] + answers[1]["text"] == whole


def test_a_conversation_in_plain_text(recell, model: Path, monkeypatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("the\n"))
    ran = recell("generate", model, "--interactive", "--length", 6, "--seed", 1)
    assert ran.code == 0 and ran.out.startswith("the") and len(ran.out) == len("the") + 6 + 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--temperature", -1), "temperature"),
        (("--top-k", 0), "top_k"),
        (("--top-p", 2), "top_p"),
        (("--length", -5), "length"),
        (("--seed", -5), "seed"),
        (("--backend", "gpu"), "reference"),
        (("--backend", "eager"), "there are cpu, reference"),
    ],
)
def test_wrong_settings(recell, model: Path, arguments, says: str) -> None:
    ran = recell("generate", model, *arguments)
    assert ran.code == 2 and says in ran.err and ran.err.count("\n") == 1 and ran.out == ""


def test_no_model(recell, tmp_path: Path) -> None:
    ran = recell("generate", tmp_path / "none")
    assert ran.code == 2 and "no model folder" in ran.err and ran.err.count("\n") == 1
