"""``nanorover bench planning``: CPU time of fusion, costmaps, planners, controllers and safety."""

import json
from typing import Annotated

import typer

from nanorover.cli import console, results
from nanorover.cli.bench import AsJson


def register(group: typer.Typer) -> None:
    """Add the command."""
    group.command()(planning)


def planning(
    rounds: Annotated[int, typer.Option(help="measurements per part", min=20)] = 300,
    as_json: AsJson = False,
) -> None:
    """Measure every part of the planner, in CPU time of one core, against its budget."""
    from rich.table import Table

    from nanorover.planning.benchmark import run

    with console.status("measuring"):
        result = run(rounds)
    if as_json:
        print(json.dumps(result))
        return
    table = Table("part", "mean ms", "p50 ms", "p99 ms", "budget", title=f"{result['machine']}, {result['date']}")
    for part in result["parts"]:
        budget = f"{part['budget_ms']:g} ms ({part['of']})"
        row = (part["name"], *(f"{part[k]:.3f}" for k in ("mean_ms", "p50_ms", "p99_ms")), budget)
        table.add_row(*row, style="" if part["kept"] else "red")
    results().print(table)
