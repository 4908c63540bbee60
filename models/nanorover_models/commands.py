"""What ``nanorover model`` does: each function is one command, without its words on the terminal."""

from dataclasses import asdict, replace
from pathlib import Path

import torch

from nanorover.errors import InputError
from nanorover.perception.description import ModelDescription, load_model
from nanorover.perception.detector import Detector
from nanorover.perception.engines.choice import make_engine
from nanorover.perception.engines.onnx_runtime import OnnxRuntimeEngine
from nanorover_models import model as models
from nanorover_models.blocks import Network
from nanorover_models.card import Evidence, write_card
from nanorover_models.data import DataSet, load_data
from nanorover_models.distil import DenseTeacher, say_what_is_not_taught, taught
from nanorover_models.evaluate import LIMITS, Figures, evaluate, torch_detector
from nanorover_models.export import TOLERANCE, export, parity, write_description
from nanorover_models.kept import batches_of
from nanorover_models.measure import Cost, cost, file_cost
from nanorover_models.model import ModelSpec
from nanorover_models.params import QatParams, TrainParams
from nanorover_models.prune import prune
from nanorover_models.quantize import TARGETS, aware, calibration_tensors, modelopt, quantize_file, write_aware
from nanorover_models.report import Reporter
from nanorover_models.runs import BEST
from nanorover_models.train import FurtherLoss, Trainer
from nanorover_models.world import join_world

# Post-training quantization looks at this many pictures.
CALIBRATION_PICTURES = 128


def load_all(sources: list[Path], images: Path | None, report: Reporter) -> DataSet:
    """One data set of several, with the classes of all; a VOC folder, for one, has those that occur in it."""
    parts = [load_data(source, images, report=report) for source in sources]
    labels = tuple(dict.fromkeys(name for part in parts for name in part.labels))
    return DataSet([sample for part in parts for sample in part.named(labels).samples], labels)


def data_of(
    data: list[Path],
    images: Path | None,
    validation: Path | None,
    validation_images: Path | None,
    settings: TrainParams,
    report: Reporter,
) -> tuple[DataSet, DataSet]:
    """Training and validation data; without an own validation set a part of the training set is held back.

    Raises InputError for data that cannot be read, or are too few to hold any back.
    """
    training = load_all(data, images, report)
    if validation is None:
        if validation_images is not None:
            raise InputError("--validation-images is not used without --validation", "give both or neither")
        return training.split(settings.validation_part, settings.seed)
    held_back = load_data(validation, validation_images, "--validation-images", report)
    strangers = [name for name in held_back.labels if name not in training.labels]
    if strangers:
        raise InputError(
            f"{validation} has classes that {data[0]} does not have: {', '.join(strangers[:8])}",
            f"classes to train: {', '.join(training.labels[:8])}",
        )
    return training, held_back.named(training.labels)


def train(
    training: DataSet,
    validation: DataSet,
    settings: TrainParams,
    out: Path,
    *,
    start: Path | None,
    resume: bool,
    report: Reporter,
) -> Path:
    """Train a new network, go on with an interrupted run, or fine-tune ``start``; returns the best checkpoint."""
    if start is None:
        spec, network = _new(settings, training)
    else:
        spec, network = _start(start, training)
        settings = _for(spec, settings)
    trainer = Trainer(spec, network, settings, out, world=join_world())
    if resume:
        trainer.resume(training, validation, report)
    return trainer.folder / BEST if trainer.finished else trainer.run(training, validation, report)


def figures_of(
    model: str, data: DataSet, *, engine: str, precision: str, threads: int, cache: Path, report: Reporter
) -> Figures:
    """Evaluate a checkpoint (.pt) or whatever the runtime loads. Raises InputError for what it cannot run."""
    if model.endswith(".pt"):
        for option, value in (("engine", engine), ("precision", precision)):
            if value != "auto":
                raise InputError(
                    f"--{option} {value} is not for {model}: torch runs a checkpoint, in fp32",
                    "evaluate the files that come from it by: export or quantize",
                )
        torch.set_num_threads(threads)
        spec, network = models.load(Path(model))
        return evaluate(torch_detector(spec, network, source=Path(model)), data, report)
    description = load_model(model)
    made = make_engine(
        description, engine=engine, precision=precision, threads=threads, cache_folder=cache, workspace_mib=256
    )
    with made:
        return evaluate(Detector(description, made, LIMITS), data, report)


