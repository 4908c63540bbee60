"""Pictures from files and messages, good and bad."""

import resource
from pathlib import Path

import cv2
import numpy as np
import pytest

from nanorover.errors import InputError
from nanorover.perception.detector import Detections
from nanorover.perception.draw import class_colour, draw
from nanorover.perception.images import ENCODINGS, SUFFIXES, decode_image, from_message, read_image, write_image
from nanorover.perception.picture_header import shown_size, size_of
from nanorover.perception.pictures import pictures

COLOUR = (10, 120, 200)  # blue, green, red


def message(encoding: str, data: np.ndarray, width: int, height: int, big_endian: bool = False) -> np.ndarray:
    raw = np.frombuffer(data.tobytes(), np.uint8)
    return from_message(
        raw, "p", width=width, height=height, step=len(raw) // height, encoding=encoding, big_endian=big_endian
    )


def test_colour_encodings_agree() -> None:
    bgr = np.zeros((4, 6, 3), np.uint8)
    bgr[:] = COLOUR
    alpha = np.full((4, 6, 1), 255, np.uint8)
    for encoding, data in (
        ("bgr8", bgr),
        ("rgb8", bgr[..., ::-1]),
        ("bgra8", np.concatenate([bgr, alpha], 2)),
        ("rgba8", np.concatenate([bgr[..., ::-1], alpha], 2)),
        ("bgr16", bgr.astype("<u2") << 8),
    ):
        assert (message(encoding, data, 6, 4) == bgr).all(), encoding


def test_grey_16_bit_and_byte_order() -> None:
    grey = np.array([[0, 255], [128, 1]], np.uint16)
    for order, big in (("<u2", False), (">u2", True)):
        image = message("mono16", (grey << 8).astype(order), 2, 2, big)
        assert (image[..., 0] == grey).all()
        assert (image[..., 1] == grey).all()


def test_yuv_keeps_grey_grey() -> None:
    uyvy = np.tile(np.array([128, 90], np.uint8), (4, 6))
    image = message("uyvy", uyvy, 6, 4)
    assert image.shape == (4, 6, 3)
    assert np.ptp(image.astype(int), axis=2).max() <= 1
    assert (message("yuyv", uyvy[:, ::-1], 6, 4) == image).all()


def test_rows_may_be_longer_than_the_picture() -> None:
    padded = np.full((3, 20), 99, np.uint8)
    padded[:, :12] = 7
    image = from_message(padded.ravel(), "p", width=4, height=3, step=20, encoding="bgr8", big_endian=False)
    assert (image == 7).all()


@pytest.mark.parametrize("encoding", sorted(ENCODINGS))
def test_every_encoding_gives_a_picture(encoding: str) -> None:
    known = ENCODINGS[encoding]
    data = np.random.default_rng(1).integers(0, 255, (8, 8 * known.channels * known.depth), dtype=np.uint8)
    image = message(encoding, data, 8, 8)
    assert (image.shape, image.dtype) == ((8, 8, 3), np.uint8)


def test_a_wrong_encoding_or_size_is_named() -> None:
    with pytest.raises(InputError, match="the picture p has the encoding '32FC1', which is not supported"):
        from_message(np.zeros(16, np.uint8), "p", width=2, height=2, step=8, encoding="32FC1", big_endian=False)
    for width, height, step in ((5, 4, 12), (4, 5, 12), (0, 4, 12), (4, 4, 3)):
        with pytest.raises(InputError, match="the picture p of .* cannot have 48 bytes"):
            from_message(
                np.zeros(48, np.uint8),
                "p",
                width=width,
                height=height,
                step=step,
                encoding="bgr8",
                big_endian=False,
            )


def test_a_width_that_an_encoding_cannot_have_is_said() -> None:
    with pytest.raises(InputError, match=r"(?s)the picture p of 5 × 4 cannot be 'yuyv'.*must be even"):
        message("yuyv", np.zeros((4, 10), np.uint8), 5, 4)


def test_files(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 255, (40, 60, 3), dtype=np.uint8)
    grey16 = (image[..., 0].astype(np.uint16)) << 8
    alpha = np.dstack([image, np.full((40, 60), 255, np.uint8)])
    for name, content in (("a.png", image), ("g.png", grey16), ("alpha.png", alpha), ("a.jpg", image)):
        cv2.imwrite(str(tmp_path / name), content)
        read = read_image(tmp_path / name)
        assert (read.shape, read.dtype) == ((40, 60, 3), np.uint8)
    assert (read_image(tmp_path / "a.png") == image).all()
    assert (read_image(tmp_path / "g.png")[..., 1] == image[..., 0]).all()


