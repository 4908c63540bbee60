"""The safety layer against situations worked out by hand."""

import dataclasses

import numpy as np
import pytest

from nanorover import params
from nanorover.base.gate import STILL, Velocity
from nanorover.base.params import BaseParams
from nanorover.errors import InputError
from nanorover.fusion.objects import TrackedObject
from nanorover.geometry.scan import LaserScan
from nanorover.planning.contact import points_contact_time
from nanorover.planning.safety import AUTONOMY, NOBODY, TELEOP, Safety, people_about
from nanorover.planning.safety_params import SafetyParams, check_against_base
from nanorover.robot import RobotParams

SETTINGS = params.load(SafetyParams, "safety")
ROBOT = params.load(RobotParams, "robot")
CERTAIN = np.diag([1e-4, 1e-4, 1e-4])
BEAMS = 720
AHEAD = BEAMS // 2
FORWARD = Velocity(0.5, 0.0)


def scan(stamp_ns: int = 1, **ranges_m: float) -> LaserScan:
    """Walls 8 m away all round; ``ahead=0.4`` puts 21 returns there, ``behind`` the same behind."""
    ranges = np.full(BEAMS, 8.0, np.float32)
    if "ahead" in ranges_m:
        ranges[AHEAD - 10 : AHEAD + 11] = ranges_m["ahead"]
    if "behind" in ranges_m:
        ranges[[*range(11), *range(BEAMS - 10, BEAMS)]] = ranges_m["behind"]
    return LaserScan(stamp_ns, ranges, -np.pi, 2 * np.pi / BEAMS, 0.1, 16.0)


class Drive:
    """A safety layer with everything fresh at each step."""

    def __init__(self, **changes) -> None:
        self.settings = dataclasses.replace(SETTINGS, **changes)
        self.safety = Safety(self.settings, ROBOT, 0.0)
        self.now_s, self.stamp_ns = 0.0, 0

    def step(self, wanted: Velocity, source: str = AUTONOMY, without: str = "", dt_s: float = 0.1, **ranges_m):
        self.now_s += dt_s
        self.stamp_ns += 1
        s = self.safety
        if without != "scan":
            s.on_scan(scan(self.stamp_ns, **ranges_m), self.now_s)
        if without != "pose":
            s.on_pose(self.stamp_ns, CERTAIN, self.now_s)
        for node in self.settings.watched_nodes:
            if without != node:
                s.on_heartbeat(node, "", self.now_s)
        if without != "command":
            s.on_velocity(source, wanted, self.now_s)
        return s.decide(self.now_s)


def test_free_way_gives_what_is_wanted():
    decision = Drive().step(Velocity(0.5, 0.3))
    assert decision.velocity == Velocity(0.5, 0.3)
    assert (decision.source, decision.reason, decision.share) == (AUTONOMY, "", 1.0)


def test_the_zone_grows_with_speed():
    # 0.9 s from contact at full speed: less than slow_down_s, but half the speed is fine
    gap_m = 0.45
    ahead = ROBOT.footprint_front_m + SETTINGS.end_margin_m + gap_m
    assert Drive().step(FORWARD, ahead=ahead).velocity.linear_m_s == pytest.approx(
        0.5 * (gap_m / 0.5) / SETTINGS.slow_down_s, rel=0.02
    )
    assert Drive().step(Velocity(0.25, 0.0), ahead=ahead).velocity.linear_m_s == pytest.approx(0.25)


def test_it_always_stops_before_the_wall():
    """Drive at a wall with the braking that is relied upon and the full reaction time: the margin is kept."""
    drive = Drive(slow_down_s=0.0)
    dt_s = 0.02
    x_m, speed, queue = 0.0, 0.5, [0.5] * round(SETTINGS.reaction_s / dt_s)
    wall_m = 1.5
    for _ in range(400):
        queue.append(drive.step(FORWARD, dt_s=dt_s, ahead=wall_m - x_m).velocity.linear_m_s)
        target = queue.pop(0)
        speed = max(target, speed - SETTINGS.deceleration_m_s2 * dt_s) if target < speed else target
        x_m += speed * dt_s
    gap_m = wall_m - x_m - ROBOT.footprint_front_m
    assert 0.0 < gap_m < SETTINGS.end_margin_m + 0.02


