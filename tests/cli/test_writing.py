from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recell import runtime
from recell.tasks import Captioner, Frames, Tagger


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


def lines(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_captions_are_drawn_for_a_file(recell, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    task = Captioner(steps=3, code_size=4, validation_fraction=0, threads=1)
    task.fit(rng.normal(size=(6, 3)), ["ab", "ba", "bb"] * 2, progress=False).save(tmp_path / "m")
    asked = rng.normal(size=(5, 3)).round(3)
    file = lines(tmp_path / "asked.jsonl", [{"vector": row.tolist()} for row in asked])
    for options, settings in (((), {}), (("--temperature", 0.5, "--top-k", 3), {"temperature": 0.5, "top_k": 3})):
        ran = recell("generate", tmp_path / "m", file, "--seed", 3, "--json", *options)
        assert (ran.code, ran.err) == (0, "")
        drawn = [json.loads(line)["output"] for line in ran.out.splitlines()]
        assert drawn == task.generate(asked, seed=3, **settings)
    assert recell("generate", tmp_path / "m", file, "--seed", 3).out.startswith(f"{file}, line 1\t")


def test_frames_are_drawn_that_follow_a_files(recell, tmp_path: Path) -> None:
    music = [[[0, 2], [1], [2]], [[1], [0, 1]]]
    file = lines(tmp_path / "asked.jsonl", [{"steps": steps} for steps in music])
    task = Frames(steps=3, keys=4, validation_fraction=0, threads=1).fit(file, progress=False).save(tmp_path / "m")
    ran = recell("generate", tmp_path / "m", file, "--seed", 3, "--length", 6, "--json")
    assert (ran.code, ran.err) == (0, "")
    drawn = [np.array(json.loads(line)["output"]) for line in ran.out.splitlines()]
    first = [[float(key in step) for key in range(4)] for step in music[0]]
    assert [frames.shape for frames in drawn] == [(6, 4), (6, 4)]
    np.testing.assert_array_equal(drawn[0], task.generate(first, 6, seed=3))
    assert not np.array_equal(drawn[0], drawn[1])  # one generator for all
    for options, says in ((("--temperature", 0.5), "frames are drawn as learnt"), (("--length", -1), "length")):
        ran = recell("generate", tmp_path / "m", file, *options)
        assert ran.code == 2 and says in ran.err and ran.err.count("\n") == 1


def test_what_draws_nothing_says_which_command_does(recell, model: Path, tmp_path: Path) -> None:
    Tagger(steps=1, threads=1).fit([["a", "b"]] * 4, [["N", "V"]] * 4, progress=False).save(tmp_path / "tagger")
    Captioner(steps=1, threads=1, validation_fraction=0).fit(np.ones((2, 3)), ["a", "b"], progress=False).save(tmp_path / "m")
    for arguments, says in (
        ((tmp_path / "tagger",), "a Tagger draws nothing; write recell predict DIR DATA"),
        ((tmp_path / "m",), "a Captioner draws for what a file asks; came no file; write recell generate DIR DATA"),
        ((tmp_path / "m", "some.jsonl", "--prompt", "a"), "--prompt is for a language model"),
        ((tmp_path / "m", "some.jsonl", "--length", 4), "a caption ends itself"),
        ((tmp_path / "m", "some.jsonl"), "some.jsonl"),
        ((model, "some.txt"), "a language model goes on from a text"),
    ):
        ran = recell("generate", *arguments)
        assert ran.code == 2 and says in ran.err and ran.err.count("\n") == 1 and ran.out == ""
