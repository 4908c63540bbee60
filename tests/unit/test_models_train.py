"""The way of a detector, on blocks that it learns in seconds: train, resume, prune, distil, quantize, export."""

import json
import os
import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from itertools import count
from pathlib import Path

import cv2
import numpy as np
import pytest
from models_helpers import LABELS, MODELS, write_blocks

torch = pytest.importorskip("torch", reason="torch is not installed: scripts/requirements/train.txt")

from nanorover.errors import InputError
from nanorover.params import load
from nanorover.perception.description import load_model
from nanorover.perception.detector import Detector, Limits
from nanorover.perception.engines.onnx_runtime import OnnxRuntimeEngine
from nanorover_models import commands
from nanorover_models import model as models
from nanorover_models.batches import Batch, Loaded
from nanorover_models.blocks import InvertedResidual
from nanorover_models.data import DataSet, load_data
from nanorover_models.evaluate import evaluate, torch_detector
from nanorover_models.explain import explain, explained, heat_map
from nanorover_models.export import folded
from nanorover_models.lint import lint, load_onnx
from nanorover_models.measure import count as cost_of
from nanorover_models.model import ModelSpec
from nanorover_models.params import QatParams, TrainParams
from nanorover_models.prune import Importance, prune
from nanorover_models.report import SILENT, Reporter
from nanorover_models.train import Average, Trainer
from nanorover_models.world import join_world


def settings(**changes: object) -> TrainParams:
    given = {"width_multiplier": 0.5, "input_width": 128, "input_height": 96, "epochs": 16, "batch": 8}
    given |= {"learning_rate": 0.01, "mosaic": 0.2, "zoom": 0.2, "ema_decay": 0.9, "plain_epochs": 3}
    return load(TrainParams, "train", **{**given, "validate_every": 100, **changes})


@pytest.fixture(scope="module")
def blocks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_blocks(tmp_path_factory.mktemp("blocks"), 40, seed=1)


@pytest.fixture(scope="module")
def unseen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_blocks(tmp_path_factory.mktemp("unseen"), 16, seed=2)


