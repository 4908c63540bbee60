"""Parameters of training."""

from dataclasses import dataclass

from nanorover.params import param
from nanorover_models.augment import Augmentation
from nanorover_models.model import ARCHITECTURES


@dataclass(frozen=True)
class TrainParams:
    """Network and training; the values stand in ``params/train.yaml``."""

    architecture: str = param("the network", choices=ARCHITECTURES)
    width_multiplier: float = param("channels relative to the published network", minimum=0.1, maximum=4.0)
    input_width: int = param("width of the network's input", "px", minimum=32, maximum=2048)
    input_height: int = param("height of the network's input", "px", minimum=32, maximum=2048)
    epochs: int = param("passes over the training pictures", minimum=1, maximum=10_000)
    batch: int = param("pictures per step and process", minimum=1, maximum=1024)
    learning_rate: float = param("highest learning rate, for 16 pictures per step", minimum=1e-6, maximum=1.0)
    weight_decay: float = param("decoupled weight decay, not on norms and biases", minimum=0.0, maximum=1.0)
    warm_up_epochs: float = param("linear warm-up", "epochs", minimum=0.0, maximum=100.0)
    final_rate: float = param("part of the learning rate that is left at the end", minimum=0.0, maximum=1.0)
    ema_decay: float = param("decay of the averaged weights", minimum=0.0, maximum=0.99999)
    gradient_limit: float = param("gradients are cut to this norm", minimum=0.01, maximum=1000.0)
    mosaic: float = param("part of pictures put together from four", minimum=0.0, maximum=1.0)
    flip: float = param("part of pictures mirrored", minimum=0.0, maximum=1.0)
    zoom: float = param("largest logarithm of a random scale", minimum=0.0, maximum=1.5)
    colour: float = param("strength of random brightness, contrast and colour", minimum=0.0, maximum=1.5)
    plain_epochs: int = param("last epochs, in which there is no mosaic", minimum=0, maximum=1000)
    validation_part: float = param(
        "part of the pictures for validation where no own set is given", minimum=0.01, maximum=0.5
    )
    validate_every: int = param("epochs between two validations", minimum=1, maximum=1000)
    mixed_precision: bool = param("compute in half precision where the GPU or CPU is quicker in it")
    pictures_on_gpu: bool = param("where there is a GPU: keep all pictures in its memory and change them there")
    workers: int = param("processes that load pictures, for each training process", minimum=0, maximum=64)
    threads: int = param("CPU threads of each training process", minimum=1, maximum=256)
    seed: int = param("seed of everything random", minimum=0, maximum=2**31 - 1)

    def augmentation(self, epoch: int) -> Augmentation:
        """How pictures are changed in an epoch counted from 0: without mosaic in the last ones."""
        plain = epoch >= self.epochs - self.plain_epochs
        return Augmentation(0.0 if plain else self.mosaic, self.flip, self.zoom, self.colour)


@dataclass(frozen=True)
class QatParams:
    """What differs when a quantized network is trained further; the values stand in ``params/quantize.yaml``."""

    epochs: int = param("passes over the training pictures", minimum=1, maximum=1000)
    learning_rate: float = param("highest learning rate, for 16 pictures per step", minimum=1e-7, maximum=0.01)
    warm_up_epochs: float = param("linear warm-up", "epochs", minimum=0.0, maximum=100.0)
    ema_decay: float = param("decay of the averaged weights", minimum=0.0, maximum=0.99999)
    mosaic: float = param("part of pictures put together from four", minimum=0.0, maximum=1.0)
    zoom: float = param("largest logarithm of a random scale", minimum=0.0, maximum=1.5)
    colour: float = param("strength of random brightness, contrast and colour", minimum=0.0, maximum=1.5)
    mixed_precision: bool = param("compute in half precision, which the rounding to eight bits suffers from")
