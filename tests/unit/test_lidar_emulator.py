"""The emulated G4 against the manual: commands, settings, idle and scanning, timing."""

import numpy as np
import pytest
from lidar_rig import ROOM

from nanorover.errors import InputError
from nanorover.lidar.emulator import G4, INDEX_MARK_DEG
from nanorover.lidar.faults import KINDS, Fault
from nanorover.lidar.packets import PacketDecoder, Packets
from nanorover.lidar.protocol import BYTE_TIME_S, SCAN_HEADER, Command, Reply, find_reply
from nanorover.lidar.worlds import RecordedScans, read_world


class Host:
    """Talks to a device without a port."""

    def __init__(self, **device) -> None:
        self.g4, self.now_s = G4(ROOM, **device), 0.0

    def send(self, *codes: int) -> bytes:
        self.now_s += 0.01
        self.g4.receive(b"".join(bytes((0xA5, code)) for code in codes), self.now_s)
        return self.listen(0.05)

    def value(self, code: int) -> int:
        wire = self.send(code)
        reply = find_reply(wire, 4, 1) or find_reply(wire, 4, 4)
        assert reply is not None and wire == reply.encode()
        return int.from_bytes(reply.payload, "little")

    def listen(self, seconds: float) -> bytes:
        self.now_s += seconds
        return self.g4.transmit(self.now_s)

    def packets(self, seconds: float, step_s: float = 0.02) -> Packets:
        decoder = PacketDecoder()
        found = Packets.joined([decoder.feed(self.listen(step_s)) for _ in range(round(seconds / step_s))])
        assert decoder.bad_checksums == 0
        return found


def test_powers_up_idle_in_low_power():
    host = Host()
    assert host.listen(1.0) == b"" and host.g4.motor_hz == 0.0 and not host.g4.scanning
    assert host.value(Command.LOW_POWER_QUERY) == 1
    assert host.value(Command.GET_RATE) == 2


def test_information_and_health():
    host = Host()
    assert (
        host.send(0x90) == Reply(4, bytes((5, 2, 3, 3)) + bytes([2, 0, 2, 6, 0, 1, 0, 1] + [0] * 7 + [1])).encode()
    )
    for code in (0x91, 0x92):
        assert host.send(code) == Reply(6, bytes(3)).encode()


def test_rate_steps_round_and_frequency_keeps_its_limits():
    host = Host(frequency_hz=11.5)
    assert [host.value(0xD0) for _ in range(3)] == [0, 1, 2]
    assert [host.value(code) for code in (0x0D, 0x0B, 0x0B, 0x0A, 0x09, 0x0C)] == [
        1150,
        1200,
        1200,
        1190,
        1200,
        1100,
    ]
    assert [host.value(0x0C) for _ in range(8)][-1] == 500


def test_modes_answer_what_they_now_are():
    host = Host()
    assert [host.value(code) for code in (0x02, 0x05, 0x01, 0x05)] == [0, 0, 1, 1]
    assert [host.value(code) for code in (0x0F, 0x0E)] == [0, 1]


def test_without_low_power_the_motor_turns_while_idle():
    host = Host()
    host.send(0x02)
    host.listen(2.0)
    assert host.g4.motor_hz == pytest.approx(10.0, abs=0.01)
    host.send(0x01)
    host.listen(3.0)
    assert host.g4.motor_hz == 0.0


@pytest.mark.parametrize(("rate_khz", "frequency_hz"), [(9, 10.0), (4, 5.0), (8, 12.0)])
def test_scan_has_the_timing_of_the_device(rate_khz, frequency_hz):
    host = Host(rate_khz=rate_khz, frequency_hz=frequency_hz)
    assert host.send(0x60).startswith(SCAN_HEADER)
    host.listen(2.0)
    packets = host.packets(4.0)
    assert packets.count.sum() == pytest.approx(4.0 * rate_khz * 1000, abs=160)
    assert packets.count.max() == 40 and (packets.count[packets.zero] == 1).all()
    marks = np.flatnonzero(packets.zero)
    samples = np.diff(np.cumsum(packets.count)[marks])
    assert samples.mean() == pytest.approx(rate_khz * 1000 / frequency_hz, rel=0.01)
    assert 0.0002 < samples.std() / samples.mean() < 0.01, "it jitters a little"
    np.testing.assert_allclose(packets.frequency_hz[marks], frequency_hz, atol=0.25)
    np.testing.assert_allclose(packets.first_deg[marks], INDEX_MARK_DEG, atol=1.1)


def test_spins_up_with_too_many_samples_in_the_first_revolutions():
    host = Host()
    host.send(0x60)
    packets = host.packets(2.0)
    samples = np.diff(np.cumsum(packets.count)[np.flatnonzero(packets.zero)])
    assert samples[0] > 1100 and samples[-1] == pytest.approx(900, abs=20)


def test_bytes_come_no_faster_than_the_line():
    host = Host()
    host.send(0x60)
    total, worst = 0, 0.0
    for _ in range(4000):
        received = host.listen(0.001)
        total += len(received)
        worst = max(worst, total * BYTE_TIME_S - (host.now_s - 0.01))
    assert total > 20000 * 3.9 and worst <= 0.0


def test_while_scanning_only_the_legal_commands_count():
    host = Host()
    host.send(0x60)
    host.send(0x0B, 0xD0, 0x02)
    assert (host.g4.frequency_setting_hz, host.g4.rate_khz, host.g4.low_power) == (10.0, 9, True)
    assert Reply(4, host.g4.info.encode()).encode() in host.send(0x90)
    assert SCAN_HEADER in host.send(0x60)
    host.send(0x65)
    assert not host.g4.scanning
    host.listen(1.0)
    assert host.listen(1.0) == b""