@pytest.fixture(scope="module")
def trained(blocks: Path, unseen: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The best checkpoint of a training."""
    out = tmp_path_factory.mktemp("trained")
    return commands.train(
        load_data(blocks), load_data(unseen), settings(), out, start=None, resume=False, report=SILENT
    )


def test_it_learns_and_leaves_curves_and_a_log(trained: Path, unseen: Path) -> None:
    spec, network = models.load(trained)
    figures = evaluate(torch_detector(spec, network), load_data(unseen))
    assert figures.ap50 > 0.85
    assert figures.ap == pytest.approx(models.load_checkpoint(trained)["figures"]["AP"], abs=1e-4)
    assert set(figures.ap50_by_class) == set(LABELS)
    rows = [json.loads(line) for line in (trained.parent / "log.jsonl").read_text().splitlines()]
    assert len(rows) == 16
    assert rows[-1]["score"] < rows[0]["score"]
    # 0.01 is meant for 16 pictures a step, these are 8; it rises for an epoch, then falls to a fiftieth.
    cosine = 0.02 + 0.98 * (1 + np.cos(np.pi * np.arange(15) / 15)) / 2
    assert [row["rate"] for row in rows] == pytest.approx([0.000005, *(0.005 * cosine)])
    assert (trained.parent / "curves.png").stat().st_size > 5000


def test_how_far_a_training_is_can_be_seen_within_an_epoch(
    blocks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, said = load_data(blocks), []
    tiny = settings(width_multiplier=0.25, epochs=4, validate_every=2)
    spec = ModelSpec("anchor_free", 0.25, 128, 96, data.labels)
    trainer = Trainer(spec, models.build(spec), tiny, tmp_path, world=join_world())
    trainer.run(data, data, Reporter(said.append, clock=count(step=1000).__next__))
    epoch = [line for line in said if line.startswith("epoch 2/4: ")]
    assert [line.split()[2] for line in epoch] == [f"{done}/40" for done in (8, 16, 24, 32, 40)]
    loss = float(epoch[-1].split("loss ")[1].split()[0])
    row = json.loads((tmp_path / "log.jsonl").read_text().splitlines()[1])
    assert loss == pytest.approx(row["score"] + row["box"], rel=1e-3)
    assert sum(line.startswith("validation: ") for line in said) == 2 * len(data)
    # Of four epochs of 10 steps, 10 s each, the second has done one step; two validations of 50 s follow.
    trainer.epoch, trainer.steps = 1, 10
    trainer.train_s, trainer.steps_done, trainer.validation_s = 90.0, 9, 50.0
    monkeypatch.setattr("time.monotonic", lambda: 110.0)
    assert trainer._how_far({"box": torch.tensor(3.0)}, 1, 100.0) == "loss 3  0:06:30 left"


def test_ssd_learns_too(blocks: Path, tmp_path: Path) -> None:
    data = load_data(blocks)
    few = settings(architecture="mobilenet_v2_ssdlite", epochs=8)
    commands.train(data, data, few, tmp_path, start=None, resume=False, report=SILENT)
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert rows[-1]["score"] < 0.75 * rows[0]["score"]
    assert rows[-1]["box"] < rows[0]["box"]


def test_an_interrupted_run_ends_as_an_uninterrupted_one(blocks: Path, tmp_path: Path) -> None:
    data = load_data(blocks)
    few = settings(epochs=3, width_multiplier=0.25)
    spec = ModelSpec(few.architecture, 0.25, 128, 96, data.labels)

    def begun(folder: Path) -> Trainer:
        torch.manual_seed(0)
        return Trainer(spec, models.build(spec).eval(), few, folder, world=join_world())

    whole = begun(tmp_path / "whole")
    whole.run(data, data, SILENT)
    cut = begun(tmp_path / "cut")

    def interrupt(line: str) -> None:
        if line.startswith("epoch 2"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cut.run(data, data, Reporter(interrupt))
    resumed = begun(tmp_path / "cut")
    resumed.resume(data, data, SILENT)
    assert resumed.epoch == 2
    resumed.run(data, data, SILENT)
    for name, value in whole.average.model.state_dict().items():
        assert torch.equal(value, resumed.average.model.state_dict()[name]), name
    norm = next(m for m in whole.model.modules() if isinstance(m, torch.nn.BatchNorm2d))
    assert norm.running_mean.any(), "batch norms learn, whatever mode the network came in"


@pytest.mark.parametrize("free_kib", [40, 700])
def test_a_training_that_does_not_fit_on_the_disk_is_said_and_goes_on_when_it_does(
    blocks: Path, small_disk: Path, free_kib: int
) -> None:
    """The disk fills up after the first epoch; what that left remains whole."""
    data = load_data(blocks)
    tiny = settings(width_multiplier=0.25, epochs=2, validate_every=1)
    filler, out = small_disk / "filler", small_disk / "run"

    def fill(_: str) -> None:
        filler.write_bytes(bytes(shutil.disk_usage(small_disk).free - (free_kib << 10)))

    with pytest.raises(InputError, match=r"cannot write .*(best|last)\.pt: No space left"):
        commands.train(data, data, tiny, out, start=None, resume=False, report=Reporter(fill))
    filler.unlink()
    assert models.load_checkpoint(out / "last.pt")["progress"]["epoch"] == 1
    commands.train(data, data, tiny, out, start=None, resume=True, report=SILENT)
    assert models.load_checkpoint(out / "last.pt")["progress"]["epoch"] == 2


def test_one_training_at_a_time_writes_into_a_folder_and_one_that_cannot_be_written_is_said_before_an_epoch(
    blocks: Path, tmp_path: Path
) -> None:
    data = load_data(blocks)
    tiny = settings(width_multiplier=0.25, epochs=1)
    refusals: list[str] = []

    def second(_: str) -> None:
        """Begin another training into the same folder while the first one is at it."""
        with pytest.raises(InputError) as refused:
            commands.train(data, data, tiny, tmp_path, start=None, resume=False, report=Reporter(pytest.fail))
        refusals.append(str(refused.value))

    commands.train(data, data, tiny, tmp_path, start=None, resume=False, report=Reporter(second))
    assert [refusal.splitlines()[0] for refusal in refusals] == [f"another training writes into {tmp_path}"]
    commands.train(data, data, tiny, tmp_path, start=None, resume=False, report=SILENT)

    with pytest.raises(InputError, match="cannot write into") as refused:
        commands.train(data, data, tiny, tmp_path / "best.pt" / "run", start=None, resume=False, report=SILENT)
    assert "_epoch" not in [entry.name for entry in refused.traceback]


def test_the_best_is_kept_and_norms_do_not_decay(blocks: Path, tmp_path: Path) -> None:
    data, few = load_data(blocks), settings(epochs=1, width_multiplier=0.25)
    spec = ModelSpec("anchor_free", 0.25, 128, 96, data.labels)
    run = Trainer(spec, models.build(spec), few, tmp_path, world=join_world())
    decaying = {id(p) for group in run.optimizer.param_groups if group["weight_decay"] for p in group["params"]}
    kernels = {id(m.weight) for m in run.model.modules() if isinstance(m, torch.nn.Conv2d)}
    assert decaying == kernels
    run.best = 0.99  # an earlier epoch was better
    run.run(data, data, SILENT)
    assert (tmp_path / "last.pt").exists() and not (tmp_path / "best.pt").exists()


def test_the_average_forgets_its_random_start_and_then_moves_slowly() -> None:
    network, now = torch.nn.Linear(1, 1, bias=False), torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.zeros_(network.weight)
    torch.nn.init.ones_(now.weight)
    average = Average(network, 0.998)
    average.update(now)
    assert float(average.model.weight) == pytest.approx(10 / 11)
    average.steps = 100_000
    torch.nn.init.zeros_(now.weight)
    average.update(now)
    assert float(average.model.weight) == pytest.approx(0.998 * 10 / 11)


def test_checkpoints_that_are_none_are_refused(tmp_path: Path, trained: Path) -> None:
    with pytest.raises(InputError, match="there is no checkpoint"):
        models.load(tmp_path / "absent.pt")
    whole = trained.read_bytes()
    for content in (b"", b"text", whole[: len(whole) // 2]):
        (tmp_path / "bad.pt").write_bytes(content)
        with pytest.raises(
            InputError, match=r"bad\.pt is no checkpoint or is damaged: .*\n.*model train"
        ) as refused:
            models.load(tmp_path / "bad.pt")
        assert "weights_only" not in str(refused.value), "torch's advice is to run what the file says"
    with pytest.raises(InputError, match="cannot read .*: Is a directory"):
        models.load(tmp_path)
    torch.save({"format": 99}, tmp_path / "other.pt")
    with pytest.raises(InputError, match="not a checkpoint of this project"):
        models.load(tmp_path / "other.pt")


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_an_export_equals_torch_and_fits_tensorrt(trained: Path, tmp_path: Path, precision: str) -> None:
    out = tmp_path / "m"
    differences = commands.export_files(trained, out, ("fp32", precision), SILENT)
    assert differences["fp32"] < 1e-4
    assert differences[precision] < {"fp32": 1e-4, "fp16": 2e-2}[precision]
    assert lint(out / ("m.onnx" if precision == "fp32" else "m_fp16.onnx")) == []
    description = load_model(str(out / "m.onnx"))
    spec, network = models.load(trained)
    assert description.labels == spec.labels
    image = load_data_picture()
    with OnnxRuntimeEngine(out / "m.onnx", "fp32") as engine:
        limits = Limits(0.3, 0.5, 100, 10)
        through_file = Detector(description, engine, limits)(image)
    through_torch = torch_detector(spec, network, limits)(image)
    assert through_file.boxes_xyxy == pytest.approx(through_torch.boxes_xyxy, abs=0.05)
    assert (through_file.classes == through_torch.classes).all()


def test_a_description_keeps_files_of_the_same_network_and_drops_others(tmp_path: Path) -> None:
    first, second = (tmp_path / name for name in ("first.pt", "second.pt"))
    for seed, path in enumerate((first, second)):
        torch.manual_seed(seed)
        spec = ModelSpec("anchor_free", 0.25, 64, 64, LABELS)
        models.save(path, spec, models.build(spec))
    out, said = tmp_path / "m", []
    report = Reporter(said.append)
    for precisions in (("fp16",), ("fp32", "int8")):
        with pytest.raises(InputError, match=r"rests on its fp32 file|no export in int8"):
            commands.export_files(first, out, precisions, SILENT)
    assert not out.exists()
    commands.export_files(first, out, ("fp32", "fp16"), report)
    commands.export_files(first, out, ("fp32",), report)
    assert set(load_model(str(out / "m.yaml")).files) == {"fp32", "fp16"}
    assert said == []
    commands.export_files(second, out, ("fp32",), report)
    assert set(load_model(str(out / "m.yaml")).files) == {"fp32"}
    assert said == [f"{out / 'm.yaml'} no longer names m_fp16.onnx: made from another fp32 file"]
    data = DataSet([], LABELS)
    with pytest.raises(InputError, match=r"m\.onnx was not made from .*first\.pt"):
        commands.card(str(out / "m.yaml"), first, data, "", "", SILENT)
    document = (out / "m.yaml").read_text().replace("fp32: m.onnx", "fp16: m_fp16.onnx")
    (out / "m.yaml").write_text(document)
    with pytest.raises(InputError, match=r"m\.yaml: an fp32 file is needed, but only fp16 is named"):
        commands.card(str(out / "m.yaml"), first, data, "", "", SILENT)
    (out / "m.yaml").write_text("files: {fp16: of whatever.onnx}")
    with pytest.raises(InputError, match=r"m\.yaml"):
        commands.export_files(first, out, ("fp32",), report)
    assert (out / "m.yaml").read_text() == "files: {fp16: of whatever.onnx}", "what is no description stays"


def load_data_picture() -> np.ndarray:
    from models_helpers import block_picture

    return block_picture(np.random.default_rng(77))[0]


def test_folding_batch_norms_changes_nothing(trained: Path) -> None:
    _, network = models.load(trained)
    plain = folded(network)
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in plain.modules())
    image = torch.randn(1, 3, 96, 128)
    with torch.inference_mode():
        for a, b in zip(network(image), plain(image), strict=True):
            assert torch.allclose(a, b, atol=1e-4)


def test_pruning_meets_its_target_and_the_rest_learns_again(
    trained: Path, blocks: Path, unseen: Path, tmp_path: Path
) -> None:
    before, pruned, after = commands.prune_and_tune(
        trained,
        load_data(blocks),
        load_data(unseen),
        settings(epochs=6),
        tmp_path,
        part_of_macs=0.5,
        teacher=trained,
        report=SILENT,
    )
    assert pruned.mmacs <= 0.5 * before.mmacs
    assert after.mmacs == pruned.mmacs
    assert after.parameters < before.parameters
    assert after.file_kib < before.file_kib
    assert min(pruned.ap50, after.ap50) > 0.7
    spec, network = models.load(tmp_path / "best.pt")  # channel counts come with the weights
    assert cost_of(spec, network)[0] == pytest.approx(after.mmacs)


@pytest.mark.parametrize("architecture", ["anchor_free", "mobilenet_v2_ssdlite"])
def test_pruning_ends_just_below_its_target(architecture: str, blocks: Path) -> None:
    class Watched(Loaded):
        seen: set[bytes] = set()

        def epoch(self, number: int) -> Iterator[Batch]:
            for images, targets in super().epoch(number):
                self.seen |= {image.numpy().tobytes() for image in images}
                yield images, targets

    given, said = settings(architecture=architecture, batch=2, mosaic=0.0), []
    torch.manual_seed(0)
    spec = ModelSpec(architecture, 0.5, 128, 96, LABELS)
    network = models.build(spec)
    before, _ = cost_of(spec, network)
    batches = Watched(load_data(blocks).samples, given, join_world())
    report = Reporter(said.append, clock=count(step=1000).__next__)
    pruned = prune(spec, network, batches, given, part_of_macs=0.7, report=report)
    after, _ = cost_of(spec, pruned)
    assert 0.65 < after / before <= 0.7
    lines = [re.fullmatch(r"pruning: (\d+) pictures  .*/s  (\d+)% of the MACs left", line) for line in said[:-1]]
    seen, left = (([int(line[part]) for line in lines]) for part in (1, 2))
    assert seen == [2 * (number + 1) for number in range(len(seen))]
    assert left == sorted(left, reverse=True) and left[0] == 100 and 70 <= left[-1] < 100
    assert said[-1] == f"asked for 70% of {before:.0f} million MACs, pruned to {after / before:.0%}"
    assert cost_of(spec, network)[0] == before, "the network that was given is not changed"
    assert not pruned.training
    assert len(batches.seen) >= 16, "every batch is another one"
    for was, now in zip(network.modules(), pruned.modules(), strict=True):
        if isinstance(was, torch.nn.Conv2d) and was.out_channels != now.out_channels:
            assert now.out_channels % 8 == 0
    predicting = list(zip(network.prediction_layers(), pruned.prediction_layers(), strict=True))
    assert all(was.out_channels == now.out_channels for was, now in predicting)
    assert any(not torch.equal(was.bias, now.bias) for was, now in predicting), "what is left learns meanwhile"


def test_threads_are_as_many_as_wanted_from_the_beginning(
    trained: Path, blocks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """torch itself takes one for each core; where others have them too, a network took 260 times as long."""
    data, plain = load_data(blocks), settings()

    class Begun(Exception):
        pass

    def begin(*_: object, **__: object) -> None:
        raise Begun

    for first in ("prune", "cost", "evaluate", "export"):
        monkeypatch.setattr(commands, first, begin)
    begun = torch.get_num_threads()
    for command in (
        lambda: commands.figures_of(
            str(trained), data, engine="auto", precision="auto", threads=1, cache=tmp_path, report=SILENT
        ),
        lambda: commands.prune_and_tune(
            trained, data, data, plain, tmp_path, part_of_macs=0.5, teacher=None, report=SILENT
        ),
        lambda: commands.distil(trained, str(trained), data, data, plain, tmp_path, report=SILENT),
        lambda: commands.quantize(trained, data, data, plain, tmp_path, trained=None, report=SILENT),
    ):
        torch.set_num_threads(2)
        with pytest.raises(Begun):
            command()
        threads = torch.get_num_threads()
        torch.set_num_threads(begun)
        assert threads == 1


def test_a_target_that_pruning_does_not_reach_is_refused(blocks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nanorover_models.prune.BATCHES", 1)
    given = settings(batch=1, mosaic=0.0, input_width=64, input_height=64)
    spec = ModelSpec("anchor_free", 0.25, 64, 64, LABELS)
    batches = Loaded(load_data(blocks).samples[:2], given, join_world())
    for part, why in ((1.0, "a target of 1 of the MACs"), (0.05, "asked for 5% of .*, but pruning ends at")):
        with pytest.raises(InputError, match=why):
            prune(spec, models.build(spec), batches, given, part_of_macs=part, report=SILENT)


def test_a_teacher_that_cannot_teach_is_refused_before_pruning(
    trained: Path, blocks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "prune", lambda *_, **__: pytest.fail("that takes minutes"))
    data, absent = load_data(blocks), tmp_path / "absent.pt"
    with pytest.raises(InputError, match="there is no checkpoint .*absent"):
        commands.prune_and_tune(
            trained, data, data, settings(), tmp_path, part_of_macs=0.5, teacher=absent, report=SILENT
        )


def worth_of(importance: Importance, network: torch.nn.Module, layer: torch.nn.Conv2d) -> torch.Tensor:
    """The worth of a convolution's channels."""
    torch_pruning = pytest.importorskip("torch_pruning", reason="scripts/requirements/train.txt")
    graph = torch_pruning.DependencyGraph().build_dependency(network, torch.zeros(1, 3, 96, 128))
    every = list(range(layer.out_channels))
    return importance(graph.get_pruning_group(layer, torch_pruning.prune_conv_out_channels, every))


def test_a_channel_is_worth_its_effect_for_each_multiplication_that_it_costs() -> None:
    torch.manual_seed(0)
    network = models.build(ModelSpec("anchor_free", 0.5, 128, 96, LABELS))
    narrow, wide = network.stages[2][1].body
    example = torch.rand(2, 3, 96, 128)
    importance = Importance(network, example)
    with torch.no_grad():
        torch.nn.init.uniform_(narrow[1].bias)
        narrow[1].weight[3] = narrow[1].bias[3] = 0.0
    scores, boxes = network(example)
    (scores.square().mean() + boxes.square().mean()).backward()
    importance.look()
    worth = worth_of(importance, network, narrow[0])
    gate = narrow[1].weight * narrow[1].weight.grad + narrow[1].bias * narrow[1].bias.grad
    pixels = 96 // 8 * 128 // 8
    macs = pixels * (narrow[0].in_channels + 9 * wide[0].out_channels)
    assert worth == pytest.approx((gate.square() / macs).detach(), rel=1e-5, abs=0.0)
    assert worth[3] == 0 < worth.max()


def test_channels_that_go_together_are_worth_what_all_their_layers_lose() -> None:
    network = models.build(ModelSpec("mobilenet_v2_ssdlite", 0.5, 128, 96, LABELS))
    importance = Importance(network, torch.zeros(1, 3, 96, 128))
    importance.squared = {m: torch.rand(len(m.bias)) for m in network.modules() if hasattr(m, "running_mean")}
    block = next(m for m in network.modules() if isinstance(m, InvertedResidual) and m.residual)
    widen, deep, narrow = block.body
    pixels = 96 // 4 * 128 // 4
    macs = pixels * (widen[0].in_channels + 9 + narrow[0].out_channels)
    lost = importance.squared[widen[1]] + importance.squared[deep[1]]
    assert worth_of(importance, network, widen[0]) == pytest.approx(lost / macs, abs=0.0)


def test_quantized_files_keep_the_precision_and_fit_their_engines(
    trained: Path, blocks: Path, unseen: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calibrate, asked = commands.calibration_tensors, []

    def watched(spec: ModelSpec, network: torch.nn.Module, data: DataSet, *more: object) -> list[np.ndarray]:
        asked.append(len(data))
        return calibrate(spec, network, data, *more)

    monkeypatch.setattr(commands, "calibration_tensors", watched)
    out = tmp_path / "q"
    plain, cpu, gpu = commands.quantize(
        trained, load_data(blocks), load_data(unseen), settings(), out, trained=None, report=SILENT
    )
    assert asked == [40], "what it is judged on is not what it is calibrated on"
    assert min(cpu.ap50, gpu.ap50) > plain.ap50 - 0.1
    assert cpu.file_kib < 0.6 * plain.file_kib
    assert gpu.cpu_ms is None
    # Boxes are not rounded in the end, and the layer that reads the picture is quicker unrounded.
    graph = load_onnx(out / "q_int8_cpu.onnx").graph
    last = {name: node.op_type for node in graph.node for name in node.output if name in ("scores", "boxes")}
    assert last == {"scores": "DequantizeLinear", "boxes": "Concat"}
    assert next(node for node in graph.node if "image" in node.input).op_type == "Conv"
    assert lint(out / "q_int8_gpu.onnx") == []
    problems = {f.problem for f in lint(out / "q_int8_cpu.onnx")}
    assert {"a quantized bias (INT32)", "quantization to another type than INT8"} <= problems
    assert set(load_model(str(out / "q.yaml")).files) == {"fp32", "int8_cpu", "int8_gpu"}


def test_what_is_missing_for_further_training_is_said_at_once(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "modelopt", None)  # as where it is not installed
    data = DataSet([], LABELS)
    with pytest.raises(InputError, match="modelopt is not installed"):
        commands.quantize(
            trained, data, data, settings(), tmp_path / "q", trained=load(QatParams, "quantize"), report=SILENT
        )
    assert not (tmp_path / "q").exists()


def test_training_that_feels_the_rounding(trained: Path, blocks: Path, unseen: Path, tmp_path: Path) -> None:
    pytest.importorskip("modelopt", reason="modelopt is not installed: models/requirements-qat.txt")
    out = tmp_path / "q"
    costs = commands.quantize(
        trained,
        load_data(blocks),
        load_data(unseen),
        settings(),
        out,
        trained=load(QatParams, "quantize"),
        report=SILENT,
    )
    by_name = {c.name: c for c in costs}
    assert by_name["int8 gpu, QAT"].ap50 > by_name["fp32"].ap50 - 0.1
    assert by_name["int8 cpu, QAT"].ap50 > by_name["fp32"].ap50 - 0.1
    assert lint(out / "q_int8_gpu.onnx") == []


def test_an_onnx_teacher_labels_pictures_that_nobody_labelled(trained: Path, blocks: Path, tmp_path: Path) -> None:
    from nanorover_models.data import Sample
    from nanorover_models.distil import taught

    spec, network = models.load(trained)
    data = load_data(blocks)
    nothing = [Sample(s.path, np.zeros((0, 4), np.float32), np.zeros(0, np.int64)) for s in data.samples[:8]]
    found = taught(torch_detector(spec, network), DataSet(nothing, ("cat", *LABELS)), SILENT)
    assert sum(len(s.labels) for s in found.samples) >= 10
    right = [set(f.labels) == set(s.labels + 1) for f, s in zip(found.samples, data.samples, strict=False)]
    assert np.mean(right) > 0.7, "the same names, whatever their numbers"
    unchanged = taught(torch_detector(spec, network), DataSet(data.samples[:8], LABELS), SILENT)
    assert sum(len(s.labels) for s in unchanged.samples) <= 20, "what is labelled is not labelled twice"


def test_pictures_without_labels_give_figures_only_where_a_teacher_says_what_is_there(
    trained: Path, blocks: Path, tmp_path: Path
) -> None:
    bare = [replace(s, boxes_xyxy=s.boxes_xyxy[:0], labels=s.labels[:0]) for s in load_data(blocks).samples[:8]]
    unlabelled, few = DataSet(bare, LABELS), settings(epochs=1)
    with pytest.raises(InputError, match="none of the 8 pictures to evaluate on has a labelled object"):
        commands.train(unlabelled, unlabelled, few, tmp_path, start=None, resume=False, report=SILENT)
    commands.export_files(trained, tmp_path / "m", ("fp32",), SILENT)
    teacher, said = str(tmp_path / "m" / "m.onnx"), []
    costs = commands.distil(
        trained, teacher, unlabelled, unlabelled, few, tmp_path / "d", report=Reporter(said.append)
    )
    assert costs[0].ap50 > 0.95, "the student is its own teacher"
    assert said[0].startswith("no picture of the validation is labelled")
    said.clear()
    more = replace(unlabelled, labels=(*LABELS, "cat"))
    commands.distil(None, teacher, more, more, few, tmp_path / "e", report=Reporter(said.append))
    assert [line for line in said if "cat" in line] == [
        f"{tmp_path / 'm' / 'm.yaml'} does not teach cat: it does not know them"
    ]


def test_a_teacher_of_another_kind_is_refused(trained: Path) -> None:
    from nanorover_models.distil import DenseTeacher

    spec, network = models.load(trained)
    with pytest.raises(InputError, match="differ in labels"):
        DenseTeacher(replace(spec, labels=("other",)), spec, network, 1.0)


def test_an_explanation_points_at_its_object(trained: Path) -> None:
    spec, network = models.load(trained)
    image = load_data_picture()
    limits = Limits(0.3, 0.5, 100, 10)
    detector = torch_detector(spec, network, limits)
    found = detector(image)
    assert len(found.scores) >= 2
    own, other = 0.0, 0.0
    for row, box in enumerate(found.boxes_xyxy[:2]):
        heat = heat_map(spec, network, detector, image, row, found)
        assert heat.shape == image.shape[:2]
        own_half = slice(0, 64) if box[0] < 64 else slice(64, 128)
        other_half = slice(64, 128) if box[0] < 64 else slice(0, 64)
        own, other = own + float(heat[:, own_half].sum()), other + float(heat[:, other_half].sum())
    assert own > 1.5 * other
    assert explained(spec, network, image, limits).shape[1] == 3 * image.shape[1]


def test_an_explanation_that_does_not_fit_on_the_disk_is_said(trained: Path, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), load_data_picture())
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))  # no file may become larger, in bytes
    try:
        with pytest.raises(InputError, match=r"cannot write the picture .*a\.png"):
            list(explain(trained, [tmp_path / "a.png"], tmp_path / "out", Limits(0.3, 0.5, 100, 10), SILENT.say))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_what_cannot_be_explained_is_said_and_the_rest_is(trained: Path, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), load_data_picture())
    (tmp_path / "b.png").write_bytes(b"no picture")
    said: list[str] = []
    done = explain(trained, [tmp_path], tmp_path / "out", Limits(0.3, 0.5, 100, 10), said.append)
    assert next(done) == tmp_path / "out" / "a.png"
    with pytest.raises(InputError, match="1 picture could not be read"):
        next(done)
    assert "b.png cannot be decoded" in said[0]
    with pytest.raises(InputError, match="no class 'unicorn'"):
        next(explain(trained, [tmp_path], tmp_path / "out", Limits(0.3, 0.5, 100, 10, ("unicorn",)), said.append))
    assert len(said) == 1, "once for all pictures"


