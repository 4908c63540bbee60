"""``python3 -m nanorover.perception.serve``: an engine for another process, on the Python that TensorRT needs."""

import argparse
import os
import select
import socket
import sys
from pathlib import Path
from typing import Any, Dict, List

import numpy as np

from nanorover.errors import InputError
from nanorover.files import expanded
from nanorover.perception.description import ModelDescription, load_model
from nanorover.perception.engines import Engine
from nanorover.perception.engines.cache import say_to_stderr
from nanorover.perception.engines.choice import PRECISIONS, make_engine
from nanorover.perception.engines.wire import (
    Closed,
    fingerprint,
    receive_array,
    receive_json,
    send_array,
    send_json,
)

# A client that stalls in the middle of a message holds up all others; they wait for 5 s (engines/remote.py).
STALL_TIMEOUT_S = 2.0
LOCAL_ENGINES = ("auto", "tensorrt", "onnxruntime")


def serve(description: ModelDescription, engine: Engine, path: Path) -> None:
    """Answer all clients, picture by picture, until the process ends; InputError when there can be no socket."""
    shape = (1, 3, description.input.height, description.input.width)
    tensor = np.zeros(shape, np.float32)
    outputs = [list(output.shape) for output in engine.run(tensor)]
    greeting = {
        "title": engine.title,
        "precision": engine.precision,
        "notice": engine.notice,
        "input": shape,
        "outputs": outputs,
    }
    listener = _listen(path)
    say_to_stderr("%s: %s; %s; waiting at %s" % (description.name, engine.title, engine.notice, path))
    clients: List[socket.socket] = []
    while True:
        for ready in select.select([listener, *clients], [], [])[0]:
            connection = ready
            try:
                if ready is listener:
                    connection = listener.accept()[0]
                    _greet(connection, description, greeting)
                    clients.append(connection)
                else:
                    _answer(connection, engine, tensor)
            except Closed as reason:
                say_to_stderr("client left: %s" % reason)
                connection.close()
                if connection in clients:
                    clients.remove(connection)


def _greet(connection: socket.socket, description: ModelDescription, greeting: Dict[str, Any]) -> None:
    """Tell a client what is served; Closed when it wants something else, or nothing."""
    connection.settimeout(STALL_TIMEOUT_S)
    if receive_json(connection).get("fingerprint") != fingerprint(description):
        send_json(connection, {"refusal": "it serves %s, whose YAML differs from the client's" % description.name})
        raise Closed("it wanted another model")
    send_json(connection, greeting)


def _answer(connection: socket.socket, engine: Engine, tensor: np.ndarray) -> None:
    """Run the network for the tensor that a client has begun to send; Closed when it left or stalls."""
    receive_array(connection, tensor)
    for output in engine.run(tensor):
        send_array(connection, output)


def _listen(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_socket():
            _remove_abandoned(path)
        listener.bind(str(path))
        os.chmod(str(path), 0o660)
        listener.listen(8)
    except OSError as error:
        raise InputError("cannot listen at %s: %s" % (path, error.strerror or error), "choose another --socket")
    return listener


def _remove_abandoned(path: Path) -> None:
    """Remove the socket of a server that is no more; InputError when one still listens there."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(STALL_TIMEOUT_S)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
    raise InputError("another engine server listens at %s" % path, "stop it first, or choose another --socket")


def main() -> None:
    """Parse the arguments and serve."""
    parser = argparse.ArgumentParser(description="Serves a detector's engine to another process.")
    parser.add_argument("--model", required=True, help="shipped model by name, .onnx or .yaml")
    parser.add_argument("--socket", required=True, type=Path, help="where to listen, in a folder both sides see")
    parser.add_argument("--engine", default="auto", choices=LOCAL_ENGINES)
    parser.add_argument("--precision", default="auto", choices=PRECISIONS)
    parser.add_argument("--cache", type=Path, default=Path("~/.cache/nanorover/engines"), help="folder of engines")
    parser.add_argument("--workspace-mib", type=int, default=256, help="memory for TensorRT's builder")
    given = parser.parse_args()
    try:
        description = load_model(given.model)
        engine = make_engine(
            description,
            engine=given.engine,
            precision=given.precision,
            threads=1,
            cache_folder=expanded(given.cache),
            workspace_mib=given.workspace_mib,
        )
        with engine:
            serve(description, engine, given.socket)
    except InputError as error:
        sys.exit("error: %s" % error)
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