def prune_and_tune(
    checkpoint: Path,
    training: DataSet,
    validation: DataSet,
    settings: TrainParams,
    out: Path,
    *,
    part_of_macs: float,
    teacher: Path | None,
    report: Reporter,
) -> list[Cost]:
    """Prune, then fine-tune, taught by ``teacher`` if given; costs before, after pruning, after tuning."""
    torch.set_num_threads(settings.threads)
    spec, network = _start(checkpoint, training)
    settings = _for(spec, settings)
    further = None if teacher is None else _teacher(spec, teacher)
    plain = replace(settings, mosaic=0.0)
    # Each process prunes by all pictures in the same order, so that all have the same network.
    alone = replace(join_world(), rank=0, size=1)
    batches = batches_of(training.samples, plain, alone, report)
    pruned = prune(spec, network, batches, settings, part_of_macs=part_of_macs, report=report)
    states = {"before": network, "pruned": pruned}
    costs = [cost(name, spec, state, validation, report) for name, state in states.items()]
    best = Trainer(spec, pruned, settings, out, world=join_world(), further_loss=further).run(
        training, validation, report
    )
    costs.append(cost("pruned and tuned", spec, models.load(best)[1], validation, report))
    return costs


def distil(
    checkpoint: Path | None,
    teacher: str,
    training: DataSet,
    validation: DataSet,
    settings: TrainParams,
    out: Path,
    *,
    report: Reporter,
) -> list[Cost]:
    """Train a student (``checkpoint``, or a new network) with a teacher; costs of teacher, before, after."""
    torch.set_num_threads(settings.threads)
    if checkpoint is None:
        spec, student = _new(settings, training)
    else:
        spec, student = _start(checkpoint, training)
        settings = _for(spec, settings)
    costs: list[Cost] = []
    further: FurtherLoss | None = None
    if teacher.endswith(".pt"):
        teacher_spec, network = models.load(Path(teacher))
        further = DenseTeacher(spec, teacher_spec, network, 1.0)
        costs.append(cost("teacher", teacher_spec, network, validation, report))
    else:
        description = load_model(teacher)
        with OnnxRuntimeEngine(_fp32_file(description), "fp32") as engine:
            detector = Detector(description, engine, LIMITS)
            say_what_is_not_taught(detector, training, report)
            training = taught(detector, training, report)
            if not any(len(sample.labels) for sample in validation.samples):
                report.say(
                    "no picture of the validation is labelled: figures compare with what the teacher finds there"
                )
                validation = taught(detector, validation, report)
    costs.append(cost("student before", spec, student.eval(), validation, report))
    best = Trainer(spec, student, settings, out, world=join_world(), further_loss=further).run(
        training, validation, report
    )
    costs.append(cost("student after", spec, models.load(best)[1], validation, report))
    return costs


def quantize(
    checkpoint: Path,
    training: DataSet,
    validation: DataSet,
    settings: TrainParams,
    out: Path,
    *,
    trained: QatParams | None,
    report: Reporter,
) -> list[Cost]:
    """Write FP32 and both INT8 files into ``out``; ``trained`` adds training that feels the rounding.

    That training has one aim: to say what the FP32 network says of the same pictures. The objects' own loss would
    pull a well trained network towards the few pictures at hand.
    """
    torch.set_num_threads(settings.threads)
    if trained is not None:
        modelopt()  # before all that takes long
    spec, network = _start(checkpoint, training)
    settings = _for(spec, settings)
    name = out.name
    plain = out / f"{name}.onnx"
    export(spec, network, plain)
    files = {target: out / f"{name}_int8_{target}.onnx" for target in TARGETS}
    costs = [file_cost("fp32", spec, network, plain, validation, report)]
    tensors = calibration_tensors(spec, network, training, CALIBRATION_PICTURES, report)
    for target, path in files.items():
        quantize_file(plain, path, target, tensors, report)
        name_of = f"int8 {target}, PTQ"
        costs.append(file_cost(name_of, spec, network, path, validation, report, for_gpu=target == "gpu"))
    if trained is not None:
        trainer = Trainer(
            spec,
            aware(network, tensors, report),
            replace(settings, **asdict(trained)),
            out / "run",
            world=join_world(),
            further_loss=DenseTeacher(spec, spec, network, 1.0),
            own_loss=False,
            keep=False,
        )
        trainer.run(training, validation, report)
        write_aware(spec, trainer.average.model, files["gpu"], files["cpu"], tensors, report)
        for target, path in files.items():
            gpu = target == "gpu"
            costs.append(file_cost(f"int8 {target}, QAT", spec, network, path, validation, report, for_gpu=gpu))
    named = {"fp32": plain.name, **{f"int8_{target}": path.name for target, path in files.items()}}
    write_description(spec, network, out / f"{name}.yaml", named, report.say)
    return costs


