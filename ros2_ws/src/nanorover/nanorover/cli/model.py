"""``nanorover model``: train, evaluate, compress, export and build detectors."""

import json
import shlex
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer

from nanorover.cli import console, results, say
from nanorover.errors import InputError
from nanorover.files import expanded

group = typer.Typer(no_args_is_help=True, help="Train, evaluate, compress, export and build detectors.")

Data = Annotated[list[Path], typer.Option(help="COCO json, or a VOC, YOLO or COCO folder; may be given again")]
Images = Annotated[Path | None, typer.Option(help="where the pictures are, if not where the format expects them")]
Validation = Annotated[Path | None, typer.Option(help="own data for validation; else a part is held back")]
ValidationImages = Annotated[Path | None, typer.Option(help="where the pictures of --validation are")]
Checkpoint = Annotated[Path, typer.Argument(help="checkpoint (.pt) of `nanorover model train`")]
ParamsFile = Annotated[Path | None, typer.Option(help="YAML with training parameters")]
DetectorFile = Annotated[Path | None, typer.Option(help="YAML with parameters of the detector")]
Out = Annotated[Path, typer.Option(help="folder for what is written")]
AsJson = Annotated[bool, typer.Option("--json", help="print one JSON object")]
Epochs = Annotated[int | None, typer.Option(help="epochs, instead of the parameter's")]


def register(app: typer.Typer) -> None:
    """Add the command group."""
    app.add_typer(group, name="model")


def torch_models(module: str) -> Any:
    """A module of the package in ``models/`` that needs torch."""
    from nanorover.perception.description import models_folder

    if find_spec("nanorover_models") is None:
        sys.path.append(str(models_folder()))
    return import_module(f"nanorover_models.{module}")


@group.command()
def render(
    out: Out = Path("out/render"),
    seed: Annotated[int, typer.Option(help="the same seed gives the same pictures", min=0)] = 1,
    count: Annotated[int, typer.Option(help="pictures", min=1)] = 1600,
) -> None:
    """Render labelled pictures of the simulated world, as a COCO data set."""
    print(torch_models("synthetic").render(out, seed, count, _reporter()))


@group.command()
def train(
    data: Data,
    *,
    images: Images = None,
    validation: Validation = None,
    validation_images: ValidationImages = None,
    out: Out = Path("out/train"),
    start: Annotated[Path | None, typer.Option(help="checkpoint to fine-tune")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="go on where the run in --out was interrupted")] = False,
    epochs: Epochs = None,
    params_file: ParamsFile = None,
) -> None:
    """Train a detector; several GPUs: torchrun --nproc-per-node N -m nanorover_models train …"""
    commands, settings = _settings(params_file, epochs)
    if not resume:
        torch_models("runs").refuse_begun(out, resumable=True)
    report = _reporter()
    training, held_back = commands.data_of(data, images, validation, validation_images, settings, report)
    report.say(f"{len(training)} pictures to train, {len(held_back)} to validate: {', '.join(training.labels)}")
    commands.train(training, held_back, settings, out, start=start, resume=resume, report=report)
    _say_written(report, out)


