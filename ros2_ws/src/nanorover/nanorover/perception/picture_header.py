"""What the bytes of a picture say of its size and its end, before anything is decompressed."""

import re
import struct
from typing import Callable, Dict, Optional, Tuple

Size = Tuple[int, int]

JPEG_START, JPEG_END = b"\xff\xd8", b"\xff\xd9"
JPEG_START_OF_SCAN = 0xDA
JPEG_APP1 = 0xE1
EXIF = b"Exif\0\0"  # what a TIFF header with tags follows
ORIENTATION, QUARTER_TURNS = 0x112, (5, 6, 7, 8)
JPEG_ALONE = (0x01, *range(0xD0, 0xD9))  # markers without a length
JPEG_NO_FRAME = (0xC4, 0xC8, 0xCC)  # among C0 to CF, which say the size
PNG_START, PNG_END = b"\x89PNG\r\n\x1a\n", b"IEND"
NETPBM = re.compile(rb"P[1-6](?:\s|#[^\n]*\n)+(\d{1,9})(?:\s|#[^\n]*\n)+(\d{1,9})\s")


def size_of(data: bytes) -> Optional[Size]:
    """(width, height) in pixels of a JPEG, PNG, BMP, WebP, TIFF or Netpbm picture; None for others, or broken."""
    for start, reader in _READERS.items():
        if data.startswith(start):
            try:
                return reader(data)
            except (struct.error, IndexError):  # ends within its header
                return None
    return None


def shown_size(data: bytes) -> Optional[Size]:
    """(width, height) in pixels of a JPEG as it is shown, turned by its EXIF; None for other files, or broken."""
    if not data.startswith(JPEG_START):
        return None
    try:
        size, _, tags_at = _jpeg(data)
    except (struct.error, IndexError):
        return None
    try:
        turned = tags_at >= 0 and _tags(data, tags_at).get(ORIENTATION) in QUARTER_TURNS
    except struct.error:  # decoders pass over tags that are broken
        turned = False
    return (size[1], size[0]) if size and turned else size


def is_cut(data: bytes) -> bool:
    """Whether a JPEG or PNG lacks its end, which decoders pass over; whatever follows the end does not matter."""
    if data.startswith(PNG_START):
        return PNG_END not in data
    if not data.startswith(JPEG_START):
        return False
    scan = _jpeg(data)[1]
    return scan < 0 or data.rfind(JPEG_END, scan) < 0


def _jpeg(data: bytes) -> Tuple[Optional[Size], int, int]:
    """The size, and where the first scan and the EXIF's tags start, or -1.

    Thumbnails lie within segments, which are stepped over.
    """
    size, tags_at, at = None, -1, 2
    while True:
        at = data.find(b"\xff", at)
        while 0 <= at < len(data) and data[at] == 0xFF:
            at += 1
        if at < 0 or at + 3 > len(data):
            return size, -1, tags_at
        marker = data[at]
        if marker == JPEG_START_OF_SCAN:
            return size, at, tags_at
        if marker == 0 or marker in JPEG_ALONE:
            at += 1
            continue
        if 0xC0 <= marker <= 0xCF and marker not in JPEG_NO_FRAME and at + 8 <= len(data):
            height, width = struct.unpack_from(">HH", data, at + 4)
            size = (width, height)
        if marker == JPEG_APP1 and tags_at < 0 and data.startswith(EXIF, at + 3):
            tags_at = at + 3 + len(EXIF)
        at += 1 + struct.unpack_from(">H", data, at + 1)[0]


def _png(data: bytes) -> Size:
    width, height = struct.unpack_from(">II", data, 16)
    return width, height


def _bmp(data: bytes) -> Size:
    kind = "<HH" if struct.unpack_from("<I", data, 14)[0] == 12 else "<ii"
    width, height = struct.unpack_from(kind, data, 18)
    return abs(width), abs(height)


def _webp(data: bytes) -> Optional[Size]:
    chunk = data[12:16]
    if chunk == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    if chunk == b"VP8L":
        bits = struct.unpack_from("<I", data, 21)[0]
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if chunk == b"VP8X":
        width, height = (int.from_bytes(data[at : at + 3], "little") + 1 for at in (24, 27))
        return width, height
    return None


def _tiff(data: bytes) -> Optional[Size]:
    tags = _tags(data, 0)
    return (tags[256], tags[257]) if 256 in tags and 257 in tags else None


def _tags(data: bytes, start: int) -> Dict[int, int]:
    """The first value of each tag of the TIFF header at ``start``; what is no number there is of no use."""
    order = "<" if data.startswith(b"II", start) else ">"
    first = start + struct.unpack_from(order + "I", data, start + 4)[0]
    tags = {}
    for entry in range(struct.unpack_from(order + "H", data, first)[0]):
        at = first + 2 + 12 * entry
        tag, kind = struct.unpack_from(order + "HH", data, at)
        tags[tag] = struct.unpack_from(order + ("H" if kind == 3 else "I"), data, at + 8)[0]
    return tags


def _netpbm(data: bytes) -> Optional[Size]:
    header = NETPBM.match(data)
    return (int(header.group(1)), int(header.group(2))) if header else None


_READERS: Dict[bytes, Callable[[bytes], Optional[Size]]] = {
    JPEG_START: lambda data: _jpeg(data)[0],
    PNG_START: _png,
    b"BM": _bmp,
    b"RIFF": _webp,
    b"II*\0": _tiff,
    b"MM\0*": _tiff,
    b"P": _netpbm,
}
