"""An engine that runs in another process or container, reached through a Unix socket."""

import socket
from pathlib import Path
from typing import List, Optional

import numpy as np

from nanorover.errors import InputError
from nanorover.perception.description import ModelDescription
from nanorover.perception.engines import Engine
from nanorover.perception.engines.wire import (
    Closed,
    fingerprint,
    receive_array,
    receive_json,
    send_array,
    send_json,
)

ANSWER_TIMEOUT_S = 5.0


class RemoteEngine(Engine):
    """The client of ``nanorover.perception.serve``. A server that was restarted is found again by itself."""

    def __init__(self, description: ModelDescription, path: Path) -> None:
        """Connect; InputError when no server is there or it serves another model."""
        self.description, self.path = description, path
        self.connection: Optional[socket.socket] = None
        self.outputs: List[np.ndarray] = []
        self._connect()

    def _connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(ANSWER_TIMEOUT_S)
        try:
            connection.connect(str(self.path))
            send_json(connection, {"fingerprint": fingerprint(self.description)})
            greeting = receive_json(connection)
            if "refusal" in greeting:
                raise InputError("the engine server at %s: %s" % (self.path, greeting["refusal"]))
            self.title = str(greeting["title"]) + ", served"
            self.precision, self.notice = str(greeting["precision"]), str(greeting["notice"])
            self.input_shape = tuple(greeting["input"])
            self.outputs = [np.empty(tuple(shape), np.float32) for shape in greeting["outputs"]]
        except (OSError, Closed, KeyError) as error:
            connection.close()
            raise InputError(
                "no engine server answers at %s: %s" % (self.path, error),
                "start it where TensorRT is: python3 -m nanorover.perception.serve --model … --socket …",
            )
        except InputError:
            connection.close()
            raise
        self.connection = connection
        return connection

    def run(self, tensor: np.ndarray) -> List[np.ndarray]:
        connection = self.connection or self._connect()
        try:
            send_array(connection, tensor)
            for output in self.outputs:
                receive_array(connection, output)
        except Closed as error:
            self.close()
            raise InputError("the engine server at %s has gone: %s" % (self.path, error), "is it being restarted?")
        return self.outputs

    def close(self) -> None:
        if self.connection is not None:
            self.connection.close()
            self.connection = None
