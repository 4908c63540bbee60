"""The processes that train together, and the device of each."""

import os
from dataclasses import dataclass
from datetime import timedelta

import torch

# The others wait while the first process validates, which with many big pictures takes longer than the ten minutes
# after which NCCL would give up. Where a process ends, torchrun ends the others at once.
LONGEST_WAIT = timedelta(days=1)


@dataclass(frozen=True)
class World:
    """This process among those that train together."""

    rank: int
    size: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Does this process write?"""
        return self.rank == 0


def join_world() -> World:
    """The processes that ``torchrun`` started, or this one alone; each takes the GPU of its local rank."""
    size, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    local = int(os.environ.get("LOCAL_RANK", "0"))
    device = torch.device("cuda", local) if torch.cuda.is_available() else torch.device("cpu")
    if size > 1 and not torch.distributed.is_initialized():
        torch.distributed.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=LONGEST_WAIT)
    return World(rank, size, device)


def half_precision(device: torch.device) -> torch.dtype | None:
    """The short floating-point type that this device computes in faster, if there is one."""
    if device.type == "cuda":
        # bfloat16 has the range of single precision; GPUs before Ampere only emulate it.
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    return torch.bfloat16 if torch.cpu._is_avx512_bf16_supported() else None
