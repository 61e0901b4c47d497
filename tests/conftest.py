"""Shared by all tests: bytes of noise, and a bank of stand-in digits, so that no unit test waits for MNIST."""

import hashlib
from pathlib import Path

import pytest
import torch

from vsacc.tasks.mnist import Digits

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA GPU here")


def noise(*shape, seed=0):
    return torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


def plain_digits(step: int = 25) -> Digits:
    """Stand-in digits told apart at a glance: digit k is a square of grey level ``step`` k + 30."""
    labels = torch.arange(10).repeat(30)
    return Digits((labels * step + 30).to(torch.uint8).view(-1, 1, 1).expand(-1, 28, 28).contiguous(), labels)


def fingerprint(model: torch.nn.Module) -> str:
    """SHA-256 of a model's state, names and bytes."""
    digest = hashlib.sha256()
    for name, value in model.state_dict().items():
        digest.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


@pytest.fixture
def digits(monkeypatch):
    bank = plain_digits()
    for task in ("cluttered", "megapixel", "moving_digit"):
        monkeypatch.setattr(f"vsacc.tasks.{task}.load_digits", lambda split: bank)
    return bank


@pytest.fixture
def file(tmp_path):
    """Bytes -> the path of a file that holds them; its name says nothing of its format."""

    def write(content: bytes) -> Path:
        path = tmp_path / "a0001-a photo (1).bin"
        path.write_bytes(content)
        return path

    return write
