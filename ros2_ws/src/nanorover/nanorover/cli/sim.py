"""``nanorover sim``: missions in simulated worlds, recordings of them, and the worlds themselves."""

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nanorover.cli import console, refuse_unfit_file, results, was_given
from nanorover.errors import InputError

if TYPE_CHECKING:
    from nanorover.sim.record import Recorded

WORLD_HELP = "seed (7), style and seed (office:7), shipped scene or scene file; drawn from --seed if not given"

World = Annotated[str | None, typer.Option(help=WORLD_HELP)]
Seed = Annotated[int, typer.Option(help="everything random follows from it", min=0)]
AsJson = Annotated[bool, typer.Option("--json", help="print the result as one JSON object")]


def register(app: typer.Typer) -> None:
    """Add the command group."""
    group = typer.Typer(name="sim", help="A simulated robot in a simulated world.")
    group.callback(invoke_without_command=True)(mission)
    group.command()(record)
    group.command()(world)
    app.add_typer(group)


def mission(
    context: typer.Context,
    mission: Annotated[
        str | None,
        typer.Option(help="wander or tour; one of the navigator's scenarios, or all ('?' lists them)"),
    ] = None,
    seed: Seed = 0,
    seeds: Annotated[int, typer.Option(help="scenarios: so many seeds each, from --seed on", min=1)] = 1,
    picture: Annotated[
        Path | None, typer.Option(help="scenarios: draw the ways of the first seed into this .png")
    ] = None,
    world: World = None,
    duration: Annotated[float | None, typer.Option(help="simulated seconds at most", min=1.0)] = None,
    headless: Annotated[bool, typer.Option("--headless/--window", help="with MuJoCo's window or without")] = True,
    view: Annotated[bool, typer.Option("--view", help="watch live in the browser")] = False,
    in_process: Annotated[
        bool, typer.Option("--in-process", help="drivers and SLAM as a library, as fast as it goes, no nodes")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Drive a mission through the real nodes (closed loop over serial ports) and say how it went."""
    if context.invoked_subcommand is not None:
        return
    from nanorover.sim.mission import MISSIONS
    from nanorover.sim.scenarios import SCENARIOS

    if mission is None:
        raise InputError("no mission is given", "try: nanorover sim --mission wander --seed 1")
    if picture is not None:
        refuse_unfit_file("--picture", picture, ".png")
    if mission == "all" or mission in SCENARIOS:
        if world or duration or view or not headless:
            raise InputError(
                f"'{mission}' brings its own world and time", "leave out --world, --duration, --view, --window"
            )
        names = list(SCENARIOS) if mission == "all" else [mission]
        _scenarios(names, range(seed, seed + seeds), in_process=in_process, picture=picture, as_json=as_json)
        return
    if mission not in MISSIONS:
        raise InputError(f"no mission is called '{mission}'", f"known: {', '.join((*MISSIONS, *SCENARIOS))}, all")
    if was_given(context, "seeds") or picture is not None:
        raise InputError("--seeds and --picture are for scenarios", f"known: {', '.join(SCENARIOS)}, all")
    if in_process:
        if view or not headless:
            raise InputError("--in-process shows nothing while it runs", "leave out --view and --window")
        result = _in_process(mission, _scene(world, seed), seed, duration)
    else:
        result = _through_nodes(mission, world or str(seed), seed, duration, headless=headless, view=view)
    _show(result, as_json)
    raise typer.Exit(0 if result["success"] else 1)


def record(
    context: typer.Context,
    out: Annotated[
        Path | None, typer.Option(help="new rosbag2 folder or .mcap file; with --count a folder for them")
    ] = None,
    seed: Seed = 0,
    world: World = None,
    duration: Annotated[float, typer.Option(help="simulated seconds at most", min=1.0)] = 60.0,
    mission: Annotated[str, typer.Option(help="who drives: tour or wander")] = "tour",
    camera_hz: Annotated[float, typer.Option(help="pictures per second, 0 for none", min=0.0, max=30.0)] = 2.0,
    count: Annotated[int, typer.Option(help="so many recordings, of following seeds", min=1)] = 1,
    shipped: Annotated[
        str | None,
        typer.Option(help="make the one of this name that comes with the project; the rest is its row's"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Record a simulated drive with its truth, as fast as it goes; the same seed gives the same recording."""
    from nanorover.sim import recordings
    from nanorover.sim.record import Drive
    from nanorover.sim.record import record as record_drive

    if shipped is not None:
        own = ("seed", "world", "duration", "mission", "camera_hz", "count")
        ignored = [name for name in own if was_given(context, name)]
        if ignored:
            raise InputError(
                f"--{ignored[0].replace('_', '-')} does not go with --shipped", "its row says how it is made"
            )
        chosen = recordings.shipped(shipped)
        drives = {out or chosen.path: chosen.drive}
    elif out is None:
        raise InputError("--out is missing", "say where the recording goes, e.g. --out drive.mcap")
    else:
        paths = {n: out if count == 1 else out / f"world_{n}" for n in range(seed, seed + count)}
        drives = {path: Drive(world or str(n), n, mission, duration, camera_hz) for n, path in paths.items()}
    made = []
    for path, drive in drives.items():
        with _progress(f"recording {path.name}", drive.duration_s) as advance:
            made.append(record_drive(drive, path, advance))
    _show({"recordings": [_line(recorded) for recorded in made]}, as_json)


def world(
    out: Annotated[Path, typer.Option(help="new scene file (.yaml)")],
    seed: Seed = 0,
    world: World = None,
    picture: Annotated[Path | None, typer.Option(help="also draw it from above into this .png")] = None,
    as_json: AsJson = False,
) -> None:
    """Write a world as a scene file to read, change and drive in."""
    from nanorover.sim.pictures import overhead, save
    from nanorover.sim.scene import save_scene
    from nanorover.sim.simulation import Simulation

    if picture is not None:
        refuse_unfit_file("--picture", picture, ".png")
    scene = _scene(world, seed)
    simulation = Simulation(scene, seed)  # refuses a robot inside a wall
    save_scene(scene, out)
    if picture is not None:
        save(overhead(simulation), picture)
    things = {"walls": len(scene.walls), "furniture": len(scene.furniture), "walkers": len(scene.walkers)}
    _show({"scene": str(out), "name": scene.name, "size_m": list(scene.size_m), **things}, as_json)


def _scene(world: str | None, seed: int) -> Any:
    from nanorover.sim.floorplan import scene_of

    return scene_of(world or str(seed))


def _in_process(mission: str, scene: Any, seed: int, duration: float | None) -> dict[str, Any]:
    from nanorover.sim.mission import mission_of, run_in_process

    longest_s = duration or mission_of(mission).duration_s
    with _progress(f"{mission} in {scene.name}", longest_s) as advance:
        return run_in_process(mission, scene, seed, duration_s=longest_s, progress=advance).as_dict()


def _scenarios(names: list[str], seeds: range, *, in_process: bool, picture: Path | None, as_json: bool) -> None:
    """Drive scenarios, print their table; exit code 0 where nothing was touched and 98 % arrived."""
    from rich.table import Table

    from nanorover.sim.trials import COLUMNS, drive_here, run, summary, write_picture

    with console.status("driving") as status:
        trials = run(names, seeds, status.update, drive_here if in_process else _scenario_through_nodes)
    result = summary(trials)
    if picture is not None:
        write_picture([t for t in trials if t.outcome.seed == seeds[0]], picture)
    if as_json:
        print(json.dumps(result))
    else:
        out = results()
        table = Table(*COLUMNS.values())
        for row in result["scenarios"]:
            table.add_row(*("–" if row[k] is None else str(row[k]) for k in COLUMNS))
        out.print(table)
        nearest_m = result["least_people_clearance_m"]
        out.print(
            f"{result['runs']} run{'s' * (result['runs'] != 1)}: {result['success']:.1%} arrived, "
            f"{result['collisions']} collisions, "
            f"median time {result['median_time_ratio']} × ideal"
            + ("" if nearest_m is None else f", people never nearer than {nearest_m} m")
        )
        for name, value in result["latency"].items():
            out.print(f"{name.replace('_', ' ')}: {value:g}")
    raise typer.Exit(0 if result["collisions"] == 0 and result["success"] >= 0.98 else 1)


def _scenario_through_nodes(name: str, seed: int) -> Any:
    import numpy as np

    from nanorover.sim.outcome import Outcome
    from nanorover.sim.trials import Trial

    done = _child("scenario", ["--scenario", name, "--seed", str(seed)])
    return Trial(Outcome(**done["outcome"]), np.array(done["way"]), done["latency"])


def _through_nodes(
    mission: str, world: str, seed: int, duration: float | None, *, headless: bool, view: bool
) -> dict[str, Any]:
    from nanorover.sim import SCREEN

    if not (headless or SCREEN):
        raise InputError("there is no screen for MuJoCo's window", "leave out --window, or set DISPLAY")
    arguments = ["--mission", mission, "--world", world, "--seed", str(seed)]
    arguments += ["--duration", str(duration)] if duration else []
    arguments += ["--window"] * (not headless) + ["--view"] * view
    return _child("mission", arguments)


def _child(module: str, arguments: list[str]) -> dict[str, Any]:
    """What a program beside the nodes prints as JSON; its exit code where it is not 0."""
    from nanorover.programs import run_program

    finished = run_program(module, *arguments, stdout=subprocess.PIPE)
    if finished.returncode:
        raise typer.Exit(finished.returncode)
    return json.loads(finished.stdout)


def _line(recorded: "Recorded") -> dict[str, Any]:
    return {
        "path": str(recorded.path),
        "duration_s": round(recorded.duration_s, 2),
        "bytes": recorded.bytes,
        "collisions": recorded.score.collisions,
        "distance_m": round(recorded.score.distance_m, 2),
    }


class _progress:
    """A progress bar in simulated seconds; as a context it gives the function that advances it."""

    def __init__(self, what: str, total_s: float) -> None:
        from rich.progress import Progress

        self._bar = Progress(console=console)
        self._task = self._bar.add_task(what, total=total_s)

    def __enter__(self) -> Any:
        self._bar.start()
        return lambda now_s: self._bar.update(self._task, completed=now_s)

    def __exit__(self, *_: object) -> None:
        self._bar.stop()


def _show(result: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps(result))
        return
    for name, value in result.items():
        for line in value if isinstance(value, list) and value and isinstance(value[0], dict) else [value]:
            text = ", ".join(f"{k} {_said(v)}" for k, v in line.items()) if isinstance(line, dict) else _said(line)
            print(f"{name.replace('_', ' '):>18}  {text}")


def _said(value: Any) -> str:
    """A figure with as many digits as a person reads; a size as width × depth."""
    if isinstance(value, list):
        return " × ".join(map(_said, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)
