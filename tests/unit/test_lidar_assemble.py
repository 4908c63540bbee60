"""Scans against the truth of the emulated device: rays, times, limits."""

import math

import numpy as np
import pytest
from lidar_rig import ROOM, Witness, scanned, settings, time_errors_s

from data import recording
from nanorover.errors import InputError
from nanorover.lidar.emulator import G4
from nanorover.lidar.packets import PacketDecoder
from nanorover.lidar.record import read_capture
from nanorover.lidar.stream import LidarStream
from nanorover.lidar.worlds import Room

EPOCH_NS = 1_700_000_000_000_000_000


def device_like(params, world=ROOM, **more) -> G4:
    return G4(world, rate_khz=params.rate_khz, frequency_hz=params.frequency_hz, **more)


def bearings_of(scan):
    return scan.angle_min_rad + np.arange(len(scan.ranges_m)) * scan.angle_increment_rad


def scans_of(params, seconds=4.0, world=ROOM, **more):
    revolutions = scanned(device_like(params, world, **more), LidarStream(params), seconds)
    assert len(revolutions) > (seconds - 1.5) * params.frequency_hz
    return revolutions


@pytest.mark.parametrize(
    ("rate_khz", "frequency_hz", "beams"), [(9, 10.0, 900), (9, 5.0, 1800), (8, 7.0, 1143), (4, 12.0, 333)]
)
def test_every_scan_has_the_same_rays_and_the_room_in_them(rate_khz, frequency_hz, beams):
    params = settings(rate_khz=rate_khz, frequency_hz=frequency_hz)
    for revolution in scans_of(params):
        scan = revolution.scan
        assert len(scan.ranges_m) == len(revolution.ray_time_s) == beams
        assert scan.angle_min_rad == -math.pi
        assert scan.angle_increment_rad == pytest.approx(2 * math.pi / beams)
        assert scan.scan_time_s == pytest.approx(1 / frequency_hz, rel=0.05)  # the first ones still speed up
        # the device turns clockwise: ray 0, at −π, comes last
        assert scan.time_increment_s == pytest.approx(-scan.scan_time_s / beams)
        seen = np.isfinite(scan.ranges_m)
        assert seen.mean() > 0.99
        # nothing in the room is steeper than 20° to a ray over most of it
        truth = ROOM.ranges(np.zeros(beams), -bearings_of(scan))
        error_m = np.abs(scan.ranges_m - truth)[seen]
        assert np.median(error_m) < 0.006 * 900 / beams
        assert np.percentile(error_m, 95) < 0.025 * 900 / beams


@pytest.mark.parametrize(("rate_khz", "frequency_hz"), [(9, 10.0), (9, 5.0), (4, 12.0), (8, 7.0)])
def test_times_are_those_of_the_device(rate_khz, frequency_hz):
    params = settings(rate_khz=rate_khz, frequency_hz=frequency_hz)
    world = Witness()
    revolutions = scanned(device_like(params, world), LidarStream(params), 8.0, epoch_ns=EPOCH_NS)
    assert len(revolutions) > 30
    for revolution in [*revolutions[:5], *revolutions[5::5]]:
        assert np.abs(time_errors_s(revolution, world, EPOCH_NS)).max() < 1e-3
    # the stamps follow each other as the revolutions do
    stamps_s = np.array([r.scan.stamp_ns for r in revolutions[5:]]) / 1e9
    np.testing.assert_allclose(np.diff(stamps_s), 1 / frequency_hz, rtol=0.02)


def test_stamps_survive_a_host_that_reads_late():
    params, world = settings(), Witness()
    g4, stream = device_like(params, world), LidarStream(params)
    prompt = scanned(device_like(params), LidarStream(params), 6.0, delay_s=0.0)
    late = scanned(g4, stream, 6.0, delay_s=0.02)
    count = min(len(prompt), len(late))
    difference_ns = [
        a.scan.stamp_ns - b.scan.stamp_ns for a, b in zip(prompt[-count:], late[-count:], strict=True)
    ]
    assert np.abs(difference_ns).max() < 3e6


def test_a_device_clock_that_runs_slow_is_followed():
    params, stream = settings(), LidarStream(settings())
    g4, slow = device_like(params), 1.0003
    g4.receive(b"\xa5\x60", 0.0)
    for i in range(1, 2000):
        for revolution in stream.feed(g4.transmit(i * 0.01), round(i * 0.01 * slow * 1e9)):
            last = revolution
    # after 20 s the device is 6 ms behind; ray 0 is measured 8° before the end of the turn
    end_s = last.scan.stamp_ns / 1e9
    assert 20.0 * slow - 0.14 < end_s < 20.0 * slow
    expected = scanned(device_like(params), LidarStream(params), 20.0, delay_s=0.0)[-1].scan.stamp_ns / 1e9
    turns = (end_s / slow - expected) * 10
    assert abs(turns - round(turns)) < 0.1


