from __future__ import annotations

import json


def test_doctor_says_what_there_is(recell) -> None:
    report = json.loads(recell("doctor", "--json").out)
    import numpy
    import torch

    import recell as library

    assert report["recell"] == library.__version__ and report["numpy"] == numpy.__version__
    assert report["torch"] == torch.__version__ and "cpu" in report["backends"]
    assert report["instruction_set"] and report["threads"] >= 1
    assert report["pointwise_tier"].startswith("virtual machine")
    out = recell("doctor").out
    assert "native library" in out and "pointwise tier" in out


def test_doctor_says_what_is_wrong(recell, monkeypatch) -> None:
    monkeypatch.setenv("RECELL_LIBRARY", "/no/such/library.so")
    ran = recell("doctor")
    assert ran.code == 0 and "not usable" in ran.out
