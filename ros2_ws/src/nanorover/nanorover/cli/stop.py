"""``nanorover stop``: end the running robot."""

from typing import Annotated

import typer

# The processes themselves are ended within 3 s; what is left is the supervisor's own end.
PATIENCE_S = 5.0


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(stop)


def stop(
    namespace: Annotated[str, typer.Option(help="namespace with which the robot was started")] = "",
) -> None:
    """Stop the robot that `nanorover up` runs on this machine."""
    from nanorover.bringup.run_state import RunState
    from nanorover.cli import console
    from nanorover.errors import InputError

    state = RunState(namespace)
    if not state.running():
        console.print("no robot runs here")
        return
    if not state.stop(PATIENCE_S):
        raise InputError(
            f"the robot (process {state.read().get('pid')}) has not stopped within {PATIENCE_S:g} s",
            "kill -KILL ends it together with its nodes",
        )
    console.print("stopped")
