"""``nanorover security``: keys and rights of the nodes, for networks that are not your own."""

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(security)


def security(
    keystore: Annotated[Path, typer.Argument(help="folder of the SROS2 keystore, made where it is not there")],
    namespace: Annotated[str, typer.Option(help="namespace of the robot")] = "",
    policy_only: Annotated[bool, typer.Option("--policy-only", help="write the policy, make no keys")] = False,
) -> None:
    """Write the SROS2 policy from the topic table and make the keys of every node with `ros2 security`."""
    import shutil
    import subprocess

    from nanorover.bringup.security import write_policy
    from nanorover.cli import say
    from nanorover.errors import InputError

    path = keystore / "policy.xml"
    write_policy(path, namespace)
    say(f"policy: {path}")
    if policy_only:
        return
    if shutil.which("ros2") is None:
        raise InputError(
            "the keys need the command ros2 with the package sros2", "apt install ros-$ROS_DISTRO-sros2"
        )
    steps = ("create_keystore", str(keystore)), ("generate_artifacts", "-k", str(keystore), "-p", str(path))
    for step in steps:
        if step[0] == "create_keystore" and (keystore / "enclaves").exists():
            continue
        made = subprocess.run(["ros2", "security", *step], capture_output=True, text=True, check=False)
        if made.returncode:
            *_, said = ["nothing said", *made.stderr.strip().splitlines()]
            raise InputError(f"`ros2 security {step[0]}` failed: {said}", "is the package sros2 installed?")
    say(
        "switch it on for every node:\n"
        f"  export ROS_SECURITY_KEYSTORE={keystore.resolve()}\n"
        "  export ROS_SECURITY_ENABLE=true ROS_SECURITY_STRATEGY=Enforce"
    )
