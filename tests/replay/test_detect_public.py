"""Public models on a public photograph, and their precision on labelled pictures, against a reference."""

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from models_helpers import MODELS  # noqa: F401 (makes the package importable)
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from data import recording
from nanorover.perception.description import load_model
from nanorover.perception.detector import Detector, Limits
from nanorover.perception.engines.onnx_runtime import OnnxRuntimeEngine
from nanorover.perception.images import read_image

# What dog.jpg shows, in pixels.
TRUTH = {"dog": (130, 215, 318, 542), "bicycle": (122, 128, 568, 428), "car": (467, 75, 691, 171)}

FILES = ("yolox_nano_416", "picodet_s_320", "picodet_s_416", "nanodet_m_416", "FastestDet")


def iou(a, b) -> float:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0) * max(height, 0)
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def command(*arguments: object, code: int = 0) -> subprocess.CompletedProcess[str]:
    program = "from nanorover.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == code, done.stderr
    return done


@pytest.mark.parametrize("name", FILES)
def test_dog_bicycle_and_car_are_found_by_naming_the_file(name: str) -> None:
    description = load_model(str(recording(f"detect/models/{name}.onnx")))
    image = read_image(recording("detect/photos/dog.jpg"))
    with OnnxRuntimeEngine(description.files["fp32"], "fp32") as engine:
        found = Detector(description, engine, Limits(0.35, 0.5, 1000, 100))(image).as_dicts(description.labels)
    for label, box in TRUTH.items():
        best = max((iou(d["box_xyxy"], box) for d in found if d["label"] == label), default=0)
        assert best > 0.5, f"{label}: {found}"


