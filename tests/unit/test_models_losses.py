"""Networks fit their decoders; losses reward what is right."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from models_helpers import MODELS  # noqa: F401 (makes the package importable)

torch = pytest.importorskip("torch", reason="torch is not installed: scripts/requirements/train.txt")

from nanorover.errors import InputError
from nanorover.perception.decode import decode_ssd, make_decoder
from nanorover_models import model as models
from nanorover_models.boxes import encode_ssd, from_priors, giou, iou_matrix
from nanorover_models.distil import DenseTeacher
from nanorover_models.losses import make_loss, together
from nanorover_models.model import ARCHITECTURES, ModelSpec

SIZES = {"anchor_free": (160, 96), "mobilenet_v1_ssd": (150, 150), "mobilenet_v2_ssdlite": (150, 150)}


def tiny(architecture: str, labels: int = 3) -> ModelSpec:
    width, height = SIZES[architecture]
    return ModelSpec(architecture, 0.25, width, height, tuple(f"label{i}" for i in range(labels)))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_network_returns_what_its_decoder_expects(architecture: str) -> None:
    spec = tiny(architecture)
    network = models.build(spec).eval()
    with torch.inference_mode():
        outputs = network(torch.zeros(1, 3, spec.input_height, spec.input_width))
    decoder = make_decoder(models.describe(spec, network, Path("x"), {}))
    decoder.check([o.numpy() for o in outputs])


@pytest.mark.parametrize(("architecture", "million"), [("mobilenet_v1_ssd", 6.8), ("mobilenet_v2_ssdlite", 3.1)])
def test_full_width_has_the_size_of_the_published_networks(architecture: str, million: float) -> None:
    spec = ModelSpec(architecture, 1.0, 300, 300, tuple(f"label{i}" for i in range(4)))
    count = sum(p.numel() for p in models.build(spec).parameters())
    assert count / 1e6 == pytest.approx(million, rel=0.1)


def test_a_network_that_does_not_exist_is_named() -> None:
    with pytest.raises(InputError, match="no network 'vgg'"):
        ModelSpec("vgg", 1.0, 320, 256, ("a",))
    with pytest.raises(InputError, match="100 × 96 does not fit"):
        ModelSpec("anchor_free", 1.0, 100, 96, ("a",))


boxes = st.tuples(*[st.floats(0, 90)] * 2, *[st.floats(1, 60)] * 2).map(
    lambda b: [b[0], b[1], b[0] + b[2], b[1] + b[3]]
)


@given(a=boxes, b=boxes)
def test_overlaps_against_their_definition(a: list[float], b: list[float]) -> None:
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - width * height
    hull = (max(a[2], b[2]) - min(a[0], b[0])) * (max(a[3], b[3]) - min(a[1], b[1]))
    one, two = torch.tensor([a]), torch.tensor([b])
    assert float(iou_matrix(one, two)) == pytest.approx(width * height / union, abs=1e-4)
    assert float(giou(one, two)) == pytest.approx(width * height / union - (hull - union) / hull, abs=1e-4)


@given(box=boxes)
def test_ssd_deltas_return_to_the_box(box: list[float]) -> None:
    priors = torch.tensor([[40.0, 40.0, 30.0, 50.0]])
    deltas = encode_ssd(torch.tensor([box]), priors)
    assert decode_ssd(deltas.numpy(), priors.numpy())[0] == pytest.approx(box, abs=1e-2)


TARGETS = (torch.tensor([[20.0, 16.0, 84.0, 80.0], [100.0, 30.0, 130.0, 60.0]]), torch.tensor([2, 0]))


def assigned(loss, scores, predicted, boxes, labels) -> tuple:
    """For one picture, all of whose objects count: each point's owner and the score that it should give."""
    owners, wanted = loss.assign(scores[None], predicted[None], boxes[None], labels[None], labels[None] >= 0)
    return owners[0], wanted[0]


def anchor_free_outputs(loss, score: float) -> tuple:
    """Perfect boxes everywhere inside an object, and this logit at the points that answer for it."""
    logits = torch.full((1, len(loss.points), 3), -8.0)
    distances = torch.ones(1, len(loss.points), 4)
    for box in TARGETS[0]:
        inside = ((loss.points > box[:2]) & (loss.points < box[2:])).all(1)
        sides = torch.cat([loss.points - box[:2], box[2:] - loss.points], 1) / loss.strides[:, None]
        distances[0, inside] = sides[inside]
    owners, wanted = assigned(loss, logits[0].sigmoid(), loss.boxes(distances)[0], *TARGETS)
    points = wanted > 0
    logits[0, points, TARGETS[1][owners[points]]] = score
    return logits, distances