def test_too_near_none_and_too_far():
    # a post 0.2 m ahead, a wall on the left within range, one on the right beyond range_max, nothing behind
    world = Room(
        np.array([[[-1.0, 2.0], [1.0, 2.0]], [[-3.0, -6.0], [3.0, -6.0]]]),
        np.array([[0.4, 0.0, 0.2]]),
        (0.0, 0.0, 0.0),
    )
    scan = scans_of(settings(range_max_m=5.0), world=world)[-1].scan
    at = lambda deg: scan.ranges_m[round((deg + 180.0) / 360.0 * 900) % 900]  # noqa: E731
    assert at(0) == -np.inf and at(90) == pytest.approx(2.0, abs=0.005)
    assert at(-90) == np.inf and at(179) == np.inf and at(-180) == np.inf
    nearer = scans_of(settings(range_min_m=0.1, range_max_m=16.0), world=world)[-1].scan
    assert nearer.ranges_m[450] == pytest.approx(0.2, abs=0.003)
    assert nearer.ranges_m[225] == pytest.approx(6.0, abs=0.01)
    assert not np.isnan(nearer.ranges_m).any()


def test_not_mirrored_not_turned():
    # one post ahead to the left: x 2, y 1
    scan = scans_of(settings(), world=Room(np.empty((0, 2, 2)), np.array([[2.0, 1.0, 0.1]]), (0, 0, 0)))[-1].scan
    bearing_rad = bearings_of(scan)[np.isfinite(scan.ranges_m)]
    assert np.median(bearing_rad) == pytest.approx(math.atan2(1, 2), abs=0.01)


def test_crop_keeps_bearings_and_times():
    whole = scans_of(settings())
    cropped = scans_of(settings(angle_min_deg=-90.0, angle_max_deg=45.0))
    assert len(whole) == len(cropped)
    for a, b in zip(whole, cropped, strict=True):
        assert b.scan.angle_min_rad == pytest.approx(-math.pi / 2)
        assert len(b.scan.ranges_m) == 338  # 135° of 0.4° and the first ray itself
        np.testing.assert_array_equal(b.scan.ranges_m, a.scan.ranges_m[225:563])
        first_ns = a.scan.stamp_ns + 225 * a.scan.time_increment_s * 1e9
        assert b.scan.stamp_ns == pytest.approx(first_ns, abs=1000)
        np.testing.assert_allclose(
            b.ray_time_s + b.scan.stamp_ns * 1e-9, a.ray_time_s[225:563] + a.scan.stamp_ns * 1e-9, atol=1e-6
        )


def test_ignored_sectors_have_no_value():
    scan = scans_of(settings(ignored_sectors_deg="10:20, 170:-170"))[-1].scan
    ignored = np.isnan(scan.ranges_m)
    deg = np.degrees(bearings_of(scan))
    np.testing.assert_array_equal(ignored, ((deg > 9.9) & (deg < 20.1)) | (np.abs(deg) > 169.9))


def test_points_are_all_returns_with_their_times():
    world = Witness()
    revolution = scanned(device_like(settings(), world), LidarStream(settings()), 3.0)[-1]
    assert revolution.samples == pytest.approx(900, abs=15)
    assert len(revolution.range_m) == pytest.approx(revolution.samples, abs=1)
    truth = ROOM.ranges(np.zeros(len(revolution.range_m)), -revolution.bearing_rad)
    assert np.percentile(np.abs(revolution.range_m - truth), 97) < 0.002
    assert (np.abs(revolution.bearing_rad) <= math.pi).all()
    look_s = world.looks[0]
    time_s = revolution.scan.stamp_ns / 1e9 + revolution.time_s
    assert np.abs(time_s - look_s[np.searchsorted(look_s, time_s).clip(0, len(look_s) - 1)]).max() < 1e-3


