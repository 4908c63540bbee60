"""What every launch file of the robot consists of: the mode's arguments and nodes, read from the tables.

Arguments and parameters are checked before a process starts; a bad one ends the launch with a sentence.
"""

import sys
from pathlib import Path
from typing import Any

from ament_index_python.packages import PackageNotFoundError, get_package_prefix
from launch import LaunchContext, LaunchDescription
from launch.action import Action
from launch.actions import DeclareLaunchArgument, OpaqueFunction, RegisterEventHandler, TimerAction
from launch.event_handlers import OnProcessExit
from launch.logging import launch_config
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from nanorover import params
from nanorover.base.params import BaseParams
from nanorover.bringup.arguments import check, of_mode, split
from nanorover.bringup.plan import PlannedNode, enclave_arguments, managed_nodes, plan
from nanorover.bringup.robot_model import FramesParams, robot_urdf
from nanorover.bringup.supervisor import SupervisorParams
from nanorover.errors import InputError
from nanorover.params import refuse_unknown
from nanorover.ros_environment import ros_environment

RVIZ_CONFIGURATION = Path("rviz") / "nanorover.rviz"


def describe(mode: str, launch_file: str) -> LaunchDescription:
    """The launch description of a mode, for the launch file that asks."""
    declared = [
        DeclareLaunchArgument(a.name, default_value=a.default, description=a.described)
        for a in of_mode(mode).values()
    ]
    return LaunchDescription([*declared, OpaqueFunction(function=_start, args=[mode, Path(launch_file)])])


def _start(context: LaunchContext, mode: str, launch_file: Path) -> list[Action]:
    known = of_mode(mode)
    if any(word.endswith(launch_file.name) for word in sys.argv):
        # Launch itself lets unknown arguments pass. Where another file includes this one, they may be that file's.
        refuse_unknown(split(context.argv), known, f"{launch_file.name} has no argument")
    values = check(mode, {name: LaunchConfiguration(name).perform(context) for name in known})
    settings = params.load(SupervisorParams, "supervisor", values["params_file"] or None)
    planned = plan(mode, values)
    actions = [a for p in planned for a in _node(p, values, settings)]
    by_ros = [p.node.name for p in planned if _by_state_publisher(p)]
    managed = [name for name in managed_nodes(mode, values) if name not in by_ros]
    if managed:
        words = managed if values["autostart"] else [*managed, "--no-autostart"]
        actions += _process("lifecycle_manager", "nanorover_nodes.manager", words, {}, values, settings)
    if values["use_rviz"]:
        actions.append(_rviz(launch_file, values))
    return actions


def _node(planned: PlannedNode, values: dict[str, Any], settings: SupervisorParams) -> list[Action]:
    node = planned.node
    if _by_state_publisher(planned):
        return [_state_publisher(planned, values)]
    parameters = planned.parameters_in(Path(launch_config.log_dir))
    return _process(node.name, node.module, [], parameters, values, settings)


def _process(
    name: str,
    module: str,
    words: list[str],
    parameters: dict[str, Any],
    values: dict[str, Any],
    settings: SupervisorParams,
) -> list[Action]:
    """A process that is started again, after a pause that doubles, while the launch runs."""

    def start(pause_s: float) -> list[Action]:
        process = Node(
            executable=sys.executable,
            arguments=["-m", module, *words],
            name=name,
            exec_name=name,
            namespace=values["namespace"],
            parameters=[parameters] if parameters else None,
            ros_arguments=["--log-level", f"{name}:={values['log_level']}", *enclave_arguments(name)],
            output="both",
            emulate_tty=True,
            additional_env=ros_environment(),
            sigterm_timeout=str(settings.interrupt_patience_s),
            sigkill_timeout=str(settings.terminate_patience_s),
        )

        def ended(event: Any, context: LaunchContext) -> list[Action]:
            if context.is_shutdown or not values["use_respawn"]:
                return []
            longer_s = min(pause_s * 2, settings.longest_pause_s)
            return [TimerAction(period=pause_s, actions=start(longer_s))]

        return [RegisterEventHandler(OnProcessExit(target_action=process, on_exit=ended)), process]

    return start(settings.first_pause_s)


def _by_state_publisher(planned: PlannedNode) -> bool:
    """Whether ROS itself brings the node that publishes the mountings."""
    return planned.node.name == "static_frames" and _installed("robot_state_publisher")


def _installed(package: str) -> bool:
    try:
        get_package_prefix(package)
    except PackageNotFoundError:
        return False
    return True


def _state_publisher(planned: PlannedNode, values: dict[str, Any]) -> Action:
    def of(cls: type) -> Any:
        return cls(**{name: planned.parameters[name] for name in params.declared(cls)})

    return Node(
        package="robot_state_publisher",
        executable="robot_state_publisher",
        namespace=values["namespace"],
        parameters=[{"robot_description": robot_urdf(of(FramesParams), of(BaseParams))}],
        additional_env=ros_environment(),
    )


def _rviz(launch_file: Path, values: dict[str, Any]) -> Action:
    if not _installed("rviz2"):
        raise InputError("use_rviz is true, but rviz2 is not installed", "apt install ros-$ROS_DISTRO-rviz2")
    return Node(
        package="rviz2",
        executable="rviz2",
        namespace=values["namespace"],
        arguments=["-d", str(launch_file.parent / RVIZ_CONFIGURATION)],
        parameters=[{"use_sim_time": values["use_sim_time"]}],
        additional_env=ros_environment(),
    )
