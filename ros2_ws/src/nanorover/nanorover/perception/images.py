"""Pictures from files and messages, always as height × width × 3 BGR with 8 bits."""

from pathlib import Path
from typing import Any, Dict, NamedTuple, Optional, Sequence

import cv2
import numpy as np

from nanorover.errors import InputError
from nanorover.files import replacing
from nanorover.perception.picture_header import is_cut, size_of

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".ppm", ".pgm", ".tif", ".tiff", ".webp")

# A picture beyond this is a mistake or an attack, and would take the memory of the board.
MOST_PIXELS = 100_000_000
READ = "is it a JPEG, PNG, BMP, TIFF, WebP, PPM or PGM file, whole and undamaged?"


class Encoding(NamedTuple):
    """A ROS image encoding: channels, bytes per channel, and OpenCV's conversion to BGR."""

    channels: int
    depth: int
    to_bgr: Optional[int]


ENCODINGS: Dict[str, Encoding] = {
    "bgr8": Encoding(3, 1, None),
    "8UC3": Encoding(3, 1, None),
    "rgb8": Encoding(3, 1, cv2.COLOR_RGB2BGR),
    "bgra8": Encoding(4, 1, cv2.COLOR_BGRA2BGR),
    "8UC4": Encoding(4, 1, cv2.COLOR_BGRA2BGR),
    "rgba8": Encoding(4, 1, cv2.COLOR_RGBA2BGR),
    "mono8": Encoding(1, 1, cv2.COLOR_GRAY2BGR),
    "8UC1": Encoding(1, 1, cv2.COLOR_GRAY2BGR),
    "bgr16": Encoding(3, 2, None),
    "rgb16": Encoding(3, 2, cv2.COLOR_RGB2BGR),
    "mono16": Encoding(1, 2, cv2.COLOR_GRAY2BGR),
    "16UC1": Encoding(1, 2, cv2.COLOR_GRAY2BGR),
    "yuv422": Encoding(2, 1, cv2.COLOR_YUV2BGR_UYVY),
    "uyvy": Encoding(2, 1, cv2.COLOR_YUV2BGR_UYVY),
    "yuv422_yuy2": Encoding(2, 1, cv2.COLOR_YUV2BGR_YUYV),
    "yuyv": Encoding(2, 1, cv2.COLOR_YUV2BGR_YUYV),
    "bayer_rggb8": Encoding(1, 1, cv2.COLOR_BayerBG2BGR),
    "bayer_bggr8": Encoding(1, 1, cv2.COLOR_BayerRG2BGR),
    "bayer_gbrg8": Encoding(1, 1, cv2.COLOR_BayerGR2BGR),
    "bayer_grbg8": Encoding(1, 1, cv2.COLOR_BayerGB2BGR),
}


def read_image(path: Path) -> np.ndarray:
    """A picture file as BGR; InputError when it is missing, no picture, truncated or too large."""
    try:
        data = np.fromfile(str(path), np.uint8)
    except OSError as error:
        raise InputError("cannot read the picture %s: %s" % (path, error.strerror or error))
    return decode_image(data, str(path))


def write_image(path: Path, image_bgr: np.ndarray, options: Sequence[int] = ()) -> None:
    """Write a BGR picture as the file type of its name says; InputError when OpenCV or the disk refuses it.

    ``options`` are OpenCV's, as ``(cv2.IMWRITE_JPEG_QUALITY, 90)``.
    """
    try:
        encoded, data = cv2.imencode(path.suffix, image_bgr, list(options))
    except cv2.error as error:
        raise InputError("cannot write the picture %s: %s" % (path, str(error).strip().splitlines()[-1]))
    if not encoded:
        raise InputError("cannot write the picture %s" % path, "known types are: " + ", ".join(SUFFIXES))
    with replacing(path) as temporary:
        try:
            temporary.write_bytes(data.tobytes())
        except OSError as error:
            raise InputError("cannot write the picture %s: %s" % (path, error.strerror), "is there room for it?")


