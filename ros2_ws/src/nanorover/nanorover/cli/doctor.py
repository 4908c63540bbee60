"""``nanorover doctor``: what is wrong, in one line each, with the mend."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from nanorover.cli import results

if TYPE_CHECKING:
    from nanorover.doctor.evidence import Evidence
    from nanorover.doctor.findings import Finding
    from nanorover.doctor.machine import Machine

MARKS = {"ok": "[green]✓[/]", "note": "[dim]·[/]", "warn": "[yellow]![/]", "error": "[red]✗[/]"}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(doctor)


def doctor(
    bag: Annotated[Path | None, typer.Option(help="look at this recording too")] = None,
    live: Annotated[bool, typer.Option("--live", help="look at the running robot too, for some seconds")] = False,
    seconds: Annotated[float, typer.Option(help="how long to look at the running robot", min=1.0)] = 6.0,
    namespace: Annotated[str, typer.Option(help="namespace of the running robot")] = "",
    params_file: Annotated[
        Path | None, typer.Option(help="the robot's parameter file, where it has its own")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON object")] = False,
) -> None:
    """Name the faults of this machine, of a recording or of the running robot, each with its mend.

    The exit code is 1 if there is an error, else 0.
    """
    import json

    from nanorover.doctor.findings import ERROR, NOTE, Finding
    from nanorover.doctor.packages import PACKAGES

    looked = [("packages", check.name, f) for check in PACKAGES for f in check.look()]
    if any(name == "library" and finding.level == ERROR for _, name, finding in looked):
        looked.append(("packages", "others", Finding(NOTE, "nothing else was looked at: it takes these packages")))
    else:
        looked += _looked(params_file, bag, seconds if live else 0.0, namespace)
    faults = sum(finding.level == ERROR for _, _, finding in looked)
    if as_json:
        rows = [{"of": of, "check": name, **vars(finding)} for of, name, finding in looked]
        typer.echo(json.dumps({"errors": faults, "findings": rows}))
    else:
        _print(results(), looked)
    raise typer.Exit(1 if faults else 0)


def _looked(
    params_file: Path | None, bag: Path | None, live_s: float, namespace: str
) -> "list[tuple[str, str, Finding]]":
    """What was looked at, the check and its finding, of everything but the packages."""
    from nanorover.doctor.checks import GRAPH, MACHINE, SIGNALS
    from nanorover.doctor.evidence import evidence_of

    machine = _machine(params_file, namespace, asked=bag is None and live_s == 0.0)
    looked = [("machine", check.name, f) for check in MACHINE for f in check.look(machine)]
    if bag is not None:
        evidence = evidence_of(bag)
        looked += [(str(bag), check.name, f) for check in SIGNALS for f in check.look(evidence)]
    if live_s > 0.0:
        evidence = _observed(live_s, namespace)
        looked += [("live", check.name, f) for check in (*GRAPH, *SIGNALS) for f in check.look(evidence)]
    return looked


def _print(out, looked: "list[tuple[str, str, Finding]]") -> None:
    heading = ""
    for of, name, finding in looked:
        if of != heading:
            heading = of
            out.print(f"[bold]{escape(of)}[/]", soft_wrap=True)
        out.print(f"  {MARKS[finding.level]} {name:<20}{escape(finding.sentence)}", soft_wrap=True)
        if finding.mend and finding.level != "ok":
            out.print(f"    {'':<20}→ {finding.mend}", soft_wrap=True, markup=False)


def _machine(params_file: Path | None, namespace: str, *, asked: bool) -> "Machine":
    """This machine, with the ports that the running robot has, or else those that the parameters name."""
    import os

    import nanorover
    from nanorover import params
    from nanorover.base.params import BaseParams
    from nanorover.doctor.machine import Machine
    from nanorover.files import expanded
    from nanorover.perception.params import DetectorParams

    kernels = os.environ.get("NUMBA_CACHE_DIR") or Path(nanorover.__file__).parent / "__pycache__"
    engines = params.load(DetectorParams, "detector", params_file).engine_cache
    ports, robot = _ports(params_file, namespace)
    return Machine(
        ports=ports,
        caches={"kernels": Path(kernels), "engines": expanded(engines)},
        base=params.load(BaseParams, "base", params_file),
        robot=robot,
        asked=asked,
    )


def _ports(params_file: Path | None, namespace: str) -> tuple[dict[str, str], frozenset[int]]:
    """Serial ports by node, and the processes that may have them: those of the robot where one runs."""
    import yaml

    from nanorover import params
    from nanorover.base.params import BaseParams
    from nanorover.bringup.run_state import RunState
    from nanorover.lidar.params import LidarParams

    state = RunState(namespace)
    said = state.read() if state.running() else {}
    if "log" not in said:
        classes = {"lidar": LidarParams, "base": BaseParams}
        return {name: params.load(cls, name, params_file).port for name, cls in classes.items()}, frozenset()
    # What its nodes were started with: arguments and a parameter file count there already.
    files = {name: Path(said["log"]) / f"{name}.yaml" for name in ("lidar", "base")}
    started = {name: yaml.safe_load(file.read_text()) for name, file in files.items() if file.exists()}
    ports = {name: given["/**"]["ros__parameters"]["port"] for name, given in started.items()}
    return ports, frozenset(node["pid"] for node in said["nodes"].values())


def _observed(seconds: float, namespace: str) -> "Evidence":
    """What a node of its own sees of the running robot."""
    import pickle
    import tempfile

    from nanorover.errors import InputError
    from nanorover.programs import run_program

    with tempfile.TemporaryDirectory(prefix="nanorover-doctor-") as folder:
        file = Path(folder) / "evidence"
        looked = run_program("observe", str(seconds), str(file), namespace, capture_output=True)
        if looked.returncode:
            tail = "\n  ".join(looked.stderr.strip().splitlines()[-3:])
            raise InputError(
                f"the running robot cannot be looked at:\n  {tail}", "`nanorover doctor` without --live"
            )
        return pickle.loads(file.read_bytes())
