"""Packets against recorded and documented bytes."""

import json

import numpy as np
import pytest

from data import recording
from nanorover.lidar.packets import PacketDecoder, Packets, angle_correction_deg, encode_packet
from nanorover.lidar.protocol import Command, DeviceInfo, Health, Reply, ReplyType, find_reply
from nanorover.lidar.record import read_capture


def angle_between_deg(a, b):
    return np.abs((np.asarray(a) - np.asarray(b) + 180.0) % 360.0 - 180.0)


def test_documented_packets_decode_to_their_values():
    vectors = json.loads(recording("lidar/vectors.json").read_text())
    assert len(vectors) == 11
    for vector in vectors:
        decoder = PacketDecoder(sample_bytes=3 if vector["intensity"] else 2)
        packets = decoder.feed(bytes.fromhex(vector["hex"]), last=True)
        if not vector["cs_ok"]:
            assert (len(packets), decoder.bad_checksums) == (0, 1), vector["name"]
            continue
        assert (len(packets), decoder.bad_checksums) == (1, 0), vector["name"]
        assert angle_between_deg(packets.angle_deg, vector["angle_deg"]).max() < 0.02, vector["name"]
        np.testing.assert_allclose(packets.range_m, np.array(vector["mm"]) / 1000, atol=1e-6, rtol=0)
        assert packets.first_deg[0] == vector["fsa_deg"] and packets.last_deg[0] == vector["lsa_deg"]
        assert packets.zero[0] == bool(vector["ct"] & 1)
        if vector["intensity"]:
            assert packets.intensity.tolist() == vector["intensity"]


def test_a_zero_packet_may_carry_the_frequency():
    decoder = PacketDecoder(3)
    (vector,) = (v for v in json.loads(recording("lidar/vectors.json").read_text()) if v["ct"] == 199)
    assert decoder.feed(bytes.fromhex(vector["hex"])).frequency_hz.tolist() == [9.9]


def test_capture_of_a_real_x4():
    capture = read_capture(recording("lidar/x4_scan1.data"))
    assert (len(capture.packets), capture.bad_checksums, capture.revolutions) == (455, 0, 27)
    assert len(capture.revolution) == capture.packets.count.sum() == 16721
    assert (capture.revolution.min(), capture.revolution.max()) == (-1, 27)
    marks = capture.packets.first_deg[capture.packets.zero]
    assert marks.min() >= 348.0 and marks.max() <= 348.7
    # whole revolutions of a settled motor have the same number of samples, and go once around
    counts = np.bincount(capture.revolution + 1)
    assert (np.abs(counts[15:28] - np.median(counts[15:28])) < 12).all()


@pytest.mark.parametrize("number", [0, 1])
def test_capture_of_a_sister_model_with_intensity(number):
    path = recording(f"lidar/tmini_pro_packet{number}.bin")
    capture = read_capture(path)
    assert (len(capture.packets), capture.bad_checksums, capture.sample_bytes) == (1, 0, 3)
    assert capture.packets.size[0] == path.stat().st_size


def test_a_stream_cut_anywhere_decodes_the_same():
    data = recording("lidar/x4_scan1.data").read_bytes()
    whole = PacketDecoder().feed(data)
    for piece in (1, 7, 91, 1000):
        decoder = PacketDecoder()
        parts = Packets.joined([decoder.feed(data[i : i + piece]) for i in range(0, len(data), piece)])
        np.testing.assert_array_equal(parts.angle_deg, whole.angle_deg)
        np.testing.assert_array_equal(parts.end, whole.end)
        assert decoder.position == len(data)


def test_angle_correction():
    # from the manual: none at 155.3 mm, positive below, towards −7.99° far away; no return, no correction
    mm = np.array([0.0, 155.3, 100.0, 1000.0, 8000.0, 1e9])
    np.testing.assert_allclose(angle_correction_deg(mm), [0.0, 0.0, 4.44, -6.7622, -7.8374, -7.9906], atol=0.005)


def test_encoded_packets_decode_to_what_was_meant():
    samples = np.array([0, 4000, 65535, 1], np.uint16)
    packets = PacketDecoder().feed(
        encode_packet(350.0, 2.0, samples) + encode_packet(3.0, 3.0, samples[:1], True, 7.3)
    )
    assert packets.count.tolist() == [4, 1] and packets.zero.tolist() == [False, True]
    np.testing.assert_allclose(packets.motor_deg, [350, 354, 358, 2, 3], atol=1 / 64)
    np.testing.assert_array_equal(packets.range_m, [0.0, 1.0, 16.38375, 0.00025, 0.0])
    assert packets.frequency_hz[1] == pytest.approx(7.3)


def test_replies_are_found_in_noise():
    info = DeviceInfo(5, (3, 2), 3, "2020082500000001")
    noise = b"\xa5\x5a\x14\x00\x00\x00\x06" + bytes(30)  # a header of another type
    wire = noise + Reply(ReplyType.VALUE, info.encode()).encode()
    assert find_reply(wire[:-1], ReplyType.VALUE, 20) is None
    reply = find_reply(wire, ReplyType.VALUE, 20)
    assert reply is not None and DeviceInfo.decode(reply.payload) == info
    assert "G4, firmware 3.2" in str(info)
    assert Health.decode(Health(2, 0x0102).encode()) == Health(2, 0x0102)
    assert Command.SCAN.encode() == b"\xa5\x60"
