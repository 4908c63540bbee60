"""A graph as a file: version, checksum and arrays, so that mapping can go on another day.

The file is a line of JSON (format, version, SHA-256 of what follows) and an uncompressed ``.npz``; it holds
numbers only, so a file from elsewhere cannot run anything.
"""

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nanorover.arrays import read_arrays
from nanorover.errors import InputError
from nanorover.files import replacing
from nanorover.slam.graph import Graph
from nanorover.slam.trajectory import Trajectory

FORMAT = "nanorover-graph"
VERSION = 1
HINT = "save the graph again, or begin a new map"


def save_graph(path: Path, graph: Graph, trajectory: Trajectory) -> None:
    """Write the graph and the way driven. Raises InputError when the folder cannot be written."""
    stream = io.BytesIO()
    arrays: dict[str, Any] = dict(
        poses=graph.poses,
        points=np.concatenate(graph.points) if graph.points else np.zeros((0, 4), np.float32),
        counts=np.array([len(p) for p in graph.points], dtype=np.int64),
        sensors=np.array(graph.sensors).reshape(-1, 3),
        stamps_ns=np.array(graph.stamps_ns, dtype=np.int64),
        edge_ends=np.array([(e.i, e.j) for e in graph.edges], dtype=np.int64).reshape(-1, 2),
        edge_poses=np.array([e.T_i_j for e in graph.edges]).reshape(-1, 3),
        edge_information=np.array([e.information for e in graph.edges]).reshape(-1, 3, 3),
        edge_loops=np.array([e.loop for e in graph.edges], dtype=np.bool_),
        **trajectory.arrays(),
    )
    np.savez(stream, **arrays)
    content = stream.getvalue()
    head = {"format": FORMAT, "version": VERSION, "sha256": hashlib.sha256(content).hexdigest()}
    with replacing(path) as temporary:
        temporary.write_bytes(json.dumps(head).encode() + b"\n" + content)


def load_graph(path: Path) -> tuple[Graph, Trajectory]:
    """Read a graph back. Raises InputError for a file that is missing, of another version, or damaged."""
    content = _checked(Path(path))
    try:
        arrays = read_arrays(io.BytesIO(content))
        return _graph(arrays), Trajectory.of(arrays)
    except (KeyError, ValueError, IndexError, TypeError) as error:
        raise InputError(f"{path} is no whole graph: {error}", HINT) from error


def _checked(path: Path) -> bytes:
    """What follows the head line; InputError unless it is what was written."""
    try:
        head_line, _, content = path.read_bytes().partition(b"\n")
    except OSError as error:
        raise InputError(f"cannot read graph {path}: {error.strerror}", "give a file written by save") from error
    try:
        head = json.loads(head_line)
        found = head["format"], head["version"], head["sha256"]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is no graph file", HINT) from error
    if found[0] != FORMAT:
        raise InputError(f"{path} is no graph file but '{found[0]}'", HINT)
    if found[1] != VERSION:
        raise InputError(f"{path} has version {found[1]}, this program reads {VERSION}", HINT)
    if hashlib.sha256(content).hexdigest() != found[2]:
        raise InputError(f"{path} is damaged: its checksum does not match", HINT)
    return content


def _graph(arrays: dict[str, NDArray[Any]]) -> Graph:
    graph = Graph()
    ends = np.cumsum(arrays["counts"])
    for k, end in enumerate(ends):
        points = arrays["points"][end - arrays["counts"][k] : end].astype(np.float32)
        graph.add_keyframe(int(arrays["stamps_ns"][k]), arrays["poses"][k], points, arrays["sensors"][k])
    for (i, j), T_i_j, information, loop in zip(
        arrays["edge_ends"], arrays["edge_poses"], arrays["edge_information"], arrays["edge_loops"], strict=True
    ):
        if not (0 <= i < len(graph) and 0 <= j < len(graph)):
            raise ValueError(f"an edge names keyframe {max(i, j)} of {len(graph)}")
        graph.add_edge(int(i), int(j), information, T_i_j, bool(loop))
    return graph
