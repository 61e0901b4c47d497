"""Shared fixtures: a bank of stand-in digits, so that no unit test waits for MNIST."""

from pathlib import Path

import pytest
import torch

from vsacc.tasks.mnist import Digits


def plain_digits() -> Digits:
    """Stand-in digits told apart at a glance: digit k is a square of grey level 25 k + 30."""
    labels = torch.arange(10).repeat(30)
    return Digits((labels * 25 + 30).to(torch.uint8).view(-1, 1, 1).expand(-1, 28, 28).contiguous(), labels)


@pytest.fixture
def digits(monkeypatch):
    bank = plain_digits()
    monkeypatch.setattr("vsacc.tasks.base.load_digits", lambda split: bank)
    return bank


@pytest.fixture
def file(tmp_path):
    """Bytes -> the path of a file that holds them; its name says nothing of its format."""

    def write(content: bytes) -> Path:
        path = tmp_path / "a0001-a photo (1).bin"
        path.write_bytes(content)
        return path

    return write
