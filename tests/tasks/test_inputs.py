from __future__ import annotations

import numpy as np
import pytest

from recell.data.labelled import Labelled
from recell.data.vocabulary import PADDING, UNKNOWN
from recell.errors import DataError, ModelError
from recell.tasks._inputs import Features, SeriesReader, Texts, TokenFeatures, reader_of

CORPUS = ["Low lower lowest", "new newer newest", "low new slower"]


@pytest.mark.parametrize("level", ["words", "characters", "subwords"])
def test_texts_as_tokens_and_back_out_of_json(level: str) -> None:
    texts = Texts.learn(CORPUS, level=level, lowercase=True, minimum_count=1, vocabulary_size=30)
    again = reader_of(texts.to_json())
    for text in (*CORPUS, "SLOWEST žž"):
        example = Labelled(text)
        np.testing.assert_array_equal(texts.encode(example), again.encode(example))
    numbers = texts.encode(Labelled("LOW low"))
    assert numbers[0] == numbers[-len(numbers) // 2] or level == "characters"
    assert UNKNOWN in texts.encode(Labelled("ž"))


def test_subwords_are_merged_letters() -> None:
    texts = Texts.learn(CORPUS * 5, level="subwords", lowercase=True, minimum_count=1, vocabulary_size=40)
    assert len(texts.encode(Labelled("low"))) == 1 < len(texts.encode(Labelled("lownew"))) < 6


def test_rare_tokens_are_unknown_and_rows_are_padded() -> None:
    texts = Texts.learn(["a a b"], level="words", lowercase=False, minimum_count=2, vocabulary_size=9)
    rows = [texts.encode(Labelled(text)) for text in ("a b a", "A")]
    batch = texts.batch(rows)
    assert rows[0].tolist()[1] == rows[1].tolist()[0] == UNKNOWN
    assert batch["tokens"].tolist()[1:] == [[UNKNOWN, PADDING], [rows[0][0], PADDING]] and batch["lengths"].tolist() == [3, 1]


def test_tokens_become_unknown_in_training_alone() -> None:
    features = TokenFeatures(9, 4, unknown_rate=0.9999999)
    batch = Texts.learn(["a b"], level="words", lowercase=False, minimum_count=1, vocabulary_size=9).batch([np.array([5, 6])])
    assert (features(batch) == features.embedding.weight[UNKNOWN]).all()
    assert not (features.eval()(batch) == features.embedding.weight[UNKNOWN]).any()


def test_features_without_a_forward_are_refused_when_they_are_made() -> None:
    with pytest.raises(TypeError, match=r"Silent .*\bforward\b"):
        type("Silent", (Features,), {})()


def series(rng, channels: int = 3) -> list[Labelled]:
    scale = np.array([1, 50, 0])[:channels]
    return [Labelled(rng.normal(7, 2, (length, channels)) * scale) for length in (4, 1, 9)]


def test_scaled_steps_have_mean_0_and_deviation_1() -> None:
    rows = series(np.random.default_rng(0))
    reader = SeriesReader.learn(rows, scale="channels")
    steps = np.concatenate([reader.encode(row) for row in rows])
    np.testing.assert_allclose(steps.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(steps.std(0), [1, 1, 0], atol=1e-5)  # a channel that never varies stays 0
    together = SeriesReader.learn(rows, scale="all")
    whole = np.concatenate([together.encode(row) for row in rows])
    np.testing.assert_allclose([whole.mean(), whole.std()], [0, 1], atol=1e-5)
    plain = SeriesReader.learn(rows, scale="none")
    np.testing.assert_allclose(plain.encode(rows[0]), rows[0].value, rtol=1e-6)
    again = reader_of(reader.to_json())
    np.testing.assert_array_equal(again.encode(rows[2]), reader.encode(rows[2]))


def test_other_channels_and_other_kinds_are_refused() -> None:
    rng = np.random.default_rng(1)
    rows = series(rng)
    with pytest.raises(DataError, match="2 channels"):
        SeriesReader.learn([*rows, *series(rng, 2)], scale="channels")
    reader = SeriesReader.learn(rows, scale="channels")
    for wrong in (Labelled("a text", where="example 1"), series(rng, 2)[0]):
        with pytest.raises(DataError, match="channels"):
            reader.encode(wrong)
    texts = Texts.learn(CORPUS, level="words", lowercase=True, minimum_count=1, vocabulary_size=9)
    with pytest.raises(DataError, match="reads texts"):
        texts.encode(rows[0])
    for damaged in (None, {}, {"kind": "texts", "level": "words"}, {"kind": "series", "mean": [1], "deviation": [1, 2]},
                    {"kind": "texts", "level": "subwords", "tokens": {"model": 3}}):
        with pytest.raises(ModelError):
            reader_of(damaged)
