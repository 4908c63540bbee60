"""A graph on disk: one line that names format, version and checksum, then the arrays (npz).

Nothing of the map is derived here: keyframes, edges and scans are kept as they are, so that mapping can go on.
"""

import hashlib
import io
import zipfile
from pathlib import Path

import numpy as np

from nanorover.errors import InputError
from nanorover.files import replacing
from nanorover.slam.graph import Graph

MAGIC, VERSION = "NANOROVER-GRAPH", 1
HEADER_BYTES = 128


def save_graph(path: Path, graph: Graph) -> None:
    """Write the graph; an interrupted run leaves what was there before. Raises InputError."""
    edges = graph.edges
    body = io.BytesIO()
    np.savez_compressed(
        body,
        poses=graph.poses,
        stamps_ns=np.array(graph.stamps_ns, np.int64),
        sensors=np.array(graph.sensors).reshape(-1, 3),
        points=np.concatenate(graph.points) if graph.points else np.zeros((0, 4), np.float32),
        point_counts=np.array([len(points) for points in graph.points], np.int64),
        edge_ends=np.array([(e.i, e.j) for e in edges], np.int64).reshape(-1, 2),
        edge_transforms=np.array([e.T_i_j for e in edges]).reshape(-1, 3),
        edge_informations=np.array([e.information for e in edges]).reshape(-1, 3, 3),
        edge_loops=np.array([e.loop for e in edges], bool),
    )
    data = body.getvalue()
    header = f"{MAGIC} {VERSION} {hashlib.sha256(data).hexdigest()}"
    with replacing(path) as temporary:
        temporary.write_bytes(header.ljust(HEADER_BYTES - 1).encode() + b"\n" + data)


def load_graph(path: Path) -> Graph:
    """Read a graph back; InputError when it is missing, no graph, of another version, or damaged."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"cannot read graph {path}: {error.strerror}", "give a file that was saved before"
        ) from error
    words = content[:HEADER_BYTES].decode("ascii", errors="replace").split()
    if len(words) != 3 or words[0] != MAGIC:
        raise InputError(f"{path} is no saved graph", "the service slam/serialize_map writes one")
    if words[1] != str(VERSION):
        raise InputError(f"{path} has version {words[1]}, this program reads {VERSION}", "map the place anew")
    data = content[HEADER_BYTES:]
    if hashlib.sha256(data).hexdigest() != words[2]:
        raise InputError(f"{path} is damaged: its checksum does not fit", "use a copy or map the place anew")
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            return _rebuilt(dict(arrays))
    except (KeyError, ValueError, IndexError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} does not hold a whole graph: {error}", "map the place anew") from error


def _rebuilt(a: dict[str, np.ndarray]) -> Graph:
    graph = Graph()
    scans = np.split(a["points"], np.cumsum(a["point_counts"])[:-1]) if len(a["point_counts"]) else []
    for stamp_ns, pose, points, sensor in zip(a["stamps_ns"], a["poses"], scans, a["sensors"], strict=True):
        graph.add_keyframe(int(stamp_ns), pose, np.ascontiguousarray(points), sensor)
    for (i, j), T_i_j, information, loop in zip(
        a["edge_ends"], a["edge_transforms"], a["edge_informations"], a["edge_loops"], strict=True
    ):
        if not 0 <= min(i, j) <= max(i, j) < len(graph):
            raise IndexError(f"edge {i}–{j} has no keyframes")
        graph.restore_edge(int(i), int(j), T_i_j, information, bool(loop))
    return graph
