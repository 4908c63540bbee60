"""``nanorover bench sim``: how much faster than real time the simulation is on this machine."""

import json
import time
from typing import Annotated, Any

import typer

from nanorover.cli.bench import AsJson
from nanorover.machine import one_core

WARM_UP_S = 2.0


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(sim)


def sim(
    world: Annotated[str, typer.Option(help="the world: as in `nanorover sim --world`")] = "apartment:36",
    seconds: Annotated[float, typer.Option(help="simulated seconds per measurement", min=1.0)] = 20.0,
    camera: Annotated[bool, typer.Option(help="also measure with the camera")] = True,
    as_json: AsJson = False,
) -> None:
    """Simulated seconds per second of CPU time: physics, lidar and drivers in one process, then with the camera.

    With all nodes as processes the figure is `real_time_factor` of `nanorover sim --mission tour`.
    """
    machine = one_core()
    result: dict[str, Any] = {"machine": machine, "date": time.strftime("%Y-%m-%d"), "world": world}
    result["without_camera_x"] = round(_speed(world, seconds, 0.0), 1)
    if camera:
        result["with_camera_10_hz_x"] = round(_speed(world, seconds / 2, 10.0), 1)
    if as_json:
        print(json.dumps(result))
    else:
        for name, value in result.items():
            print(f"{name:>20}  {value}")


def _speed(world: str, seconds: float, camera_hz: float) -> float:
    from nanorover.sim.floorplan import scene_of
    from nanorover.sim.pilots import Tour
    from nanorover.sim.rover import Rover
    from nanorover.sim.simulation import Simulation

    scene = scene_of(world)
    simulation = Simulation(scene, 1)
    rover = Rover(simulation, Tour(scene.tour_m), camera_hz=camera_hz)
    for _ in rover.run(WARM_UP_S):
        pass
    started, start_s = time.process_time(), simulation.now_s
    for _ in rover.run(WARM_UP_S + seconds):
        pass
    elapsed_s = time.process_time() - started
    simulation.close()
    return (simulation.now_s - start_s) / elapsed_s