def test_bad_files_are_named(tmp_path: Path) -> None:
    whole, whole_png = (cv2.imencode(s, np.zeros((64, 64, 3), np.uint8))[1].tobytes() for s in (".jpg", ".png"))
    for name, content, word in (
        ("empty.jpg", b"", "is empty"),
        ("cut.jpg", whole[: len(whole) // 2], "cut off"),
        ("cut.png", whole_png[:-12], "cut off"),
        ("text.png", b"this is no picture", "cannot be decoded"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=f"{name} .*{word}"):
            read_image(tmp_path / name)
    with pytest.raises(InputError, match="cannot read the picture"):
        read_image(tmp_path / "absent.jpg")
    for suffix in (".bmp", ".ppm", ".tif", ".webp"):  # whose end is not known from its bytes
        noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
        encoded = cv2.imencode(suffix, noise)[1]
        with pytest.raises(InputError, match="(?s)cannot be decoded.*whole and undamaged"):
            decode_image(encoded[: len(encoded) // 2], f"cut{suffix}")


def test_a_huge_picture_is_refused_by_its_header() -> None:
    encoded = cv2.imencode(".png", np.zeros((4, 4), np.uint8))[1].ravel()
    encoded[16:24] = np.array([30_000, 30_000], ">u4").view(np.uint8)  # nothing of that size follows
    with pytest.raises(InputError, match="30000 × 30000 pixels"):
        decode_image(encoded, "huge.png")


@pytest.mark.parametrize("suffix", [s for s in SUFFIXES if s != ".pgm"])
def test_the_header_says_the_size(suffix: str) -> None:
    encoded = cv2.imencode(suffix, np.zeros((37, 301, 3), np.uint8))[1].tobytes()
    assert size_of(encoded) == (301, 37)
    for length in range(0, min(len(encoded), 200)):
        assert size_of(encoded[:length]) in (None, (301, 37)), "cut anywhere it is no crash and no other size"


@pytest.mark.parametrize(
    ("suffix", "shape", "flags"),
    [
        (".pgm", (37, 301), []),
        (".jpg", (37, 301, 3), [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]),
        (".webp", (37, 301, 3), [cv2.IMWRITE_WEBP_QUALITY, 80]),
        (".webp", (37, 301, 3), [cv2.IMWRITE_WEBP_QUALITY, 101]),
        (".webp", (37, 301, 4), [cv2.IMWRITE_WEBP_QUALITY, 80]),
        (".png", (37, 301), []),
    ],
)
def test_the_header_says_the_size_in_other_forms(suffix: str, shape: tuple[int, ...], flags: list[int]) -> None:
    image = np.random.default_rng(0).integers(0, 255, shape, dtype=np.uint8)
    assert size_of(cv2.imencode(suffix, image, flags)[1].tobytes()) == (301, 37)


def test_a_jpeg_is_whole_when_its_last_scan_has_an_end() -> None:
    def jpeg(*flags: int) -> bytes:
        image = np.random.default_rng(0).integers(0, 255, (60, 80, 3), dtype=np.uint8)
        return cv2.imencode(".jpg", image, list(flags))[1].tobytes()

    def decoded(encoded: bytes) -> np.ndarray:
        return decode_image(np.frombuffer(encoded, np.uint8), "p.jpg")

    thumbnail = jpeg()
    segment = b"\xff\xe1" + (2 + len(thumbnail)).to_bytes(2, "big") + thumbnail
    for whole in (jpeg(), jpeg(cv2.IMWRITE_JPEG_PROGRESSIVE, 1)):
        held = whole[:2] + segment + whole[2:]
        assert (decoded(held + bytes(10_000)) == decoded(whole)).all(), "bytes after the end do not matter"
        for kept in (len(whole) - 2, len(whole) // 2, 300):
            with pytest.raises(InputError, match="is cut off"):
                decoded(held[: len(held) - len(whole) + kept])


def test_an_exif_that_is_broken_turns_nothing() -> None:
    plain = cv2.imencode(".jpg", np.zeros((64, 96, 3), np.uint8))[1].tobytes()
    assert shown_size(plain) == (96, 64)
    for tags in (b"", b"II*\0", b"II*\0\xff\xff\xff\xff", b"II*\0\x08\0\0\0\xff\xff\x12\x01\x03\0"):
        segment = b"Exif\0\0" + tags
        broken = plain[:2] + b"\xff\xe1" + (len(segment) + 2).to_bytes(2, "big") + segment + plain[2:]
        assert shown_size(broken) == (96, 64)
        assert decode_image(np.frombuffer(broken, np.uint8), "broken").shape == (64, 96, 3)
    assert shown_size(plain[:30]) is None


def test_no_two_pictures_are_written_to_the_same_file(tmp_path: Path) -> None:
    for name in ("a.png", "b/a.png", "c/a.png", "c/a-2.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / name), np.zeros((4, 4, 3), np.uint8))
    (tmp_path / "c").rename(tmp_path / "c.png")  # a folder all the same
    found = list(pictures([tmp_path, tmp_path / "a.png"], pytest.fail))
    assert [picture.source for picture in found[-2:]] == [str(tmp_path / "c.png/a.png"), str(tmp_path / "a.png")]
    assert len({picture.stem for picture in found}) == len(found) == 5


def test_a_picture_is_written_whole_or_refused_in_words(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 255, (40, 60, 3), dtype=np.uint8)
    write_image(tmp_path / "new" / "a.png", image)
    assert (read_image(tmp_path / "new" / "a.png") == image).all()
    with pytest.raises(InputError, match=r"cannot write the picture .*a\.mp3"):
        write_image(tmp_path / "a.mp3", image)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))  # as a full disk: a part fits
    try:
        with pytest.raises(InputError, match=r"cannot write the picture .*b\.png: File too large"):
            write_image(tmp_path / "b.png", image)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [path.name for path in tmp_path.iterdir()] == ["new"], "nothing half-written is left"


def test_labels_of_boxes_at_one_place_stand_below_each_other():
    boxes = np.array([[40.0, 50, 90, 90]] * 3)
    seen = Detections(boxes, np.array([0.9, 0.8, 0.7]), np.array([0, 1, 2]), {})
    drawn = draw(np.zeros((120, 160, 3), np.uint8), seen, ("cat", "dog", "cow"))
    tops = []
    for index in range(3):
        rows = (drawn == class_colour(index)).all(axis=2).sum(axis=1)
        assert (rows > 10).sum() >= 8, "the label's ground, not covered by another one"
        tops.append(int(np.argmax(rows > 10)))
    assert tops == sorted(tops) and tops[0] < 50
    assert drawn[89:92, 60].any(), "the box itself"
