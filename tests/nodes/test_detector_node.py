"""The detector node as a real process, with a network written by hand and with a public one."""

import math
from pathlib import Path

import numpy as np
import pytest
from detect_helpers import write_tiny_onnx, write_tiny_yaml
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters, SetParametersAtomically
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header
from std_srvs.srv import SetBool

from data import recording
from nanorover.errors import InputError
from nanorover.params import load
from nanorover.perception.params import DetectorParams
from nanorover_nodes import detector as detector_node
from nanorover_nodes.convert import image_msg, time_of
from nanorover_nodes.detector import Worker

pytestmark = pytest.mark.nodes

# Cells of 16 × 16 pixels in the input of 96 × 64; the pictures here are twice as large.
COLUMN, ROW = 2, 1


def stamped(number: int) -> Header:
    return Header(stamp=time_of(5_000_000_000 + number), frame_id="eye")


def picture(white: bool, number: int) -> Image:
    """Black, or with one white cell."""
    image = np.zeros((128, 192, 3), np.uint8)
    if white:
        image[ROW * 32 : (ROW + 1) * 32, COLUMN * 32 : (COLUMN + 1) * 32] = 255
    return image_msg(stamped(number), image)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    write_tiny_onnx(tmp_path)
    return write_tiny_yaml(tmp_path)


def start(graph, model: Path | str, **more: object) -> None:
    given = {"model": model, "rate_limit_hz": 0.0, **more}
    graph.start("detector", *(a for k, v in given.items() for a in ("-p", f"{k}:={v}")))


def parameter(name: str, value: object) -> Parameter:
    kinds = {float: ParameterType.PARAMETER_DOUBLE, str: ParameterType.PARAMETER_STRING}
    field = {float: "double_value", str: "string_value"}[type(value)]
    return Parameter(name=name, value=ParameterValue(type=kinds[type(value)], **{field: value}))


def set_parameter(graph, name: str, value: object):
    request = SetParameters.Request(parameters=[parameter(name, value)])
    return graph.call(SetParameters, "detector/set_parameters", request).results[0]


def test_boxes_empty_arrays_faults_and_live_parameters(graph, model: Path) -> None:
    start(graph, model)
    out, diagnostics = graph.collect("detections"), graph.collect("/diagnostics")
    pictures = graph.offer("camera/image_raw")
    graph.bring_up("detector")
    graph.wait_until(lambda: pictures.get_subscription_count() > 0, "the node listens")

    def ask(message: Image):
        """Publish until the answer with this stamp is there; a best-effort subscriber may miss the first."""
        pictures.publish(message)
        graph.wait_until(lambda: any(a.header == message.header for a in out), f"answer to {message.header.stamp}")
        return next(a for a in out if a.header == message.header)

    found = ask(picture(True, 1)).detections
    assert len(found) == 1
    assert found[0].header == stamped(1)
    assert found[0].results[0].hypothesis.class_id == "label0"
    assert found[0].results[0].hypothesis.score == pytest.approx(1.0, abs=1e-3)
    centre = found[0].bbox.center.position
    assert (centre.x, centre.y) == pytest.approx(((COLUMN + 1) * 32, (ROW + 1) * 32), abs=0.1)
    assert (found[0].bbox.size_x, found[0].bbox.size_y) == pytest.approx((32 * math.e, 32 * math.e), abs=0.2)
    assert ask(picture(False, 2)).detections == [], "an empty array is published too"

    # A picture that cannot be used costs itself alone, and the diagnostics say why.
    bad = picture(True, 3)
    bad.encoding = "32FC1"
    pictures.publish(bad)

    def health():
        return graph.health_of("detector", diagnostics)

    graph.wait_until(lambda: health() and "'32FC1', which is not" in health().message, "the fault is said")
    assert health().level == b"\x02"
    assert len(ask(picture(True, 4)).detections) == 1
    graph.wait_until(lambda: health().level == b"\x00", "healthy again")
    values = {v.key: v.value for v in health().values}
    assert "ONNX Runtime" in values["engine"]
    assert values["precision"] == "fp32"
    assert float(values["inference p95 ms"]) >= float(values["inference p50 ms"]) > 0

    # Live: the class filter, a threshold, and what is refused.
    assert set_parameter(graph, "classes", "label1").successful
    assert ask(picture(True, 5)).detections == []
    assert set_parameter(graph, "classes", "").successful
    refused = set_parameter(graph, "classes", "unicorn")
    assert not refused.successful
    assert "no class 'unicorn'" in refused.reason
    assert not set_parameter(graph, "score_threshold", 1.5).successful
    assert not set_parameter(graph, "model", "other.onnx").successful
    together = [parameter("classes", "label1"), parameter("model", "other.onnx")]
    request = SetParametersAtomically.Request(parameters=together)
    assert not graph.call(SetParametersAtomically, "detector/set_parameters_atomically", request).result.successful
    assert len(ask(picture(True, 6)).detections) == 1

    # The service stops and starts it.
    assert graph.call(SetBool, "detector/enable", SetBool.Request(data=False)).success
    pictures.publish(picture(True, 7))
    graph.wait_until(lambda: "paused" in health().message, "it says that it is paused")
    assert not any(a.header == stamped(7) for a in out)
    assert graph.call(SetBool, "detector/enable", SetBool.Request(data=True)).success
    assert len(ask(picture(True, 8)).detections) == 1

    # The drawn picture comes once somebody looks.
    drawn = graph.collect("detections/image")
    graph.wait_until(lambda: (pictures.publish(picture(True, 9)), drawn)[1], "the drawn picture")
    pixels = np.frombuffer(drawn[-1].data, np.uint8).reshape(128, 192, 3)
    assert (drawn[-1].width, drawn[-1].height) == (192, 128)
    assert (np.ptp(pixels.astype(int), axis=2) > 30).any(), "a coloured box on a grey picture"


