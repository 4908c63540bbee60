"""Whatever a laser and wheels may send: no exception, no wild pose, and a reason."""

import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nanorover.geometry.scan import LaserScan, Odometry
from nanorover.geometry.se2 import between, compose, inverse, transform_points, wrap_angle
from nanorover.replay.carmen import CarmenLog
from nanorover.slam.localizer import Localizer
from nanorover.slam.mapper import Mapper
from nanorover.slam.params import slam_params

NS = 1_000_000_000
PARAMS = slam_params()
BEAMS = 180
BEARINGS_RAD = np.linspace(-math.pi, math.pi, BEAMS, endpoint=False)
poses = st.tuples(*(st.floats(-50, 50),) * 3).map(np.array)


def room_scan(stamp_ns: int, x: float, ranges_m=None, **changes) -> LaserScan:
    """What is seen from x in a room of 6 × 4 m, or the ranges given."""
    with np.errstate(divide="ignore"):
        to_x = np.where(np.cos(BEARINGS_RAD) > 0, 3.0 - x, -3.0 - x) / np.cos(BEARINGS_RAD)
        exact = np.minimum(to_x, 2.0 / np.abs(np.sin(BEARINGS_RAD)))
    ranges = exact if ranges_m is None else np.asarray(ranges_m)
    values = {
        "stamp_ns": stamp_ns,
        "ranges_m": ranges.astype(np.float32),
        "angle_min_rad": -math.pi,
        "angle_increment_rad": 2 * math.pi / BEAMS,
        "range_min_m": 0.1,
        "range_max_m": 16.0,
    }
    return LaserScan(**{**values, **changes})


def mapped_room(steps: int = 12) -> Mapper:
    mapper = Mapper(PARAMS)
    for k in range(steps):
        mapper.add_odometry(Odometry(k * NS // 10, np.array([0.05 * k, 0.0, 0.0])))
        mapper.add_scan(room_scan(k * NS // 10, 0.05 * k))
    return mapper


junk = st.one_of(
    st.lists(st.floats(allow_nan=True, allow_infinity=True, width=32), max_size=400),
    st.sampled_from([[math.nan] * 180, [math.inf] * 180, [-math.inf] * 180, [0.0] * 180, [1.0] * 180, [5.0] * 7]),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.tuples(junk, st.integers(-5 * NS, 5 * NS), st.sampled_from([0.0, 1e-4, -1e-4, math.nan, 1e9])),
        min_size=1,
        max_size=6,
    ),
    st.lists(st.tuples(*(st.floats(allow_nan=True, allow_infinity=True),) * 3), max_size=3),
)
def test_junk_costs_nothing_but_itself(scans, odometry):
    mapper = mapped_room()
    before = mapper.T_map_base()
    for pose in odometry:
        mapper.add_odometry(Odometry(2 * NS, np.array(pose)))
    for ranges_m, shift_ns, time_increment_s in scans:
        result = mapper.add_scan(
            room_scan(NS + shift_ns, 0.0, np.array(ranges_m, float), time_increment_s=time_increment_s)
        )
        assert np.isfinite(result.T_map_base).all()
        assert np.isfinite(result.covariance).all()
        assert 0.0 <= result.quality <= 1.0
    stamps_ns, path = mapper.trajectory()
    assert len(stamps_ns) == len(path) == 12 + len(scans)
    assert np.isfinite(path).all()
    # Back among its walls the mapper knows where it is: a look at the true room puts it right.
    for k in range(6):
        result = mapper.add_scan(room_scan((20 + k) * NS // 10, 0.55))
    if np.hypot(*(before[:2] - [0.55, 0.0])) < 0.1 and not odometry:
        assert result.T_map_base[:2] == pytest.approx([0.55, 0.0], abs=0.2)
    mapper.grid()
    mapper.health()


@pytest.mark.parametrize(
    "ranges_m", [[math.nan] * BEAMS, [math.inf] * BEAMS, [], [0.0] * BEAMS, [-1.0] * BEAMS, [1.0] * 5]
)
def test_a_blind_scan_has_a_reason_and_a_growing_covariance(ranges_m):
    mapper = mapped_room()
    before = mapper.front_end.covariance.copy()
    result = mapper.add_scan(room_scan(2 * NS, 0.0, ranges_m))
    assert "usable points" in result.reason
    assert result.quality == 0.0
    assert not result.is_keyframe
    assert (np.diag(result.covariance) > np.diag(before)).all()


@settings(max_examples=25, deadline=None)
@given(junk, st.integers(-NS, NS))
def test_the_localizer_takes_junk_too(ranges_m, shift_ns):
    localizer = Localizer(PARAMS, test_the_localizer_takes_junk_too.grid)
    for ranges in (ranges_m, None, ranges_m):
        result = localizer.add_scan(
            room_scan(NS + shift_ns, 0.0, None if ranges is None else np.array(ranges, float))
        )
        assert np.isfinite(result.T_map_base).all()
        assert np.isfinite(result.covariance).all()
        assert localizer.localized or result.reason


test_the_localizer_takes_junk_too.grid = mapped_room().grid()


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_as_a_carmen_log(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("carmen") / "a.log"
    path.write_bytes(b"FLASER 2 1.0 2.0 0 0 0 0 0 0 1.5 h 2\n" + content)
    records = list(CarmenLog(path))
    assert len(records) >= 2
    assert all(np.isfinite(r.T_odom_base).all() for r in records if isinstance(r, Odometry))


@given(poses, poses, poses)
def test_poses_are_a_group(a, b, c):
    left, right = compose(compose(a, b), c), compose(a, compose(b, c))
    assert left[:2] == pytest.approx(right[:2], abs=1e-6)
    assert abs(wrap_angle(left[2] - right[2])) < 1e-9
    there_and_back = compose(a, inverse(a))
    assert there_and_back[:2] == pytest.approx([0, 0], abs=1e-9)
    assert abs(wrap_angle(there_and_back[2])) < 1e-9
    assert compose(a, between(a, b))[:2] == pytest.approx(b[:2], abs=1e-6)
    assert -math.pi <= wrap_angle(a[2]) <= math.pi
    point = np.array([[1.0, 2.0]])
    assert transform_points(a, transform_points(b, point)) == pytest.approx(
        transform_points(compose(a, b), point), abs=1e-6
    )
