"""Which network a model is, and its checkpoint: a file that says so itself."""

import dataclasses
import io
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor, nn

from nanorover.errors import InputError
from nanorover.files import replacing
from nanorover.perception.description import InputSpec, ModelDescription
from nanorover_models.anchor_free import AnchorFree
from nanorover_models.blocks import Network
from nanorover_models.ssd import Ssd

ARCHITECTURES = ("anchor_free", "mobilenet_v1_ssd", "mobilenet_v2_ssdlite")

# Pixels of every network here go from 0…255 to −1…1.
PIXEL_MEAN = 127.5
PIXEL_STD = 127.5

FORMAT = 1
ORIGIN = "checkpoints (.pt) come from: nanorover model train"


@dataclass(frozen=True)
class ModelSpec:
    """A network by its parts: enough to build it again. Raises InputError for parts that make no network."""

    architecture: str
    width_multiplier: float
    input_width: int
    input_height: int
    labels: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.architecture not in ARCHITECTURES:
            raise InputError(f"there is no network '{self.architecture}'", "one of: " + ", ".join(ARCHITECTURES))
        step = 32
        if self.architecture == "anchor_free" and (self.input_width % step or self.input_height % step):
            raise InputError(
                f"an input of {self.input_width} × {self.input_height} does not fit",
                f"width and height must be multiples of {step}",
            )
        if not 0.1 <= self.width_multiplier <= 4:
            raise InputError(f"width multiplier {self.width_multiplier:g}", "allowed is 0.1 to 4")


def build(spec: ModelSpec) -> Network:
    """A fresh network with initial weights."""
    classes, width = len(spec.labels), spec.width_multiplier
    if spec.architecture == "anchor_free":
        return AnchorFree(width, classes)
    return Ssd(spec.architecture.rsplit("_", 1)[0], width, classes)


def describe(spec: ModelSpec, model: Network, source: Path, files: dict[str, Path]) -> ModelDescription:
    """The model as the runtime knows it."""
    three = (PIXEL_MEAN,) * 3
    pixels = InputSpec(spec.input_width, spec.input_height, "rgb", three, (PIXEL_STD,) * 3, "stretch", 0.0)
    return ModelDescription(source.stem, source, files, pixels, model.head(), spec.labels, "")


def save(path: Path, spec: ModelSpec, model: Network, **more: Any) -> None:
    """Write a checkpoint; ``more`` holds plain values and tensors beside the weights.

    Raises InputError when the disk takes it not.
    """
    state = {name: value.detach().cpu() for name, value in model.state_dict().items()}
    content = io.BytesIO()  # torch, writing itself, says of a full disk only that it is at an unexpected place
    torch.save({"format": FORMAT, "spec": dataclasses.asdict(spec), "weights": state, **more}, content)
    with replacing(path) as temporary:
        temporary.write_bytes(content.getbuffer())


def load_checkpoint(path: Path) -> dict[str, Any]:
    """The content of a checkpoint, which is never executed; InputError when it is none."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise InputError(f"there is no checkpoint {path}") from error
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}", ORIGIN) from error
    except Exception as error:  # pickle, zip and torch raise whatever they please on damaged files
        # What torch says of a file that is no pickle, or holds code, is how to run that code.
        unfit = isinstance(error, UnpicklingError)
        reason = "it is none of torch's" if unfit else (str(error) or type(error).__name__).splitlines()[0]
        raise InputError(f"{path} is no checkpoint or is damaged: {reason}", ORIGIN) from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise InputError(f"{path} is not a checkpoint of this project", ORIGIN)
    return content


def load(path: Path) -> tuple[ModelSpec, Network]:
    """The network of a checkpoint, pruned or not, in evaluation mode.

    Raises InputError for a file that is no checkpoint, and for weights that do not fit its network.
    """
    content = load_checkpoint(path)
    spec = spec_of(content)
    model = build(spec)
    fit_to(model, content["weights"])
    try:
        model.load_state_dict(content["weights"])
    except RuntimeError as error:
        raise InputError(f"the weights in {path} do not fit {spec.architecture}: {error}") from error
    return spec, model.eval()


def spec_of(content: dict[str, Any]) -> ModelSpec:
    """Which network a checkpoint holds."""
    given = dict(content["spec"])
    return ModelSpec(**{**given, "labels": tuple(given["labels"])})


def fit_to(model: Network, weights: dict[str, Tensor]) -> None:
    """Give every layer the channel counts that ``weights`` have, as pruning left them."""
    for name, layer in model.named_modules():
        weight = weights.get(f"{name}.weight")
        if weight is None:
            continue
        if isinstance(layer, nn.Conv2d) and layer.weight.shape != weight.shape:
            depthwise = layer.groups > 1
            layer.out_channels = weight.shape[0]
            layer.in_channels = weight.shape[0] if depthwise else weight.shape[1]
            layer.groups = weight.shape[0] if depthwise else 1
            layer.weight = nn.Parameter(torch.empty(weight.shape))
            if layer.bias is not None:
                layer.bias = nn.Parameter(torch.empty(weight.shape[0]))
        elif isinstance(layer, nn.BatchNorm2d) and layer.weight.shape != weight.shape:
            layer.num_features = len(weight)
            for parameter in ("weight", "bias"):
                setattr(layer, parameter, nn.Parameter(torch.empty(len(weight))))
            for buffer in ("running_mean", "running_var"):
                setattr(layer, buffer, torch.empty(len(weight)))


def normalised(images_rgb: Tensor) -> Tensor:
    """(B, 3, H, W) uint8 → float in −1…1."""
    return (images_rgb.float() - PIXEL_MEAN) / PIXEL_STD
