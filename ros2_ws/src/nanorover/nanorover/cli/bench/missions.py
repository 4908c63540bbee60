"""``nanorover bench missions``: the navigator in the simulated scenarios, in one process, as a table."""

import json
from pathlib import Path
from typing import Annotated

import typer

from nanorover.cli import console
from nanorover.errors import InputError


def register(group: typer.Typer) -> None:
    """Add the command."""
    group.command()(missions)


def missions(
    seeds: Annotated[int, typer.Option(help="seeds per scenario", min=1)] = 3,
    scenario: Annotated[str, typer.Option(help="one scenario, or all")] = "all",
    picture: Annotated[Path | None, typer.Option(help="draw the ways of the first seed into this .png")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print the result as one JSON object")] = False,
) -> None:
    """Drive every scenario with every seed; success, collisions, time against the ideal, distance to people."""
    from rich.table import Table

    from nanorover.sim.scenarios import SCENARIOS
    from nanorover.sim.trials import run, summary, write_picture

    if scenario != "all" and scenario not in SCENARIOS:
        raise InputError(f"no scenario is called '{scenario}'", "known: all, " + ", ".join(SCENARIOS))
    names = list(SCENARIOS) if scenario == "all" else [scenario]
    with console.status("driving") as status:
        trials = run(names, range(seeds), status.update)
    result = summary(trials)
    if picture is not None:
        write_picture([t for t in trials if t.outcome.seed == 0], picture)
    if as_json:
        print(json.dumps(result, indent=2))
    else:
        table = Table("scenario", "arrived", "touched", "time / ideal", "least gap m", "to people m", "reasons")
        for row in result["scenarios"]:
            table.add_row(*(str(row[k]) for k in ("name", "arrived", "collisions", "time_ratio", "clearance_m",
                                                 "people_clearance_m", "reasons")))  # fmt: skip
        console.print(table)
        console.print(
            f"{result['runs']} runs: {result['success']:.0%} arrived, {result['collisions']} collisions, "
            f"median time {result['median_time_ratio']:.2f} × ideal"
        )
    raise typer.Exit(0 if result["collisions"] == 0 and result["success"] >= 0.98 else 1)