def test_the_command_on_a_photo_a_folder_a_video_and_a_bag(tmp_path: Path) -> None:
    model, photo = recording("detect/models/picodet_s_320.onnx"), recording("detect/photos/dog.jpg")
    image = cv2.imread(str(photo))
    video = cv2.VideoWriter(str(tmp_path / "v.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10, (768, 576))
    for _ in range(2):
        video.write(image)
    video.release()
    write_bag(tmp_path / "bag", image)
    out = tmp_path / "out"
    sources = [photo.parent, tmp_path / "v.avi", tmp_path / "bag"]
    done = command("detect", *sources, "--model", model, "--out", out, "--json", "--score", 0.5)
    entries = json.loads(done.stdout)
    assert {tuple(sorted(e)) for e in entries} == {("box_xyxy", "image", "label", "ms", "score")}
    by_image: dict[str, set[str]] = {}
    for entry in entries:
        by_image.setdefault(entry["image"], set()).add(entry["label"])
    dogs = [image for image, labels in by_image.items() if {"dog", "car"} <= labels]
    assert len(dogs) == 4, "the photo, two frames of the video, one message of the bag"
    assert any("horse" in labels for labels in by_image.values())
    drawn = sorted(path.name for path in out.iterdir())
    assert len(drawn) == 6
    assert np.abs(cv2.imread(str(out / "dog.jpg")).astype(int) - image).max() > 100, "boxes were drawn"


def write_bag(folder: Path, image: np.ndarray) -> None:
    store = get_typestore(Stores.ROS2_JAZZY)
    kinds = store.types
    stamp = kinds["builtin_interfaces/msg/Time"](sec=1, nanosec=0)
    header = kinds["std_msgs/msg/Header"](stamp=stamp, frame_id="eye")
    message = kinds["sensor_msgs/msg/Image"](
        header=header,
        height=576,
        width=768,
        encoding="rgb8",
        is_bigendian=0,
        step=768 * 3,
        data=np.ascontiguousarray(image[..., ::-1]).ravel(),
    )
    with Writer(folder, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        kind = "sensor_msgs/msg/Image"
        connection = writer.add_connection("/camera/image_raw", kind, typestore=store)
        writer.write(connection, 1_000_000_000, store.serialize_cdr(message, kind))


def test_one_bad_picture_is_named_and_the_others_are_done(tmp_path: Path) -> None:
    model, photo = recording("detect/models/picodet_s_320.onnx"), recording("detect/photos/dog.jpg")
    (tmp_path / "a.jpg").write_bytes(photo.read_bytes())
    (tmp_path / "cut.jpg").write_bytes(photo.read_bytes()[:50_000])
    done = command("detect", tmp_path, "--model", model, "--json", code=2)
    assert "cut.jpg is cut off" in " ".join(done.stderr.split())
    assert {e["label"] for e in json.loads(done.stdout)} >= {"dog"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["absent.jpg"], "there is no absent.jpg"),
        (["{photo}", "--model", "unheard"], "there is no model 'unheard'"),
        (["{photo}", "--precision", "int3"], "'precision' is 'int3'"),
        (["{photo}", "--classes", "unicorn"], "no class 'unicorn'"),
        (["{photo}", "--score", "7"], "'score_threshold' is 7.0"),
        (["{photo}", "--engine", "tensorrt"], "TensorRT"),
    ],
)
def test_what_cannot_be_done_is_a_sentence(arguments: list[str], words: str) -> None:
    photo, model = recording("detect/photos/dog.jpg"), recording("detect/models/picodet_s_320.onnx")
    given = [a.format(photo=photo) for a in arguments]
    if "--model" not in given:
        given += ["--model", str(model)]
    done = command("detect", *given, code=2)
    assert words in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def reference_yolox(output: np.ndarray, ratio: float) -> list[tuple[int, float, np.ndarray]]:
    """YOLOX's own way, written from its paper: every cell, every class, plain greedy suppression per class."""
    found, row = [], 0
    for stride in (8, 16, 32):
        for y in range(416 // stride):
            for x in range(416 // stride):
                cx, cy, w, h, objectness, *scores = output[row]
                row += 1
                best = int(np.argmax(scores))
                score = objectness * scores[best]
                if score > 0.01:
                    cx, cy = (cx + x) * stride, (cy + y) * stride
                    w, h = np.exp(w) * stride, np.exp(h) * stride
                    box = np.array([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2]) / ratio
                    found.append((best, float(score), box))
    found.sort(key=lambda f: -f[1])
    kept: list[tuple[int, float, np.ndarray]] = []
    for candidate in found:
        if all(k[0] != candidate[0] or iou(k[2], candidate[2]) <= 0.65 for k in kept):
            kept.append(candidate)
    return kept[:100]


@pytest.mark.slow
def test_yolox_precision_equals_the_reference_decoder_s() -> None:
    pytest.importorskip("torch", reason="torch is not installed: scripts/requirements/train.txt")
    from nanorover_models.data import DataSet, load_data
    from nanorover_models.evaluate import coco_scores

    folder = recording("detect/coco_mini_train")
    data = load_data(folder / "annotations.json")
    data = DataSet(data.samples[:80], data.labels)
    description = load_model(str(recording("detect/models/yolox_nano_416.onnx")))
    ours, theirs = [], []
    with OnnxRuntimeEngine(description.files["fp32"], "fp32") as engine:
        detector = Detector(description, engine, Limits(0.01, 0.65, 1000, 100))
        for number, sample in enumerate(data.samples):
            image = sample.image()
            found = detector(image)
            rows = zip(found.classes, found.scores, found.boxes_xyxy, strict=True)
            ours += [entry(number, int(c), float(s), b) for c, s, b in rows]
            ratio = min(416 / image.shape[0], 416 / image.shape[1])
            size = (int(image.shape[1] * ratio), int(image.shape[0] * ratio))
            padded = np.full((416, 416, 3), 114, np.float32)
            padded[: size[1], : size[0]] = cv2.resize(image, size)
            output = engine.run(np.ascontiguousarray(padded.transpose(2, 0, 1)[None]))[0][0]
            theirs += [entry(number, *f) for f in reference_yolox(output, ratio)]
    mine, reference = coco_scores(data, ours), coco_scores(data, theirs)
    assert reference[0] > 0.25
    assert abs(mine[0] - reference[0]) < 0.005
    assert abs(mine[1] - reference[1]) < 0.005


def entry(number: int, label: int, score: float, box: np.ndarray) -> dict:
    x1, y1, x2, y2 = (float(v) for v in box)
    return {"image_id": number, "category_id": label, "bbox": [x1, y1, x2 - x1, y2 - y1], "score": score}
