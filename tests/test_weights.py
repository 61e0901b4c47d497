"""Weights and their cards: a round trip, and one sentence for each way they can be wrong."""

from dataclasses import asdict, replace

import pytest
import torch

from vsacc.local.paths import UserError
from vsacc.saccader import Config, Saccader
from vsacc.training.weights import load_into, read_card, save_weights

CONFIG = Config(hidden=8, features=8, proxy_widths=(4, 4), crop_widths=(4, 8))


@pytest.fixture
def saved(tmp_path):
    torch.manual_seed(0)
    model, path = Saccader(CONFIG, torch.arange(10)), tmp_path / "one.safetensors"
    save_weights(model, {"task": "one_digit", "model": "saccader", "config": asdict(CONFIG)}, path)
    return model, path


def fresh(config=CONFIG):
    return Saccader(config, torch.arange(10))


def test_round_trip(saved):
    model, path = saved
    loaded = load_into(fresh(), CONFIG, path)
    for ours, theirs in zip(model.state_dict().values(), loaded.state_dict().values(), strict=True):
        assert torch.equal(ours, theirs)
    assert read_card(path)["task"] == "one_digit"


def test_weights_of_another_config(saved):
    other = replace(CONFIG, hidden=16)
    with pytest.raises(UserError, match=r"trained with {'hidden': 8}, not with {'hidden': 16}"):
        load_into(fresh(other), other, saved[1])


def test_weights_that_are_not_what_the_card_says(saved):
    _, path = saved
    save_weights(torch.nn.Linear(2, 2), read_card(path), path)
    with pytest.raises(UserError, match="does not hold this model's weights"):
        load_into(fresh(), CONFIG, path)


@pytest.mark.parametrize("content", [b"", b"\x00" * 7, None])
def test_truncated_weights(saved, content):
    _, path = saved
    path.write_bytes(path.read_bytes()[:-100] if content is None else content)
    with pytest.raises(UserError, match="does not hold this model's weights"):
        load_into(fresh(), CONFIG, path)


def test_missing_card(saved):
    _, path = saved
    path.with_suffix(".json").unlink()
    with pytest.raises(UserError, match=r"has no card one\.json"):
        load_into(fresh(), CONFIG, path)


def test_broken_card(saved):
    _, path = saved
    path.with_suffix(".json").write_text("{")
    with pytest.raises(UserError, match="not a readable card"):
        load_into(fresh(), CONFIG, path)


def test_a_card_of_another_version(saved):
    _, path = saved
    card = read_card(path)
    save_weights(saved[0], {**card, "config": {**card["config"], "eyes": 2}}, path)
    with pytest.raises(UserError, match=r"another version .*eyes"):
        load_into(fresh(), CONFIG, path)
