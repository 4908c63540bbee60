"""A built TensorRT engine on disk, with what it was built for and a checksum.

TensorRT's own plan says nothing readable about itself and crashes or misbehaves when it is cut off or
comes from another version or GPU. So it is wrapped: magic, length of a JSON header, the header, the plan.
"""

import hashlib
import json
import struct
from pathlib import Path
from typing import Any, Dict, NamedTuple, Tuple

from nanorover.errors import InputError
from nanorover.files import replacing

MAGIC = b"NRENGINE1\n"
LENGTH = struct.Struct("<I")


class EngineKey(NamedTuple):
    """Everything that an engine depends on."""

    onnx_sha256: str
    tensorrt: str
    compute_capability: str
    precision: str
    shape: str

    def file_name(self, stem: str) -> str:
        """A name that tells a person what the engine is for."""
        return "%s-%s-trt%s-sm%s-%s-%s.engine" % (
            stem,
            self.onnx_sha256[:12],
            self.tensorrt,
            self.compute_capability.replace(".", ""),
            self.precision,
            self.shape,
        )


MEANING = {
    "onnx_sha256": "another ONNX file",
    "tensorrt": "another TensorRT",
    "compute_capability": "another GPU",
    "precision": "another precision",
    "shape": "another input size",
}


def write_engine(path: Path, key: EngineKey, plan: bytes, build_s: float) -> None:
    """Write an engine atomically; InputError when the folder cannot be written."""
    header = dict(key._asdict(), build_s=build_s, plan_sha256=hashlib.sha256(plan).hexdigest())
    encoded = json.dumps(header, sort_keys=True).encode("utf-8")
    with replacing(path) as temporary:
        temporary.write_bytes(MAGIC + LENGTH.pack(len(encoded)) + encoded + plan)


def read_engine(path: Path) -> Tuple[EngineKey, bytes, float]:
    """Key, plan and build seconds of an engine file; InputError when it is damaged or no engine file."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError("cannot read the engine %s: %s" % (path, error.strerror))
    start = len(MAGIC) + LENGTH.size
    if data[: len(MAGIC)] != MAGIC or len(data) < start:
        raise InputError(
            "%s is not an engine file of this project" % path,
            "engines are built from the ONNX file on the board: nanorover model build",
        )
    (length,) = LENGTH.unpack(data[len(MAGIC) : start])
    plan = data[start + length :]
    try:
        header: Dict[str, Any] = json.loads(data[start : start + length].decode("utf-8"))
        key = EngineKey(**{name: str(header[name]) for name in EngineKey._fields})
        intact = header["plan_sha256"] == hashlib.sha256(plan).hexdigest()
        build_s = float(header["build_s"])
    except (ValueError, KeyError, TypeError):
        intact = False
    if not intact:
        raise InputError(
            "the engine %s is damaged or cut off" % path, "delete it; it is built again from the ONNX"
        )
    return key, plan, build_s


def check_key(path: Path, found: EngineKey, wanted: EngineKey) -> None:
    """InputError that says in what the engine at ``path`` differs from what this machine needs."""
    for name in EngineKey._fields:
        if getattr(found, name) != getattr(wanted, name):
            raise InputError(
                "the engine %s was built for %s: %s, but here it is %s"
                % (path, MEANING[name], getattr(found, name), getattr(wanted, name)),
                "delete it, or build one here: nanorover model build",
            )
