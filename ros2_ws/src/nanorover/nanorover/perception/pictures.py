"""Pictures from files, folders, videos and bags, one after another."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import chain, count
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from nanorover.errors import InputError
from nanorover.perception.images import SUFFIXES, image_of, read_image

VIDEO_SUFFIXES = (".mp4", ".avi", ".mkv", ".mov", ".m4v", ".webm", ".mjpeg", ".mpg")
BAG_SUFFIXES = (".bag", ".mcap", ".db3")
IMAGE_TYPE = "sensor_msgs/msg/Image"
COMPRESSED_TYPE = "sensor_msgs/msg/CompressedImage"


@dataclass(frozen=True)
class Picture:
    """One picture: where it comes from, a file name for it, and its BGR pixels or why there are none."""

    source: str
    stem: str
    image_bgr: NDArray[np.uint8] | None
    refused: InputError | None = None


def pictures(sources: Iterable[Path]) -> Iterator[Picture]:
    """The pictures of files, folders, videos and bags; no two have the same ``stem``.

    Raises InputError when a source cannot be used at all; a single bad picture in it is returned as refused.
    """
    taken: set[str] = set()
    for source in sources:
        for picture in _of(source):
            others = (f"{picture.stem}-{number}" for number in count(2))
            stem = next(name for name in chain([picture.stem], others) if name not in taken)
            taken.add(stem)
            yield replace(picture, stem=stem)


def _of(source: Path) -> Iterator[Picture]:
    if not source.exists():
        raise InputError(f"there is no {source}", "name a picture, a folder of pictures, a video or a bag")
    if source.is_dir():
        found = sorted(path for path in source.rglob("*") if path.suffix.lower() in SUFFIXES)
        if found:
            yield from (_file(path) for path in found)
        elif any(path.suffix in BAG_SUFFIXES for path in source.iterdir()):
            yield from _bag(source)
        else:
            raise InputError(f"the folder {source} holds no pictures", "read are: " + ", ".join(SUFFIXES))
    elif source.suffix.lower() in VIDEO_SUFFIXES:
        yield from _video(source)
    elif source.suffix in BAG_SUFFIXES:
        yield from _bag(source)
    else:
        yield _file(source)


def _file(path: Path) -> Picture:
    try:
        return Picture(str(path), path.stem, read_image(path))
    except InputError as error:
        return Picture(str(path), path.stem, None, error)


def _video(path: Path) -> Iterator[Picture]:
    capture = cv2.VideoCapture(str(path))
    try:
        if not capture.isOpened():
            raise InputError(f"the video {path} cannot be opened", "is it whole, and does OpenCV know its codec?")
        number = 0
        while True:
            read, frame = capture.read()
            if not read:
                break
            yield Picture(f"{path}#{number}", f"{path.stem}_{number:06d}", np.asarray(frame, np.uint8))
            number += 1
        if number == 0:
            raise InputError(f"the video {path} holds no picture that can be decoded")
    finally:
        capture.release()


def _bag(path: Path) -> Iterator[Picture]:
    from nanorover.replay.records import Problems
    from nanorover.replay.storage import open_storages

    problems = Problems()
    number = 0
    with ExitStack() as stack:
        for storage in open_storages(path, problems, stack):
            for raw in storage.messages():
                if raw.type not in (IMAGE_TYPE, COMPRESSED_TYPE):
                    continue
                name, stem = f"{raw.place}", f"{path.stem}_{number:06d}"
                number += 1
                try:
                    yield Picture(name, stem, image_of(storage.decode(raw), name))
                except InputError as error:
                    yield Picture(name, stem, None, error)
                except ValueError as error:
                    yield Picture(name, stem, None, InputError(f"{name}: message cannot be decoded: {error}"))
    if number == 0:
        raise InputError(
            f"{path} holds no camera pictures", f"wanted are topics of type {IMAGE_TYPE} or {COMPRESSED_TYPE}"
        )