def test_scans_of_a_real_device_have_whole_revolutions():
    stream = LidarStream(settings(rate_khz=4, frequency_hz=7.0))
    data = recording("lidar/x4_scan1.data").read_bytes()
    revolutions = []
    for i in range(0, len(data), 300):
        revolutions += stream.feed(data[i : i + 300], round(i * 43.4e3 * 2))
    assert stream.counts.packets == 455 and stream.counts.bad_checksums == 0
    # 27 from mark to mark, cut elsewhere, the first of them before the rotation is known
    assert len(revolutions) == 26
    assert {len(r.scan.ranges_m) for r in revolutions} == {571}
    settled = [r.samples for r in revolutions[3:]]
    assert set(settled[8:]) == {597, 598}
    capture = read_capture(recording("lidar/x4_scan1.data"))
    points = capture.packets.range_m > 0
    assert np.isfinite(revolutions[-1].scan.ranges_m).mean() == pytest.approx(points.mean(), abs=0.15)


def test_a_motor_that_never_turns_fills_no_memory():
    stream = LidarStream(settings())
    packet = G4(ROOM)
    packet.receive(b"\xa5\x60", 0.0)
    stream.feed(packet.transmit(3.0), 3_000_000_000)
    from nanorover.lidar.packets import encode_packet

    still = encode_packet(10.0, 10.0, np.full(40, 4000, np.uint16))
    for i in range(2000):
        stream.feed(still * 10, 3_000_000_000 + i * 44_000_000)
    assert stream._assembler._pending <= 21 * 900
    assert stream.motor_hz == pytest.approx(0.0, abs=1e-6)


def test_a_lost_packet_leaves_a_hole_and_nothing_else():
    params = settings()
    g4, stream, whole = device_like(params), LidarStream(params), LidarStream(params)
    g4.receive(b"\xa5\x60", 0.0)
    data = g4.transmit(4.0)
    decoder = PacketDecoder()
    packets = decoder.feed(data)
    victim = int(np.searchsorted(packets.end, len(data) * 0.8))
    cut = data[: packets.end[victim - 1]] + data[packets.end[victim] :]
    good = [r for i in range(0, len(data), 400) for r in whole.feed(data[i : i + 400], i * 44_000)]
    holed = [r for i in range(0, len(cut), 400) for r in stream.feed(cut[i : i + 400], i * 44_000)]
    assert len(good) == len(holed) and stream.counts.lost_samples == packets.count[victim]
    differing = [np.count_nonzero(a.scan.ranges_m != b.scan.ranges_m) for a, b in zip(good, holed, strict=True)]
    assert sorted(differing)[-2:] == [0, pytest.approx(packets.count[victim], abs=3)]
    assert [r.frequency_hz for r in holed] == pytest.approx([r.frequency_hz for r in good], rel=1e-3)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"frequency_hz": 4.9}, "at least 5"),
        ({"frequency_hz": 7.25}, "steps"),
        ({"rate_khz": 5}, "one of 4, 8, 9"),
        ({"range_min_m": 9.0, "range_max_m": 3.0}, "not below"),
        ({"angle_min_deg": 20.0, "angle_max_deg": -20.0}, "not below"),
        ({"ignored_sectors_deg": "10-20"}, "10-20"),
        ({"ignored_sectors_deg": "10:abc"}, "10:abc"),
        ({"ignored_sectors_deg": "10:nan"}, "10:nan"),
    ],
)
def test_wrong_parameters_are_refused(wrong, words):
    with pytest.raises(InputError, match=words):
        settings(**wrong)


def test_a_crop_without_rays_is_refused():
    with pytest.raises(InputError, match="no ray"):
        LidarStream(settings(angle_min_deg=0.1, angle_max_deg=0.2))


class Flicker:
    """A wall all around that stands 5 cm farther at every other sample."""

    def ranges(self, stamp_s, bearing_clockwise_rad):
        return 2.0 + 0.05 * (np.round(stamp_s * 9000) % 2)


def test_the_nearest_of_several_returns_counts():
    # the device turns at 10 Hz, so every fifth ray of a scan made for 12 Hz gets two samples
    params = settings(frequency_hz=12.0)
    revolutions = scanned(G4(Flicker(), frequency_hz=10.0), LidarStream(params), 4.0)
    assert len(revolutions) > 20
    for revolution in revolutions:
        scan = revolution.scan
        ray = np.round((revolution.bearing_rad + math.pi) / scan.angle_increment_rad).astype(int) % 750
        nearest = np.full(750, np.inf)
        np.minimum.at(nearest, ray, revolution.range_m)
        assert (np.bincount(ray, minlength=750) > 1).sum() > 100
        np.testing.assert_array_equal(scan.ranges_m, nearest.astype(np.float32))
        assert abs((scan.ranges_m < 2.01).mean() - 0.6) < 0.02