def test_the_newest_picture_only(graph, model: Path) -> None:
    start(graph, model, rate_limit_hz=5.0, stale_after_s=0.5)
    out, diagnostics = graph.collect("detections"), graph.collect("/diagnostics")
    pictures = graph.offer("camera/image_raw")
    graph.bring_up("detector")
    graph.wait_until(lambda: pictures.get_subscription_count() > 0, "the node listens")
    sent = 0

    def flood() -> bool:
        nonlocal sent
        pictures.publish(picture(True, sent))
        sent += 1
        return len(out) >= 4

    graph.wait_until(flood, "four answers at 5 Hz")
    numbers = [a.header.stamp.nanosec for a in out]
    assert numbers == sorted(set(numbers)), "each picture at most once, in order"
    assert len(out) < sent / 2, "most were dropped"
    graph.wait_until(
        lambda: (
            (h := graph.health_of("detector", diagnostics))
            and int({v.key: v.value for v in h.values}["dropped"]) >= 4
        ),
        "the drops are counted",
    )

    # The camera has stopped.
    def health():
        return graph.health_of("detector", diagnostics)

    graph.wait_until(lambda: "no picture for" in health().message, "the silence is said")
    assert health().level == b"\x01"
    graph.wait_until(lambda: (flood(), health().level == b"\x00")[1], "healthy again with the next picture")


@pytest.mark.parametrize("content", [None, b"no model"], ids=["absent", "corrupt"])
def test_a_model_that_cannot_be_loaded_leaves_the_node_alive(graph, model: Path, content: bytes | None) -> None:
    weights = model.with_suffix(".onnx")
    weights.unlink()
    if content is not None:
        weights.write_bytes(content)
    start(graph, model)
    diagnostics = graph.collect("/diagnostics")
    assert not graph.change_state("detector", "configure")
    words = "there is no model file" if content is None else "cannot be loaded as an ONNX model"
    graph.wait_until(
        lambda: (h := graph.health_of("detector", diagnostics)) and words in h.message,
        "the reason on /diagnostics",
    )
    write_tiny_onnx(model.parent)
    graph.bring_up("detector")


