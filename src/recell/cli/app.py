"""The commands. Each only reads its arguments, calls the library and prints; torch is loaded where a command needs it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from recell._version import __version__
from recell.bench import RESULTS
from recell.errors import DataError

app = typer.Typer(
    name="recell",
    help="Recurrent neural networks from their equations: train, generate, evaluate, look at cells.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

def _folder(text: str) -> Path:
    """A folder's name as it was written: Path("") would be the present folder."""
    from recell.data.files import named_folder

    return named_folder(text)


def _units(text: str) -> int | list[int]:
    """``256``, or ``256,128``: a layer each."""
    try:
        units = [int(part) for part in str(text).split(",")]
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no number of units, and no list such as 256,128") from None
    return units if len(units) > 1 else units[0]


Folder = Annotated[Path, typer.Argument(help="A model folder that `recell train` wrote.", metavar="DIR", parser=_folder)]
Data = Annotated[Path, typer.Argument(help="A file, or what else the task reads: `recell tasks TASK`.", metavar="DATA")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")]


def _version(asked: bool) -> None:
    if asked:
        print(f"recell {__version__}")
        raise typer.Exit


@app.callback()
def everything(
    version: Annotated[bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)] = False,
) -> None:
    """Recurrent neural networks from their equations: train, generate, evaluate, look at cells."""


