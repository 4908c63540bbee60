"""``nanorover bench slam``: error, speed and memory of SLAM over logs and simulated buildings."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from nanorover.cli import console, say
from nanorover.cli.bench import AsJson, write_results
from nanorover.errors import InputError
from nanorover.files import make_folder


def register(group: typer.Typer) -> None:
    """Add the command."""
    group.command()(slam)


def slam(
    logs: Annotated[
        Path | None, typer.Option(help="folder of CARMEN logs with a .relations file beside each", exists=True)
    ] = None,
    out: Annotated[Path, typer.Option(help="where table and pictures go")] = Path("out/bench/slam"),
    seeds: Annotated[int, typer.Option(help="seeds of every simulated case", min=1)] = 5,
    simulated: Annotated[bool, typer.Option(help="run the simulated cases too")] = True,
    as_json: AsJson = False,
) -> None:
    """Run SLAM over logs and simulated buildings; writes slam.md, slam.json and pictures.

    Exit code 1 when a log could not be measured.
    """
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor
    from datetime import datetime, timezone

    from rich.progress import track

    from nanorover.slam import benchmark
    from nanorover.slam.params import slam_params

    cases, left_out = benchmark.log_cases(logs) if logs is not None else ([], [])
    cases += benchmark.simulated_cases(seeds) if simulated else []
    make_folder(out)
    results, failed = [], []
    # A fresh process for every case, so that its memory is its own.
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), max_tasks_per_child=1) as pool:
        for case in track(cases, "measuring", console=console, transient=True):
            pictures = out if case.seed == 0 else None
            try:
                results.append(pool.submit(benchmark.run_case, case, pictures).result())
                say(_line(results[-1]))
            except InputError as error:
                failed.append(
                    f"{case.log.name if case.log else case.name}, odometry {case.odometry}: {error.args[0]}"
                )
                console.print(f"[bold red]error:[/] {escape(failed[-1])}", soft_wrap=True)
    for line in left_out:
        console.print(f"[yellow]left out:[/] {escape(line)}", soft_wrap=True)
    command = f"nanorover bench slam --seeds {seeds}" + (f" --logs {logs.name}" if logs is not None else "")
    command += "" if simulated else " --no-simulated"
    now = datetime.now(timezone.utc)
    page = benchmark.table(results, left_out + failed, command, slam_params(), now.strftime("%Y-%m-%d"))
    figures = {"date": now.isoformat(), "results": results, "not_measured": left_out + failed}
    write_results(out / "slam", page, figures)
    typer.echo(json.dumps(figures) if as_json else page)
    if failed:
        raise typer.Exit(1)


def _line(result: dict) -> str:
    return (
        f"{result['name']} {result['lidar']} {result['odometry']} seed {result['seed']}:"
        f" {result['trans_m_mean']:.4f} m, {result['rot_deg_mean']:.3f}°, {result['x_realtime']:.0f} ×"
    )
