"""What the tests of the simulated robot share."""

from nanorover.sim.simulation import Simulation


def run_until(simulation: Simulation, time_s: float) -> None:
    """Step until then."""
    while simulation.now_s < time_s - 1e-9:
        simulation.step()
