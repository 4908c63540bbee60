"""What the engine server and its client say to each other over a Unix socket.

On the original Jetson Nano TensorRT lives in a container with Python 3.6, the ROS nodes in another; both
see one folder with a socket in it. A message is a 4-byte length and JSON, or raw numbers whose number of
bytes both sides know from the greeting.
"""

import hashlib
import json
import socket
import struct
from typing import Any, Dict

import numpy as np

from nanorover.perception.description import ModelDescription

LENGTH = struct.Struct("<I")
LONGEST_JSON = 1 << 20


class Closed(Exception):
    """The other side has gone."""


def fingerprint(description: ModelDescription) -> str:
    """What must be the same on both sides: input, head and labels."""
    parts = [list(description.input), sorted(description.head.items()), list(description.labels)]
    return hashlib.sha256(json.dumps(parts).encode("utf-8")).hexdigest()


def send_json(connection: socket.socket, value: Dict[str, Any]) -> None:
    """Send a JSON object; Closed when the other side has gone."""
    encoded = json.dumps(value).encode("utf-8")
    send_bytes(connection, LENGTH.pack(len(encoded)) + encoded)


def receive_json(connection: socket.socket) -> Dict[str, Any]:
    """Receive a JSON object; Closed when the other side has gone or talks nonsense."""
    length = LENGTH.unpack(bytes(receive_into(connection, bytearray(LENGTH.size))))[0]
    if length > LONGEST_JSON:
        raise Closed("a message of %d bytes was announced" % length)
    try:
        value = json.loads(bytes(receive_into(connection, bytearray(length))).decode("utf-8"))
    except ValueError as error:
        raise Closed("a message was no JSON: %s" % error)
    if not isinstance(value, dict):
        raise Closed("a message was no JSON object")
    return value


def send_array(connection: socket.socket, array: np.ndarray) -> None:
    """Send the numbers of an array; Closed when the other side has gone."""
    send_bytes(connection, np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)


def receive_array(connection: socket.socket, array: np.ndarray) -> None:
    """Fill a contiguous array; Closed when the other side has gone."""
    receive_into(connection, array.reshape(-1).view(np.uint8).data)


def send_bytes(connection: socket.socket, data: Any) -> None:
    """All of ``data``; Closed when the other side has gone."""
    try:
        connection.sendall(data)
    except OSError as error:
        raise Closed(str(error))


def receive_into(connection: socket.socket, buffer: Any) -> Any:
    """Fill ``buffer``; Closed when the other side has gone."""
    view = memoryview(buffer)
    done = 0
    while done < len(view):
        try:
            count = connection.recv_into(view[done:])
        except OSError as error:
            raise Closed(str(error))
        if count == 0:
            raise Closed("the connection was closed")
        done += count
    return buffer
