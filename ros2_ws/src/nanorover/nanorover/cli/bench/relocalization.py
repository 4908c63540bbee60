"""``nanorover bench relocalization``: where in a map, without a click; and noticing when carried away."""

import json
from pathlib import Path
from typing import Annotated

import typer

from nanorover.cli import say
from nanorover.cli.bench import AsJson, write_results
from nanorover.files import make_folder


def register(group: typer.Typer) -> None:
    """Add the command."""
    group.command()(relocalization)


def relocalization(
    out: Annotated[Path, typer.Option(help="where the table goes")] = Path("out/bench/relocalization"),
    buildings: Annotated[int, typer.Option(help="random buildings of 25 × 25 m", min=1)] = 10,
    as_json: AsJson = False,
) -> None:
    """Random starts, kidnappings and ambiguous places in simulated buildings; writes relocalization.md, .json."""
    from datetime import datetime, timezone

    from nanorover.slam.localization_benchmark import measure, table
    from nanorover.slam.params import slam_params

    make_folder(out)  # measuring takes minutes
    result = measure(slam_params(), range(buildings), say)
    now = datetime.now(timezone.utc)
    page = table(result, f"nanorover bench relocalization --buildings {buildings}", now.strftime("%Y-%m-%d"))
    figures = {"date": now.isoformat(), **result}
    write_results(out / "relocalization", page, figures)
    typer.echo(json.dumps(figures) if as_json else page)
