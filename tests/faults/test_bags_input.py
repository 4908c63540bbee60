"""Recordings with content that is wrong in itself: each case gives an error in words or a counted skip."""

import dataclasses
import math
import shutil
import struct

import numpy as np
import pytest
from bag_samples import NS, START_NS, TYPES, drive, header, message, room_map, scan, transforms, write_mcap

from data import REPOSITORY
from nanorover.base.kinematics import Track
from nanorover.doctor.evidence import evidence_of
from nanorover.errors import InputError
from nanorover.geometry.scan import LaserScan, Odometry
from nanorover.replay.logs import Reading, Wheels, need, open_log
from nanorover.replay.messages import Encoder
from nanorover.replay.records import StaticTransform, TrueMap, TruePose
from nanorover.replay.topics import choose
from nanorover.replay.writer import BagWriter

TF = "tf2_msgs/msg/TFMessage"


def bag(path, *items):
    """Write ``(record, received_ns)``, records, or raw ``(topic, type, data, received_ns)``."""
    with BagWriter(path) as writer:
        writer._mounted = {"laser"}  # no mounting brought along: the cases write their own
        for item in items:
            if not isinstance(item, tuple):
                writer.write(item)
            elif len(item) == 2:
                writer.write(*item)
            else:
                writer.write_raw(*item)
    return path


def at(i: int, **changed) -> LaserScan:
    return scan(START_NS + i * NS // 10, **changed)


def about_stamps(log) -> dict[str, int]:
    return {kind: count for kind, count in log.problems.counts.items() if "stamp" in kind}


def test_a_missing_path_and_an_empty_file(tmp_path):
    with pytest.raises(InputError, match=r"nothing\.mcap does not exist"):
        open_log(tmp_path / "nothing.mcap")
    (tmp_path / "empty.mcap").touch()
    with pytest.raises(InputError, match=r"empty\.mcap is empty"):
        open_log(tmp_path / "empty.mcap")
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match="folder is not a bag"):
        open_log(tmp_path / "folder")


def test_a_bag_without_messages(tmp_path):
    with pytest.raises(InputError, match="holds no messages"):
        open_log(bag(tmp_path / "bag"))


def test_a_bag_without_its_metadata_is_read_and_it_is_said(tmp_path):
    path = write_mcap(tmp_path / "bag", drive()).parent
    (path / "metadata.yaml").unlink()
    log = open_log(path)
    assert sum(1 for r in log if isinstance(r, LaserScan)) == 50
    assert log.problems.counts == {"metadata.yaml is missing; the files speak for themselves": 1}
    (path / "metadata.yaml").write_text("rosbag2_bagfile_information: [")
    assert sum(1 for r in log if isinstance(r, LaserScan)) == 50
    assert "damaged" in next(iter(log.problems.counts))


def test_a_file_of_the_bag_is_gone(tmp_path):
    with BagWriter(tmp_path / "bag") as writer:
        for record in drive(20):
            writer.write(record)
        writer.rotate()
        writer.write(at(500))
    (tmp_path / "bag" / "bag_0.mcap").unlink()
    log = open_log(tmp_path / "bag")
    assert sum(1 for r in log if isinstance(r, LaserScan)) == 1
    assert log.problems.first_place["file of the bag is missing"].endswith("bag_0.mcap")