def test_average_precision_of_detections_that_are_known(blocks: Path) -> None:
    from nanorover_models.evaluate import coco_scores

    data = load_data(blocks)
    exact, missed = [], []
    for number, sample in enumerate(data.samples):
        for box, label in zip(sample.boxes_xyxy.tolist(), sample.labels.tolist(), strict=True):
            bounds = [box[0], box[1], box[2] - box[0], box[3] - box[1]]
            exact.append({"image_id": number, "category_id": label, "bbox": bounds, "score": 0.9})
            missed.append({**exact[-1], "bbox": [bounds[0] + bounds[2] * 0.9, *bounds[1:]]})
    assert coco_scores(data, exact)[:2] == pytest.approx((1.0, 1.0))
    assert coco_scores(data, missed)[0] == pytest.approx(0.0, abs=0.01)
    half = coco_scores(data, exact[: len(exact) // 2])
    assert 0.4 < half[0] < 0.6
    assert coco_scores(data, []) == (0.0, 0.0, 0.0, dict.fromkeys(data.labels, 0.0))
    more = data.named((*data.labels, "of which there is none"))
    assert set(coco_scores(more, exact)[3]) == set(coco_scores(more, [])[3]) == set(data.labels)


def test_only_the_first_process_speaks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from nanorover.cli import model as command
    from nanorover_models.measure import Cost

    costs = [Cost("one", 0.5, 0.6, 1.0, 1.0, 1.0, None)]
    for rank, printed in (("1", False), ("0", True)):
        monkeypatch.setenv("RANK", rank)
        command._reporter().say("a line")
        command._show(costs, as_json=True)
        out, err = capsys.readouterr()
        assert (bool(out), bool(err)) == (printed, printed)


def test_processes_wait_for_the_first_however_long_it_validates(monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, timedelta] = {}
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(torch.distributed, "init_process_group", lambda _, **more: given.update(more))
    join_world()
    assert given["timeout"] > timedelta(hours=6)


@pytest.mark.slow
def test_two_processes_train_one_network(blocks: Path, tmp_path: Path) -> None:
    params = tmp_path / "p.yaml"
    params.write_text(
        "train:\n  ros__parameters:\n    {epochs: 1, batch: 4, width_multiplier: 0.25, input_width: 128,"
        " input_height: 96, validate_every: 1}\n"
    )
    program = [
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        "-m",
        "nanorover_models",
    ]
    arguments = ["train", "--data", str(blocks), "--out", str(tmp_path / "run"), "--params-file", str(params)]
    done = subprocess.run(
        [sys.executable, *program, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
        env={**os.environ, "PYTHONPATH": str(MODELS)},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / "run" / "best.pt").exists()
    assert done.stderr.count("best checkpoint") == 1, "one process alone speaks"
    assert len((tmp_path / "run" / "log.jsonl").read_text().splitlines()) == 1, "one process alone writes"


def test_the_command_line_prints_one_object(trained: Path, unseen: Path) -> None:
    import typer
    from typer.testing import CliRunner

    from nanorover.cli import model as command

    app = typer.Typer()
    command.register(app)
    runner = CliRunner()
    done = runner.invoke(app, ["model", "eval", "--model", str(trained), "--data", str(unseen), "--json"])
    assert done.exit_code == 0, done.exception
    figures = json.loads(done.stdout)
    assert figures["AP50"] > 0.85
    assert set(figures["ms"]) == {"preprocess", "inference", "decode"}
    document = json.loads((unseen / "annotations.json").read_text())
    document["categories"].append({"id": 1 + max(c["id"] for c in document["categories"]), "name": "cat"})
    (unseen / "more.json").write_text(json.dumps(document))
    done = runner.invoke(
        app, ["model", "eval", "--model", str(trained), "--coco", str(unseen / "more.json"), "--json"]
    )
    assert json.loads(done.stdout)["unknown_classes"] == ["cat"]
    assert "does not know these classes" in done.stderr
    for option in (["--engine", "tensorrt"], ["--precision", "int8"]):
        done = runner.invoke(app, ["model", "eval", "--model", str(trained), "--coco", str(unseen), *option])
        assert f"{' '.join(option)} is not for {trained}" in str(done.exception)
    refused = runner.invoke(app, ["model", "quantize", str(trained), "--data", str(unseen), "--mode", "magic"])
    assert "no mode 'magic'" in str(refused.exception)
    refused = runner.invoke(app, ["model", "quantize", str(trained), "--data", str(unseen), "--epochs", "3"])
    assert "--epochs is not used by --mode ptq" in str(refused.exception)
    refused = runner.invoke(
        app, ["model", "eval", "--model", str(trained), "--data", str(unseen), "--threads", "0"]
    )
    assert refused.exit_code == 2 and "--threads" in refused.stderr
    out = trained.parent / "blank"
    done = runner.invoke(app, ["model", "export", str(trained), "--out", str(out), "--precision", "fp32, fp16"])
    assert (out / "blank_fp16.onnx").exists(), done.exception
    data = DataSet(load_data(unseen).samples, ("stranger", "other"))
    with pytest.raises(InputError, match=f"^{trained} and the data share no class"):
        commands.figures_of(
            str(trained), data, engine="auto", precision="auto", threads=1, cache=trained.parent, report=SILENT
        )
    other = runner.invoke(app, ["model", "eval", "--model", "yolox_nano_416", "--coco", str(unseen)])
    assert re.search(r"share no class|yolox_nano_416\.onnx", str(other.exception))
