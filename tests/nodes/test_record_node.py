"""The recorder as a real process: what other nodes publish comes back out of the bag."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from bag_samples import NS, START_NS
from geometry_msgs.msg import Twist
from nav_msgs.msg import OccupancyGrid
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import String
from tf2_msgs.msg import TFMessage
from vision_msgs.msg import Detection2D, Detection2DArray

from nanorover.geometry.scan import LaserScan
from nanorover.replay.logs import open_log
from nanorover.replay.records import Picture, Problems, StaticTransform, VelocityCommand
from nanorover.replay.storage import open_storages
from nanorover_nodes.convert import scan_msg, transform_msg

pytestmark = pytest.mark.nodes


def start_recorder(graph, folder, *arguments: str) -> None:
    graph.start("recorder", "-p", f"folder:={folder}", "-p", "flush_period_s:=0.2", *arguments)
    graph.bring_up("recorder")


def publish_until_recorded(graph, publishers, messages: dict, health) -> None:
    """Publish until the recorder says that it has more messages than there are topics, several times over."""
    graph.wait_until(lambda: all(p.get_subscription_count() for p in publishers.values()), "the recorder listens")
    sent = [0]

    def enough():
        for name, message in messages.items():
            publishers[name].publish(message)
        sent[0] += 1
        status = graph.health_of("recorder", health)
        counts = {v.key: v.value for v in status.values} if status else {}
        return sent[0] > 10 and int(counts.get("messages", 0)) > 5 * len(messages)

    # Beside busy processes a publication has taken a second.
    graph.wait_until(enough, "some messages of each topic are recorded", timeout_s=120.0)


def scan_of_test() -> LaserScan:
    ranges_m = np.linspace(1.0, 5.0, 90, dtype=np.float32)
    return LaserScan(START_NS, ranges_m, -1.5, 0.035, 0.1, 12.0)


def messages_in(bag) -> dict[str, list]:
    """Topic → decoded messages."""
    from contextlib import ExitStack

    found: dict[str, list] = {}
    with ExitStack() as stack:
        for storage in open_storages(bag, Problems(), stack):
            for message in storage.messages():
                found.setdefault(message.topic, []).append(storage.decode(message))
    return found


def test_what_is_published_is_recorded(graph, tmp_path):
    health = graph.collect("/diagnostics")
    mounting = transform_msg(START_NS, "base_link", "laser", np.array([0.1, 0.0, 0.0]))
    static = graph.offer("/tf_static")
    static.publish(TFMessage(transforms=[mounting]))  # latched, long before the recorder
    start_recorder(graph, tmp_path / "bags")
    publishers = {name: graph.offer(name) for name in ("scan", "cmd_vel", "/tf", "detections", "map")}
    publishers["not in the table"] = graph.node.create_publisher(String, "chatter", 10)
    image = Image(height=2, width=2, encoding="rgb8", step=6, data=[200, 30, 30] * 4)
    image.header.stamp.sec = START_NS // NS
    publishers["camera/image_raw"] = graph.offer("camera/image_raw")
    twist = Twist()
    twist.linear.x = 0.25
    edges = (("map", "odom"), ("odom", "base_link"))
    poses = [transform_msg(START_NS, parent, child, np.ones(3)) for parent, child in edges]
    detections = Detection2DArray(detections=[Detection2D(id="7")])
    wanted = {
        "scan": scan_msg(scan_of_test()),
        "cmd_vel": twist,
        "/tf": TFMessage(transforms=poses),
        "detections": detections,
        "camera/image_raw": image,
    }
    recorded = {name: p for name, p in publishers.items() if name in wanted}
    publish_until_recorded(graph, recorded, wanted, health)
    publishers["map"].publish(OccupancyGrid())
    publishers["not in the table"].publish(String(data="hello"))
    assert graph.change_state("recorder", "deactivate")

    (bag,) = (tmp_path / "bags").iterdir()
    content = messages_in(bag)
    assert set(content) >= {
        "/scan", "/cmd_vel", "/tf", "/tf_static", "/detections", "/camera/image_raw/compressed", "/diagnostics",
    }  # fmt: skip
    assert not {"/map", "/chatter", "/camera/image_raw"} & set(content)
    assert {t.header.frame_id for m in content["/tf"] for t in m.transforms} == {"odom"}, "no map → odom"
    assert content["/detections"][0].detections[0].id == "7"

    records = list(open_log(bag))
    assert [r.child for r in records if isinstance(r, StaticTransform)] == ["laser"]
    scan = next(r for r in records if isinstance(r, LaserScan))
    assert scan.ranges_m == pytest.approx(scan_of_test().ranges_m)
    assert scan.T_base_laser == pytest.approx([0.1, 0.0, 0.0])
    assert next(r for r in records if isinstance(r, VelocityCommand)).linear_m_s == 0.25
    picture = next(r for r in records if isinstance(r, Picture))
    assert picture.encoding == "jpeg" and abs(picture.rgb().astype(int) - [200, 30, 30]).max() < 12


def test_a_compressed_picture_is_taken_as_it_is(graph, tmp_path):
    health = graph.collect("/diagnostics")
    publishers = {name: graph.offer(name) for name in ("camera/image_raw", "camera/image_raw/compressed")}
    start_recorder(graph, tmp_path / "bags")
    packed = CompressedImage(format="jpeg", data=b"as it came")
    packed.header.stamp.sec = START_NS // NS
    del publishers["camera/image_raw"]  # exists, but nobody needs it
    publish_until_recorded(graph, publishers, {"camera/image_raw/compressed": packed}, health)
    assert graph.change_state("recorder", "deactivate")
    (bag,) = (tmp_path / "bags").iterdir()
    pictures = messages_in(bag)["/camera/image_raw/compressed"]
    assert {bytes(p.data) for p in pictures} == {b"as it came"}


def test_a_raw_picture_gives_way_to_its_jpeg_when_that_comes(graph, tmp_path):
    health = graph.collect("/diagnostics")
    raw = graph.offer("camera/image_raw")
    start_recorder(graph, tmp_path / "bags")
    image = Image(height=2, width=2, encoding="rgb8", step=6, data=[200, 30, 30] * 4)
    publish_until_recorded(graph, {"camera/image_raw": raw}, {"camera/image_raw": image}, health)
    packed = graph.offer("camera/image_raw/compressed")
    counts = (raw.get_subscription_count, packed.get_subscription_count)
    graph.wait_until(lambda: [count() for count in counts] == [0, 1], "the recorder listens to the JPEG alone")
    message = CompressedImage(format="jpeg", data=b"as it came")

    def recorded() -> int:
        packed.publish(message)
        raw.publish(image)
        return int({v.key: v.value for v in graph.health_of("recorder", health).values}["messages"])

    before = recorded()
    graph.wait_until(lambda: recorded() > before + 5, "the JPEG is recorded")
    assert graph.change_state("recorder", "deactivate")
    (bag,) = (tmp_path / "bags").iterdir()
    pictures = [bytes(p.data) for p in messages_in(bag)["/camera/image_raw/compressed"]]
    first = pictures.index(b"as it came")
    assert first > 0
    assert set(pictures[first:]) == {b"as it came"}


def test_every_activation_is_a_bag_and_topics_can_be_added(graph, tmp_path):
    health = graph.collect("/diagnostics")
    chatter = graph.node.create_publisher(String, "chatter", 10)
    start_recorder(graph, tmp_path / "bags", "-p", "topics:=['chatter']")
    publish_until_recorded(graph, {"chatter": chatter}, {"chatter": String(data="hello")}, health)
    assert graph.change_state("recorder", "deactivate")
    (bag,) = (tmp_path / "bags").iterdir()
    assert {m.data for m in messages_in(bag)["/chatter"]} == {"hello"}
    now_s = graph.node.get_clock().now().nanoseconds // NS
    graph.wait_until(lambda: graph.node.get_clock().now().nanoseconds // NS > now_s, "another name for the bag")
    assert graph.change_state("recorder", "activate")
    assert len(list((tmp_path / "bags").iterdir())) == 2


def test_the_command_records_until_it_is_interrupted(graph, tmp_path):
    chatter = graph.node.create_publisher(String, "chatter", 10)
    words = ["record", "chatter", "--out", str(tmp_path / "bags")]
    command = [sys.executable, "-c", "from nanorover.cli import main; main()", *words]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ) as process:

        def listening():
            chatter.publish(String(data="hello"))
            return process.poll() is not None or chatter.get_subscription_count()

        graph.wait_until(listening, "the recorder listens")
        for _ in range(20):
            chatter.publish(String(data="hello"))
        graph.wait_until(
            lambda: any(f.stat().st_size > 700 for f in tmp_path.rglob("*.mcap")), "a chunk is written"
        )
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 0, errors
    (bag,) = (tmp_path / "bags").iterdir()
    assert len(messages_in(bag)["/chatter"]) >= 1
    assert (bag / "metadata.yaml").exists() and not list(bag.glob("*.reserve"))


def test_a_full_disk_ends_the_command_in_words(graph, small_disk):
    chatter = graph.node.create_publisher(String, "chatter", 10)
    (small_disk / "p.yaml").write_text(
        json.dumps({"recorder": {"ros__parameters": {"chunk_kb": 16, "min_free_mb": 0.0}}})
    )
    words = ["record", "chatter", "--out", str(small_disk / "bags"), "--params-file", str(small_disk / "p.yaml")]
    command = [sys.executable, "-c", "from nanorover.cli import main; main()", *words]
    random = np.random.default_rng(0)
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ) as process:

        def ended():
            chatter.publish(String(data=random.bytes(10_000).hex()))
            return process.poll() is not None

        graph.wait_until(ended, "the recording ends")
        errors = process.stderr.read()
    assert process.returncode == 1 and "recording ended: the disk is full" in errors
    (bag,) = (small_disk / "bags").iterdir()
    assert len(messages_in(bag)["/chatter"]) > 50


def test_a_bad_parameter_is_said_before_anything_starts(tmp_path):
    (tmp_path / "p.yaml").write_text(json.dumps({"recorder": {"ros__parameters": {"chunk_kb": 1}}}))
    words = ["record", "--params-file", str(tmp_path / "p.yaml")]
    command = [sys.executable, "-c", "from nanorover.cli import main; main()", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "'chunk_kb' is 1" in done.stderr


def test_a_topic_that_can_be_none_is_named_and_leaves_no_recording(tmp_path):
    words = ["record", "bad topic!", "--out", str(tmp_path / "bags")]
    command = [sys.executable, "-c", "from nanorover.cli import main; main()", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "'bad topic!' is no name of a topic" in done.stderr
    assert not (tmp_path / "bags").exists()
