from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from recell import runtime
from recell.data.files import fingerprint
from recell.decoding import Sampling
from recell.errors import DataError, ModelError, RecellError
from recell.runtime.saved import config_hash, read_saved, write_saved
from recell.tasks import LanguageModel


def test_it_needs_numpy_and_safetensors_alone(folder: Path, tmp_path: Path) -> None:
    """In a fresh process where every other package is out of reach."""
    program = """
import sys
for name in ("torch", "typer", "rich", "pydantic", "pandas", "scipy", "sklearn"):
    sys.modules[name] = None
from recell import runtime
print(runtime.load(sys.argv[1]).generate("the cat", 40, seed=3))
"""
    command = [sys.executable, "-c", program, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == runtime.load(folder).generate("the cat", 40, seed=3) + "\n"


def test_generation_is_seeded_and_as_long_as_asked(folder: Path) -> None:
    model = runtime.load(folder)
    one, two, three = (model.generate("the", 50, seed=seed) for seed in (1, 1, 2))
    assert one == two != three and len(one) == 50
    assert "\ufffd" not in one
    assert model.generate("", 0) == ""


def test_generating_reads_the_prompt(folder: Path) -> None:
    """Greedy text is what stepping the prompt and the best symbols gives; an unknown character is no obstacle."""
    model = runtime.load(folder)
    session, prompt = model.session(), "the Ω"
    scores = session.run(np.array([2, *model.vocabulary.encode(prompt)])[:, None])[-1, 0]
    written = ""
    for _ in range(10):
        best = 4 + int(np.argmax(scores[4:]))
        written += model.vocabulary.symbol(best)
        scores = session.step([best])[0]
    assert model.generate(prompt, 10, temperature=0) == written == model.generate(prompt, np.int64(10), temperature=0)
    assert model.most_likely(prompt) == written[0]


def test_a_writer_reads_and_writes_in_turn(folder: Path) -> None:
    model = runtime.load(folder)
    writer = model.writer(Sampling(temperature=0.8), seed=4)
    writer.read("the ")
    writer.read("")
    writer.read("cat")
    pieces = "".join(writer.write(5)), "".join(writer.write(0)), "".join(writer.write(7))
    assert "".join(pieces) == model.generate("the cat", 12, temperature=0.8, seed=4)
    greedy = model.writer(Sampling(temperature=0))
    for text in ("the", " ca", "t"):
        greedy.read(text)
    assert "".join(greedy.write(6)) == model.generate("the cat", 6, temperature=0)


def test_another_backend_is_named_or_refused(folder: Path) -> None:
    cpu, reference = runtime.load(folder), runtime.load(folder, backend="reference")
    assert cpu.generate("the", 20, temperature=0) == reference.generate("the", 20, temperature=0)
    with pytest.raises(RecellError, match="reference"):
        runtime.load(folder, backend="gpu")


def test_folders_that_are_no_models(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(ModelError, match="no model folder"):
        runtime.load(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match=r"config\.json is missing"):
        runtime.load(tmp_path / "empty")
    saved = read_saved(folder)
    config = {name: value for name, value in saved.config.items() if name not in ("files", "sha256", "format")}
    write_saved(tmp_path / "other", {**config, "task": "tagger"}, saved.files)
    with pytest.raises(ModelError, match="tagger"):
        runtime.load(tmp_path / "other")


def test_tensors_that_are_not_the_cells_are_refused(trained: LanguageModel, folder: Path, tmp_path: Path) -> None:
    saved = read_saved(folder)
    config = {name: value for name, value in saved.config.items() if name not in ("files", "sha256", "format")}
    tensors = saved.tensors()
    name = next(name for name in tensors if name.startswith("recurrent."))
    wrong = (
        {n: t for n, t in tensors.items() if n != name},
        {**tensors, name: tensors[name][:-1]},
        {**tensors, "recurrent.extra_l0": tensors[name]},
        {**tensors, "embedding.weight": tensors["embedding.weight"][:-1]},
    )
    for number, tensors_ in enumerate(wrong):
        files = {**saved.files, "model.safetensors": runtime.saved.tensors_bytes(tensors_)}
        write_saved(tmp_path / str(number), config, files)
        with pytest.raises(ModelError) as caught:
            runtime.load(tmp_path / str(number))
        assert "\n" not in str(caught.value)


def test_no_file_outside_the_folder_is_read(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"x")
    config = read_saved(folder).config
    config["files"]["../secret"] = fingerprint(b"x")
    config["sha256"] = config_hash(config)
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match="no file of this folder"):
        runtime.load(folder)


@pytest.mark.parametrize("wrong", [{"seed": -1}, {"seed": 1.5}, {"prompt": None}, {"length": -1}, {"length": "9"}])
def test_what_generate_cannot_take_is_one_line(folder: Path, wrong: dict[str, object]) -> None:
    with pytest.raises(DataError, match=next(iter(wrong))):
        runtime.load(folder).generate(**wrong)  # type: ignore[arg-type]