def test_task_alignment_rewards_right_boxes_and_scores() -> None:
    loss = make_loss("anchor_free", 160, 96, models.build(tiny("anchor_free")).head())
    sure = loss(anchor_free_outputs(loss, 8.0), together([TARGETS]))
    unsure = loss(anchor_free_outputs(loss, -3.0), together([TARGETS]))
    assert float(sure["box"]) == pytest.approx(0.0, abs=1e-4)
    assert float(sure["score"]) < 0.02
    assert float(unsure["score"]) > 2.0
    shifted = anchor_free_outputs(loss, 8.0)
    shifted[1][..., 2:] += 1.0
    assert float(loss(shifted, together([TARGETS]))["box"]) > 0.2


def test_assignment_stays_inside_the_object_and_reaches_the_smallest() -> None:
    loss = make_loss("anchor_free", 160, 96, models.build(tiny("anchor_free")).head())
    speck = torch.tensor([[33.0, 33.0, 35.0, 35.0], [80.0, 40.0, 120.0, 80.0]])
    scores = torch.full((len(loss.points), 3), 0.01)
    predicted = loss.boxes(torch.full((len(loss.points), 4), 2.0))
    owners, wanted = assigned(loss, scores, predicted, speck, torch.tensor([0, 1]))
    points = (wanted > 0).nonzero()[:, 0]
    owners, wanted = owners[points], wanted[points]
    assert set(owners.tolist()) == {0, 1}
    for point, owner in zip(loss.points[points], owners, strict=True):
        if owner == 1:
            assert ((point > speck[1, :2]) & (point < speck[1, 2:])).all()
    assert (owners == 1).sum() <= 10
    assert ((wanted >= 0) & (wanted <= 1)).all()
    best = iou_matrix(speck[1:], predicted[points[owners == 1]]).max()
    assert float(wanted[owners == 1].max()) == pytest.approx(float(best), rel=1e-3), (
        "the best is asked for its IoU"
    )


def test_pictures_of_a_batch_do_not_mix() -> None:
    spec = tiny("anchor_free")
    loss = make_loss("anchor_free", spec.input_width, spec.input_height, models.build(spec).head())
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, len(loss.points), 3, generator=generator)
    distances = 4 * torch.rand(3, len(loss.points), 4, generator=generator)
    nothing = (torch.zeros(0, 4), torch.zeros(0, dtype=torch.long))
    targets = [TARGETS, nothing, (TARGETS[0][:1], torch.tensor([-2]))]
    boxes, labels, there = together(targets)
    owners, wanted = loss.assign(logits.sigmoid(), loss.boxes(distances), boxes, labels, there & (labels >= 0))
    alone = assigned(loss, logits[0].sigmoid(), loss.boxes(distances)[0], *TARGETS)
    taken = alone[1] > 0
    assert torch.equal(owners[0][taken], alone[0][taken])
    assert torch.allclose(wanted[0], alone[1])
    assert not wanted[1:].any(), "nobody answers for nothing, nor for what is ignored"
    empty = loss((logits[1:2], distances[1:2]), together([nothing]))
    assert float(empty["box"]) == 0.0
    score = logits[1].sigmoid()  # of what is not there: easy background counts with its error squared
    assert float(empty["score"]) == pytest.approx(float((-0.75 * score**2 * (1 - score).log()).sum()), rel=1e-4)


def test_a_point_that_two_objects_want_goes_to_the_one_that_it_overlaps_most() -> None:
    loss = make_loss("anchor_free", 160, 96, models.build(tiny("anchor_free")).head())
    boxes = torch.tensor([[16.0, 0.0, 112.0, 96.0], [32.0, 16.0, 72.0, 56.0]])
    best = loss.inside(boxes)[1].nonzero()[:10, 0]
    scores = torch.full((len(loss.points), 3), 0.1)
    scores[best] = 0.9
    owners, wanted = assigned(loss, scores, boxes[1].expand(len(scores), 4), boxes, torch.tensor([0, 1]))
    assert (wanted > 0).nonzero()[:, 0].tolist() == best.tolist()
    assert set(owners[best].tolist()) == {1}


def test_multibox_gives_each_object_a_prior_and_mines_three_negatives() -> None:
    head = models.build(tiny("mobilenet_v2_ssdlite")).head()
    loss = make_loss("ssd", 150, 150, head)
    classes, deltas = loss.assign(*TARGETS)
    assert set(classes.tolist()) == {0, 1, 3}
    overlap = iou_matrix(from_priors(loss.priors), TARGETS[0]).max(1).values
    assert (classes[overlap >= 0.5] > 0).all()
    found = decode_ssd(deltas[classes > 0].numpy(), loss.priors[classes > 0].numpy())
    assert np.abs(found[:, None] - TARGETS[0].numpy()).max(2).min(1).max() < 0.01
    outputs, targets = (torch.zeros(1, len(loss.priors), 4), deltas[None]), together([TARGETS])
    positives = int((classes > 0).sum())
    # Equal logits cost log 4 each: positives and three times as many negatives.
    expected = np.log(4) * 4
    assert float(loss(outputs, targets)["score"]) == pytest.approx(expected, rel=1e-3), positives
    assert float(loss(outputs, targets)["box"]) == pytest.approx(0.0, abs=1e-5)


