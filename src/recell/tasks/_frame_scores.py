"""How well next frames are foretold: over all keys or features, and for people, of each."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recell.tasks._frames import FrameCodec, Values, in_units
from recell.tasks._scores import aligned, scores_shown

Pair = tuple[Values, NDArray[Any]]  # of one sequence: what the network said of frames (T, outputs), and the frames (T, C)


def counts(codec: FrameCodec, pairs: Iterable[Pair]) -> dict[str, Any]:
    """The sums over frames that the figures are made of, (C,) each, and `steps`: those of two parts of some data, added, are
    those of both."""
    of_one = _of_keys if codec.kind == "binary" else _of_features
    found = [of_one(codec, said, truth) for said, truth in pairs]
    return {name: sum(one[name] for one in found) for name in found[0]}


def figures_of(kind: str, counts: Mapping[str, Any]) -> dict[str, float]:
    """Nats per foretold frame; for binary frames, the share of the keys that sound or are foretold that are both
    (frame accuracy, Bay et al. 2009), for real ones the root mean square error."""
    nll = {"nll_per_step": float(counts["nats"].sum() / counts["steps"])}
    if kind == "binary":
        either = counts["sounds"] + counts["said"] - counts["both"]
        return nll | {"frame_accuracy": float(counts["both"].sum() / max(either.sum(), 1))}
    return nll | {"rmse": math.sqrt(counts["square"].sum() / (counts["steps"] * len(counts["square"])))}


def report(kind: str, counts: Mapping[str, Any]) -> str:
    """Of each key that sounds or is foretold, with a probability of one half or more: precision, recall, F1, how often it
    sounds, and its nats per frame. Of each feature: nats, root mean square error, and beside it the features' own deviation."""
    return _by_key(counts) if kind == "binary" else _by_feature(counts)


def _of_keys(codec: FrameCodec, said: Values, truth: NDArray[Any]) -> dict[str, Any]:
    sounds, foretold = truth > 0, said > 0
    nats = np.logaddexp(0, np.where(sounds, -said, said), dtype=np.float64)
    return {"steps": len(truth), "nats": nats.sum(0), "both": (sounds & foretold).sum(0), "sounds": sounds.sum(0),
            "said": foretold.sum(0)}  # fmt: skip


def _of_features(codec: FrameCodec, said: Values, truth: NDArray[Any]) -> dict[str, Any]:
    mean, deviation = in_units(codec, said)
    away, level = truth.astype(np.float64) - mean, truth.astype(np.float64) - codec.mean  # a mean far from 0 costs no digits
    nats = (away / deviation) ** 2 / 2 + np.log(deviation * math.sqrt(2 * math.pi))
    return {"steps": len(truth), "nats": nats.sum(0), "square": (away**2).sum(0), "level": level.sum(0),
            "levels": (level**2).sum(0)}  # fmt: skip


def _by_key(counts: Mapping[str, Any]) -> str:
    both, sounds, said, nats = (counts[name] for name in ("both", "sounds", "said", "nats"))
    rows = [_of_key(str(key), both[key], sounds[key], said[key], nats[key] / counts["steps"])
            for key in np.flatnonzero(sounds + said).tolist()]  # fmt: skip
    every = _of_key("all", both.sum(), sounds.sum(), said.sum(), nats.sum() / counts["steps"])
    return aligned([["key", "precision", "recall", "F1", "frames", "nats"], *rows, every])


def _of_key(name: str, both: int, sounds: int, said: int, nats: float) -> list[str]:
    return [name, *scores_shown(both, sounds, said), str(sounds), f"{nats:.4f}"]


def _by_feature(counts: Mapping[str, Any]) -> str:
    steps = counts["steps"]
    errors = np.sqrt(counts["square"] / steps)
    deviations = np.sqrt(np.maximum(counts["levels"] / steps - (counts["level"] / steps) ** 2, 0))
    columns: NDArray[Any] = np.stack([counts["nats"] / steps, errors, deviations], 1)
    rows = [[str(n), f"{nats:.4f}", f"{error:.6g}", f"{deviation:.6g}"] for n, (nats, error, deviation) in enumerate(columns)]
    return aligned([["feature", "nats", "rmse", "deviation"], *rows])
