"""The error metric on values worked out by hand."""

import math

import numpy as np
import pytest

from nanorover.errors import InputError
from nanorover.slam.relations import Relations, errors_of, read_relations, relation_error
from nanorover.slam.trajectory import evenly_along, write_tum

NS = 1_000_000_000


def test_errors_by_hand(tmp_path):
    path = tmp_path / "two.relations"
    path.write_text(
        "# comment\n1.5 2.500001 1.0 0 0 0 0 0\n2.500001 4.25 0.0 1.0 0 0 0 1.5707963\n1.5 99 0 0 0 0 0 0\n"
    )
    relations = read_relations(path)
    stamps_ns = np.array([4_250_000_000, 1_500_000_000, 2_500_001_000])  # in no order
    # 1.5 s: origin looking along +y; 2.5 s: one metre ahead; 4.25 s: 0.9 m to its left, turned by 80°.
    poses = np.array([[-0.9, 1.0, math.radians(170)], [0.0, 0.0, math.radians(90)], [0.0, 1.0, math.radians(90)]])
    trans_m, rot_rad = errors_of(relations, stamps_ns, poses)
    assert trans_m[:2] == pytest.approx([0.0, 0.1], abs=1e-9)
    assert rot_rad[:2] == pytest.approx([0.0, math.radians(10)], abs=1e-6)
    assert math.isnan(trans_m[2])
    error = relation_error(relations, stamps_ns, poses)
    assert error.n == 2
    assert error.trans_m_mean == pytest.approx(0.05)
    assert error.trans_m_std == pytest.approx(0.05)
    assert error.rot_deg_mean == pytest.approx(5.0, abs=1e-4)


@pytest.mark.parametrize(
    ("true_deg", "first_deg", "second_deg", "off_deg"),
    [(179.0, 0.0, -179.0, 2.0), (-179.0, 170.0, -12.0, 3.0), (180.0, -90.0, 85.0, 5.0), (0.0, 178.0, -178.0, 4.0)],
)
def test_an_error_of_rotation_goes_the_short_way_round(true_deg, first_deg, second_deg, off_deg):
    relations = Relations(np.array([[0, NS]]), np.array([[0.0, 0.0, math.radians(true_deg)]]))
    poses = np.array([[1.0, 2.0, math.radians(first_deg)], [1.0, 2.0, math.radians(second_deg)]])
    _, rot_rad = errors_of(relations, np.array([0, NS]), poses)
    assert np.degrees(rot_rad) == pytest.approx([off_deg])


@pytest.mark.parametrize("text", ["1 2 3\n", "1 2 x 0 0 0 0 0\n", "1 2 nan 0 0 0 0 0\n", "", "# nothing\n"])
def test_bad_relations_are_named(tmp_path, text):
    path = tmp_path / "bad.relations"
    path.write_text(text)
    with pytest.raises(InputError, match="bad.relations"):
        read_relations(path)


def test_relations_that_cannot_be_read_are_refused_in_words(tmp_path):
    with pytest.raises(InputError, match="cannot read relations .*nix: No such file") as missing:
        read_relations(tmp_path / "nix")
    (tmp_path / "picture").write_bytes(b"\xff\xd8")
    with pytest.raises(InputError, match="picture is no text") as binary:
        read_relations(tmp_path / "picture")
    assert "t1 t2 x y z" in missing.value.hint and "t1 t2 x y z" in binary.value.hint


def test_relations_of_another_log(tmp_path):
    path = tmp_path / "r"
    path.write_text("1 2 0 0 0 0 0 0\n")
    with pytest.raises(InputError, match=r"none of the 1 relations .* 1.000 to 2.000 s, the scans of 5.000 to 6"):
        relation_error(read_relations(path), np.array([5 * NS, 6 * NS]), np.zeros((2, 3)))


@pytest.mark.parametrize(
    ("off_ms", "period_ms", "fit"),
    [(0.002, 200, 3), (1.0, 200, 3), (-4.9, 200, 3), (5.1, 200, 1), (-60, 200, 1), (2.4, 10, 3), (2.6, 10, 1)],
)
def test_times_that_are_rounded_belong_to_the_nearest_scan(off_ms, period_ms, fit):
    stamps_ns = np.arange(5) * period_ms * 1_000_000
    poses = np.column_stack([np.arange(5) ** 2, np.zeros(5), np.zeros(5)])
    wanted_ns = np.array([[0, 1], [1, 2], [2, 4]]) * period_ms * 1_000_000
    wanted_ns[1:] += round(off_ms * 1e6)
    error = relation_error(
        Relations(wanted_ns, np.array([[1.0, 0, 0], [3.0, 0, 0], [12.0, 0, 0]])), stamps_ns, poses
    )
    assert (error.n, error.given) == (fit, 3)
    assert error.trans_m_mean == 0
    assert error.stamps_off_ms == (abs(off_ms) if fit == 3 else 0.0)


def test_tum_keeps_the_stamp_to_the_digit(tmp_path):
    stamps_ns = np.array([1215_570657_000, 976053451_215867_000])
    write_tum(tmp_path / "t.tum", stamps_ns, np.array([[1.0, 2.0, 0.0], [0.5, -1.0, math.pi / 2]]))
    lines = [line.split() for line in (tmp_path / "t.tum").read_text().splitlines()]
    assert [line[0] for line in lines] == ["1215.570657", "976053451.215867"]
    assert [float(v) for v in lines[1][1:]] == pytest.approx([0.5, -1, 0, 0, 0, math.sqrt(0.5), math.sqrt(0.5)])


def test_poses_chosen_evenly_along_the_way():
    standing, driving = np.zeros((500, 3)), np.zeros((1001, 3))
    driving[:, 0] = np.linspace(0.0, 10.0, 1001)
    poses = np.concatenate([standing, driving])
    chosen = evenly_along(poses, 101)
    assert len(chosen) <= 101
    assert (chosen[0], chosen[-1]) == (0, len(poses) - 1)
    assert np.diff(poses[chosen, 0]) == pytest.approx(0.1, abs=0.0101)
    assert evenly_along(standing, 10).tolist() == [0, 499]
    assert evenly_along(standing[:1], 10).tolist() == [0]
    assert evenly_along(standing[:0], 10).tolist() == []
