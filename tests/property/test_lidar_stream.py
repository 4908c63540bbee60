"""Any bytes at all: no exception, bounded memory, and the good packets around the damage kept."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lidar_rig import ROOM
from lidar_rig import settings as lidar_settings

from nanorover.lidar.emulator import G4
from nanorover.lidar.faults import Fault, damaged
from nanorover.lidar.packets import HEADER_BYTES, MOST_SAMPLES, PacketDecoder, Packets, encode_packet
from nanorover.lidar.protocol import find_reply
from nanorover.lidar.stream import LidarStream


def stream_bytes(seconds: float) -> bytes:
    g4 = G4(ROOM)
    g4.receive(b"\xa5\x60", 0.0)
    return g4.transmit(seconds)


STREAM = stream_bytes(1.5)
LONGEST_PACKET_BYTES = HEADER_BYTES + 3 * MOST_SAMPLES
PACKETS = PacketDecoder().feed(STREAM)


def in_pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[a:b] for a, b in pairwise(places)]


@given(
    st.lists(
        st.one_of(
            st.binary(max_size=400),
            st.sampled_from([b"\xaa", b"\xaa\x55", b"\xaa\x55\x00\x50", b"\xaa\x55\x01\x01", b"\xa5\x5a"]),
            st.integers(0, len(PACKETS) - 1).map(
                lambda i: STREAM[PACKETS.end[i] - PACKETS.size[i] : PACKETS.end[i]]
            ),
        ),
        max_size=30,
    ),
    st.sampled_from([2, 3]),
)
def test_any_pieces_in_any_order(pieces, sample_bytes):
    decoder = PacketDecoder(sample_bytes)
    stream = LidarStream(lidar_settings())
    for i, piece in enumerate(pieces):
        packets = decoder.feed(piece)
        assert np.isfinite(packets.angle_deg).all() and (packets.angle_deg < 360).all()
        assert len(decoder._tail) <= LONGEST_PACKET_BYTES
        for revolution in stream.feed(piece, i * 20_000_000):
            assert len(revolution.scan.ranges_m) == 900
        find_reply(piece, 4, 20)
    assert decoder.position == sum(map(len, pieces))


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.lists(st.integers(0, 20_000), max_size=40))
def test_a_million_random_bytes(seed, cuts):
    data = np.random.default_rng(seed).integers(256, size=20_000, dtype=np.uint8).tobytes()  # 60 × 20 kB
    decoder, stream = PacketDecoder(), LidarStream(lidar_settings())
    for i, piece in enumerate(in_pieces(data, cuts)):
        decoder.feed(piece)
        stream.feed(piece, i * 20_000_000)
        assert len(decoder._tail) <= LONGEST_PACKET_BYTES
    # sixteen bits of checksum and two check bits: about one false packet in 260,000 headers
    assert decoder.packets <= 1
    assert stream._assembler._pending <= 21 * 900


@given(st.integers(0, 8 * len(STREAM) - 1), st.lists(st.integers(0, len(STREAM)), max_size=8))
def test_one_flipped_bit_costs_one_packet(bit, cuts):
    broken = bytearray(STREAM)
    broken[bit // 8] ^= 1 << bit % 8
    decoder = PacketDecoder()
    parts = [decoder.feed(piece, last=i == len(cuts)) for i, piece in enumerate(in_pieces(bytes(broken), cuts))]
    packets = Packets.joined(parts)
    hit = int(np.searchsorted(PACKETS.end, bit // 8, side="right"))
    in_packet = hit < len(PACKETS) and bit // 8 >= PACKETS.end[hit] - PACKETS.size[hit]
    kept = np.delete(PACKETS.end, hit) if in_packet else PACKETS.end
    assert packets.end.tolist() == kept.tolist()
    good = np.repeat(np.isin(PACKETS.end, kept), PACKETS.count)
    np.testing.assert_array_equal(packets.angle_deg, PACKETS.angle_deg[good])
    np.testing.assert_array_equal(packets.range_m, PACKETS.range_m[good])


@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from(["lost_bytes", "truncated", "garbage", "bit_errors"]),
    st.sets(st.integers(0, len(PACKETS) - 1), max_size=40),
)
def test_undamaged_packets_are_never_lost(seed, kind, victims):
    random = np.random.default_rng(seed)
    wire, kept = [STREAM[: PACKETS.end[0] - PACKETS.size[0]]], []
    for i, (end, size) in enumerate(zip(PACKETS.end, PACKETS.size, strict=True)):
        packet = STREAM[end - size : end]
        wire.append(damaged(packet, kind, random) if i in victims else packet)
        if i not in victims or kind == "garbage":
            kept.append(i)
    decoder = PacketDecoder()
    packets = decoder.feed(b"".join(wire), last=True)
    found = list(zip(packets.first_deg, packets.last_deg, packets.count, strict=True))
    wanted = [(PACKETS.first_deg[i], PACKETS.last_deg[i], PACKETS.count[i]) for i in kept]
    assert len(found) - len(wanted) in (0, 1)  # lost bytes behind the last packet of a cut one may leave it whole
    assert set(wanted) <= set(found)


@given(
    st.lists(st.integers(0, 65535), min_size=1, max_size=80),
    st.floats(0, 359.99),
    st.floats(0, 359.99),
    st.booleans(),
)
def test_encoding_and_decoding_agree(samples, first_deg, last_deg, zero):
    packet = encode_packet(first_deg, last_deg, np.array(samples, np.uint16), zero, 9.9)
    decoder = PacketDecoder()
    packets = decoder.feed(packet)
    assert (len(packets), decoder.bad_checksums, decoder.damaged_bytes) == (1, 0, 0)
    assert (packets.range_m * 4000).round().astype(int).tolist() == samples
    assert abs((packets.first_deg[0] - first_deg + 180) % 360 - 180) <= 1 / 128 + 1e-9
    assert bool(packets.zero[0]) == zero


@settings(max_examples=15)
@given(
    st.integers(0, 2**32 - 1),
    st.lists(
        st.builds(
            Fault,
            st.sampled_from(["bit_errors", "lost_bytes", "truncated", "garbage", "stuck", "silence", "reboot"]),
            st.floats(0.0, 4.0),
            st.floats(0.01, 1.0),
        ),
        max_size=5,
    ),
)
def test_scans_stay_sane_under_any_faults(seed, faults):
    g4, stream = G4(ROOM, faults=faults, seed=seed), LidarStream(lidar_settings())
    stamps_ns = []
    for i in range(1, 200):
        if i % 25 == 1:
            g4.receive(b"\xa5\x60", i * 0.02)
        for revolution in stream.feed(g4.transmit(i * 0.02), i * 20_000_000):
            scan = revolution.scan
            assert len(scan.ranges_m) == 900 and not np.isnan(scan.ranges_m).any()
            seen = scan.ranges_m[np.isfinite(scan.ranges_m)]
            assert ((seen >= 0.28) & (seen <= 16.0)).all()
            assert scan.time_increment_s < 0 and np.isfinite(scan.scan_time_s)
            assert scan.stamp_ns < i * 20_000_000 + 3_000_000
            stamps_ns.append(scan.stamp_ns)
    assert stamps_ns == sorted(stamps_ns)


@pytest.mark.parametrize("last", [False, True])
def test_a_header_cut_off_hides_nothing(last):
    samples = np.array([1000, 2000], np.uint16)
    packet = encode_packet(10.0, 11.0, samples)
    cut = b"\xaa\x55\x00\x50\x01\x01"  # says 80 samples, but a good packet follows
    decoder = PacketDecoder()
    assert len(decoder.feed(cut + packet, last=last)) == (1 if last else 0)
    assert last or len(decoder.feed(bytes(170))) == 1
