"""The library's door: where it is found, its version, its errors."""

from __future__ import annotations

import _ctypes
import os
import subprocess
import sys

import numpy as np
import pytest

from recell.compiler.backends.cpu import library
from recell.errors import RecellError

SETS = ("avx512", "avx2", "baseline")


def test_version_and_instruction_set(native):
    assert native.rc_abi_version() == library.ABI_VERSION
    assert native.rc_isa().decode() in SETS


def test_every_op_has_a_number():
    numbers = [library.opcode(name) for name in ("copy", "mul_add", "softmax", "accumulate", "coin")]
    assert len(set(numbers)) == len(numbers)
    with pytest.raises(RecellError, match="erfinv"):
        library.opcode("erfinv")


def test_missing_library(monkeypatch):
    monkeypatch.setenv("RECELL_LIBRARY", "/nowhere/at/all.so")
    with pytest.raises(RecellError, match="is not a file"):
        library.library_path()


def test_a_library_of_something_else(monkeypatch):
    """Also one of an earlier build, which lacks a function: the line comes before any function is asked for."""
    monkeypatch.setenv("RECELL_LIBRARY", _ctypes.__file__)
    with pytest.raises(RecellError, match="has ABI version None without rc_.*, recell needs .*; rebuild it"):
        library.load.__wrapped__()


@pytest.mark.parametrize("dtype_code", (-1, 3))
def test_unknown_dtype(native, dtype_code):
    assert native.rc_program_new(dtype_code, 1) is None
    assert b"dtype" in native.rc_last_error()


def test_building_errors(hand):
    with pytest.raises(RecellError, match="no phase"):
        hand.stage(0)
    with pytest.raises(RecellError, match="buffer 64"):
        hand.program.build("memory", 64, library.STEP, 4, 0, 4)
    with pytest.raises(RecellError, match="do not fit"):
        hand.program.build("memory", 0, library.STEP, 4, 2, 4)
    with pytest.raises(RecellError, match="not a loop"):
        hand.everywhere()
        hand.state(0, 0, 0, -1)


@pytest.mark.parametrize("active", ([3, 4], [6, 6], [-1, -2]))
def test_bad_active(hand, numbers, active):
    out = numbers(2, 5, 3)
    hand.everywhere()
    hand.stage(0)
    hand.point("copy", hand.memory(out, library.STEP), hand.constant(0.0))
    with pytest.raises(RecellError, match="active"):
        hand.run(2, 5, active=active)


def test_frozen_after_a_run(hand, numbers):
    out = numbers(2, 5, 3)
    hand.everywhere()
    hand.stage(0)
    hand.point("copy", hand.memory(out, library.STEP), hand.constant(0.0))
    hand.run(2, 5)
    np.testing.assert_array_equal(out, 0)
    with pytest.raises(RecellError, match="already run"):
        hand.stage(0)


@pytest.mark.parametrize("isa", (*SETS, "abacus"))
def test_forced_instruction_set(isa):
    """RECELL_ISA chooses; one that the build or the processor lacks is refused in one line that says what there is."""
    code = "from recell.compiler.backends.cpu import library as l; print(l.load().rc_isa().decode())"
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, "RECELL_ISA": isa}, capture_output=True, text=True)
    if isa == "baseline" or not done.returncode:
        assert (done.stdout.strip(), done.returncode) == (isa, 0)
        return
    (line,) = (line for line in done.stderr.splitlines() if f"RECELL_ISA={isa}" in line)
    assert "is no instruction set of this build; write " in line or "this processor does not have it; write " in line
    assert line.endswith("baseline") and isa not in line.split("write ")[1]


@pytest.mark.parametrize("tier", (*library.TIERS, "", "jit"))
def test_the_tier_asked_for_is_one_that_is_known(tier):
    code = "from recell.compiler.backends.cpu import library as l; l.load()"
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, "RECELL_TIER": tier}, capture_output=True, text=True)
    if tier != "jit":
        assert done.returncode == 0, done.stderr
    else:
        line = "RECELL_TIER=jit is no tier; write vm, the one that runs for prebuilt and compiled too"
        assert done.returncode and done.stderr.strip().endswith(line)


def test_missing_buffer(hand, numbers):
    out = numbers(2, 5, 3)
    hand.everywhere()
    hand.stage(0)
    hand.point("copy", hand.memory(out, library.STEP), hand.constant(0.0))
    with pytest.raises(RecellError, match="buffer 0 is NULL"):
        hand.program.run([None] * 64, library.CallArguments(2, 5, threads=1))
