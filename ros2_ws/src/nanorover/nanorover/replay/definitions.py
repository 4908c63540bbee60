"""The text of a message definition, as it is stored in a bag beside the messages."""

import os
from pathlib import Path

from rosbags.typesys import TypesysError, get_types_from_msg
from rosbags.typesys.store import Typestore

from nanorover.errors import InputError
from nanorover.replay.messages import typestore


def definition_of(msgtype: str) -> str:
    """The definition of ``package/msg/Name`` with those of all that it is made of.

    The types of ROS 2 itself are known; others are read from the packages on ``AMENT_PREFIX_PATH``.
    Raises InputError where there is none.
    """
    _learn(msgtype, typestore())
    return typestore().generate_msgdef(msgtype, ros_version=2)[0]


def _learn(msgtype: str, store: Typestore) -> None:
    if msgtype in store.fielddefs:
        return
    package, _, name = msgtype.split("/")
    file = next((f for f in _places(package, name) if f.exists()), None)
    if file is None:
        raise InputError(
            f"the definition of {msgtype} is not known", f"install {package}, or source the workspace that has it"
        )
    try:
        types = get_types_from_msg(file.read_text(encoding="utf-8"), msgtype)
    except TypesysError as error:
        raise InputError(f"{file} is no message definition: {error}") from error
    for inner in _inner_types(types[msgtype][1]):
        _learn(inner, store)
    store.register(types)


def _places(package: str, name: str) -> list[Path]:
    prefixes = [prefix for prefix in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if prefix]
    return [Path(prefix) / "share" / package / "msg" / f"{name}.msg" for prefix in prefixes]


def _inner_types(fields: object) -> set[str]:
    """Every ``package/msg/Name`` in a parsed definition, however deep in arrays."""
    if isinstance(fields, str):
        return {fields} if fields.count("/") == 2 else set()
    if isinstance(fields, (list, tuple)):
        return set().union(*(_inner_types(field) for field in fields))
    return set()