def test_multibox_leaves_no_object_without_a_prior_however_small_it_is_and_whoever_lies_around_it() -> None:
    loss = make_loss("ssd", 150, 150, models.build(tiny("mobilenet_v2_ssdlite")).head())
    boxes = torch.tensor([[40.0, 40.0, 80.0, 80.0], [56.0, 56.0, 60.0, 60.0]])
    classes, deltas = loss.assign(boxes, torch.tensor([0, 2]))
    assert set(classes.tolist()) == {0, 1, 3}
    found = decode_ssd(deltas[classes == 3].numpy(), loss.priors[classes == 3].numpy())
    assert found == pytest.approx(boxes[1:].numpy(), abs=0.01)


@pytest.mark.parametrize("architecture", ["anchor_free", "mobilenet_v2_ssdlite"])
def test_an_ignored_object_is_neither_right_nor_wrong_to_find(architecture: str) -> None:
    spec = tiny(architecture)
    head = models.build(spec).head()
    loss = make_loss(head["kind"], spec.input_width, spec.input_height, head)
    boxes, labels = TARGETS
    if architecture == "anchor_free":
        logits, distances = anchor_free_outputs(loss, 8.0)
        outputs = [(logits, distances), (logits.clone(), distances)]
        outputs[1][0][..., 0] = -8.0
    else:
        classes, deltas = loss.assign(boxes, labels)
        sure = 8.0 * torch.nn.functional.one_hot(classes, 4).float()[None]
        outputs = [(sure, deltas[None]), (sure.clone(), deltas[None])]
        outputs[1][0][0, classes == 1] = torch.tensor([8.0, 0.0, 0.0, 0.0])

    def prices(second: int) -> list[float]:
        """What finding both objects, and finding the first alone costs."""
        targets = together([(boxes, torch.tensor([2, second]))])
        return [float(sum(loss(found, targets).values())) for found in outputs]

    found, missed = prices(0)
    assert missed > found + 0.5
    assert prices(-1) == pytest.approx([found, found], abs=0.05)
    alone = together([(boxes[:1], labels[:1])])
    with_none = [float(sum(loss(o, alone).values())) for o in outputs]
    assert with_none[0] > with_none[1] + 0.5, "without the mark it would be wrong to find it"


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_batch_without_objects_has_a_finite_loss_and_gradient(architecture: str) -> None:
    spec = tiny(architecture)
    network = models.build(spec)
    loss = make_loss(network.head()["kind"], spec.input_width, spec.input_height, network.head())
    nothing = (torch.zeros(0, 4), torch.zeros(0, dtype=torch.long))
    outputs = network(torch.randn(2, 3, spec.input_height, spec.input_width))
    total = sum(loss(outputs, together([nothing, nothing])).values())
    total.backward()
    assert torch.isfinite(total)
    assert all(torch.isfinite(p.grad).all() for p in network.parameters() if p.grad is not None)


@pytest.mark.parametrize("architecture", ["anchor_free", "mobilenet_v2_ssdlite"])
def test_a_teacher_asks_for_what_it_sees_and_for_boxes_only_where_it_sees_something(architecture: str) -> None:
    class Says(torch.nn.Module):
        """A teacher that knows one answer."""

        def __init__(self, scores, boxes) -> None:
            super().__init__()
            self.answer = (scores, boxes)

        def head(self) -> dict:
            return head

        def forward(self, _):
            return self.answer

    spec = tiny(architecture)
    network = models.build(spec).eval()
    head, image = network.head(), torch.zeros(1, 3, spec.input_height, spec.input_width)
    with torch.no_grad():
        scores, boxes = network(image)
    sees, nothing, torn = torch.full_like(scores, -9.0), torch.full_like(scores, -9.0), torch.zeros_like(scores)
    sees[..., 1] = 9.0
    nothing[..., 0] = 9.0 if head["kind"] == "ssd" else -9.0

    def price(taught, learnt, wrong_boxes: bool = False) -> float:
        teacher = DenseTeacher(spec, spec, Says(taught, boxes), 1.0)
        return float(teacher(image, (learnt, boxes + 2.0 if wrong_boxes else boxes)))

    assert price(torn, torn) == pytest.approx(0.0, abs=1e-4), "nothing to learn from the like-minded"
    assert price(sees, nothing) > 5.0
    assert price(nothing, sees) > 0.1
    assert price(sees, sees, wrong_boxes=True) > 0.5
    assert price(nothing, nothing, wrong_boxes=True) < 0.1 * price(sees, sees, wrong_boxes=True)
