from __future__ import annotations

import os
import signal
import threading

import pytest

from recell.training.interrupt import Interrupt


def test_the_first_signal_asks_and_the_second_breaks_off() -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), Interrupt() as interrupt:
        os.kill(os.getpid(), signal.SIGINT)
        assert interrupt.asked
        os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_other_threads_leave_signals_alone() -> None:
    seen = []

    def enter() -> None:
        with Interrupt() as interrupt:
            seen.append(interrupt.asked)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert seen == [False]
