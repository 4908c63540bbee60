"""Detections as other nodes send them: with several hypotheses, or none."""

from types import SimpleNamespace

import pytest
from vision_msgs.msg import Detection2D, Detection2DArray, ObjectHypothesisWithPose

from nanorover.fusion.detections import detections_of
from nanorover.fusion.measurements import Detection

pytestmark = pytest.mark.nodes


def box(**scores: float) -> Detection2D:
    made = Detection2D()
    made.bbox.center.position.x, made.bbox.center.position.y = 100.0, 50.0
    made.bbox.size_x, made.bbox.size_y = 40.0, 20.0
    for name, score in scores.items():
        guess = ObjectHypothesisWithPose()
        guess.hypothesis.class_id, guess.hypothesis.score = name, score
        made.results.append(guess)
    return made


def test_the_likeliest_hypothesis_counts_and_a_box_without_one_does_not():
    message = Detection2DArray(detections=[box(), box(cat=0.25, dog=0.75)])
    assert detections_of(message) == [Detection("dog", 0.75, (80.0, 40.0, 120.0, 60.0))]


def test_boxes_as_vision_msgs_had_them_before_humble():
    centre, guess = SimpleNamespace(x=100.0, y=50.0), SimpleNamespace(class_id="cat", score=0.5)
    bounds = SimpleNamespace(center=centre, size_x=40.0, size_y=20.0)
    old = SimpleNamespace(bbox=bounds, results=[SimpleNamespace(hypothesis=guess)])
    assert detections_of(SimpleNamespace(detections=[old])) == [Detection("cat", 0.5, (80.0, 40.0, 120.0, 60.0))]