@pytest.mark.parametrize("age_s", [0.0, 0.1, 0.3])
def test_the_age_of_the_scan_is_driven_on_before_braking(age_s):
    drive = Drive(slow_down_s=0.0)
    drive.step(FORWARD, ahead=ROBOT.footprint_front_m + SETTINGS.end_margin_m + 0.1)
    drive.safety.on_velocity(AUTONOMY, FORWARD, drive.now_s + age_s)
    decision = drive.safety.decide(drive.now_s + age_s)
    v = decision.velocity.linear_m_s
    way_m = v * (SETTINGS.reaction_s + age_s) + v**2 / (2.0 * SETTINGS.deceleration_m_s2)
    assert way_m == pytest.approx(0.1, rel=0.03)


@pytest.mark.parametrize(("told_s_ago", "permitted_m_s"), [(0.0, 0.05), (0.4, 0.1)])
def test_what_the_wheels_still_do_must_end_well_too(told_s_ago, permitted_m_s):
    """0.3 m before contact 0.1 m/s are free, but at 0.5 m/s that is half of slow_down_s away."""
    drive = Drive()
    drive.safety.on_measured(FORWARD, 1.0 - told_s_ago)
    drive.now_s = 0.9
    ahead = ROBOT.footprint_front_m + SETTINGS.end_margin_m + 0.3
    assert drive.step(Velocity(0.1, 0.0), ahead=ahead).velocity.linear_m_s == pytest.approx(
        permitted_m_s, rel=0.03
    )


@pytest.mark.parametrize(("range_m", "permitted"), [(0.11, FORWARD), (0.14, STILL)])
def test_deep_within_the_footprint_it_sees_itself(range_m, permitted):
    """4 cm within the front end is a cable of its own, 1 cm is something that it touches."""
    assert Drive().step(FORWARD, ahead=range_m).velocity == permitted


def test_contact_stops_and_leaving_is_allowed():
    touching = ROBOT.footprint_front_m + 0.01
    assert Drive().step(FORWARD, ahead=touching).velocity == STILL
    assert "obstacle" in Drive().step(FORWARD, ahead=touching).reason
    assert Drive().step(Velocity(-0.2, 0.0), ahead=touching).velocity == Velocity(-0.2, 0.0)


@pytest.mark.parametrize(
    ("measured", "free"),
    [(Velocity(1e-15, 0.0), True), (Velocity(0.01, 0.03), True), (Velocity(0.05, 0.0), False)],
)
def test_wheels_that_stand_do_not_hold_who_leaves(measured, free):
    """Before something that it touches: the rounding of two equal poses is no motion towards it."""
    drive = Drive()
    drive.safety.on_measured(measured, 0.1)
    decision = drive.step(Velocity(-0.2, 0.0), ahead=ROBOT.footprint_front_m + 0.01)
    assert decision.velocity == (Velocity(-0.2, 0.0) if free else STILL)


