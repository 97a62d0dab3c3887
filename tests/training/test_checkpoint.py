from __future__ import annotations

import errno
import os

import pytest
import torch

from recell.errors import DataError, ModelError
from recell.training.checkpoint import BEST, Checkpoints

TENSORS = {"a": torch.randn(3, 5), "b.c": torch.arange(7), "half": torch.randn(2).bfloat16()}


def folders(checkpoints: Checkpoints) -> list[str]:
    return sorted(path.name for path in checkpoints.folder.iterdir())


def test_everything_comes_back_bit_for_bit(tmp_path) -> None:
    checkpoints = Checkpoints(tmp_path / "deep" / "checkpoint")
    checkpoints.save(12, TENSORS, {"x": 1 / 3, "list": [1, None]})
    saved = checkpoints.load()
    assert saved.step == 12 and saved.state == {"x": 1 / 3, "list": [1, None]}
    assert set(saved.tensors) == set(TENSORS)
    for name, tensor in TENSORS.items():
        assert saved.tensors[name].dtype == tensor.dtype and torch.equal(saved.tensors[name], tensor)
    assert saved.group("b") == {"c": saved.tensors["b.c"]}


def test_only_the_latest_and_the_best_are_kept(tmp_path) -> None:
    checkpoints = Checkpoints(tmp_path)
    for step in range(1, 6):
        checkpoints.save(step, TENSORS, {"step": step}, best=step == 2)
    assert folders(checkpoints) == ["best", "latest", "step-00000002", "step-00000005"]
    assert (checkpoints.load().step, checkpoints.load(BEST).step) == (5, 2)


def test_a_step_written_again_does_not_touch_the_one_before(tmp_path) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(3, TENSORS, {"try": 1}, best=True)
    checkpoints.save(3, TENSORS, {"try": 2})
    assert checkpoints.load(BEST).state == {"try": 1} and checkpoints.load().state == {"try": 2}


class Broken(Exception):
    """Stands for a kill: nothing after it runs."""


@pytest.mark.parametrize("kind", ["full", "killed"])
def test_a_full_disk_or_a_kill_at_any_call_leaves_the_last_good_one(tmp_path, monkeypatch, kind: str) -> None:
    """Every system call of a save fails once, in turn, until a save comes through."""
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, TENSORS, {"n": 1}, best=True)
    for failing in range(100):
        calls = break_call(monkeypatch, failing, kind)
        try:
            checkpoints.save(failing + 2, TENSORS, {"n": failing + 2}, best=True)
        except (DataError, Broken) as error:
            assert kind == "killed" or "No space left on device" in str(error)
        monkeypatch.undo()
        assert checkpoints.load().step >= 1 and checkpoints.load(BEST).step >= 1
        if calls["made"] <= failing:
            break
    else:
        pytest.fail("no save came through")
    assert failing >= 12
    checkpoints.save(500, TENSORS, {}, best=True)
    assert folders(checkpoints) == ["best", "latest", "step-00000500"]


def break_call(monkeypatch, failing: int, kind: str) -> dict[str, int]:
    """Make the ``failing``-th of the calls by which a file comes about fail, half-done where that can be."""
    calls = {"made": 0}

    def wrap(name: str, half) -> None:
        real = getattr(os, name)

        def call(*arguments, **named):
            calls["made"] += 1
            if calls["made"] - 1 != failing:
                return real(*arguments, **named)
            half(*arguments)
            raise Broken if kind == "killed" else OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(os, name, call)

    for name in ("fsync", "rename", "replace", "mkdir"):
        wrap(name, lambda *_: None)
    wrap("fsync", lambda descriptor: truncate(descriptor))
    return calls


def truncate(descriptor: int) -> None:
    """What a full disk leaves of a file: its first half."""
    try:
        os.ftruncate(descriptor, os.fstat(descriptor).st_size // 2)
    except OSError:
        return  # a folder, or opened for reading


@pytest.mark.parametrize("file", ["tensors.safetensors", "state.json"])
@pytest.mark.parametrize("damage", ["cut", "flip", "gone"])
def test_damage_is_found_before_anything_is_used(tmp_path, file: str, damage: str) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, TENSORS, {})
    path = tmp_path / "step-00000001" / file
    content = bytearray(path.read_bytes())
    if damage == "cut":
        path.write_bytes(content[:-3])
    elif damage == "flip":
        content[-2] ^= 1
        path.write_bytes(content)
    else:
        path.unlink()
    with pytest.raises(ModelError, match=f"{file} is (damaged|missing)") as caught:
        checkpoints.load()
    assert "\n" not in str(caught.value)


def test_no_checkpoint_at_all(tmp_path) -> None:
    assert not Checkpoints(tmp_path / "none").has()
    with pytest.raises(ModelError, match="latest is missing"):
        Checkpoints(tmp_path / "none").load()
    (tmp_path / "latest").write_text("{}")
    with pytest.raises(ModelError):
        Checkpoints(tmp_path).load()


def test_a_folder_that_cannot_be_made(tmp_path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="could not create"):
        Checkpoints(tmp_path / "file" / "checkpoint").save(1, TENSORS, {})
