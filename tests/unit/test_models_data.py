"""Data sets in three formats, and augmentation that takes the boxes along."""

import json
import os
import signal
import struct
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path

import cv2
import numpy as np
import pytest
from models_helpers import LABELS, write_blocks

torch = pytest.importorskip("torch", reason="torch is not installed: scripts/requirements/train.txt")

from nanorover.errors import InputError
from nanorover.params import load
from nanorover_models.augment import Augmentation, Augmenter, clip, to_input
from nanorover_models.batches import Loaded, loading
from nanorover_models.commands import data_of
from nanorover_models.data import DataSet, Sample, load_data
from nanorover_models.evaluate import coco_scores
from nanorover_models.kept import Kept, _one_below_another
from nanorover_models.losses import Targets
from nanorover_models.params import TrainParams
from nanorover_models.report import SILENT, Reporter
from nanorover_models.world import World

Changed = tuple[np.ndarray, np.ndarray, np.ndarray]


@pytest.fixture(scope="module")
def coco(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_blocks(tmp_path_factory.mktemp("coco"), 6, seed=3)


def write_voc(folder: Path, data: DataSet) -> Path:
    (folder / "Annotations").mkdir(parents=True)
    (folder / "JPEGImages").mkdir()
    for sample in data.samples:
        (folder / "JPEGImages" / sample.path.name).write_bytes(sample.path.read_bytes())
        objects = "".join(
            f"<object><name>{data.labels[c]}</name><bndbox><xmin>{b[0]}</xmin><ymin>{b[1]}</ymin>"
            f"<xmax>{b[2]}</xmax><ymax>{b[3]}</ymax></bndbox></object>"
            for b, c in zip(sample.boxes_xyxy, sample.labels, strict=True)
        )
        text = f"<annotation><filename>{sample.path.name}</filename>{objects}</annotation>"
        (folder / "Annotations" / f"{sample.path.stem}.xml").write_text(text)
    return folder


def write_yolo(folder: Path, data: DataSet) -> Path:
    (folder / "labels").mkdir(parents=True)
    (folder / "images").mkdir()
    (folder / "classes.txt").write_text("\n".join(data.labels))
    for sample in data.samples:
        (folder / "images" / sample.path.name).write_bytes(sample.path.read_bytes())
        height, width = sample.image().shape[:2]
        rows = []
        for (x1, y1, x2, y2), c in zip(sample.boxes_xyxy, sample.labels, strict=True):
            rows.append(
                f"{c} {(x1 + x2) / 2 / width} {(y1 + y2) / 2 / height} {(x2 - x1) / width} {(y2 - y1) / height}"
            )
        (folder / "labels" / f"{sample.path.stem}.txt").write_text("\n".join(rows))
    return folder


def test_three_formats_say_the_same(coco: Path, tmp_path: Path) -> None:
    truth = load_data(coco)
    assert truth.labels == LABELS
    assert sum(len(s.labels) for s in truth.samples) == 12
    for other in (load_data(write_voc(tmp_path / "voc", truth)), load_data(write_yolo(tmp_path / "yolo", truth))):
        assert other.labels == truth.labels
        for a, b in zip(truth.samples, other.samples, strict=True):
            assert a.path.name == b.path.name
            assert b.boxes_xyxy == pytest.approx(a.boxes_xyxy, abs=1e-3)
            assert (a.labels == b.labels).all()


@pytest.mark.parametrize("write", [write_voc, write_yolo])
def test_how_far_reading_many_labels_is_can_be_seen(coco: Path, tmp_path: Path, write) -> None:
    said: list[str] = []
    load_data(write(tmp_path, load_data(coco)), report=Reporter(said.append, clock=count(step=1000).__next__))
    assert [line.split(" pictures")[0] for line in said] == [f"reading labels: {n}/6" for n in range(1, 7)]


def test_kept_pictures_are_read_with_how_far_that_is(coco: Path) -> None:
    said: list[str] = []
    report = Reporter(said.append, clock=count(step=1000).__next__)
    Kept(load_data(coco).samples, settings(64, 64), World(0, 1, torch.device("cpu")), report)
    assert [line.split(" pictures")[0] for line in said] == [f"reading: {n}/6" for n in range(1, 7)]


def test_a_split_is_whole_and_repeats(coco: Path) -> None:
    data = load_data(coco)
    one, two = data.split(0.34, seed=1)
    assert (len(one), len(two)) == (4, 2)
    assert {s.path for s in one.samples} | {s.path for s in two.samples} == {s.path for s in data.samples}
    assert [s.path for s in data.split(0.34, seed=1)[1].samples] == [s.path for s in two.samples]


def test_a_picture_that_cannot_be_read_is_a_sentence_whoever_reads_it(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"none")
    broken = Sample(tmp_path / "a.png", np.zeros((0, 4), np.float32), np.zeros(0, np.int64))
    said = []
    for workers in (0, 1):
        loaded = Loaded([broken] * 4, settings(64, 64, workers=workers), World(0, 1, torch.device("cpu")))
        with pytest.raises(InputError) as refused:
            next(loaded.epoch(0))
        said.append(str(refused.value))
    assert said[0] == said[1]
    assert said[0].startswith(f"the picture {tmp_path / 'a.png'} cannot be decoded")


@pytest.mark.timeout(60)
def test_processes_load_after_pictures_were_looked_at_here(coco: Path) -> None:
    """As after the validation of an epoch; OpenCV's threads do not come along into forked processes."""
    picture = np.zeros((2000, 3000, 3), np.uint8)
    loaded = Loaded(load_data(coco).samples, settings(64, 64, workers=1), World(0, 1, torch.device("cpu")))
    for epoch in range(20):
        cv2.setNumThreads(2)
        cv2.cvtColor(picture, cv2.COLOR_BGR2HSV)
        images, _ = next(loaded.epoch(epoch))
        assert images.shape[1:] == (3, 64, 64)


def killed_while_it_reads(path: Path) -> np.ndarray:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


@pytest.mark.timeout(60)
def test_a_killed_process_that_loads_is_a_sentence(coco: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nanorover_models.data.read_image", killed_while_it_reads)
    loaded = Loaded(load_data(coco).samples, settings(64, 64, workers=1), World(0, 1, torch.device("cpu")))
    with pytest.raises(InputError, match="was ended from outside: .*\n.*was memory short"), loading():
        next(loaded.epoch(0))


def turned_by_exif(path: Path, picture: np.ndarray, orientation: int = 6) -> None:
    """Write a JPEG as a telephone held upright does: lying, and marked to be turned right when it is shown."""
    plain = cv2.imencode(".jpg", picture)[1].tobytes()
    tags = struct.pack("<4sIHHHIHHI", b"II*\0", 8, 1, 0x112, 3, 1, orientation, 0, 0)
    segment = b"Exif\0\0" + tags
    path.write_bytes(plain[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + plain[2:])


@pytest.mark.parametrize(
    ("size", "fits"),
    [((64, 96), True), ((96, 64), False), ((32, 48), False), ((0, 0), True)],
    ids=["shown", "in the file", "scaled since", "not said"],
)
def test_labels_are_of_pictures_as_they_are_shown(tmp_path: Path, size: tuple[int, int], *, fits: bool) -> None:
    """Boxes that were drawn in a lying picture would be wrong in the upright one, and nobody would notice."""
    for folder in ("Annotations", "JPEGImages"):
        (tmp_path / folder).mkdir()
    turned_by_exif(tmp_path / "JPEGImages" / "a.jpg", np.zeros((64, 96, 3), np.uint8))
    width, height = size
    picture = {"id": 1, "file_name": "a.jpg", "width": width, "height": height}
    box = {"image_id": 1, "category_id": 1, "bbox": [2, 3, 20, 30]}
    document = {"images": [picture], "annotations": [box], "categories": [{"id": 1, "name": "cat"}]}
    (tmp_path / "labels.json").write_text(json.dumps(document))
    (tmp_path / "Annotations" / "a.xml").write_text(
        f"<annotation><size><width>{width}</width><height>{height}</height></size><object><name>cat</name><bndbox>"
        "<xmin>2</xmin><ymin>3</ymin><xmax>22</xmax><ymax>33</ymax></bndbox></object></annotation>"
    )
    for data in (load_data(tmp_path / "labels.json", tmp_path / "JPEGImages"), load_data(tmp_path)):
        if fits:
            assert data.samples[0].image().shape == (96, 64, 3)
        else:
            with pytest.raises(
                InputError, match=f"is 64 × 96 as it is shown, but its labels say {width} × {height}"
            ):
                data.samples[0].image()


@pytest.mark.parametrize("orientation", range(10))
def test_yolo_parts_are_of_the_picture_as_it_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, orientation: int
) -> None:
    """Also where a telephone's picture lies in its file, which is not decoded for that."""
    folder = yolo_folder(tmp_path / "d", b"0 0.5 0.25 0.5 0.5", "names: [cat]")
    for path in (folder / "images").iterdir():
        path.unlink()
    name = next((folder / "labels").iterdir()).stem
    turned_by_exif(folder / "images" / f"{name}.jpg", np.zeros((64, 96, 3), np.uint8), orientation)
    with monkeypatch.context() as context:
        context.delattr("nanorover_models.data.read_image")
        sample = load_data(folder).samples[0]
    height, width = sample.image().shape[:2]
    assert sample.boxes_xyxy.tolist() == [[width / 4, 0, width * 3 / 4, height / 2]]


def test_voc_boxes_outside_their_pictures_are_refused(coco: Path, tmp_path: Path) -> None:
    voc = write_voc(tmp_path / "voc", load_data(coco))
    for path in (voc / "Annotations").iterdir():
        small = "<annotation><size><width>64</width><height>96</height></size>"
        path.write_text(path.read_text().replace("<annotation>", small))
    with pytest.raises(InputError, match="6 of 12 boxes lie outside their picture, the first in .*000.png"):
        load_data(voc)


def test_texts_of_windows_begin_with_a_mark_that_is_no_part_of_them(coco: Path, tmp_path: Path) -> None:
    yolo = write_yolo(tmp_path / "yolo", load_data(coco))
    for path in (yolo / "classes.txt", yolo / "labels" / "000.txt"):
        path.write_text(path.read_text(), encoding="utf-8-sig")
    (tmp_path / "a.json").write_text((coco / "annotations.json").read_text(), encoding="utf-8-sig")
    assert load_data(yolo).labels == load_data(tmp_path / "a.json", coco / "images").labels == LABELS


def test_one_picture_is_not_split(coco: Path) -> None:
    one = DataSet(load_data(coco).samples[:1], LABELS)
    with pytest.raises(InputError, match="one picture is too few"):
        one.split(0.1, seed=1)


def test_validation_has_its_own_pictures_and_may_lack_a_class(coco: Path, tmp_path: Path) -> None:
    plain = settings(64, 64)
    document = json.loads((coco / "annotations.json").read_text())
    for part in ("train", "val"):
        (tmp_path / f"{part}.json").write_text(json.dumps(document))
    files = [tmp_path / "train.json"], coco / "images", tmp_path / "val.json"
    with pytest.raises(InputError, match="6 of 6 pictures are missing.*\n.*--validation-images says where"):
        data_of(*files, None, plain, SILENT)
    assert [len(part) for part in data_of(*files, coco / "images", plain, SILENT)] == [6, 6]
    with pytest.raises(InputError, match="not used without --validation"):
        data_of(*files[:2], None, coco / "images", plain, SILENT)

    whole = load_data(coco)
    second = [
        replace(s, boxes_xyxy=s.boxes_xyxy[s.labels == 1], labels=s.labels[s.labels == 1]) for s in whole.samples
    ]
    voc = write_voc(tmp_path / "voc", whole)
    lacking = write_voc(tmp_path / "lacking", DataSet(second, whole.labels))
    assert load_data(lacking).labels == LABELS[1:]
    training, validation = data_of([voc], None, lacking, None, plain, SILENT)
    assert validation.labels == training.labels == LABELS
    assert {label for s in validation.samples for label in s.labels} == {1}
    with pytest.raises(InputError, match="classes that .* does not have: bright"):
        data_of([lacking], None, voc, None, plain, SILENT)
    both, _ = data_of([lacking, voc], None, lacking, None, plain, SILENT)
    assert both.labels == LABELS[::-1], "the classes of all folders"
    called = [[both.labels[label] for label in s.labels] for s in both.samples[len(second) :]]
    assert called == [[LABELS[label] for label in s.labels] for s in whole.samples]


def yolo_folder(folder: Path, label_file: bytes, names: str) -> Path:
    for name in ("images", "labels"):
        (folder / name).mkdir(parents=True)
    cv2.imwrite(str(folder / "images" / "0.png"), np.zeros((80, 100, 3), np.uint8))
    (folder / "labels" / "0.txt").write_bytes(label_file)
    (folder / "data.yaml").write_text(names)
    return folder


def test_yolo_polygons_become_the_boxes_around_them_and_blank_lines_nothing(tmp_path: Path) -> None:
    lines = b"1 0.1 0.2 0.3 0.1 0.2 0.9\n\n0 0.5 0.5 0.4 0.2\n"
    data = load_data(yolo_folder(tmp_path / "set" / "train", lines, "names: {1: dog, 0: cat}"))
    assert data.labels == ("cat", "dog")
    assert data.samples[0].labels.tolist() == [1, 0]
    assert data.samples[0].boxes_xyxy == pytest.approx(np.array([[10, 8, 30, 72], [30, 32, 70, 48]]))
    (tmp_path / "set" / "train" / "data.yaml").rename(tmp_path / "set" / "data.yaml")
    assert load_data(tmp_path / "set" / "train").labels == ("cat", "dog"), "one for several folders"


@pytest.mark.parametrize("line", [b"0 0.1 0.2 0.3", b"0 0.1 0.2 0.3 0.4 0.9", b"nan 0.1 0.2 0.3 0.4", b"\xff\xfe"])
def test_yolo_labels_that_are_none_are_named(tmp_path: Path, line: bytes) -> None:
    with pytest.raises(InputError, match=r"0\.txt (line 1 is|is not text)"):
        load_data(yolo_folder(tmp_path / "d", line, "names: [cat]"))


@pytest.mark.parametrize(
    "names", ["names: cat", "names:", "- cat", "", "names: [cat\n x: {", "names: {0: cat, 2: dog}"]
)
def test_yolo_names_that_are_none_are_refused(tmp_path: Path, names: str) -> None:
    with pytest.raises(InputError, match=r"data\.yaml (does not name the classes|is not valid YAML)"):
        load_data(yolo_folder(tmp_path / "d", b"0 0.5 0.5 0.4 0.2", names))


def test_coco_boxes_that_are_not_in_their_pictures_are_counted(coco: Path) -> None:
    document = json.loads((coco / "annotations.json").read_text())
    for picture in document["images"]:
        picture |= {"width": 128, "height": 96}

    def refused_with(*boxes: list[float]) -> str:
        for annotation, box in zip(document["annotations"], boxes, strict=False):
            annotation["bbox"] = box
        (coco / "changed.json").write_text(json.dumps(document))
        with pytest.raises(InputError) as refused:
            load_data(coco / "changed.json", coco / "images")
        return str(refused.value)

    assert "2 of 12 boxes lie outside their picture" in refused_with([5000, 0, 10, 10], [0, -50, 10, 40])
    assert "all boxes lie between 0 and 1" in refused_with(*[[0.1, 0.2, 0.5, 0.5]] * 12)


def test_bad_data_is_named(coco: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no data set that is known"):
        load_data(tmp_path)
    document = json.loads((coco / "annotations.json").read_text())

    def written(name: str, text: str) -> Path:
        (tmp_path / name).write_text(text)
        return tmp_path / name

    with pytest.raises(InputError, match="not valid JSON"):
        load_data(written("cut.json", json.dumps(document)[:100]))
    with pytest.raises(InputError, match="no COCO file"):
        load_data(written("other.json", "{}"))
    with pytest.raises(InputError, match="6 of 6 pictures are missing"):
        load_data(written("moved.json", json.dumps(document)), tmp_path / "nowhere")
    stranger = {**document, "annotations": [{**document["annotations"][0], "category_id": 99}]}
    with pytest.raises(InputError, match="annotation 0 names"):
        load_data(written("stranger.json", json.dumps(stranger)), coco / "images")
    yolo = write_yolo(tmp_path / "yolo", load_data(coco))
    (yolo / "labels" / "000.txt").write_text("0 0.5 0.5 1.7 0.5")
    with pytest.raises(InputError, match=r"000\.txt line 1 is out of range"):
        load_data(yolo)
    (yolo / "labels" / "000.txt").write_text("7 0.5 0.5 0.5 0.5")
    with pytest.raises(InputError, match="names 2 classes, but class 7 occurs"):
        load_data(yolo)
    voc = write_voc(tmp_path / "voc", load_data(coco))
    (voc / "Annotations" / "000.xml").write_text("<annotation><object>")
    with pytest.raises(InputError, match=r"000\.xml is no VOC annotation"):
        load_data(voc)


def changed_one_by_one(samples: list[Sample], settings: TrainParams) -> Iterator[Changed]:
    augmenter = Augmenter(settings.augmentation(0), settings.input_width, settings.input_height)
    for seed in range(len(samples)):
        yield augmenter(samples, seed, np.random.default_rng(seed))


def changed_together(samples: list[Sample], settings: TrainParams) -> Iterator[Changed]:
    for images, targets in Kept(samples, settings, World(0, 1, torch.device("cpu"))).epoch(0):
        for image, boxes, labels, there in zip(images, *targets, strict=True):
            bgr = image.round().byte().permute(1, 2, 0).numpy()[..., ::-1]
            yield bgr, boxes[there].numpy(), labels[there].numpy()


def settings(width: int, height: int, **changes: float) -> TrainParams:
    plain = {"mosaic": 0.0, "flip": 0.0, "zoom": 0.0, "colour": 0.0, "batch": 4, **changes}
    return load(TrainParams, "train", input_width=width, input_height=height, **plain)


@pytest.mark.parametrize("change", [changed_one_by_one, changed_together])
@pytest.mark.parametrize("mosaic", [0.0, 1.0], ids=["single", "mosaic"])
def test_boxes_stay_on_their_blocks_however_a_picture_is_changed(coco: Path, mosaic: float, change) -> None:
    """The truth is in the pixels: inside a box its block's grey, around it the background's."""
    samples = load_data(coco).samples * 4
    checked, edges = 0, []
    for image, boxes, labels in change(samples, settings(160, 96, mosaic=mosaic, flip=0.5, zoom=0.4)):
        assert image.shape == (96, 160, 3)
        assert (boxes[:, :2] >= 0).all()
        assert (boxes[:, 2:] <= (160, 96)).all()
        for box, label in zip(boxes[labels >= 0], labels[labels >= 0], strict=True):
            x1, y1, x2, y2 = np.round(box).astype(int)
            inner = image[y1 + 2 : y2 - 2, x1 + 2 : x2 - 2].astype(int)
            if inner.size:
                assert abs(np.median(inner) - (230, 25)[label]) < 5
                checked += 1
            beside = [image[(y1 + y2) // 2, x].mean() for x in (x1 - 4, x2 + 3) if 0 <= x < 160]
            edges += [abs(grey - (230, 25)[label]) > 30 for grey in beside]
    assert checked > len(samples)
    assert np.mean(edges) > 0.85, "a block ends where its box ends, unless another one touches it"


@pytest.fixture
def plain(tmp_path: Path) -> list[Sample]:
    """Eight pictures of one grey each: 0, 30 … 210."""
    samples = []
    for grey in range(0, 240, 30):
        cv2.imwrite(str(tmp_path / f"{grey}.png"), np.full((64, 64, 3), grey, np.uint8))
        samples.append(Sample(tmp_path / f"{grey}.png", np.zeros((0, 4), np.float32), np.zeros(0, np.int64)))
    return samples


@pytest.mark.parametrize("change", [changed_one_by_one, changed_together])
def test_a_mosaic_is_of_different_pictures_and_a_small_picture_lies_anywhere(plain: list[Sample], change) -> None:
    corners = [image[8:64:48, 8:64:48, 0] for image, _, _ in change(plain, settings(64, 64, mosaic=1.0))]
    assert np.mean([len(np.unique(pieces)) for pieces in corners]) > 2
    free = np.zeros(4, bool)
    for image, _, _ in change(plain * 4, settings(64, 64, zoom=0.8)):
        free |= [(side == 114).all() for side in (image[:, 0], image[:, -1], image[0], image[-1])]
    assert free.all(), "left, right, top, bottom"


@pytest.mark.parametrize("change", [changed_one_by_one, changed_together])
def test_what_is_hardly_seen_is_ignored(plain: list[Sample], change) -> None:
    one = np.ones(1, np.int64)
    thin, unfair, corner = (
        np.array([box], np.float32) for box in ([9, 9, 11, 40], [20, 20, 22, 40], [0, 0, 24, 24])
    )
    for _, _, labels in change([replace(plain[0], boxes_xyxy=thin, labels=one, ignored_xyxy=unfair,
                                        ignored_labels=0 * one)] * 4, settings(64, 64)):  # fmt: skip
        assert sorted(labels.tolist()) == [-2, -1]
    zoomed = list(change([replace(plain[0], boxes_xyxy=corner, labels=one)] * 32, settings(64, 64, zoom=1.0)))
    assert {int(label) for _, _, labels in zoomed for label in labels} == {1, -2}
    assert any((boxes[labels < 0, 2:] - boxes[labels < 0, :2] > 3).all(1).any() for _, boxes, labels in zoomed)


def test_of_the_objects_of_a_batch_those_that_are_there_remain() -> None:
    boxes = torch.arange(16.0).reshape(2, 2, 4)
    parts = [Targets(boxes[i : i + 1], torch.tensor([[5, 7]]), torch.tensor([[i == 1, i == 0]])) for i in range(2)]
    kept, labels, there = _one_below_another(parts)
    assert (labels.tolist(), there.tolist()) == ([[7], [5]], [[True], [True]])
    assert torch.equal(kept[:, 0], torch.stack([boxes[0, 1], boxes[1, 0]]))


def test_processes_have_different_pictures_and_change_them_differently(plain: list[Sample]) -> None:
    halves = [Kept(plain, settings(64, 64), World(rank, 2, torch.device("cpu"))) for rank in range(2)]
    greys = [[int(g) for images, _ in half.epoch(0) for g in images[:, 0, 32, 32]] for half in halves]
    assert sorted(greys[0] + greys[1]) == list(range(0, 240, 30))
    assert np.argsort(greys[0]).tolist() != np.argsort(greys[1]).tolist()


def test_pictures_that_nothing_changes_are_those_of_the_robot(coco: Path) -> None:
    """Both ways of making a training picture end where the runtime's own fitting ends, and on the same objects."""
    samples = load_data(coco).samples
    same = settings(160, 72)
    fitted = [to_input(s.image(), s.boxes_xyxy, 160, 72) for s in samples]
    together = list(changed_together(samples, same))
    assert len(together) == len(samples) // 4 * 4
    for image, boxes, _ in [*changed_one_by_one(samples, same), *together]:
        apart = [np.abs(image.astype(int) - other).mean() for other, _ in fitted]
        assert min(apart) < 1.5
        assert boxes == pytest.approx(fitted[int(np.argmin(apart))][1], abs=0.01)


def test_every_epoch_of_kept_pictures_is_another_one_and_comes_again(coco: Path) -> None:
    kept = Kept(load_data(coco).samples, settings(64, 64, colour=0.5), World(0, 1, torch.device("cpu")))
    first, again, second = (torch.cat([images for images, _ in kept.epoch(n)]) for n in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, second)
    assert first.min() >= 0 and first.max() <= 255


def test_colour_changes_leave_boxes_alone_and_pictures_differ(coco: Path) -> None:
    samples = load_data(coco).samples
    plain = Augmenter(Augmentation(0.0, 0.0, 0.0, 0.0), 128, 96)(samples, 0, np.random.default_rng(0))
    changed = Augmenter(Augmentation(0.0, 0.0, 0.0, 0.8), 128, 96)(samples, 0, np.random.default_rng(0))
    assert plain[1] == pytest.approx(samples[0].boxes_xyxy, abs=0.01)
    assert changed[1] == pytest.approx(plain[1])
    assert np.abs(changed[0].astype(int) - plain[0]).mean() > 3


def test_a_box_of_which_little_is_left_is_ignored_and_one_outside_dropped() -> None:
    boxes = np.array(
        [[-90, 0, 10, 20], [-10, 0, 10, 20], [5, 5, 7, 50], [-20, 0, -3, 9], [-9, 0, 9, 9]], np.float32
    )
    kept, labels = clip(boxes, np.array([0, 1, 2, 3, -5]), 100, 100)
    assert labels.tolist() == [-1, 1, -3, -5]
    assert kept.tolist() == [[0, 0, 10, 20], [0, 0, 10, 20], [5, 5, 7, 50], [0, 0, 9, 9]]


def test_crowds_and_difficult_objects_are_neither_right_nor_wrong_to_find(coco: Path, tmp_path: Path) -> None:
    document = json.loads(coco.joinpath("annotations.json").read_text())
    for annotation in document["annotations"][::2]:
        annotation["iscrowd"] = 1
    (coco / "crowds.json").write_text(json.dumps(document))
    data = load_data(coco / "crowds.json")
    fair, crowds = sum(len(s.labels) for s in data.samples), sum(len(s.ignored_labels) for s in data.samples)
    assert (fair, crowds) == (len(document["annotations"]) // 2, (len(document["annotations"]) + 1) // 2)
    found = [
        {"image_id": i, "category_id": int(label), "bbox": [*box[:2], *(box[2:] - box[:2])], "score": score}
        for i, sample in enumerate(data.samples)
        for boxes, labels, score in (
            (sample.boxes_xyxy, sample.labels, 0.5),
            (sample.ignored_xyxy, sample.ignored_labels, 0.9),
        )
        for box, label in zip(boxes.astype(float), labels, strict=True)
    ]
    assert coco_scores(data, found)[0] == pytest.approx(1.0)
    unfair = [{**f, "bbox": [0.0, 0.0, 3.0, 3.0]} if f["score"] == 0.9 else f for f in found]
    assert coco_scores(data, unfair)[0] < 0.8
    whole = load_data(coco)
    voc = write_voc(tmp_path / "voc", whole)
    path = voc / "Annotations" / "000.xml"
    path.write_text(path.read_text().replace("<object>", "<object><difficult>1</difficult>", 1))
    before, after = whole.samples[0], load_data(voc).samples[0]
    assert (len(after.labels), len(after.ignored_labels)) == (len(before.labels) - 1, 1)


def test_a_picture_without_boxes_can_be_trained_on(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((20, 30, 3), np.uint8))
    empty = Sample(tmp_path / "a.png", np.zeros((0, 4), np.float32), np.zeros(0, np.int64))
    for mosaic in (0.0, 1.0):
        for change in (changed_one_by_one, changed_together):
            _, boxes, labels = next(
                change([empty], settings(64, 64, mosaic=mosaic, flip=1.0, zoom=0.3, colour=0.5))
            )
            assert boxes.shape == (0, 4)
            assert labels.shape == (0,)