def test_whatever_ends_the_worker_becomes_its_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody hears of an exception in a thread, and the node would say nothing but that it is not active."""

    def fail(*_: object) -> None:
        raise RuntimeError("it broke")

    monkeypatch.setattr(detector_node, "make_detector", fail)
    with pytest.raises(InputError, match="the detector cannot start: RuntimeError: it broke"):
        Worker(load(DetectorParams, "detector"), 0.0, lambda _: None, lambda *_: None)


def test_a_public_model_on_compressed_pictures(graph) -> None:
    weights = recording("detect/models/yolox_nano_416.onnx")
    photo = recording("detect/photos/dog.jpg")
    start(graph, weights, use_compressed="true", score_threshold=0.5)
    out = graph.collect("detections")
    pictures = graph.offer("camera/image_raw/compressed")
    graph.bring_up("detector")
    message = CompressedImage(header=stamped(1), format="jpeg", data=photo.read_bytes())
    graph.wait_until(lambda: (pictures.publish(message), out)[1], "detections")
    assert {d.results[0].hypothesis.class_id for d in out[-1].detections} == {"dog", "bicycle", "car"}
    dog = next(d for d in out[-1].detections if d.results[0].hypothesis.class_id == "dog")
    assert (dog.bbox.center.position.x, dog.bbox.center.position.y) == pytest.approx((229, 375), abs=15)
    cut = CompressedImage(header=stamped(2), format="jpeg", data=photo.read_bytes()[:30_000])
    diagnostics = graph.collect("/diagnostics")
    graph.wait_until(
        lambda: (
            pictures.publish(cut),
            (h := graph.health_of("detector", diagnostics)) and "is cut off" in h.message,
        )[1],
        "a cut picture is said",
    )


def test_a_real_drive_from_a_bag(graph, tmp_path: Path) -> None:
    """Frames of a small robot, packed as a bag and played: one answer per picture, none lost."""
    import json

    from rosbags.rosbag2 import StoragePlugin, Writer
    from rosbags.typesys import Stores, get_typestore

    from nanorover.replay.logs import open_log
    from nanorover_nodes.convert import stamp_ns_of
    from nanorover_nodes.player import Player

    tub = recording("video/donkey_tub")
    rows = [json.loads(line) for line in (tub / "catalog_0.catalog").read_text().splitlines()[:400:10]]
    store = get_typestore(Stores.ROS2_JAZZY)
    kinds = store.types
    kind = "sensor_msgs/msg/CompressedImage"
    with Writer(tmp_path / "bag", version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        connection = writer.add_connection("/camera/image_raw/compressed", kind, typestore=store)
        for row in rows:
            ns = row["_timestamp_ms"] * 1_000_000
            stamp = kinds["builtin_interfaces/msg/Time"](sec=ns // 10**9, nanosec=ns % 10**9)
            header = kinds["std_msgs/msg/Header"](stamp=stamp, frame_id="camera_optical_frame")
            data = np.fromfile(tub / "images" / row["cam/image_array"], np.uint8)
            writer.write(connection, ns, store.serialize_cdr(kinds[kind](header, "jpeg", data), kind))
    start(graph, recording("detect/models/picodet_s_320.onnx"), use_compressed="true", score_threshold=0.3)
    out = graph.collect("detections")
    graph.bring_up("detector")
    player = Player(graph.node, with_detector=True)
    pictures = graph.offer("camera/image_raw/compressed")
    graph.wait_until(lambda: pictures.get_subscription_count() > 0, "the node listens")
    player.play(open_log(tmp_path / "bag"), lambda _: None)
    stamps = sorted({stamp_ns_of(m.header.stamp) for m in out})
    assert stamps == [row["_timestamp_ms"] * 1_000_000 for row in rows]
    assert {m.header.frame_id for m in out} == {"camera_optical_frame"}
    boxes = [d.bbox for m in out for d in m.detections]
    assert boxes, "something is seen on the way"
    assert all(0 <= b.center.position.x <= 160 and 0 <= b.center.position.y <= 120 for b in boxes)
