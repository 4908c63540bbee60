"""Torch to ONNX that TensorRT 8.2 … 11 and ONNX Runtime take, with its description beside it."""

import copy
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from nanorover.errors import InputError
from nanorover.files import replacing
from nanorover.perception.description import file_hash, read_description
from nanorover.perception.engines.onnx_runtime import OnnxRuntimeEngine
from nanorover_models.blocks import Network
from nanorover_models.lint import MOST_OPSET, require_clean
from nanorover_models.model import PIXEL_MEAN, PIXEL_STD, ModelSpec

# Largest difference to torch, as a part of the largest output: float rounding in another order,
# half precision's 11 bits through some forty layers.
TOLERANCE = {"fp32": 1e-4, "fp16": 2e-2}

PARITY_PICTURES = 4

# The outputs' names in the file.
SCORES, BOXES = "scores", "boxes"


class _Half(Network):
    """A network in half precision that takes and returns single precision."""

    def __init__(self, model: Network) -> None:
        super().__init__()
        self.model = model.half()

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        scores, boxes = self.model(image.half())
        return scores.float(), boxes.float()


def folded(model: Network) -> Network:
    """A copy in evaluation mode with every batch norm folded into the convolution before it."""
    model = copy.deepcopy(model).eval()
    for block in model.modules():
        if not isinstance(block, nn.Sequential):
            continue
        for i in range(len(block) - 1):
            convolution, norm = block[i], block[i + 1]
            if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                block[i] = fuse_conv_bn_eval(convolution, norm)
                block[i + 1] = nn.Identity()
    return model


def export(spec: ModelSpec, model: Network, path: Path, precision: str = "fp32") -> float:
    """Write an ONNX file; returns the largest difference to torch as a part of the largest output.

    Raises InputError when the operator lint or the tolerance is not met; then nothing is written.
    """
    plain = folded(model).cpu()
    network: Network = _Half(copy.deepcopy(plain)) if precision == "fp16" else plain
    with replacing(path) as temporary:
        write_onnx(spec, network, temporary)
        require_clean(temporary)
        difference = parity(spec, plain, temporary)
        if difference > TOLERANCE[precision]:
            raise InputError(
                f"the {precision} export differs from torch by {difference:.2g} of the largest output",
                f"at most {TOLERANCE[precision]:g} is tolerated",
            )
    return difference


def write_onnx(spec: ModelSpec, network: Network, path: Path) -> None:
    """The legacy exporter at opset 13: the newer one writes what TensorRT 8.2 does not know."""
    image = torch.zeros(1, 3, spec.input_height, spec.input_width)
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")  # it announces its own end at every call
        torch.onnx.export(
            network.eval(),
            (image,),
            str(path),
            dynamo=False,
            opset_version=MOST_OPSET,
            input_names=["image"],
            output_names=[SCORES, BOXES],
        )


def parity(spec: ModelSpec, model: Network, onnx: Path) -> float:
    """Largest difference between torch and the file over a few pictures of noise, as a part of the largest."""
    rng = np.random.default_rng(0)
    worst = 0.0
    with OnnxRuntimeEngine(onnx, "") as engine, torch.inference_mode():
        for _ in range(PARITY_PICTURES):
            coarse = rng.uniform(-1, 1, (1, 3, spec.input_height // 16, spec.input_width // 16))
            image = np.clip(np.kron(coarse, np.ones((16, 16))), -1, 1).astype(np.float32)
            padded = np.zeros((1, 3, spec.input_height, spec.input_width), np.float32)
            padded[:, :, : image.shape[2], : image.shape[3]] = image
            expected = model(torch.from_numpy(padded))
            for want, got in zip(expected, engine.run(padded), strict=True):
                worst = max(worst, float(np.abs(want.numpy() - got).max() / np.abs(want.numpy()).max().clip(1e-6)))
    return worst


def write_description(
    spec: ModelSpec, model: Network, path: Path, files: dict[str, str], say: Callable[[str], None]
) -> None:
    """The YAML beside the ONNX files, of which one is fp32.

    Of a YAML that is there, further files, licence, origin and figures stay if they are of the same fp32 file;
    else what goes is said. Raises InputError when the YAML that is there is none.
    """
    digest = file_hash(path.parent / files["fp32"])
    before = _written_before(path)
    further = {variant: name for variant, name in before.get("files", {}).items() if variant not in files}
    if before.get("sha256") != digest:
        if further:
            say(f"{path} no longer names {', '.join(further.values())}: made from another fp32 file")
        before, further = {}, {}
    document = {
        "name": path.stem,
        **{fact: before[fact] for fact in ("licence", "origin", "figures") if fact in before},
        "files": {**files, **further},
        "sha256": digest,
        "input": {
            "width": spec.input_width,
            "height": spec.input_height,
            "colour": "rgb",
            "mean": [PIXEL_MEAN] * 3,
            "std": [PIXEL_STD] * 3,
            "resize": "stretch",
        },
        "head": model.head(),
        "labels": list(spec.labels),
    }
    with replacing(path) as temporary:
        temporary.write_text(
            yaml.safe_dump(document, sort_keys=False, allow_unicode=True, default_flow_style=None)
        )


def _written_before(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    read_description(path)
    return dict(yaml.safe_load(path.read_text(encoding="utf-8")))
