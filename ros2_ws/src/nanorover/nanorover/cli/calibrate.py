"""``nanorover calibrate``: wheels, lidar, camera, and how camera and lidar are mounted to each other."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from nanorover.cli import console, say
from nanorover.errors import InputError
from nanorover.files import make_folder

if TYPE_CHECKING:
    from nanorover.calibration.motion import MotionFit

Recording = Annotated[Path, typer.Argument(help="a recording with the topics that the calibration needs")]
Out = Annotated[Path, typer.Option(help="where the picture and the parameters go")]
BoardSize = Annotated[str, typer.Option(help="inner corners of the chessboard, columns x rows")]
Square = Annotated[float, typer.Option(help="side of one square in metres")]
ParamsFile = Annotated[Path | None, typer.Option(help="the robot's parameter file, where it has its own")]
AsJson = Annotated[bool, typer.Option("--json", help="print one JSON object")]


@dataclass(frozen=True)
class Found:
    """A parameter's value, NaN where the drive does not show it, the digits that count, and how sure it is."""

    value: float
    digits: int
    sigma: float | None = None


commands = typer.Typer(help=__doc__, no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the group."""
    app.add_typer(commands, name="calibrate", help="Find out how the robot is really built, from recordings.")


@commands.command()
def wheels(
    recording: Recording,
    out: Out = Path("out/calibration"),
    params_file: ParamsFile = None,
    as_json: AsJson = False,
) -> None:
    """Wheel radius and separation from a drive: straight ahead for some metres, and turns to both sides."""
    from nanorover import params
    from nanorover.base.params import BaseParams
    from nanorover.calibration.motion import unlike_wheels

    base = params.load(BaseParams, "base", params_file)
    fit = _motion(recording, out / "wheels.png", params_file)
    if unlike := unlike_wheels(fit, base.wheel_separation_m):
        say(f"{unlike}; no parameter takes that, SLAM makes up for it")
    radius_m = base.wheel_radius_m * fit.way_scale
    separation_m = base.wheel_separation_m * fit.way_scale / fit.turn_scale
    found = {
        "wheel_radius_m": Found(radius_m, 5, base.wheel_radius_m * fit.sigma[0]),
        "wheel_separation_m": Found(
            separation_m, 5, separation_m * math.hypot(fit.sigma[0] / fit.way_scale, fit.sigma[1] / fit.turn_scale)
        ),
    }
    _tell("base", found, out / "wheels.yaml", as_json, _left(fit))


@commands.command()
def lidar(
    recording: Recording,
    out: Out = Path("out/calibration"),
    params_file: ParamsFile = None,
    as_json: AsJson = False,
) -> None:
    """Where the lidar sits and how it is turned, from a drive with straight parts and turns."""
    fit = _motion(recording, out / "lidar.png", params_file)
    names = ("laser_x_m", "laser_y_m", "laser_yaw_rad")
    found = {
        name: Found(value, 4, sigma)
        for name, value, sigma in zip(names, fit.T_base_laser, fit.sigma[2:5], strict=True)
    }
    _tell("frames", found, out / "lidar.yaml", as_json, _left(fit))


@commands.command()
def camera(
    pictures: Annotated[Path, typer.Argument(help="a folder of pictures of the board, or a recording")],
    board: BoardSize = "9x6",
    square: Square = 0.025,
    out: Out = Path("out/calibration"),
    name: Annotated[str, typer.Option(help="name of the camera in the file")] = "camera",
    as_json: AsJson = False,
) -> None:
    """The camera's lens, from pictures of a chessboard held at many angles all over the picture."""
    import json

    from nanorover.calibration.board import Board
    from nanorover.calibration.draw import draw_pixels
    from nanorover.calibration.intrinsics import calibrate_lens
    from nanorover.calibration.sources import pictures_of

    make_folder(out)
    lens = calibrate_lens(pictures_of(pictures), Board.named(board, square))
    lens.write(out / "camera.yaml", name)
    draw_pixels(out / "camera.png", lens.residuals_px, lens.corners_px, lens.size_px)
    result = {"rms_px": lens.rms_px, "pictures": len(lens.corners_px), "K": lens.K.ravel().tolist()}
    result |= {"distortion": lens.distortion.tolist(), "file": str(out / "camera.yaml")}
    if as_json:
        typer.echo(json.dumps(result))
    else:
        left = f"{len(lens.corners_px)} pictures, {lens.rms_px:.2f} px left"
        typer.echo(f"{left}: {out / 'camera.yaml'}, camera.png")


@commands.command()
def extrinsics(
    recording: Recording,
    board: BoardSize = "9x6",
    square: Square = 0.025,
    out: Out = Path("out/calibration"),
    params_file: ParamsFile = None,
    as_json: AsJson = False,
) -> None:
    """How the camera is mounted towards the lidar, from a chessboard that both see, held still at many places."""
    import numpy as np

    from nanorover.calibration.board import Board
    from nanorover.calibration.draw import draw_distances
    from nanorover.calibration.extrinsics import calibrate_extrinsics
    from nanorover.calibration.sources import believed_mounting, camera_parameters, views_of

    chessboard = Board.named(board, square)
    make_folder(out)
    T_camera_laser, T_base_laser = believed_mounting(params_file)
    result = calibrate_extrinsics(views_of(recording, chessboard), chessboard, T_camera_laser)
    draw_distances(out / "extrinsics.png", result.before_m, result.after_m, f"{result.views} views of the board")
    mounting = camera_parameters(T_base_laser @ np.linalg.inv(result.T_camera_laser))
    found = {name: Found(value, 4) for name, value in mounting.items()}
    rms_m = float(np.sqrt((result.after_m**2).mean()))
    _tell("frames", found, out / "extrinsics.yaml", as_json, {"rms_m": rms_m, "views": result.views})


def _motion(recording: Path, picture: Path, params_file: Path | None) -> "MotionFit":
    from nanorover.calibration.draw import draw_motion
    from nanorover.calibration.motion import fit_motion, steps_of
    from nanorover.calibration.sources import believed_laser, scans_and_odometry

    make_folder(picture.parent)
    scans, odometry, problems = scans_and_odometry(recording)
    for line in problems.lines():
        console.print(f"[yellow]skipped:[/] {escape(line)}", soft_wrap=True)
    fit = fit_motion(steps_of(scans, odometry), believed_laser(params_file))
    if fit.turn_scale < 0:
        raise InputError(
            "the scan turns against the wheels: one of the two is mirrored",
            "mend that first; `nanorover doctor --bag` says how",
        )
    draw_motion(picture, fit)
    return fit


def _left(fit: "MotionFit") -> dict[str, Any]:
    return {"rms_m": fit.rms_m, "steps": len(fit.residuals)}


def _tell(section: str, found: dict[str, Found], path: Path, as_json: bool, quality: dict[str, Any]) -> None:
    """Write the parameter file with what was found, say what is in it, and how good it is.

    Raises InputError where nothing was found.
    """
    import json

    import yaml

    from nanorover.calibration.motion import LEAST_TURN_RAD, LEAST_WAY_M
    from nanorover.files import replacing

    shown = {name: one for name, one in found.items() if math.isfinite(one.value)}
    hidden = [name for name in found if name not in shown]
    more = f"drive at least {LEAST_WAY_M:g} m and turn at least {math.degrees(LEAST_TURN_RAD):.0f}°, to both sides"
    if not shown:
        raise InputError(f"this drive shows none of {', '.join(hidden)}", more)
    values = {name: round(float(one.value), one.digits) for name, one in shown.items()}
    sigma = {f"sigma_{name}": float(one.sigma) for name, one in shown.items() if one.sigma is not None}
    text = yaml.safe_dump({section: {"ros__parameters": values}}, sort_keys=False)
    with replacing(path) as temporary:
        temporary.write_text(text)
    if hidden:
        say(f"not shown by this drive: {', '.join(hidden)}; {more}")
    if as_json:
        typer.echo(json.dumps({**values, **sigma, **quality, "not_shown": hidden, "file": str(path)}))
        return
    facts = {**sigma, **quality}
    said = ", ".join(f"{k} {v:.2g}" if isinstance(v, float) else f"{k} {v}" for k, v in facts.items())
    typer.echo(f"{text.rstrip()}\n({said})\nUse it with params_file:={path}; look at {path.with_suffix('.png')}")