def encode_jpeg(image_bgr: np.ndarray, quality: int) -> bytes:
    """The bytes of a JPEG file of a BGR picture; ``quality`` is 1 … 100."""
    data: bytes = cv2.imencode(".jpg", image_bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
    return data


def decode_image(data: np.ndarray, name: str) -> np.ndarray:
    """An encoded picture (JPEG, PNG, …) in ``(N,) uint8`` bytes as BGR; ``name`` is for the message.

    Raises InputError for data that is empty, cut off, huge or no picture.
    """
    if len(data) == 0:
        raise InputError("the picture %s is empty" % name)
    encoded = data.tobytes()
    if is_cut(encoded):
        raise InputError("the picture %s is cut off: its data has no end" % name, "copy or record it again")
    size = size_of(encoded)
    if size is None:
        raise InputError("the picture %s cannot be decoded" % name, READ)
    _refuse_huge(size[0], size[1], name)
    try:
        image = cv2.imdecode(data, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
    except cv2.error as error:
        raise InputError("the picture %s cannot be decoded: %s" % (name, str(error).strip().splitlines()[-1]))
    if image is None:
        raise InputError("the picture %s cannot be decoded" % name, READ)
    return to_bgr8(image, name)


def to_bgr8(image: np.ndarray, name: str) -> np.ndarray:
    """Grey, colour with alpha, or 16-bit pictures as 8-bit BGR. Raises InputError for any other shape or type."""
    if image.size == 0 or image.ndim not in (2, 3):
        raise InputError("the picture %s has shape %s" % (name, image.shape), "it must not be empty")
    if image.dtype == np.uint16:
        image = (image >> 8).astype(np.uint8)
    if image.dtype != np.uint8:
        raise InputError("the picture %s has pixels of type %s" % (name, image.dtype), "8 or 16 bits are read")
    if image.ndim == 2 or image.shape[2] == 1:
        return cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
    if image.shape[2] == 4:
        return cv2.cvtColor(image, cv2.COLOR_BGRA2BGR)
    if image.shape[2] != 3:
        raise InputError("the picture %s has %d channels" % (name, image.shape[2]), "1, 3 or 4 are read")
    return image


def _refuse_huge(width: int, height: int, name: str) -> None:
    if width * height > MOST_PIXELS:
        raise InputError("the picture %s has %d × %d pixels" % (name, width, height), "scale it down")


def image_of(message: Any, name: str) -> np.ndarray:
    """The picture of a sensor_msgs Image or CompressedImage as BGR; ``name`` is for what goes wrong.

    Raises InputError for what cannot be decoded and for an encoding that is not known.
    """
    data = np.frombuffer(message.data, np.uint8)
    if hasattr(message, "format"):
        return decode_image(data, name)
    return from_message(
        data,
        name,
        width=message.width,
        height=message.height,
        step=message.step,
        encoding=message.encoding,
        big_endian=bool(message.is_bigendian),
    )


def from_message(
    data: np.ndarray, name: str, *, width: int, height: int, step: int, encoding: str, big_endian: bool
) -> np.ndarray:
    """The ``(N,) uint8`` data of a ROS Image as BGR; shares memory with it where no conversion is needed.

    ``step`` is the length of a row in bytes, ``name`` is for what goes wrong. Raises InputError for an unknown
    encoding or a size that fits neither the data nor the encoding.
    """
    known = ENCODINGS.get(encoding)
    if known is None:
        raise InputError(
            "the picture %s has the encoding '%s', which is not supported" % (name, encoding),
            "publish one of: %s" % ", ".join(sorted(ENCODINGS)),
        )
    row = width * known.channels * known.depth
    if width <= 0 or height <= 0 or step < row or len(data) < step * (height - 1) + row:
        raise InputError(
            "the picture %s of %d × %d '%s' with step %d cannot have %d bytes"
            % (name, width, height, encoding, step, len(data)),
            "the publisher's width, height, step and encoding disagree",
        )
    rows = np.lib.stride_tricks.as_strided(data, (height, row), (step, 1), writeable=False)
    if known.depth == 2:
        samples = np.ascontiguousarray(rows).view(">u2" if big_endian else "<u2")
        rows = (samples >> 8).astype(np.uint8)
    image = rows.reshape(height, width, known.channels) if known.channels > 1 else rows.reshape(height, width)
    if known.to_bgr is None:
        return image
    try:
        return cv2.cvtColor(np.ascontiguousarray(image), known.to_bgr)
    except cv2.error:
        raise InputError(
            "the picture %s of %d × %d cannot be '%s'" % (name, width, height, encoding),
            "two pixels share a colour there: its width must be even",
        )
