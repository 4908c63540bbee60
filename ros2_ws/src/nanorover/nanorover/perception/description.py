"""What a model file expects and returns, said by a YAML beside it. Nothing is guessed.

::

    name: yolox_nano_416
    files: {fp32: yolox_nano_416.onnx}     # further: fp16, int8_cpu (asymmetric), int8_gpu (symmetric QDQ)
    input: {width: 416, height: 416, colour: bgr, mean: [0, 0, 0], std: [1, 1, 1],
            resize: letterbox_top_left, pad: 114}
    head: {kind: yolox, strides: [8, 16, 32]}
    labels: [person, bicycle]              # or the name of a text file beside, one label per line
    sha256: ...                            # optional; of the fp32 file, which must be that one
"""

import hashlib
from pathlib import Path
from typing import Any, Dict, NamedTuple, Optional, Tuple

import yaml

from nanorover.errors import InputError
from nanorover.files import expanded
from nanorover.perception.arguments import all_numbers, checked, mapping_of

RESIZE_MODES = ("stretch", "letterbox_top_left", "letterbox_centre")
COLOURS = ("bgr", "rgb")
# Heads, and the keys of each beside its kind.
HEADS = {
    "ssd": ("strides", "sizes", "ratios"),
    "anchor_free": ("strides",),
    "yolox": ("strides",),
    "gfl": ("strides", "reg_max", "scores"),
    "fastestdet": ("strides",),
    "yolov5": ("predictions",),
    "yolov8": ("predictions",),
}
VARIANTS = ("fp32", "fp16", "int8_cpu", "int8_gpu")
LARGEST_SIDE = 4096

# Below a checkout or an image of the project lies models/; an installed system has share/nanorover/models.
PLACES = ("models", "share/nanorover/models")


class InputSpec(NamedTuple):
    """The picture a network wants: ``(pixel - mean) / std`` per channel, in the stated colour order."""

    width: int
    height: int
    colour: str
    mean: Tuple[float, float, float]
    std: Tuple[float, float, float]
    resize: str
    pad: float


class ModelDescription(NamedTuple):
    """A model: its files by precision, its input, its head and its labels."""

    name: str
    source: Path
    files: Dict[str, Path]
    input: InputSpec
    head: Dict[str, Any]
    labels: Tuple[str, ...]
    sha256: str


def load_model(model: str, weights: Optional[str] = None) -> ModelDescription:
    """The description of a model named by its YAML, by its ONNX file, or by the name of a shipped model.

    For an ONNX file the YAML is sought beside it (same stem, or one that lists the file), then among the
    shipped descriptions of public models by the file's SHA-256. ``weights`` says where the file lies
    when it is not beside the YAML; it is of the variant that the YAML lists under its name, else fp32.

    Raises InputError when nothing describes the file.
    """
    path = expanded(model)
    if path.suffix in (".yaml", ".yml"):
        description = read_description(path)
    elif path.suffix == ".onnx":
        description = _describing(path)
    else:
        description = read_description(_shipped(model))
    if weights is not None:
        given = expanded(weights)
        if not given.is_file():
            raise InputError("there is no weights file %s" % given)
        description = description._replace(files={_variant(read_description(description.source), given): given})
    return description


def read_description(path: Path) -> ModelDescription:
    """Read and check a description YAML; InputError names the field that is wrong."""
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError("cannot read the model description %s: %s" % (path, error.strerror))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError("%s is not valid YAML: %s" % (path, error))
    where = str(path)
    known = ("name", "files", "input", "head", "labels", "sha256", "licence", "origin", "figures")
    top = mapping_of(document, where, known)
    files = mapping_of(checked(top, "files", dict, where), where + ": files", VARIANTS)
    if not files:
        raise InputError("%s: 'files' names no file" % where, "write files: {fp32: NAME.onnx}")
    return ModelDescription(
        name=checked(top, "name", str, where),
        source=path,
        files={variant: path.parent / str(name) for variant, name in files.items()},
        input=_input_of(checked(top, "input", dict, where), where + ": input"),
        head=_head_of(checked(top, "head", dict, where), where + ": head"),
        labels=_labels_of(top.get("labels"), path),
        sha256=str(top.get("sha256", "")),
    )


def file_hash(path: Path) -> str:
    """SHA-256 of a file, hexadecimal; InputError when it cannot be read."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as handle:
            for block in iter(lambda: handle.read(1 << 20), b""):
                digest.update(block)
    except OSError as error:
        raise InputError(
            "cannot read %s: %s" % (path, error.strerror), "name a model file that exists: --model or --weights"
        )
    return digest.hexdigest()


def file_of(description: ModelDescription, variant: str) -> Path:
    """The file of a variant; InputError when it is the fp32 one, and there, and its SHA-256 is not the YAML's."""
    path, known = description.files[variant], description.sha256 if variant == "fp32" else ""
    if known and path.is_file() and file_hash(path) != known:
        raise InputError(
            "%s is not the file that %s describes: its SHA-256 is another" % (path, description.source),
            "it may be damaged: get or export it again; if it is another network, give it a YAML of its own",
        )
    return path