def test_turning_on_the_spot_counts_corners():
    # a post beside the robot, within the circle of its corners
    ranges = np.full(BEAMS, 8.0, np.float32)
    beside = slice(AHEAD + BEAMS // 4 - 8, AHEAD + BEAMS // 4 + 8)
    ranges[beside] = 0.17
    drive = Drive()
    drive.step(STILL)
    drive.safety.on_scan(LaserScan(99, ranges, -np.pi, 2 * np.pi / BEAMS, 0.1, 16.0), drive.now_s)
    drive.safety.on_velocity(AUTONOMY, Velocity(0.0, 1.0), drive.now_s)
    turning = drive.safety.decide(drive.now_s)
    assert 0.0 < turning.velocity.angular_rad_s < 0.7
    drive.safety.on_velocity(AUTONOMY, Velocity(0.3, 0.0), drive.now_s)
    assert drive.safety.decide(drive.now_s).velocity == Velocity(0.3, 0.0)


def test_one_wild_beam_is_not_an_obstacle_but_two_are():
    for beams, expected in ((1, 0.5), (2, 0.0)):
        ranges = np.full(BEAMS, 8.0, np.float32)
        ranges[AHEAD : AHEAD + beams] = 0.16
        drive = Drive()
        drive.step(STILL)
        drive.safety.on_scan(LaserScan(99, ranges, -np.pi, 2 * np.pi / BEAMS, 0.1, 16.0), drive.now_s)
        drive.safety.on_velocity(AUTONOMY, FORWARD, drive.now_s)
        assert drive.safety.decide(drive.now_s).velocity.linear_m_s == expected


def test_too_near_counts_as_a_return():
    ranges = np.full(BEAMS, 8.0, np.float32)
    ranges[AHEAD - 5 : AHEAD + 5] = -np.inf
    drive = Drive()
    drive.step(STILL)
    drive.safety.on_scan(LaserScan(99, ranges, -np.pi, 2 * np.pi / BEAMS, 0.16, 16.0), drive.now_s)
    drive.safety.on_velocity(AUTONOMY, FORWARD, drive.now_s)
    assert drive.safety.decide(drive.now_s).velocity == STILL


@pytest.mark.parametrize(
    ("without", "after_s", "reason"),
    [
        ("scan", SETTINGS.scan_timeout_s, "no fresh scan"),
        ("pose", SETTINGS.pose_timeout_s, "no fresh pose"),
        ("command", SETTINGS.command_timeout_s, "no fresh command"),
        ("planner", SETTINGS.heartbeat_timeout_s, "node planner is silent"),
        ("slam", SETTINGS.heartbeat_timeout_s, "node slam is silent"),
    ],
)
def test_what_falls_silent_stops_the_robot(without, after_s, reason):
    drive = Drive()
    drive.step(FORWARD)
    spoke_s = drive.now_s
    while drive.now_s + 0.05 - spoke_s <= after_s:
        assert drive.step(FORWARD, without=without, dt_s=0.05).velocity == FORWARD
    for _ in range(3):
        decision = drive.step(FORWARD, without=without, dt_s=0.05)
        assert decision.velocity == STILL
    assert decision.reason == reason
    assert drive.step(FORWARD).velocity == FORWARD


def test_scans_that_cannot_be_used_are_named_while_they_come():
    drive = Drive()
    drive.step(FORWARD)
    drive.safety.on_refused_scan("no transform", drive.now_s)
    assert drive.step(FORWARD, without="scan").velocity == FORWARD, "the last good one still counts"
    for _ in range(5):
        drive.safety.on_refused_scan("no transform", drive.now_s)
        decision = drive.step(FORWARD, without="scan")
    assert (decision.velocity, decision.reason) == (STILL, "no scan that can be used: no transform")
    for _ in range(5):
        decision = drive.step(FORWARD, without="scan")
    assert decision.reason == "no fresh scan"
    assert drive.step(FORWARD).velocity == FORWARD


def test_a_lidar_that_repeats_its_last_scan_is_stale():
    drive = Drive()
    drive.step(FORWARD)
    frozen = scan(7)
    for _ in range(10):
        drive.step(FORWARD, without="scan")
        drive.safety.on_scan(frozen, drive.now_s)
    assert drive.safety.decide(drive.now_s).reason == "no fresh scan"


def test_lost_stops_autonomy_but_not_a_person():
    drive = Drive()
    drive.step(FORWARD)
    drive.safety.on_pose(10_000, np.diag([1.0, 1.0, 1.0]), drive.now_s)
    assert "lost" in drive.safety.decide(drive.now_s).reason
    drive.safety.on_pose(10_001, np.full((3, 3), np.nan), drive.now_s)
    assert "lost" in drive.safety.decide(drive.now_s).reason
    drive.safety.on_velocity(TELEOP, FORWARD, drive.now_s)
    assert drive.safety.decide(drive.now_s).velocity == FORWARD


def test_a_node_that_reports_an_error_stops_autonomy():
    drive = Drive()
    drive.step(FORWARD)
    drive.safety.on_heartbeat("slam", "lost", drive.now_s)
    assert drive.safety.decide(drive.now_s).reason == "node slam: lost"


def test_emergency_stop_and_no_old_command_after_it():
    drive = Drive()
    drive.step(FORWARD)
    drive.safety.stop(True)
    assert drive.step(FORWARD).reason == "emergency stop"
    drive.safety.stop(True)
    drive.safety.stop(False)
    assert drive.safety.decide(drive.now_s).source == NOBODY
    assert drive.step(FORWARD).velocity == FORWARD


def test_a_person_at_the_stick_comes_first_and_keeps_it_for_a_while():
    drive = Drive()
    drive.step(FORWARD)
    drive.safety.on_velocity(TELEOP, Velocity(-0.1, 0.2), drive.now_s)
    taken_s = drive.now_s
    assert drive.safety.decide(drive.now_s).velocity == Velocity(-0.1, 0.2)
    while drive.now_s + 0.1 < taken_s + SETTINGS.teleop_hold_s:
        decision = drive.step(FORWARD)
        assert decision.source == TELEOP
    assert decision.velocity == STILL  # the stick fell silent, autonomy is still shut out
    drive.step(FORWARD)
    assert drive.step(FORWARD).velocity == FORWARD


def test_a_stick_does_not_run_into_walls_either():
    assert Drive().step(FORWARD, TELEOP, ahead=0.16).velocity == STILL


@pytest.mark.parametrize("velocity", [Velocity(float("nan"), 0.0), Velocity(0.0, float("inf"))])
def test_commands_that_are_not_finite_are_refused(velocity):
    drive = Drive()
    decision = drive.step(velocity)
    assert decision.velocity == STILL
    assert drive.safety.refused == 1


def test_people():
    clearance_m = SETTINGS.people_clearance_m
    beside = np.array([[0.5, 0.125 + 0.2 + clearance_m - 0.05, 0.0, 0.0, 0.2]])
    towards = np.array([[3.0, 0.0, -1.2, 0.0, 0.2]])
    away = np.array([[1.5, 0.0, 1.0, 0.0, 0.2]])
    for people, low, high in ((beside, 0.0, 0.0), (towards, 0.05, 0.4), (away, 0.5, 0.5)):
        drive = Drive()
        drive.step(FORWARD)
        drive.safety.on_people(people, drive.now_s)
        assert low <= drive.safety.decide(drive.now_s).velocity.linear_m_s <= high
    drive.safety.on_people(np.full((2, 5), np.nan), drive.now_s)
    assert drive.safety.decide(drive.now_s).velocity == FORWARD


def test_the_robot_stands_before_a_walking_person_is_too_near():
    drive = Drive()
    x_m, speed, person_m = 0.0, 0.5, 3.5
    while person_m - x_m > 0.6:  # then it walks into the standing robot
        person_m -= 1.0 * 0.1
        drive.step(FORWARD)
        drive.safety.on_people(np.array([[person_m - x_m, 0.0, -1.0, 0.0, 0.2]]), drive.now_s)
        target = drive.safety.decide(drive.now_s).velocity.linear_m_s
        speed = max(target, speed - SETTINGS.deceleration_m_s2 * 0.1)
        x_m += speed * 0.1
        gap_m = person_m - 0.2 - x_m - ROBOT.footprint_front_m
        assert speed < 1e-3 or gap_m > 0.4


@pytest.mark.parametrize("before_m", [0.05, 0.15, 0.2])
def test_the_robot_stands_when_a_person_would_become_too_near(before_m):
    """Somebody who stands: of the time until the clearance is reached, what reaction leaves is for braking."""
    drive = Drive(people_slow_down_s=0.0)
    drive.step(FORWARD)
    x_m = ROBOT.footprint_front_m + SETTINGS.people_clearance_m + before_m + 0.2
    drive.safety.on_people(np.array([[x_m, 0.0, 0.0, 0.0, 0.2]]), drive.now_s)
    brake_s = 0.5 / SETTINGS.deceleration_m_s2
    expected = max(0.0, before_m / 0.5 - SETTINGS.reaction_s) / brake_s
    assert drive.safety.decide(drive.now_s).share == pytest.approx(expected, abs=0.1)


@pytest.mark.parametrize(
    ("velocity", "free"),
    [
        (Velocity(0.0, 1.5), True),
        (Velocity(-0.25, 0.3), True),
        (Velocity(0.2, 0.0), False),
        (Velocity(0.2, 0.4), False),
    ],
    ids=["turning", "away", "towards", "past"],
)
@pytest.mark.parametrize(
    ("walks", "stood_s"),
    [(False, SETTINGS.people_wait_s + 0.2), (False, SETTINGS.people_wait_s - 0.2), (True, 0.0)],
    ids=["stands", "has just come", "walks"],
)
def test_from_a_person_who_stands_before_it_the_robot_turns_and_drives_away(velocity, free, walks, stood_s):
    """0.25 m off, nearer than people are owed: towards somebody who walks the robot stands."""
    drive = Drive()
    x_m = ROBOT.footprint_front_m + 0.25 + 0.2
    comes, here = (np.array([[x_m, 0.0, 0.0, vy, 0.2]]) for vy in (0.5, 0.5 if walks else 0.0))
    drive.safety.on_people(comes, 0.0)
    while drive.now_s < stood_s:
        drive.step(STILL)
        drive.safety.on_people(here, drive.now_s)
    drive.step(velocity)
    drive.safety.on_people(here, drive.now_s)
    decision = drive.safety.decide(drive.now_s)
    if free and stood_s > SETTINGS.people_wait_s:
        assert (decision.velocity, decision.reason) == (velocity, "")
    else:
        assert decision.velocity.linear_m_s == 0.0 and "person" in decision.reason


def test_people_of_the_map_are_taken_as_the_robot_sees_them():
    walker = TrackedObject(1, "person", 1.0, 0, np.array([1.0, 5.0, 0.8, -0.2]), np.eye(4), 0.25, True)
    # the robot looks along the map's y: ahead is +y, left is −x
    assert people_about([walker], np.array([1.0, 2.0, np.pi / 2])) == pytest.approx(
        np.array([[3.0, 0.0, -0.2, -0.8, 0.25]])
    )


def test_useless_scans():
    for ranges, reason in (
        (np.full(BEAMS, np.nan, np.float32), "are wanted (least_usable_share)"),
        (np.full(BEAMS, np.inf, np.float32), "0 returns"),
        (np.zeros(0, np.float32), "unusable"),
    ):
        drive = Drive()
        drive.step(FORWARD)
        drive.safety.on_scan(LaserScan(99, ranges, -np.pi, 0.01, 0.1, 16.0), drive.now_s)
        decision = drive.safety.decide(drive.now_s)
        assert decision.velocity == STILL
        assert reason in decision.reason


def test_braking_that_the_base_does_not_have_is_refused():
    base = params.load(BaseParams, "base")
    check_against_base(SETTINGS, base)
    for change in ({"deceleration_m_s2": 5.0}, {"angular_deceleration_rad_s2": 50.0}, {"rate_hz": 5.0}):
        with pytest.raises(InputError, match="base"):
            check_against_base(dataclasses.replace(SETTINGS, **change), base)


def test_what_comes_into_the_blind_zone_is_remembered_until_a_beam_passes_through():
    """A lidar that sees nothing nearer than 0.3 m drives on towards a post that it has seen before."""
    drive = Drive()
    ranges = np.full(BEAMS, 8.0, np.float32)
    post = slice(AHEAD - 10, AHEAD + 11)

    def see(stamp_ns: int, at_post_m: float) -> Velocity:
        ranges[post] = at_post_m
        drive.safety.on_scan(LaserScan(stamp_ns, ranges, -np.pi, 2 * np.pi / BEAMS, 0.3, 16.0), drive.now_s)
        return drive.safety.decide(drive.now_s).velocity

    drive.step(FORWARD, without="scan")
    drive.safety.on_measured(STILL, drive.now_s)
    assert see(101, 0.4).linear_m_s > 0.0
    for _ in range(10):  # 0.2 m on
        drive.now_s += 0.04
        drive.safety.on_measured(Velocity(0.5, 0.0), drive.now_s)
    drive.step(FORWARD, without="scan", dt_s=0.0)
    assert see(102, np.inf).linear_m_s < 0.02
    drive.safety.on_measured(STILL, drive.now_s)
    drive.step(Velocity(-0.2, 0.0), without="scan", dt_s=0.0)
    assert drive.safety.decide(drive.now_s).velocity.linear_m_s == pytest.approx(-0.2)
    drive.step(FORWARD, without="scan", dt_s=0.0)
    assert see(103, 8.0) == FORWARD


class Blind(Drive):
    """A lidar that sees nothing nearer than 0.3 m; it has seen a post 0.4 m ahead."""

    def __init__(self) -> None:
        super().__init__()
        self.look(0.4)

    def look(self, at_post_m: float) -> float:
        """See something ahead, or nothing in a wide angle; the speed that is then permitted."""
        self.stamp_ns += 1000
        ranges = np.full(BEAMS, 8.0, np.float32)
        reach = 10 if np.isfinite(at_post_m) else 200
        ranges[AHEAD - reach : AHEAD + reach + 1] = at_post_m
        self.step(FORWARD, without="scan", dt_s=0.0)
        self.safety.on_scan(LaserScan(self.stamp_ns, ranges, -np.pi, 2 * np.pi / BEAMS, 0.3, 16.0), self.now_s)
        return self.safety.decide(self.now_s).velocity.linear_m_s

    def move(self, velocity: Velocity, after_s: float = 0.1) -> None:
        self.now_s += after_s
        self.safety.on_measured(velocity, self.now_s)
        self.safety.on_measured(STILL, self.now_s)


@pytest.mark.parametrize(("turned_rad", "permitted_m_s"), [(0.4, 0.0), (0.6, 0.5)])
def test_the_memory_wears_out_by_way_and_turning(turned_rad, permitted_m_s):
    """0.2 of 0.35 m, and there and back twice 0.4 or 0.6 of 2.5 rad: 0.89 or 1.05 of what it lasts."""
    blind = Blind()
    blind.move(Velocity(2.0, 0.0))
    assert blind.look(np.inf) < 0.02
    for way in (1.0, -1.0):
        blind.move(Velocity(0.0, way * turned_rad / 0.1))
        speed = blind.look(np.inf)
    assert speed == pytest.approx(permitted_m_s, abs=0.02)


def test_after_a_silence_the_wheels_are_not_believed_to_have_gone_on_all_the_while():
    """Of 1 s without a word at most command_timeout_s were driven: 0.15 m, so the post is still ahead."""
    blind = Blind()
    blind.move(Velocity(0.5, 0.0), after_s=1.0)
    ahead_m = 0.4 - 0.5 * SETTINGS.command_timeout_s - ROBOT.footprint_front_m - SETTINGS.end_margin_m
    assert blind.look(np.inf) == pytest.approx(0.5 * (ahead_m / 0.5) / SETTINGS.slow_down_s, rel=0.05)


def beside(x_m: float, gap_m: float) -> np.ndarray:
    """Two returns left of the robot, ``gap_m`` from its side."""
    return np.array([[x_m, ROBOT.half_width_m + gap_m], [x_m + 0.002, ROBOT.half_width_m + gap_m]])


@pytest.mark.parametrize("gap_m", [0.03, 0.021, 0.019, 0.005])
def test_near_a_wall_beside_it_the_robot_is_slow_but_not_held(gap_m):
    """Turning towards it uses the whole margin or half the gap, whichever leaves more."""
    safety, turning = Drive().safety, 0.2
    contact_s = points_contact_time(beside(0.1, gap_m), 0.0, turning, safety.outline, safety.reserved, 2)
    way_m = max(gap_m - SETTINGS.side_margin_m, gap_m / 2.0)
    assert contact_s == pytest.approx(way_m / (turning * 0.1), rel=0.15)


def wall(gap_m: float, slope: float = 0.0) -> np.ndarray:
    """Returns every centimetre of a wall right of the robot, 1.2 m long; the gap is that at the front end, and
    grows by the slope."""
    along = np.arange(-0.6, 0.6, 0.01)
    return np.column_stack([along, -ROBOT.half_width_m - gap_m - slope * (along - ROBOT.footprint_front_m)])


@pytest.mark.parametrize("velocity", [FORWARD, Velocity(-0.25, 0.0)])
@pytest.mark.parametrize("gap_m", [0.021, 0.015, 0.005])
def test_a_wall_that_goes_on_beside_it_does_not_hold_the_robot(gap_m, velocity):
    safety, points = Drive().safety, wall(gap_m)
    contact_s = points_contact_time(points, *dataclasses.astuple(velocity), safety.outline, safety.reserved, 2)
    assert contact_s == np.inf


def test_along_a_wall_at_an_angle_it_drives_until_half_the_gap_is_left():
    """0.1 rad to the wall, 16 mm are left at the front end, 12 mm at the room before it, 6 mm after 6 cm."""
    safety, slope = Drive().safety, -0.1
    contact_s = points_contact_time(wall(0.016, slope), 0.1, 0.0, safety.outline, safety.reserved, 1)
    assert 0.1 * contact_s == pytest.approx(0.06, abs=0.01)


def test_what_comes_nearer_than_the_wall_beside_it_is_stopped_before():
    safety = Drive().safety
    before_m = ROBOT.footprint_front_m + SETTINGS.end_margin_m + 0.1
    post = beside(before_m, 0.007) * (1.0, -1.0)
    for points, expected_s in (
        (post, 0.2),  # nothing is beside the robot: the whole margin
        (np.vstack([post, wall(0.012)[:60:40]]), 0.2),  # a single return is
        (np.vstack([post, wall(0.016)[:60]]), 0.2),  # half of 16 mm
        (np.vstack([post, wall(0.012)[:60]]), np.inf),
        (np.vstack([post, wall(0.012)[:60] * (1.0, -1.0)]), 0.2),  # on the other side
    ):
        contact_s = points_contact_time(points, 0.5, 0.0, safety.outline, safety.reserved, 2)
        assert contact_s == pytest.approx(expected_s, abs=0.01)


def test_where_only_turning_is_refused_it_drives_straight():
    drive = Drive()
    drive.step(STILL, without="command")
    x_m, y_m = beside(0.1, 0.012)[0]
    ranges = np.full(BEAMS, 8.0, np.float32)
    index = round((np.arctan2(y_m, x_m) + np.pi) / (2 * np.pi / BEAMS))
    ranges[index - 1 : index + 2] = np.hypot(x_m, y_m)
    for source, permitted in ((AUTONOMY, Velocity(0.2, 0.0)), (TELEOP, None)):
        near = LaserScan(100 + drive.stamp_ns, ranges, -np.pi, 2 * np.pi / BEAMS, 0.1, 16.0)
        drive.safety.on_scan(near, drive.now_s + 0.1)
        decision = drive.step(Velocity(0.2, 1.5), source, without="scan")
        assert permitted is None or decision.velocity == permitted
    by_hand = decision.velocity
    assert by_hand.angular_rad_s == pytest.approx(by_hand.linear_m_s * 7.5)  # a person's command keeps its arc
