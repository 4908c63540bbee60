"""``nanorover detect``: objects in pictures, folders, videos and bags."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from nanorover.cli import say, say_refused, warn, was_given
from nanorover.errors import InputError
from nanorover.files import make_folder

IGNORED_BY_EXPLAIN = ("model", "weights", "engine", "precision", "as_json")
SIMULATED = "rover"  # the shipped model, which has never seen a photograph


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(detect)


def detect(
    context: typer.Context,
    sources: Annotated[list[Path], typer.Argument(help="pictures, folders, videos, bags")],
    model: Annotated[
        str | None, typer.Option(help="shipped model by name, or an .onnx or .yaml file; `rover` if not given")
    ] = None,
    weights: Annotated[Path | None, typer.Option(help="the ONNX file, if it is not beside the YAML")] = None,
    out: Annotated[Path | None, typer.Option(help="folder for pictures with boxes")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print a JSON list of detections")] = False,
    engine: Annotated[str | None, typer.Option(help="auto, tensorrt or onnxruntime")] = None,
    precision: Annotated[str | None, typer.Option(help="auto, fp32, fp16 or int8")] = None,
    score: Annotated[float | None, typer.Option(help="least score")] = None,
    classes: Annotated[str | None, typer.Option(help="wanted labels, separated by commas")] = None,
    explain: Annotated[
        Path | None, typer.Option(help="torch checkpoint of a model of this project: draw what each box rests on")
    ] = None,
    params_file: Annotated[Path | None, typer.Option(help="YAML with further detector parameters")] = None,
) -> None:
    """Find objects in pictures, folders, videos and bags: pictures with boxes, or JSON."""
    from nanorover.params import load
    from nanorover.perception.params import DetectorParams, limits_of, make_detector
    from nanorover.perception.pictures import pictures

    given = {
        "model": model,
        "weights": None if weights is None else str(weights),
        "engine": engine,
        "precision": precision,
        "score_threshold": score,
        "classes": classes,
    }
    settings = load(DetectorParams, "detector", params_file, **{k: v for k, v in given.items() if v is not None})
    if out is not None:
        _refuse_to_write_over(sources, out)
    if explain is not None:
        ignored = [name for name in IGNORED_BY_EXPLAIN if was_given(context, name)]
        if ignored:
            names = ", ".join("--json" if name == "as_json" else f"--{name}" for name in ignored)
            raise InputError(f"--explain draws what the checkpoint sees, without {names}", "leave it away")
        from nanorover.cli.model import torch_models

        folder = out or Path("out/explain")
        for written in torch_models("explain").explain(explain, sources, folder, limits_of(settings), say):
            print(written, flush=True)
        return
    if out is not None:
        make_folder(out)
    detector = make_detector(settings, say=say)
    say(f"{detector.description.name}: {detector.engine.title}; {detector.engine.notice}")
    if detector.description.name == SIMULATED:
        say(f"{SIMULATED} knows the simulated world only; for photographs: --model yolox_nano_416.onnx")
    found: list[dict[str, Any]] = []
    refused = 0
    try:
        with detector.engine:
            for picture in pictures(sources, warn):
                if out is not None and _lies_in(Path(picture.source), out):
                    continue  # a result of an earlier run, in a folder below that of the pictures
                if picture.image_bgr is None:
                    refused += 1
                    say_refused(picture.refused)
                    continue
                found += _one(detector, picture, out, not as_json)
    finally:
        # Also what was found before a source failed, or somebody had enough.
        if as_json:
            print(json.dumps(found), flush=True)
    if out is not None:
        say(f"pictures with boxes: {out}")
    if refused:
        raise InputError(f"{refused} picture{'s' * (refused > 1)} could not be read", "the reasons stand above")


def _refuse_to_write_over(sources: list[Path], out: Path) -> None:
    """Raise InputError where pictures with boxes would take the place of those without."""
    for source in sources:
        if _lies_in(source, out) or (source.is_dir() and source.resolve() == out.resolve()):
            raise InputError(f"--out {out} would write over pictures: {source} lies there", "name another folder")


def _lies_in(picture: Path, folder: Path) -> bool:
    from nanorover.perception.images import SUFFIXES

    return picture.suffix.lower() in SUFFIXES and picture.parent.resolve() == folder.resolve()


def _one(detector: Any, picture: Any, out: Path | None, say: bool) -> list[dict[str, Any]]:
    """Detect in one picture, write it with its boxes, and return one entry per detection."""
    from nanorover.perception.draw import draw
    from nanorover.perception.images import write_image

    labels = detector.description.labels
    detections = detector(picture.image_bgr)
    ms = round(sum(detections.ms.values()), 3)
    if out is not None:
        drawn = draw(picture.image_bgr, detections, labels)
        write_image(out / f"{picture.stem}.jpg", drawn)
    entries = [{"image": picture.source, **entry, "ms": ms} for entry in detections.as_dicts(labels)]
    if say:
        print(f"{picture.source}: {len(entries)} found in {ms:.1f} ms")
        for entry in entries:
            box = ", ".join(f"{v:.0f}" for v in entry["box_xyxy"])
            print(f"  {entry['label']:<16} {entry['score']:.2f}  [{box}]")
    return entries