@app.command(epilog="Example: recell train language-model corpus.txt --out model --cell GRU --epochs 10")
def train(
    task: Annotated[str, typer.Argument(help="What to learn; `recell tasks` lists it.", metavar="TASK")],
    data: Data,
    out: Annotated[Path, typer.Option(help="The folder for the model and its checkpoints.", metavar="DIR", parser=_folder)],
    cell: Annotated[str | None, typer.Option(help="A cell's name, or your own: file.py:Name.")] = None,
    hidden_size: Annotated[
        Any, typer.Option(help="Units of every layer, or of each: 256,128.", metavar="N[,N]", parser=_units)
    ] = None,
    layers: Annotated[int | None, typer.Option(help="Layers.")] = None,
    steps: Annotated[int | None, typer.Option(help="How many batches to train on.")] = None,
    epochs: Annotated[int | None, typer.Option(help="How many passes over the data, in place of --steps.")] = None,
    level: Annotated[str | None, typer.Option(help="Cut a text into characters or words; classifier: subwords too.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Rows that are computed together.")] = None,
    window: Annotated[int | None, typer.Option(help="language-model: steps of truncated back-propagation.")] = None,
    dropout: Annotated[float | None, typer.Option(help="Probability of dropping a unit.")] = None,
    input_dropout: Annotated[float | None, typer.Option(help="The same for what the first layer reads.")] = None,
    variational: Annotated[bool | None, typer.Option("--variational", help="Drop the same units at all steps.")] = None,
    residual: Annotated[bool | None, typer.Option("--residual", help="Add a layer's input to its output.")] = None,
    highway: Annotated[bool | None, typer.Option("--highway", help="A gate between a layer's input and output.")] = None,
    optimizer: Annotated[str | None, typer.Option(help="adamw, sgd, momentum, rmsprop or adagrad.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="The highest learning rate.")] = None,
    patience: Annotated[int | None, typer.Option(help="Validations without a better one before it ends.")] = None,
    seed: Annotated[int | None, typer.Option(help="The same seed trains the same model.")] = None,
    threads: Annotated[int | None, typer.Option(help="Threads to compute with.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Any other option: see `recell tasks TASK`.", metavar="NAME=VALUE")
    ] = None,
    validation: Annotated[Path | None, typer.Option(help="Data to hold out, in place of a part of DATA.")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the last checkpoint in DIR; where there is none, begin, and say so.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Show no progress.")] = False,
    as_json: Json = False,
) -> None:
    """Train a model and save it in a folder; a training broken off goes on with --resume.

    A job that may be broken off is given --resume at every start: a line, and "resumed" in the report, say whether it went on.
    """
    from recell.cli.train import train_task

    named = {
        "cell": cell, "hidden_size": hidden_size, "num_layers": layers, "steps": steps, "epochs": epochs,
        "level": level, "batch_size": batch_size, "window": window, "dropout": dropout,
        "input_dropout": input_dropout, "variational": variational, "residual": residual, "highway": highway,
        "optimizer": optimizer, "learning_rate": learning_rate, "patience": patience, "seed": seed,
        "threads": threads,
    }  # fmt: skip
    options = {name: value for name, value in named.items() if value is not None}
    report = train_task(task, data, out, options, settings or [], validation=validation, resume=resume, quiet=quiet)
    _print(report, as_json)


@app.command(epilog="Example: recell generate model --prompt 'The ' --length 300 --temperature 0.8 --seed 1")
def generate(
    folder: Folder,
    data: Annotated[
        Path | None, typer.Argument(help="captioner, frames: a file of what to write of, or go on from.", metavar="[DATA]")
    ] = None,
    prompt: Annotated[str, typer.Option(help="language-model: the text to go on from.")] = "",
    length: Annotated[
        int | None, typer.Option(help="How many characters, words or frames to write; default 200.", min=0)
    ] = None,
    temperature: Annotated[float, typer.Option(help="0 takes the most probable, 1 draws as learnt.")] = 1.0,
    top_k: Annotated[int | None, typer.Option(help="Draw among the k most probable only.")] = None,
    top_p: Annotated[float | None, typer.Option(help="Draw among the fewest of this probability.")] = None,
    seed: Annotated[int | None, typer.Option(help="The same seed writes the same.", min=0)] = None,
    interactive: Annotated[bool, typer.Option("--interactive", help="Ask for one prompt after the other.")] = False,
    backend: Annotated[str, typer.Option(help="cpu (native) or reference (slow).")] = "cpu",
    as_json: Json = False,
) -> None:
    """Draw from a saved model: a language model's text (needs no torch), captions for a file's images, frames after its own."""
    from recell.cli.writing import converse, drawn, of_a_language_model, write
    from recell.decoding import Sampling

    sampling = Sampling(temperature, top_k, top_p)
    if not of_a_language_model(folder, data):
        given = {"--prompt": prompt, "--interactive": interactive, "--backend": backend != "cpu"}
        _show_answers(drawn(folder, data, length, sampling, seed, given), as_json)
        return
    from recell import runtime

    writer = runtime.load(folder, backend=backend).writer(sampling, seed)
    length = 200 if length is None else length
    if interactive:
        converse(writer, length, sys.stdin, as_json=as_json)
    else:
        write(writer, prompt, length, as_json=as_json)


@app.command(epilog="Example: recell evaluate model held-out.txt")
def evaluate(folder: Folder, data: Data, as_json: Json = False) -> None:
    """Measure a saved model on a file, every token or example of it; for people, by class too where there are classes."""
    from recell.cli.train import load_task

    task = load_task(folder)
    _print(task.evaluate(data), as_json)
    if not as_json and (report := task.report(data)):
        print(f"\n{report}")


@app.command(epilog="Example: recell predict model prompts.txt")
def predict(folder: Folder, data: Data, as_json: Json = False) -> None:
    """Answer all that a file asks: a language model each line with the most probable next token, a tagger with tags."""
    from recell.cli.train import load_task

    _show_answers(load_task(folder).answers(data), as_json)


@app.command(epilog="Example: recell cells GRU")
def cells(
    name: Annotated[str | None, typer.Argument(help="A cell's name, or file.py:Name.", metavar="[NAME]")] = None,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Print the list as docs/cells.md has it.")] = False,
    as_json: Json = False,
) -> None:
    """List the cells, or print one: its equations, states, parameters and where it comes from."""
    from recell.cli import zoo

    if as_markdown and (name is not None or as_json):
        raise DataError("--markdown prints the whole list; came another choice beside it; write recell cells --markdown")
    if name is not None:
        _print(zoo.describe_cell(name), as_json)
    elif as_json:
        _print(zoo.list_cells(), as_json)
    else:
        print(zoo.markdown() if as_markdown else zoo.table())


@app.command(epilog="Example: recell tasks tagger")
def tasks(
    name: Annotated[str | None, typer.Argument(help="A task; without: the list of them.", metavar="[TASK]")] = None,
    as_json: Json = False,
) -> None:
    """List what can be learnt, or say of one task what data it reads and which options it has."""
    from recell.cli.learning import describe_task, list_tasks, told

    if name is None:
        _print(list_tasks(), as_json)
    elif as_json:
        _print(describe_task(name), as_json)
    else:
        print(told(describe_task(name)))


@app.command(epilog="Example: recell worked lstm")
def worked(
    name: Annotated[str | None, typer.Argument(help="An example; without: the list of them.", metavar="[NAME]")] = None,
    picture: Annotated[
        Path | None, typer.Option(help="Draw it to a .png, .svg or .pdf file too, by matplotlib.", metavar="FILE")
    ] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown, for a document.")] = False,
    as_json: Json = False,
) -> None:
    """Work an example out, step by step, small enough to check with a pencil."""
    from recell.cli.teaching import list_worked, work_out

    if name is None:
        if picture is not None or markdown:
            raise typer.BadParameter("--picture and --markdown belong to an example: recell worked NAME")
        _print(list_worked(), as_json)
    else:
        work_out(name, picture, as_json=as_json, markdown=markdown)


@app.command(epilog="Example: recell doctor")
def doctor(as_json: Json = False) -> None:
    """Say what is installed and what the machine offers: versions, threads, native library.

    Ends with 2 where a variable of the environment (RECELL_ISA, RECELL_TIER, ...) keeps the native library from running.
    """
    from recell.cli.looking import check_settings, examine

    report = examine()
    _print(report, as_json)
    check_settings(report)


@app.command(epilog="Example: recell bench training kernel")
def bench(
    names: Annotated[list[str] | None, typer.Argument(help="Benchmarks to run; without: every one.", metavar="[NAME]...")] = None,
    listed: Annotated[bool, typer.Option("--list", help="Say which there are and what each asks.")] = False,
    full: Annotated[bool, typer.Option("--all", help="The full shapes too, however long they take.")] = False,
    out: Annotated[
        Path, typer.Option(help="The folder for NAME.json and NAME.md.", metavar="DIR", parser=_folder)
    ] = RESULTS,
    threads: Annotated[int, typer.Option(help="Threads to compute with.", min=1)] = 2,
    as_json: Json = False,
) -> None:
    """Measure recell beside torch.nn, ONNX Runtime, OpenVINO and JAX on this machine."""
    from recell.cli.measuring import list_benchmarks, measure

    if listed:
        _print(list_benchmarks(), as_json)
    else:
        measure(names or [], out, threads=threads, full=full, as_json=as_json)


def _show_answers(answers: Iterable[tuple[str, Any]], as_json: bool) -> None:
    """A line for each thing asked and the answer to it."""
    for asked, answer in answers:
        print(json.dumps({"input": asked, "output": answer}) if as_json else f"{asked}\t{_written(answer)}")


def _written(answer: Any) -> str:
    """A list's parts with spaces between, a tuple's with tabs: a tag for each word, then the intent."""
    if isinstance(answer, tuple):
        return "\t".join(map(_written, answer))
    return " ".join(map(str, answer)) if isinstance(answer, list) else str(answer)


def _print(report: dict[str, Any], as_json: bool) -> None:
    """A report as one line of JSON, or as names and values for people."""
    if as_json:
        print(json.dumps(report))
        return
    width = max((len(name) for name in report), default=0)
    for name, value in report.items():
        shown = f"{value:.4f}" if isinstance(value, float) else str(value)
        label = name if name.isupper() else name.replace("_", " ")  # a variable of the environment keeps its name
        block = "\n" in shown
        print(f"{label}:\n{shown}\n" if block else f"{label:<{width}}  {shown}")
