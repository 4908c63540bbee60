"""Many recordings at once: on the cores of this machine, or on a Ray cluster."""

import multiprocessing
import os
import socket
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import nanorover
from nanorover.errors import InputError
from nanorover.replay.cases import Case, Result, replay
from nanorover.replay.references import reference_path

CONNECT_TIMEOUT_S = 10.0
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


def on_cores(cases: Sequence[Case], workers: int) -> Iterator[Result]:
    """The results in the order of the cases, each case in a process of its own kind."""
    if workers <= 1 or len(cases) <= 1:
        yield from map(replay, cases)
        return
    for name in THREADS:  # the processes share the cores, not each all of them
        os.environ.setdefault(name, "1")
    with multiprocessing.get_context("spawn").Pool(min(workers, len(cases))) as pool:
        yield from pool.imap(replay, cases)


def on_ray(cases: Sequence[Case], address: str) -> Iterator[Result]:
    """The results in the order of the cases, from a Ray cluster (``address`` as of ``ray.init``).

    Recordings and references travel with the task, so the cluster needs no shared disk; the library travels too.
    Raises InputError when Ray is not installed or there is no cluster at the address.
    """
    try:
        import ray
    except ImportError as error:
        raise InputError("Ray is not installed", "./scripts/setup ray") from error
    if any(case.update for case in cases):
        raise InputError("references are not updated from a cluster", "leave out --ray")
    _reachable(address)
    library = Path(nanorover.__file__).parent
    try:
        ray.init(
            address=None if address == "local" else address,
            runtime_env={"py_modules": [str(library)], "env_vars": dict.fromkeys(THREADS, "1")},
            include_dashboard=False,
            log_to_driver=False,
        )
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise InputError(f"no Ray cluster at {address}: {error}", "start one with `ray start --head`") from error
    try:
        task: Any = ray.remote(num_cpus=1)(_replay_parcel)
        pending = [task.remote(case, *_parcel(case)) for case in cases]
        for reference in pending:
            yield ray.get(reference)
    finally:
        ray.shutdown()


def _reachable(address: str) -> None:
    """Ray itself waits for minutes where nobody listens. Raises InputError."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if address in ("local", "auto"):
        return
    try:
        socket.create_connection((host, int(port)), timeout=CONNECT_TIMEOUT_S).close()
    except (OSError, ValueError, OverflowError) as error:
        raise InputError(f"no Ray cluster at {address}: {error}", "start one with `ray start --head`") from error


Files = dict[str, bytes]


def _parcel(case: Case) -> tuple[Files, Files]:
    """The files of the recording and of the reference, by name."""
    recording = case.recording
    files = sorted(recording.iterdir()) if recording.is_dir() else [recording]
    try:
        packed = {file.name: file.read_bytes() for file in files if file.is_file()}
    except OSError as error:
        raise InputError(f"cannot read {recording}: {error.strerror}") from error
    reference = reference_path(case.references, recording)
    return packed, {reference.name: reference.read_bytes()} if reference.exists() else {}


def _replay_parcel(case: Case, recording: Files, reference: Files) -> Result:
    """On the cluster: unpack, replay, and answer under the name that the recording has at home."""
    with tempfile.TemporaryDirectory(prefix="nanorover-") as name:
        folder = Path(name)
        whole = case.recording.name if len(recording) != 1 or case.recording.name not in recording else ""
        for files, place in ((recording, folder / "recording" / whole), (reference, folder / "references")):
            place.mkdir(parents=True, exist_ok=True)
            for file, data in files.items():
                (place / file).write_bytes(data)
        there = replace(
            case, recording=folder / "recording" / case.recording.name, references=folder / "references"
        )
        return replace(replay(there), recording=str(case.recording))
