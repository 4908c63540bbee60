"""``nanorover bench detect``: which engine and precision suits this machine, measured on pictures."""

import json
import time
from itertools import groupby
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from nanorover.cli import results, say, say_refused, warn
from nanorover.cli.bench import AsJson
from nanorover.errors import InputError


def register(group: typer.Typer) -> None:
    """Add the command."""
    group.command()(detect)


def detect(
    sources: Annotated[list[Path], typer.Argument(help="pictures, folders, videos, bags")],
    model: Annotated[
        str | None, typer.Option(help="shipped model by name, or an .onnx or .yaml file; `rover` if not given")
    ] = None,
    runs: Annotated[int, typer.Option(help="measurements per engine", min=10)] = 200,
    most: Annotated[int, typer.Option(help="pictures at most", min=1)] = 50,
    params_file: Annotated[Path | None, typer.Option(help="YAML with further detector parameters")] = None,
    as_json: AsJson = False,
) -> None:
    """Time every engine and precision that this machine has for a model, and compare their boxes."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from nanorover.machine import one_core
    from nanorover.params import load
    from nanorover.perception.benchmark import EngineFigures, compare_engines
    from nanorover.perception.params import DetectorParams
    from nanorover.perception.pictures import pictures

    settings = load(DetectorParams, "detector", params_file, **({} if model is None else {"model": model}))
    images = []
    for picture in pictures(sources, warn):
        if picture.image_bgr is None:
            say_refused(picture.refused)
            continue
        images.append(picture.image_bgr)
        if len(images) == most:
            break
    if not images:
        raise InputError("there is no picture to measure with", "name pictures, folders, videos or bags")
    measured = list(compare_engines(settings, images, runs, say))
    machine, date = one_core(), time.strftime("%Y-%m-%d")
    if as_json:
        engines = [row.as_dict() for row in measured]
        print(json.dumps({"machine": machine, "date": date, "model": settings.model, "engines": engines}))
        return
    title = f"{settings.model}, {len(images)} pictures; {machine}, {date}"
    table = Table(
        "engine", "ready s", "network", "p95", "picture", "same", "missed", "more", "off", title=title,
        caption="ms of network and whole picture; boxes against those of the first row, scores off by",
        box=SIMPLE_HEAD, padding=(0, 1, 0, 0),
    )  # fmt: skip
    for row in measured:
        if isinstance(row, EngineFigures):
            boxes = row.agreement
            table.add_row(
                f"{row.engine} {row.precision}", f"{row.ready_s:.1f}", f"{row.inference_ms_p50:.2f}",
                f"{row.inference_ms_p95:.2f}", f"{row.picture_ms_p50:.2f}",
                str(boxes.same), str(boxes.missed), str(boxes.more), f"{boxes.score_off:.3f}",
            )  # fmt: skip
    results().print(table)
    for engine, used in {row.engine: row.title for row in measured if isinstance(row, EngineFigures)}.items():
        results().print(f"{engine}: {escape(used)}", soft_wrap=True)
    absent = [row for row in measured if not isinstance(row, EngineFigures)]
    for reason, rows in groupby(absent, lambda row: row.refused):
        names = ", ".join(f"{row.engine} {row.precision}" for row in rows)
        results().print(f"{names}: {escape(reason)}", soft_wrap=True)