def export_files(checkpoint: Path, out: Path, precisions: tuple[str, ...], report: Reporter) -> dict[str, float]:
    """Write ONNX files and their YAML; returns the difference to torch of each.

    Raises InputError for another precision, and for a file that the lint or the comparison refuses.
    """
    for precision in precisions:
        if precision not in TOLERANCE:
            raise InputError(f"there is no export in {precision}", "fp32 or fp16; int8 files come from: quantize")
    if "fp32" not in precisions:
        raise InputError("the description of a model rests on its fp32 file", "--precision fp32,fp16 writes both")
    spec, network = models.load(checkpoint)
    names = {p: out.name + ("" if p == "fp32" else f"_{p}") + ".onnx" for p in precisions}
    differences = {p: export(spec, network, out / name, p) for p, name in names.items()}
    write_description(spec, network, out / f"{out.name}.yaml", names, report.say)
    return differences


def card(
    model: str, checkpoint: Path, data: DataSet, evidence_data: str, command: str, report: Reporter
) -> tuple[Path, list[Cost]]:
    """Measure every file of a model and write its card beside its YAML.

    Raises InputError without an FP32 file, or where that is not of the checkpoint.
    """
    description = load_model(model)
    plain = _fp32_file(description)
    spec, network = models.load(checkpoint)
    same = (spec.input_width, spec.input_height, spec.labels)
    if same != (description.input.width, description.input.height, description.labels) or (
        parity(spec, network, plain) > TOLERANCE["fp32"]
    ):
        raise InputError(f"{plain} was not made from {checkpoint}", "name the checkpoint that was exported")
    costs = [
        file_cost(variant, spec, network, path, data, report, for_gpu=variant == "int8_gpu")
        for variant, path in description.files.items()
    ]
    with OnnxRuntimeEngine(plain, "fp32") as engine:
        figures = evaluate(Detector(description, engine, LIMITS), data, report, "evaluation by class")
    path = description.source.with_suffix(".md")
    write_card(path, description, costs, Evidence(command, evidence_data, figures.ap50_by_class))
    return path, costs


def _fp32_file(description: ModelDescription) -> Path:
    if "fp32" not in description.files:
        raise InputError(
            f"{description.source}: an fp32 file is needed, but only {', '.join(description.files)} is named",
            "write files: {fp32: NAME.onnx}, or name the fp32 file itself",
        )
    return description.files["fp32"]


def _new(settings: TrainParams, data: DataSet) -> tuple[ModelSpec, Network]:
    """The network that the settings name, for the classes of the data; its weights follow from the seed."""
    s = settings
    spec = ModelSpec(s.architecture, s.width_multiplier, s.input_width, s.input_height, data.labels)
    torch.manual_seed(s.seed)
    return spec, models.build(spec)


def _start(checkpoint: Path, data: DataSet) -> tuple[ModelSpec, Network]:
    """A checkpoint to go on from; its classes must be those of the data."""
    spec, network = models.load(checkpoint)
    if spec.labels != data.labels:
        raise InputError(
            f"{checkpoint} was trained for other classes than the data has",
            f"{', '.join(spec.labels[:6])} against {', '.join(data.labels[:6])}",
        )
    return spec, network


def _for(spec: ModelSpec, settings: TrainParams) -> TrainParams:
    """The settings with the network that a checkpoint brings along."""
    known = {k: v for k, v in asdict(spec).items() if k in ("architecture", "width_multiplier")}
    return replace(settings, **known, input_width=spec.input_width, input_height=spec.input_height)


def _teacher(spec: ModelSpec, checkpoint: Path) -> DenseTeacher:
    teacher_spec, network = models.load(checkpoint)
    return DenseTeacher(spec, teacher_spec, network, 1.0)