def test_stamps_that_go_back_or_repeat_are_skipped_and_counted(tmp_path):
    order = [0, 1, 2, 2, 1, 3, 0, 4]
    path = bag(tmp_path / "bag", *[(at(i), START_NS + n * NS // 10) for n, i in enumerate(order)])
    log = open_log(path)
    assert [r.stamp_ns for r in log] == [at(i).stamp_ns for i in range(5)]
    assert log.problems.counts["scan: stamp goes back; message skipped"] == 2
    assert log.problems.counts["scan: stamp repeated; message skipped"] == 1
    assert "/scan at" in log.problems.first_place["scan: stamp goes back; message skipped"]


def test_topics_on_different_clocks(tmp_path):
    scans = [(at(i), at(i).stamp_ns) for i in range(5)]
    odometry = [(Odometry(5 * NS + i, np.zeros(3)), at(i).stamp_ns) for i in range(5)]  # since boot
    path = bag(tmp_path / "bag", *scans, *odometry)
    with pytest.raises(
        InputError, match=r"/odom and /scan come from different clocks .* apart(.|\n)*--clock received"
    ):
        list(open_log(path).__iter__())
    by_arrival = list(open_log(path, Reading(clock="received")))
    assert len(by_arrival) == 10
    assert {r.stamp_ns for r in by_arrival if isinstance(r, Odometry)} == {at(i).stamp_ns for i in range(5)}


def test_one_stamp_out_of_the_blue_is_skipped_but_a_clock_that_was_set_is_believed(tmp_path):
    jump = 3600 * NS

    def received(i):
        return START_NS + i * NS // 10

    strange = dataclasses.replace(at(3), stamp_ns=at(3).stamp_ns + jump)
    later = [dataclasses.replace(at(i), stamp_ns=at(i).stamp_ns + jump) for i in (6, 7, 8)]
    items = [(at(i), received(i)) for i in (0, 1, 2)] + [(strange, received(3)), (at(4), received(4))]
    items += [(s, received(i)) for i, s in zip((6, 7, 8), later, strict=True)]
    log = open_log(bag(tmp_path / "bag", *items))
    assert [r.stamp_ns for r in log] == [at(i).stamp_ns for i in (0, 1, 2, 4)] + [s.stamp_ns for s in later[1:]]
    assert log.problems.counts["stamp far from its neighbours; message skipped"] == 2


@pytest.mark.parametrize(("index", "ahead_s"), [(5, 50), (0, 50), (0, 3600), (5, 3600)])
def test_what_comes_after_one_stamp_ahead_of_its_time_is_read(tmp_path, index, ahead_s):
    """Where it is the first, the one after it cannot be told from an outlier yet."""
    ahead = dataclasses.replace(at(index), stamp_ns=at(index).stamp_ns + ahead_s * NS)
    items = [(ahead if i == index else at(i), START_NS + i * NS // 10) for i in range(300)]
    log = open_log(bag(tmp_path / "bag", *items))
    skipped = index or 1
    read = [ahead if i == index else at(i) for i in range(300) if i != skipped]
    assert [r.stamp_ns for r in log] == [s.stamp_ns for s in read]
    assert about_stamps(log) == {"stamp far from its neighbours; message skipped": 1}


@pytest.mark.parametrize("pace", [0.1, 10])
def test_a_simulation_off_real_time_is_no_fault(tmp_path, pace):
    items = [(scan(START_NS + i * NS), START_NS + round(i * NS / pace)) for i in range(1, 20)]
    log = open_log(bag(tmp_path / "bag", *items))
    assert sum(1 for _ in log) == 19 and not about_stamps(log)


def test_a_latched_map_may_be_as_old_as_it_likes(tmp_path):
    late_ns = START_NS + 100 * NS
    items = [(room_map(), late_ns), *((scan(late_ns + i), late_ns + i) for i in range(5))]
    log = open_log(bag(tmp_path / "bag", *items))
    assert [type(r) for r in log] == [TrueMap] + 5 * [LaserScan] and not about_stamps(log)
    assert log.summary.duration_s == pytest.approx(0.0, abs=1e-6)


def test_a_message_without_a_stamp_gets_its_time_of_arrival(tmp_path):
    log = open_log(bag(tmp_path / "bag", (dataclasses.replace(at(0), stamp_ns=0), START_NS + 5)))
    assert [r.stamp_ns for r in log] == [START_NS + 5]
    assert log.problems.counts["message without a stamp; its time of arrival taken"] == 1


def test_ranges_that_are_zero_nan_near_or_far(tmp_path):
    ranges_m = np.array([0.0, np.nan, 0.05, 5.0, 99.0, np.inf, -np.inf, -1.0], dtype=np.float32)
    log = open_log(bag(tmp_path / "bag", at(0, ranges_m=ranges_m)))
    inf = np.inf
    assert list(next(iter(log)).ranges_m) == [inf, inf, -inf, 5.0, inf, inf, -inf, -inf]
    assert log.problems.counts["range 0 taken as no return"] == 1
    assert log.problems.counts["range NaN taken as no return"] == 1


def test_odd_scans_are_counted(tmp_path):
    empty = at(1, ranges_m=np.zeros(0, np.float32))
    bent = at(2, angle_min_rad=math.nan)
    path = bag(tmp_path / "bag", at(0), empty, bent, at(3, beams=91), at(4))
    log = open_log(path)
    assert [len(r.ranges_m) for r in log] == [90, 91, 90]
    assert log.problems.counts["scan without rays or angles skipped"] == 2
    assert log.problems.counts["scan with another number of beams than the first"] == 1


def test_odometry_that_never_set_its_orientation_is_skipped(tmp_path):
    topic, msgtype, data = Encoder().encode(Odometry(START_NS + 1, np.zeros(3)))
    unset = bytes(data).replace(struct.pack("<d", 1.0), bytes(8), 1)  # w of the quaternion
    log = open_log(bag(tmp_path / "bag", Odometry(START_NS, np.zeros(3)), (topic, msgtype, unset, START_NS + 1)))
    assert len(list(log)) == 1
    assert log.problems.counts["odometry without an orientation (quaternion 0) skipped"] == 1


def test_odometry_that_is_not_finite_is_skipped(tmp_path):
    bad = Odometry(START_NS + 1, np.array([np.nan, 0.0, 0.0]))
    log = open_log(bag(tmp_path / "bag", Odometry(START_NS, np.zeros(3)), bad))
    assert len(list(log)) == 1
    assert log.problems.counts["odometry that is not finite skipped"] == 1


def test_a_message_that_is_not_of_its_type_is_skipped(tmp_path):
    topic, msgtype, data = Encoder().encode(at(1))
    broken = (topic, msgtype, data[: len(data) // 2], at(1).stamp_ns)
    log = open_log(bag(tmp_path / "bag", at(0), broken, at(2)))
    assert [r.stamp_ns for r in log] == [at(0).stamp_ns, at(2).stamp_ns]
    assert log.problems.counts["message that cannot be decoded skipped"] == 1


def test_topics_of_unknown_types_do_no_harm(tmp_path):
    with BagWriter(tmp_path / "bag", definitions={"my_msgs/msg/Thing": "int32 a"}) as writer:
        writer.write_raw("/thing", "my_msgs/msg/Thing", b"\x00\x01\x00\x00\x05\x00\x00\x00", START_NS)
        writer.write(at(0))
    log = open_log(tmp_path / "bag")
    assert [type(r) for r in log] == [StaticTransform, LaserScan] and not log.problems


def test_a_named_topic_must_be_there_and_of_the_right_type(tmp_path):
    path = bag(tmp_path / "bag", at(0), Odometry(START_NS, np.zeros(3)))
    with pytest.raises(InputError, match=r"has no topic /lidar(.|\n)*/scan \(sensor_msgs/msg/LaserScan\)"):
        open_log(path, Reading({"scan": "/lidar"}))
    with pytest.raises(InputError, match=r"/odom is a nav_msgs/msg/Odometry(.|\n)*must be a sensor_msgs"):
        open_log(path, Reading({"scan": "odom"}))
    with pytest.raises(InputError, match="has no topic /left of std_msgs"):
        open_log(path, Reading(wheels=Wheels("/left", "/right", 1.0, 1.0, Track(0.2))))


def test_a_recording_without_scans_is_refused_by_those_who_need_them(tmp_path):
    log = open_log(bag(tmp_path / "bag", Odometry(START_NS, np.zeros(3))))
    list(log)
    with pytest.raises(InputError, match="holds no usable LaserScan"):
        need(log, Odometry, LaserScan)


def test_scans_that_say_nothing_are_skipped_and_counted(tmp_path):
    log = open_log(bag(tmp_path / "bag", at(0), at(1, angle_increment_rad=0.0), at(2, range_max_m=0.0), at(3)))
    assert [r.stamp_ns for r in log if isinstance(r, LaserScan)] == [at(0).stamp_ns, at(3).stamp_ns]
    assert log.problems.counts["scan with all rays in one direction skipped"] == 1
    assert log.problems.counts["scan without a range from nearest to farthest skipped"] == 1


def test_the_topic_with_the_usual_name_wins_then_the_one_with_more(tmp_path):
    _, msgtype, data = Encoder().encode(at(0))
    rear = [("/rear", msgtype, data, START_NS + i) for i in range(5)]
    usual = ("/robot/scan", msgtype, data, START_NS)
    assert open_log(bag(tmp_path / "a", *rear, usual)).summary.topics["scan"] == "/robot/scan"
    front = [("/front", msgtype, data, START_NS + i) for i in range(6)]
    assert open_log(bag(tmp_path / "b", *rear, *front)).summary.topics["scan"] == "/front"
    assert open_log(tmp_path / "b").summary.other_topics == {"scan": ["/rear"]}
    named = open_log(tmp_path / "b", Reading({"scan": "rear"}))
    assert named.summary.topics["scan"] == "/rear"
    assert named.summary.other_topics == {"scan": ["/front"]}


def test_any_pose_is_not_taken_for_the_truth(tmp_path):
    _, msgtype, data = Encoder().encode(TruePose(START_NS, np.ones(3)))
    log = open_log(bag(tmp_path / "bag", at(0), ("/goal_pose", msgtype, data, START_NS)))
    assert log.summary.topics == {"scan": "/scan"}


class TestMountings:
    def test_come_from_a_chain_of_transforms_even_when_late(self, tmp_path):
        chain = transforms(START_NS, ("base_link", "deck", 0.1, 0.0), ("deck", "laser", 0.2, 0.0))
        path = bag(tmp_path / "bag", at(0), at(1), ("/tf_static", TF, chain, START_NS + NS), at(20))
        scans = [r for r in open_log(path) if isinstance(r, LaserScan)]
        assert [s.stamp_ns for s in scans] == [at(i).stamp_ns for i in (0, 1, 20)]
        for s in scans:
            assert s.T_base_laser == pytest.approx([0.3, 0.0, 0.0])

    def test_upside_down_turns_the_angles_round(self, tmp_path):
        flipped = transforms(START_NS, ("base_link", "laser", 0.1, math.pi))
        path = bag(tmp_path / "bag", ("/tf_static", TF, flipped, START_NS), at(0))
        found = next(r for r in open_log(path) if isinstance(r, LaserScan))
        assert found.angle_min_rad == pytest.approx(1.5) and found.angle_increment_rad == pytest.approx(-0.035)
        assert found.T_base_laser == pytest.approx([0.1, 0.0, 0.0])

    @pytest.mark.parametrize("file", ["bag", "bag/bag_0.mcap"])
    def test_hold_from_the_first_scan_however_late_they_are_said(self, tmp_path, file):
        late = transforms(START_NS, ("base_link", "laser", 0.3, 0.0))
        bag(tmp_path / "bag", *[at(i) for i in range(99)], ("/tf_static", TF, late, START_NS + 9 * NS), at(99))
        log = open_log(tmp_path / file)
        first, *scans = log
        assert isinstance(first, StaticTransform) and len(scans) == 100 and not log.problems
        assert all(s.T_base_laser == pytest.approx([0.3, 0.0, 0.0]) for s in scans)

    def test_that_are_said_again_otherwise_count_from_then_on(self, tmp_path):
        said = [
            (i, transforms(START_NS, ("base_link", "laser", x, 0.0))) for i, x in ((0, 0.1), (5, 0.1), (8, 0.2))
        ]
        said = [("/tf_static", TF, data, START_NS + i * NS // 10) for i, data in said]
        log = open_log(bag(tmp_path / "bag", *said[:1], *[at(i) for i in range(1, 7)], *said[1:], at(9)))
        assert [r.T_base_laser[0] for r in log if isinstance(r, LaserScan)] == pytest.approx([0.1] * 6 + [0.2])
        assert log.problems.counts == {"mounting said again, and otherwise": 1}

    def test_out_of_tf_that_come_too_late_are_told(self, tmp_path):
        late = transforms(START_NS, ("base_link", "laser", 0.3, 0.0))
        log = open_log(bag(tmp_path / "bag", *[at(i) for i in range(90)], ("/tf", TF, late, START_NS + 8 * NS)))
        moved = [r.T_base_laser[0] for r in log if isinstance(r, LaserScan)]
        assert moved[0] == 0.0 and moved[-1] == pytest.approx(0.3)
        assert "mounting of the lidar recorded later than its first scans" in log.problems.counts

    def test_that_never_come_do_not_hold_the_scans_back_for_ever(self, tmp_path):
        other = transforms(START_NS, ("base_link", "camera", 0.1, 0.0))
        path = bag(tmp_path / "bag", ("/tf_static", TF, other, START_NS), *[at(i) for i in range(100)])
        log = open_log(path)
        scans = [r for r in log if isinstance(r, LaserScan)]
        assert len(scans) == 100 and not scans[0].T_base_laser.any()
        assert log.problems.counts["mounting of the lidar not recorded; taken as at the base"] == 1

    def test_are_seen_from_the_frame_of_the_odometry(self, tmp_path):
        edges = transforms(START_NS, ("base_footprint", "base_link", 0.5, 0.0), ("base_link", "laser", 0.1, 0.0))
        _, msgtype, data = Encoder(base_frame="base_footprint").encode(Odometry(START_NS, np.zeros(3)))
        odometry = ("/odom", msgtype, data, START_NS)
        path = bag(tmp_path / "bag", ("/tf_static", TF, edges, START_NS), at(0), odometry, at(1))
        scans = [r for r in open_log(path) if isinstance(r, LaserScan)]
        assert [s.T_base_laser[0] for s in scans] == pytest.approx([0.6, 0.6]), "also before the first odometry"


def test_odometry_is_taken_from_tf_where_no_topic_has_it(tmp_path):
    moving = [
        ("/tf", TF, transforms(START_NS + i, ("odom", "base_link", 0.1 * i, 0.0)), START_NS + i)
        for i in range(1, 5)
    ]
    log = open_log(bag(tmp_path / "bag", at(0), *moving))
    poses = [r.T_odom_base for r in log if isinstance(r, Odometry)]
    assert [p[0] for p in poses] == pytest.approx([0.1, 0.2, 0.3, 0.4])
    with_topic = bag(tmp_path / "both", at(0), Odometry(START_NS, np.ones(3)), *moving)
    assert [r.T_odom_base[1] for r in open_log(with_topic) if isinstance(r, Odometry)] == [1.0]


@pytest.mark.parametrize(
    ("parent", "child", "is_odometry"),
    [
        ("robot1/odom", "robot1/chassis", True),
        ("odom_combined", "base_footprint", True),
        ("robot_odom_frame", "base_link", True),
        ("Odometry", "base_link", True),
        ("odom_combined", "odom", False),
        ("odom_wheel", "tyre", False),
        ("world", "base_link", False),
    ],
)
def test_odometry_of_other_robots_is_known_by_its_frame(tmp_path, parent, child, is_odometry):
    log = open_log(
        bag(tmp_path / "bag", at(0), ("/tf", TF, transforms(START_NS, (parent, child, 0.1, 0)), START_NS))
    )
    assert [r.T_odom_base[0] for r in log if isinstance(r, Odometry)] == ([0.1] if is_odometry else [])
    assert log.summary.topics.get("odom") == (f"/tf ({parent} → {child})" if is_odometry else None)


def test_a_carmen_log_has_no_topics_to_choose(tmp_path):
    (tmp_path / "a.clf").write_text("ODOM 0 0 0 0 0 0 1.0 host 1.0\n")
    for choice in ({"topics": {"scan": "/front"}}, {"clock": "received"}):
        with pytest.raises(InputError, match="no topics to choose"):
            open_log(tmp_path / "a.clf", Reading(**choice))


def test_a_raw_image_with_padded_rows(tmp_path):
    pixels = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    rows = np.zeros((2, 12), np.uint8)
    rows[:, :9] = pixels.reshape(2, 9)
    fields = {"height": 2, "width": 3, "encoding": "rgb8", "is_bigendian": 0, "step": 12, "data": rows.ravel()}
    content = message("sensor_msgs/msg/Image", header=header(START_NS, "cam"), **fields)
    data = bytes(TYPES.serialize_cdr(content, "sensor_msgs/msg/Image"))
    path = bag(tmp_path / "bag", ("/cam/image", "sensor_msgs/msg/Image", data, START_NS))
    assert (next(iter(open_log(path))).rgb() == pixels).all()


def test_a_recording_is_never_overwritten(tmp_path):
    bag(tmp_path / "bag", at(0))
    with pytest.raises(InputError, match="exists already"):
        BagWriter(tmp_path / "bag")


def picture(path, encoding, channels):
    """A bag with one raw picture of 4 × 2 pixels, all of 200, on a topic of its own."""
    fields = {"height": 2, "width": 4, "encoding": encoding, "is_bigendian": 0, "step": 4 * channels}
    pixels = np.full(8 * channels, 200, np.uint8)
    content = message("sensor_msgs/msg/Image", header=header(START_NS, "cam"), data=pixels, **fields)
    data = bytes(TYPES.serialize_cdr(content, "sensor_msgs/msg/Image"))
    return bag(path, ("/cam/image", "sensor_msgs/msg/Image", data, START_NS))


@pytest.mark.parametrize(("encoding", "channels"), [("bgra8", 4), ("16UC1", 2), ("8UC3", 3), ("rgba8", 4)])
def test_a_raw_image_in_an_unusual_encoding(tmp_path, encoding, channels):
    (record,) = open_log(picture(tmp_path / "bag", encoding, channels))
    assert record.rgb().shape == (2, 4, 3) and (record.rgb() == 200).all()


def test_an_encoding_that_nobody_knows_is_named_in_short(tmp_path):
    (record,) = open_log(picture(tmp_path / "bag", "nonsense" * 1000, 3))
    with pytest.raises(InputError, match="bytes of 'nonsensenonsensenons' for 4×2") as raised:
        record.rgb()
    assert len(str(raised.value)) < 500


def test_a_depth_picture_is_taken_only_where_there_is_no_other():
    image = "sensor_msgs/msg/Image"
    topics = {"/camera/depth/image": image, "/camera/color/image": image}
    assert choose(topics, {"/camera/depth/image": 9}, {}, "bag")["image"] == "/camera/color/image"
    assert choose({"/camera/depth/image": image}, {}, {}, "bag")["image"] == "/camera/depth/image"


def test_a_folder_of_recordings_is_not_taken_for_one():
    folder = REPOSITORY / "tests" / "recordings"
    with pytest.raises(InputError, match=r"holds 4 recordings: apartment.mcap, .*\n  → name one") as told:
        list(open_log(folder))
    assert "wander.mcap" in str(told.value)


@pytest.mark.parametrize(
    ("spans_s", "first", "one"),
    [
        ([(0, 2), (2, 4), (4, 6)], 0, True),
        ([(0, 2), (2, 4)], 1, False),  # the first file of a bag is number 0
        ([(0, 5), (1, 6)], 0, False),
        ([(0, 2), (3600, 3602)], 0, False),
    ],
)
def test_files_are_one_recording_where_they_follow_each_other(tmp_path, spans_s, first, one):
    folder = tmp_path / "folder"
    folder.mkdir()
    for number, (start_s, end_s) in enumerate(spans_s, start=first):
        bag(tmp_path / "made", *[at(i) for i in range(10 * start_s, 10 * end_s)])
        (tmp_path / "made" / "made_0.mcap").rename(folder / f"drive_{number}.mcap")
        shutil.rmtree(tmp_path / "made")
    if one:
        assert sum(1 for _ in open_log(folder)) == 60
        return
    with pytest.raises(
        InputError, match=rf"holds {len(spans_s)} recordings: drive_{first}.mcap, .*\n  → name one"
    ):
        open_log(folder)


def test_a_file_that_is_no_part_of_the_bag_is_left_out(tmp_path):
    path = bag(tmp_path / "bag", *[at(i) for i in range(60)])
    for name, start in (("other.mcap", 60), ("bag_1.mcap", 5), ("bag_2.mcap", 60)):
        bag(tmp_path / "made", *[at(i) for i in range(start, start + 10)])
        (tmp_path / "made" / "made_0.mcap").rename(path / name)
        shutil.rmtree(tmp_path / "made")
    log = open_log(path)
    assert [r.stamp_ns for r in log] == [at(i).stamp_ns for i in range(70)]
    assert log.problems.counts["file that metadata.yaml does not name left out"] == 2


def test_what_is_no_bag_is_refused_by_the_doctor_too(tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(InputError, match=r"notes.txt is no bag"):
        evidence_of(tmp_path / "notes.txt")
