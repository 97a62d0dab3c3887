from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys

import pytest


def test_doctor_says_what_there_is(recell) -> None:
    report = json.loads(recell("doctor", "--json").out)
    import numpy
    import torch

    import recell as library

    assert report["recell"] == library.__version__ and report["numpy"] == numpy.__version__
    assert report["torch"] == torch.__version__ and "cpu" in report["backends"]
    for package in ("safetensors", "typer", "rich", "scikit-learn", "seqeval", "tokenizers"):  # those of [cli] and [tasks]
        assert report[package] == importlib.metadata.version(package)
    assert "pydantic" not in report and report["instruction_set"] and report["threads"] >= 1
    assert report["pointwise_tier"].startswith("virtual machine")
    out = recell("doctor").out
    assert "native library" in out and "pointwise tier" in out


WRONG = [
    ("RECELL_LIBRARY", "/no/such/library.so", "RECELL_LIBRARY=/no/such/library.so is not a file"),
    ("RECELL_ISA", "abacus", "RECELL_ISA=abacus is no instruction set of this build; write "),
    ("RECELL_TIER", "jit", "RECELL_TIER=jit is no tier; write vm"),
]


@pytest.mark.parametrize(("variable", "value", "words"), WRONG, ids=[name for name, *_ in WRONG])
def test_doctor_refuses_a_wrong_setting_and_says_the_rest(variable: str, value: str, words: str) -> None:
    ran = doctor(**{variable: value})
    report = json.loads(ran.stdout)
    assert ran.returncode == 2 and words in ran.stderr and len(ran.stderr.strip().splitlines()) == 1
    assert words in report["native_library"] and report["native_library"].startswith("not usable")
    assert report["backends"] == "eager, reference" and "instruction_set" not in report


@pytest.mark.parametrize("tier", ["prebuilt", "compiled", "vm", ""])
def test_doctor_says_which_tier_was_asked_for_and_that_the_vm_runs(tier: str) -> None:
    ran = doctor(RECELL_TIER=tier)
    told = json.loads(ran.stdout)["pointwise_tier"]
    assert ran.returncode == 0 and told.startswith("virtual machine: the only one")
    assert (f"asks for {tier}, which is not built" in told) == (tier in ("prebuilt", "compiled"))


def test_doctor_says_that_nothing_is_cached(recell, monkeypatch) -> None:
    monkeypatch.setenv("RECELL_CACHE", "/some/where")
    assert json.loads(recell("doctor", "--json").out)["RECELL_CACHE"].startswith("/some/where (not read")


def doctor(**variables: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own: a library is loaded once."""
    command = [sys.executable, "-m", "recell", "doctor", "--json"]
    return subprocess.run(command, env=os.environ | variables, capture_output=True, text=True, check=False)
