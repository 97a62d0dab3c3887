from __future__ import annotations

import io

import pytest

from recell.training.progress import Bar, Lines, Quiet, Silent, chosen, clock, describe


def test_the_line_of_a_log() -> None:
    stream = io.StringIO()
    lines = Lines(stream)
    lines.start(0, 3, "characters")
    for step in (1, 2, 3):
        lines.step(step, {"loss": 1.5, "bits_per_token": 2.164, "per_second": 64000.4})
    assert stream.getvalue() == "step 3 of 3  loss 1.500  bits/token 2.164  64,000 characters/s  0:00 left\n"


def test_the_bar_shows_loss_speed_and_time_left(capsys) -> None:
    pytest.importorskip("rich")
    bar = Bar()
    bar.start(0, 2, "characters")
    bar.step(2, {"loss": 1.5, "per_second": 5.0})
    bar.say("step [1]: a line that stays")
    bar.stop()
    shown = capsys.readouterr().err
    assert "loss 1.500" in shown and "5 characters/s" in shown and "step [1]: a line" in shown


def test_choosing(monkeypatch) -> None:
    own = Silent()
    assert chosen(own) is own
    assert isinstance(chosen(False), Silent)
    monkeypatch.setattr("sys.stderr.isatty", lambda: False)
    assert isinstance(chosen(True), Lines)


def test_quiet_says_what_comes_before_training_alone(capsys) -> None:
    shown = Quiet()
    shown.say("before")
    shown.start(0, 3, "characters")
    shown.step(3, {"loss": 1.0})
    shown.say("validation")
    assert capsys.readouterr().err == "before\n"


def test_words() -> None:
    assert (clock(59.9), clock(61), clock(3600)) == ("0:59", "1:01", "1:00:00")
    assert describe({"loss": 1.0}, "rows") == "loss 1.000"
