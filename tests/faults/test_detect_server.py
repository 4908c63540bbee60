"""The engine server as a real process, on an old Python where one is installed: answers, refusals, restarts."""

import os
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from detect_helpers import write_tiny_onnx, write_tiny_yaml

import nanorover
from nanorover.errors import InputError
from nanorover.perception.description import load_model
from nanorover.perception.engines.remote import RemoteEngine
from nanorover.perception.engines.wire import fingerprint, receive_json, send_json

OLD = Path(sys.executable).parent.parent / "py36" / "bin" / "python"
PROGRAM = "import onnxruntime, cv2, yaml"


def interpreters() -> list[str]:
    """This Python, and the one of Python 3.6 that docs/detection.md describes, if it is there."""
    usable = (
        OLD.exists() and subprocess.run([OLD, "-c", PROGRAM], capture_output=True, check=False).returncode == 0
    )
    return [sys.executable, *([str(OLD)] if usable else [])]


class Server:
    """Starts and stops the server on one socket."""

    def __init__(self, python: str, model: Path, socket: Path) -> None:
        self.arguments = [python, "-B", "-m", "nanorover.perception.serve", "--model", str(model)]
        self.arguments += ["--socket", str(socket), "--engine", "onnxruntime"]
        self.environment = {**os.environ, "PYTHONPATH": str(Path(nanorover.__file__).parent.parent)}
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen(self.arguments, stderr=subprocess.PIPE, text=True, env=self.environment)
        assert self.process.stderr is not None
        line = self.process.stderr.readline()
        assert "waiting at" in line, line + self.process.stderr.read()

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
            self.process = None


@pytest.fixture(params=interpreters(), ids=lambda python: Path(python).parent.parent.name)
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    write_tiny_onnx(tmp_path)
    made = Server(request.param, write_tiny_yaml(tmp_path), tmp_path / "engine.sock")
    try:
        yield made
    finally:
        made.stop()


def test_it_answers_as_the_local_engine_and_survives_a_restart(server: Server, tmp_path: Path) -> None:
    description = load_model(str(tmp_path / "tiny.yaml"))
    with pytest.raises(InputError, match="no engine server answers at"):
        RemoteEngine(description, tmp_path / "engine.sock")
    server.start()
    assert stat.S_IMODE((tmp_path / "engine.sock").stat().st_mode) == 0o660, "for a group, not for everyone"
    tensor = np.random.default_rng(1).uniform(0, 255, (1, 3, 64, 96)).astype(np.float32)
    cells = tensor[0].mean(0).reshape(4, 16, 6, 16).mean((1, 3)).ravel() / 255
    expected = np.repeat(cells[:, None], 8, axis=1)[None]
    with RemoteEngine(description, tmp_path / "engine.sock") as engine:
        assert "ONNX Runtime" in engine.title
        assert engine.title.endswith("served")
        for _ in range(3):
            assert engine.run(tensor)[0] == pytest.approx(expected, abs=1e-5)
        server.stop()
        with pytest.raises(InputError, match="has gone"):
            engine.run(tensor)
        with pytest.raises(InputError, match="no engine server answers at"):
            engine.run(tensor)
        server.start()
        assert engine.run(tensor)[0] == pytest.approx(expected, abs=1e-5)


def test_another_model_and_nonsense_are_refused_and_the_server_lives(server: Server, tmp_path: Path) -> None:
    server.start()
    description = load_model(str(tmp_path / "tiny.yaml"))
    other = description._replace(labels=("a", "b", "c"))
    with pytest.raises(InputError, match="it serves tiny, whose YAML differs"):
        RemoteEngine(other, tmp_path / "engine.sock")
    for nonsense in (b"", b"\xff\xff\xff\xff", b"\x04\x00\x00\x00null", b"\x02\x00\x00\x00{x"):
        with socket.socket(socket.AF_UNIX) as caller:
            caller.connect(str(tmp_path / "engine.sock"))
            caller.sendall(nonsense)
    tensor = np.zeros((1, 3, 64, 96), np.float32)
    with RemoteEngine(description, tmp_path / "engine.sock") as idle:
        assert len(idle.run(tensor)) == 1
        with RemoteEngine(description, tmp_path / "engine.sock") as newer:
            for _ in range(3):
                assert len(newer.run(tensor)) == 1, "a client that only sits there does not keep the next one out"
                assert len(idle.run(tensor)) == 1, "and two do not take the engine from each other"


def test_a_client_that_stalls_does_not_keep_the_others_out(server: Server, tmp_path: Path) -> None:
    server.start()
    description, path = load_model(str(tmp_path / "tiny.yaml")), tmp_path / "engine.sock"
    with socket.socket(socket.AF_UNIX) as stalled:
        stalled.connect(str(path))
        send_json(stalled, {"fingerprint": fingerprint(description)})
        receive_json(stalled)
        stalled.sendall(bytes(1000))  # a part of a picture, and no more
        with RemoteEngine(description, path) as other:
            assert len(other.run(np.zeros((1, 3, 64, 96), np.float32))) == 1


def test_a_socket_whose_path_is_too_long_is_refused_with_the_reason(server: Server, tmp_path: Path) -> None:
    server.arguments[server.arguments.index("--socket") + 1] = str(tmp_path / ("x" * 200))
    done = subprocess.run(server.arguments, capture_output=True, text=True, env=server.environment, check=False)
    assert done.returncode == 1
    assert "path too long" in done.stderr


def test_a_second_server_leaves_the_socket_to_the_first(server: Server, tmp_path: Path) -> None:
    server.start()
    description, path = load_model(str(tmp_path / "tiny.yaml")), tmp_path / "engine.sock"
    second = subprocess.run(server.arguments, capture_output=True, text=True, env=server.environment, check=False)
    assert second.returncode == 1
    assert "error: another engine server listens at" in second.stderr
    with RemoteEngine(description, path) as engine:
        assert len(engine.run(np.zeros((1, 3, 64, 96), np.float32))) == 1