@group.command("eval")
def evaluate(
    model: Annotated[str, typer.Option(help="shipped model, .onnx, .yaml, or checkpoint .pt")],
    data: Annotated[
        list[Path],
        typer.Option("--data", "--coco", help="COCO json, or a VOC, YOLO or COCO folder; may be given again"),
    ],
    *,
    images: Images = None,
    engine: Annotated[str, typer.Option(help="auto, tensorrt or onnxruntime")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, fp32, fp16 or int8")] = "auto",
    threads: Annotated[int, typer.Option(help="threads of the CPU engine", min=1)] = 1,
    as_json: AsJson = False,
) -> None:
    """AP, AP50 and milliseconds of a detector on labelled pictures."""
    from nanorover.params import load
    from nanorover.perception.params import DetectorParams

    commands = torch_models("commands")
    cache = expanded(load(DetectorParams, "detector").engine_cache)
    report = _reporter()
    figures = commands.figures_of(
        model,
        commands.load_all(data, images, report),
        engine=engine,
        precision=precision,
        threads=threads,
        cache=cache,
        report=report,
    ).as_dict()
    if figures["unknown_classes"]:
        unknown = ", ".join(figures["unknown_classes"])
        sentence = f"{model} does not know these classes of the data, which count as not found: {unknown}"
        say(sentence)
    if as_json:
        print(json.dumps({"model": model, **figures}))
        return
    print(f"{figures['boxes']} objects in {figures['pictures']} pictures")
    print(f"AP {figures['AP']:.3f}  AP50 {figures['AP50']:.3f}  AP75 {figures['AP75']:.3f}")
    print("AP50 of " + "  ".join(f"{name} {ap:.3f}" for name, ap in figures["AP50_by_class"].items()))
    print("ms " + "  ".join(f"{stage} {ms:.2f}" for stage, ms in figures["ms"].items()))


@group.command()
def prune(
    checkpoint: Checkpoint,
    data: Data,
    *,
    images: Images = None,
    validation: Validation = None,
    validation_images: ValidationImages = None,
    keep: Annotated[float, typer.Option(help="part of the multiply-accumulates that may stay, from 0.05")] = 0.5,
    teacher: Annotated[Path | None, typer.Option(help="checkpoint that teaches while fine-tuning")] = None,
    out: Out = Path("out/prune"),
    epochs: Epochs = None,
    params_file: ParamsFile = None,
    as_json: AsJson = False,
) -> None:
    """Remove whole channels until the target is met, then fine-tune; prints before and after."""
    commands, settings = _settings(params_file, epochs)
    torch_models("runs").refuse_begun(out, resumable=False)
    report = _reporter()
    training, held_back = commands.data_of(data, images, validation, validation_images, settings, report)
    costs = commands.prune_and_tune(
        checkpoint, training, held_back, settings, out, part_of_macs=keep, teacher=teacher, report=report
    )
    _show(costs, as_json)
    _say_written(report, out)


@group.command()
def distil(
    teacher: Annotated[str, typer.Option(help="larger checkpoint (.pt), or a public model (.onnx)")],
    data: Data,
    *,
    checkpoint: Annotated[Path | None, typer.Option("--student", help="checkpoint; else a new network")] = None,
    images: Images = None,
    validation: Validation = None,
    validation_images: ValidationImages = None,
    out: Out = Path("out/distil"),
    epochs: Epochs = None,
    params_file: ParamsFile = None,
    as_json: AsJson = False,
) -> None:
    """Let a small network learn from a larger one; prints before and after."""
    commands, settings = _settings(params_file, epochs)
    torch_models("runs").refuse_begun(out, resumable=False)
    report = _reporter()
    training, held_back = commands.data_of(data, images, validation, validation_images, settings, report)
    costs = commands.distil(checkpoint, teacher, training, held_back, settings, out, report=report)
    _show(costs, as_json)
    _say_written(report, out)


@group.command()
def quantize(
    checkpoint: Checkpoint,
    data: Data,
    *,
    images: Images = None,
    validation: Validation = None,
    validation_images: ValidationImages = None,
    mode: Annotated[str, typer.Option(help="ptq: calibrate only; qat: train further too")] = "ptq",
    out: Out = Path("out/quantize"),
    epochs: Epochs = None,
    params_file: ParamsFile = None,
    as_json: AsJson = False,
) -> None:
    """Write FP32 and INT8 files (unsigned for CPUs, symmetric for TensorRT); prints before and after."""
    if mode not in ("ptq", "qat"):
        raise InputError(f"there is no mode '{mode}'", "ptq or qat")
    if mode == "ptq" and epochs is not None:
        raise InputError("--epochs is not used by --mode ptq, which only calibrates", "give --mode qat too")
    commands, settings = _settings(params_file, None)
    report = _reporter()
    training, held_back = commands.data_of(data, images, validation, validation_images, settings, report)
    further = _parameters(commands.QatParams, "quantize", params_file, epochs) if mode == "qat" else None
    costs = commands.quantize(checkpoint, training, held_back, settings, out, trained=further, report=report)
    _show(costs, as_json)
    report.say(f"described by {out / out.name}.yaml, which detect and the robot take as --model and model")


@group.command()
def export(
    checkpoint: Checkpoint,
    out: Out = Path("out/export"),
    precision: Annotated[str, typer.Option(help="fp32, fp16, or both, separated by a comma")] = "fp32,fp16",
) -> None:
    """Write ONNX that TensorRT 8.2 to 11 take (opset 13), with its YAML; checks operators and parity."""
    commands = torch_models("commands")
    differences = commands.export_files(checkpoint, out, tuple(map(str.strip, precision.split(","))), _reporter())
    for name, difference in differences.items():
        print(f"{name}: differs from torch by {difference:.1e} of the largest output; operators fit TensorRT 8.2")
    print(f"written to {out}")


@group.command()
def build(
    model: Annotated[str, typer.Option(help="shipped model, .onnx or .yaml")],
    precision: Annotated[str, typer.Option(help="auto, fp32, fp16 or int8")] = "auto",
    params_file: DetectorFile = None,
) -> None:
    """Build the TensorRT engine of a model on this board, so that the robot need not wait for it."""
    from nanorover.params import load
    from nanorover.perception.params import DetectorParams, make_detector

    settings = load(DetectorParams, "detector", params_file, model=model, engine="tensorrt", precision=precision)
    detector = make_detector(settings, say=say)
    with detector.engine:
        print(f"{detector.engine.title}: {detector.engine.notice}")


@group.command()
def card(
    model: Annotated[str, typer.Option(help="shipped model or .yaml")],
    checkpoint: Annotated[Path, typer.Option(help="the checkpoint that its files were made from")],
    data: Data,
    *,
    images: Images = None,
    described: Annotated[str, typer.Option(help="what the data is, in words")] = "",
    as_json: AsJson = False,
) -> None:
    """Measure every file of a model and write its card; the words above the figures are kept."""
    commands = torch_models("commands")
    command = shlex.join(["nanorover", *sys.argv[1:]])
    report = _reporter()
    path, costs = commands.card(
        model,
        checkpoint,
        commands.load_all(data, images, report),
        described or " ".join(map(str, data)),
        command,
        report,
    )
    _show(costs, as_json)
    say(f"card: {path}")


def _settings(params_file: Path | None, epochs: int | None) -> tuple[Any, Any]:
    """The commands and the training parameters."""
    commands = torch_models("commands")
    return commands, _parameters(commands.TrainParams, "train", params_file, epochs)


def _parameters(cls: Any, section: str, params_file: Path | None, epochs: int | None) -> Any:
    from nanorover.params import load

    return load(cls, section, params_file, **({} if epochs is None else {"epochs": epochs}))


def _first() -> bool:
    """Is this the first of the processes that train together, which alone prints what all would?"""
    return bool(torch_models("world").join_world().first)


def _reporter() -> Any:
    """Who says how far long work is: on a terminal live, and of processes that train together the first alone."""
    report = torch_models("report")
    if not _first():
        return report.SILENT
    return report.LiveReporter(say, console) if console.is_interactive else report.Reporter(say)


def _say_written(report: Any, out: Path) -> None:
    report.say(f"best checkpoint: {out / 'best.pt'}; curves: {out / 'curves.png'}")


def _show(costs: list[Any], as_json: bool) -> None:
    """Costs as a table on the terminal, or as JSON."""
    from dataclasses import asdict

    if not _first():
        return
    if as_json:
        print(json.dumps({"models": [asdict(cost) for cost in costs]}))
        return
    from rich.table import Table

    table = Table(*torch_models("measure").HEADINGS)
    for cost in costs:
        table.add_row(*cost.row())
    results().print(table)
