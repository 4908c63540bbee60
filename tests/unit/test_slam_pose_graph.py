"""The pose graph against truth and against a dense solution."""

import math

import numpy as np
import pytest

from nanorover.geometry.se2 import between, compose
from nanorover.slam.graph import Edge, Graph
from nanorover.slam.pose_graph import PoseGraph

INFORMATION = np.diag([1e4, 1e4, 1e5])


def circle(n: int) -> np.ndarray:
    poses = np.zeros((n, 3))
    for k in range(1, n):
        poses[k] = compose(poses[k - 1], np.array([0.5, 0.0, 2 * math.pi / (n - 1)]))
    return poses


def edge(poses: np.ndarray, i: int, j: int, loop: bool = False, off=(0.0, 0.0, 0.0)) -> Edge:
    return Edge(i, j, between(poses[i], poses[j]) + np.array(off), INFORMATION, loop)


def drifted(truth: np.ndarray, per_step) -> np.ndarray:
    poses = truth.copy()
    for k in range(1, len(truth)):
        poses[k] = compose(poses[k - 1], between(truth[k - 1], truth[k]) + np.array(per_step))
    return poses


def test_a_loop_brings_drifted_poses_back_to_the_truth():
    truth = circle(80)
    start = drifted(truth, (0.01, 0.0, 0.004))
    assert np.abs(start - truth).max() > 0.5
    # The steps are measured as they were; the drift is in the starting values only.
    edges = [edge(truth, k, k + 1) for k in range(79)] + [edge(truth, 0, 79, loop=True)]
    graph = PoseGraph(start, edges)
    for _ in range(12):
        moved_m = graph.iterate(math.inf)
    assert moved_m < 1e-6
    assert np.abs(graph.poses - truth)[:, :2].max() < 1e-5
    assert graph.chi2().max() < 1e-6


def test_one_step_is_that_of_the_dense_normal_equations():
    rng = np.random.default_rng(4)
    n = 30
    truth = circle(n)
    pairs = [(k, k + 1) for k in range(n - 1)] + [
        tuple(sorted(rng.choice(n, 2, replace=False))) for _ in range(25)
    ]
    edges = [edge(truth, int(i), int(j), off=rng.normal(0, 0.02, 3)) for i, j in pairs]
    start = truth + rng.normal(0, 0.05, (n, 3))
    start[0] = truth[0]
    graph = PoseGraph(start, edges)
    graph.iterate()

    def residuals(flat):
        poses = flat.reshape(n, 3)
        rows = []
        for e in edges:
            r = between(poses[e.i], poses[e.j]) - e.T_i_j
            r[2] = (r[2] + math.pi) % (2 * math.pi) - math.pi
            rows.append(np.sqrt(np.diag(INFORMATION)) * r)
        return np.concatenate(rows)

    x, J = start.ravel(), []
    for k in range(3 * n):
        h = np.zeros(3 * n)
        h[k] = 1e-6
        J.append((residuals(x + h) - residuals(x - h)) / 2e-6)
    J = np.array(J).T[:, 3:]  # the first pose stays
    step = np.linalg.lstsq(J, residuals(x), rcond=None)[0].reshape(-1, 3)
    assert graph.poses[1:] == pytest.approx((start[1:] - step), abs=2e-5)


def test_a_false_loop_loses_its_pull():
    truth = circle(80)
    edges = [edge(truth, k, k + 1) for k in range(79)]
    edges += [edge(truth, k, k + 2) for k in range(78)]
    edges += [edge(truth, 0, 79, loop=True), edge(truth, 1, 78, loop=True)]
    false = Edge(10, 50, np.array([0.0, 0.0, 0.0]), INFORMATION, True)
    graph = PoseGraph(truth, [*edges, false])
    for _ in range(10):
        graph.iterate()
    assert np.abs(graph.poses - truth)[:, :2].max() < 0.05
    trusting = PoseGraph(truth, [*edges, false])
    for _ in range(10):
        trusting.iterate(math.inf)
    assert np.abs(trusting.poses - truth)[:, :2].max() > 0.5


def test_way_along_the_graph():
    graph = Graph()
    for k in range(5):
        graph.add_keyframe(k, np.array([float(k), 0.0, 0.0]), np.zeros((0, 4), np.float32), np.zeros(3))
    for k in range(4):
        graph.add_edge(k, k + 1, INFORMATION)
    assert graph.path_lengths(0) == pytest.approx([0, 1, 2, 3, 4])
    assert graph.path_lengths(2, 1.5) == pytest.approx([math.inf, 1, 0, 1, math.inf])
    graph.add_edge(0, 4, INFORMATION, np.array([0.1, 0.0, 0.0]), loop=True)
    assert graph.path_lengths(0) == pytest.approx([0, 1, 2, 1.1, 0.1], abs=1e-6)
    graph.add_keyframe(5, np.array([5.0, 0.0, 0.0]), np.zeros((0, 4), np.float32), np.zeros(3))
    graph.add_edge(4, 5, np.diag([0.25, 0.25, 1.0]))
    assert graph.path_lengths(4)[5] > 100.0  # loosely tied: far apart until a loop is found