@pytest.mark.parametrize("code", [0x40, 0x80])
def test_reboot_forgets_the_settings(code):
    host = Host()
    host.send(0x0B, 0xD0, 0x02)
    assert (host.g4.frequency_setting_hz, host.g4.rate_khz, host.g4.low_power) == (11.0, 4, False)
    host.send(code)
    assert host.send(0x90) == b"", "it does not hear while it boots"
    host.listen(0.6)
    assert host.value(0x0D) == 1000 and host.value(0xD1) == 2 and host.value(0x05) == 1


def test_heartbeat_stops_an_abandoned_device():
    host = Host()
    assert host.value(0xD9) == 0
    host.send(0x60)
    for _ in range(5):
        host.listen(1.0)
        assert SCAN_HEADER not in host.send(0x60) and host.g4.scanning
    host.listen(3.1)
    assert not host.g4.scanning
    host.listen(0.1)  # what was still in the line
    assert host.value(0xD9) == 1


def test_sees_the_room_where_it_is():
    host = Host()
    host.send(0x60)
    packets = host.packets(3.0)
    error_m = packets.range_m - ROOM.ranges(np.zeros(len(packets.range_m)), np.radians(packets.angle_deg))
    assert np.percentile(np.abs(error_m), 98) < 0.001


def test_the_same_seed_gives_the_same_bytes():
    def stream(seed):
        host = Host(seed=seed, faults=[Fault("bit_errors", 0.5, 1.0)])
        host.send(0x60)
        return host.listen(3.0)

    assert stream(1) == stream(1) != stream(2)


@pytest.mark.parametrize("text", ["silence", "fire@3", "silence@x", "silence@-1", "silence@3+0", "silence@nan"])
def test_a_wrong_fault_is_refused(text):
    with pytest.raises(InputError):
        Fault.parse(text)


def test_faults_have_default_durations():
    assert Fault.parse("silence@3") == Fault("silence", 3.0, KINDS["silence"][0])
    assert Fault.parse("stuck@3.5+0.25") == Fault("stuck", 3.5, 0.25)


def test_room_file(tmp_path):
    path = tmp_path / "room.yaml"
    path.write_text("walls: [[[-3, -2], [3, -2], [3, 2], [-3, 2]]]\nposts: [[1, 0, 0.1]]\nlidar: [0, 0, 90]\n")
    room = read_world(path)
    # clockwise from the lidar's x axis, which looks along the room's y
    bearings = np.radians([0.0, 90.0, 180.0, 270.0])
    np.testing.assert_allclose(room.ranges(np.zeros(4), bearings), [2.0, 0.9, 2.0, 3.0])
    path.write_text("posts: [[1, 0, 0.1]]")
    np.testing.assert_allclose(read_world(path).ranges(np.zeros(2), np.array([0.0, 1.0])), [0.9, np.inf])


@pytest.mark.parametrize(
    "text",
    ["", "[1, 2]", "walls: 3", "walls: [[[0, nan], [1, 1]]]", "rooms: []", "a: [", "lidar: [1]", "posts: [[a]]"],
)
def test_a_wrong_room_is_refused(tmp_path, text):
    path = tmp_path / "room.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match="room.yaml"):
        read_world(path)


SCANS = {"ranges_m": np.ones((2, 40)), "angle_min_rad": -np.pi, "angle_increment_rad": 0.1, "scan_time_s": [0.1]}


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"ranges_m": np.ones((0, 40))}, "ranges_m is empty"),
        ({"ranges_m": np.ones((1, 2, 3))}, "a row of ranges"),
        ({"ranges_m": np.array(["far"])}, "far"),
        ({"scan_time_s": [0.0]}, "some way apart"),
        ({"angle_increment_rad": np.nan}, "some way apart"),
        ({"angle_increment_rad": [0.1, 0.2]}, ""),
    ],
)
def test_recorded_scans_that_cannot_be_played_are_refused(tmp_path, change, why):
    path = tmp_path / "scans.npz"
    np.savez(path, **SCANS)
    assert read_world(path).ranges(np.zeros(1), np.zeros(1)) == [1.0]
    np.savez(path, **(SCANS | change))
    with pytest.raises(InputError, match=rf"scans\.npz holds no recorded scans: .*{why}"):
        read_world(path)


def test_files_that_are_no_recorded_scans_are_refused(tmp_path):
    path = tmp_path / "scans.npz"
    np.savez_compressed(path, **SCANS)
    whole = path.read_bytes()
    for content in (b"", b"PK nonsense", b"words", whole[:-30], whole[:100] + b"?" * 40 + whole[140:]):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"scans\.npz holds no recorded scans: \S"):
            read_world(path)
    with path.open("wb") as file:
        np.save(file, np.ones(3))
    with pytest.raises(InputError, match="a single array"):
        read_world(path)
    np.savez(path, ranges_m=np.ones((2, 3)))
    with pytest.raises(InputError, match="angle_min_rad is missing"):
        read_world(path)


def test_recorded_scans_play_in_a_loop():
    scans = np.array([[1.0, 2.0, 3.0, 4.0], [5.0, np.inf, 7.0, -np.inf]])
    world = RecordedScans(scans, -np.pi, np.pi / 2, 0.1)
    behind_then_left = np.array([np.pi, np.pi / 2 * 3])
    np.testing.assert_array_equal(world.ranges(np.zeros(2), behind_then_left), [1.0, 4.0])
    np.testing.assert_array_equal(world.ranges(np.full(2, 0.31), behind_then_left), [5.0, np.inf])
    assert world.ranges(np.array([0.25]), np.array([0.0]))[0] == 3.0