def models_folder() -> Path:
    """Where the project's own models and the descriptions of public ones lie; InputError when nowhere."""
    for parent in Path(__file__).resolve().parents:
        for place in PLACES:
            if (parent / place / "weights").is_dir():
                return parent / place
    raise InputError("the shipped models are not installed", "name a model by its file")


def _describing(onnx: Path) -> ModelDescription:
    if not onnx.is_file():
        raise InputError("there is no model file %s" % onnx, _whence(onnx))
    beside = onnx.with_suffix(".yaml")
    if beside.is_file():
        description = read_description(beside)
        return description._replace(files={_variant(description, onnx): onnx})
    for candidate in sorted(onnx.parent.glob("*.yaml")):
        if onnx.name in candidate.read_text(encoding="utf-8", errors="replace"):
            description = read_description(candidate)
            if onnx in description.files.values():
                return description._replace(files={_variant(description, onnx): onnx})
    digest = file_hash(onnx)
    for candidate in sorted((models_folder() / "public").glob("*.yaml")):
        description = read_description(candidate)
        if description.sha256 == digest:
            return description._replace(files={"fp32": onnx})
    raise InputError(
        "nothing describes %s: no %s beside it, and it is none of the known public files" % (onnx, beside.name),
        _whence(onnx)
        or "write it (input size, colour, mean, std, resize, head, labels); models/public has examples",
    )


def _whence(onnx: Path) -> str:
    """Where a public model of this file name is to be had; empty for any other."""
    for path in (models_folder() / "public").glob("*.yaml"):
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        if onnx.name in document["files"].values():
            return "%s does not come along: get it, whole, from %s" % (document["name"], document["origin"])
    return ""


def _variant(description: ModelDescription, onnx: Path) -> str:
    for variant, path in description.files.items():
        if path.name == onnx.name:
            return variant
    return "fp32"


def _shipped(name: str) -> Path:
    shipped = {path.stem: path for path in models_folder().glob("*/**/*.yaml")}
    if name in shipped:
        return shipped[name]
    known = sorted(shipped)
    raise InputError(
        "there is no model '%s'" % name,
        "name an .onnx or .yaml file, or one of: %s" % (", ".join(known) or "(no shipped model was found)"),
    )


def _input_of(given: Dict[str, Any], where: str) -> InputSpec:
    mapping_of(given, where, InputSpec._fields)
    spec = InputSpec(
        width=checked(given, "width", int, where),
        height=checked(given, "height", int, where),
        colour=checked(given, "colour", str, where, choices=COLOURS),
        mean=_three(given, "mean", where),
        std=_three(given, "std", where),
        resize=checked(given, "resize", str, where, choices=RESIZE_MODES),
        pad=_pad(given.get("pad", 0), where),
    )
    for side in ("width", "height"):
        if not 16 <= getattr(spec, side) <= LARGEST_SIDE:
            raise InputError(
                "%s: %s is %r" % (where, side, getattr(spec, side)), "allowed is 16 to %d" % LARGEST_SIDE
            )
    if min(spec.std) <= 0:
        raise InputError("%s: std is %r" % (where, spec.std), "each must be greater than zero")
    return spec


def _three(given: Dict[str, Any], key: str, where: str) -> Tuple[float, float, float]:
    values = checked(given, key, list, where)
    if len(values) != 3 or not all_numbers(values):
        raise InputError("%s: '%s' is %r" % (where, key, values), "it must be three numbers, one per channel")
    return float(values[0]), float(values[1]), float(values[2])


def _pad(given: Any, where: str) -> float:
    if not all_numbers([given]) or not 0 <= given <= 255:
        raise InputError("%s: pad is %r" % (where, given), "it must be a grey value, 0 to 255")
    return float(given)


def _head_of(given: Dict[str, Any], where: str) -> Dict[str, Any]:
    kind = checked(given, "kind", str, where, choices=tuple(HEADS))
    return dict(mapping_of(given, where, ("kind",) + HEADS[kind]))


def _labels_of(given: Any, path: Path) -> Tuple[str, ...]:
    if isinstance(given, str):
        label_file = path.parent / given
        try:
            lines = label_file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError("%s: cannot read the label file %s: %s" % (path, label_file, error))
        given = [line.strip() for line in lines if line.strip()]
        if not given:
            raise InputError("%s: the label file %s is empty" % (path, label_file), "write one name per line")
    if not isinstance(given, list) or not given:
        raise InputError("%s: 'labels' is missing" % path, "give a list of names or a text file beside the YAML")
    for number, label in enumerate(given):
        if not isinstance(label, (str, int)) or isinstance(label, bool):
            raise InputError(
                "%s: label %d is %r" % (path, number, label), "write it in quotes; YAML reads more into it"
            )
    return tuple(str(label) for label in given)
