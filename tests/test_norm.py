"""A group norm and its ReLU in one pass: the numbers of torch's own, in every precision and on every path."""

import sys

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from vsacc import norm
from vsacc.norm import Normed, norm_relu

kernel = pytest.importorskip("vsacc.kernels.norm")
FORMS = {"side by side": torch.channels_last, "plane by plane": torch.contiguous_format}


def inputs(dtype, count=5, channels=16, height=6, width=7, form=torch.channels_last):
    torch.manual_seed(0)
    x = (2 * torch.randn(count, channels, height, width) + 3).to(dtype).contiguous(memory_format=form)
    plus, gradient = torch.randn(2, *x.shape).to(dtype)
    weights = torch.randn(2, channels, dtype=torch.float32 if dtype == torch.bfloat16 else dtype)
    return x, plus, gradient, *weights


def oracle(x, weight, bias, groups, plus):
    y = F.group_norm(x, groups, weight, bias)
    return (y if plus is None else y + plus).relu()


@pytest.mark.parametrize("add", [False, True], ids=["alone", "plus"])
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize(
    ("dtype", "near"), [(torch.float64, 1e-12), (torch.float32, 1e-5), (torch.bfloat16, 2e-2)], ids=str
)
def test_values_and_gradients_are_those_of_float64(dtype, near, form, add):
    x, plus, gradient, weight, bias = inputs(dtype, form=form)
    mine = [value.clone().requires_grad_() for value in (x, weight, bias, plus)]
    exact = [value.double().requires_grad_() for value in (x, weight, bias, plus)]
    y = kernel.GroupNormReLU.apply(*mine[:3], 4, 1e-5, mine[3] if add else None)
    wanted = oracle(*exact[:3], 4, exact[3] if add else None)
    y.backward(gradient)
    wanted.backward(gradient.double())
    assert y.dtype == dtype
    torch.testing.assert_close(y.double(), wanted, rtol=near, atol=near)
    for ours, theirs in zip(mine[: 3 + add], exact, strict=False):
        torch.testing.assert_close(ours.grad.double(), theirs.grad, rtol=near, atol=near)


def test_gradients_are_those_of_finite_differences():
    x, plus, _, weight, bias = (value.requires_grad_() for value in inputs(torch.float64, 2, 8, 3, 2))
    assert torch.autograd.gradcheck(lambda *given: kernel.GroupNormReLU.apply(*given[:3], 2, 1e-5, given[3]),
                                    (x, weight, bias, plus))  # fmt: skip


def test_threads_share_the_images_and_change_no_value(monkeypatch):
    x, plus, gradient, weight, bias = inputs(torch.float32, 7)
    results = []
    for threads in (1, 3):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        monkeypatch.setattr("vsacc.kernels.LEAST", 1)
        given = [value.clone().requires_grad_() for value in (x, weight, bias, plus)]
        y = kernel.GroupNormReLU.apply(*given[:3], 4, 1e-5, given[3])
        y.backward(gradient)
        results.append([y.detach(), *(value.grad for value in given)])
    for one, three in zip(*results, strict=True):
        torch.testing.assert_close(one, three, rtol=1e-5, atol=1e-5)
    assert torch.equal(results[0][0], results[1][0]) and torch.equal(results[0][1], results[1][1])


def test_what_is_no_number_stays_none():
    x, _, _, weight, bias = inputs(torch.float32)
    x[1, 0, 0, 0] = torch.nan
    y = kernel.GroupNormReLU.apply(x, weight, bias, 4, 1e-5, None)
    assert y[1, :4].isnan().all() and y[0].isfinite().all() and y[1, 4:].isfinite().all()


@pytest.mark.parametrize("compiled", [True, False])
def test_a_sequence_is_torchs_own_with_the_same_names(compiled, monkeypatch):
    monkeypatch.setattr(norm, "LEAST", 1)
    called = []

    def fused(*given):
        called.append(given[-1])
        return kernel.GroupNormReLU.apply(*given)

    monkeypatch.setattr(norm, "fastest", lambda: fused if compiled else None)
    torch.manual_seed(1)
    layers = [nn.Conv2d(3, 8, 3, 1, 1), nn.GroupNorm(2, 8), nn.ReLU(), nn.Conv2d(8, 8, 1), nn.GroupNorm(4, 8),
              nn.Conv2d(8, 8, 1), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 5)]  # fmt: skip
    ours, plain = Normed(*layers), nn.Sequential(*layers)
    x = torch.rand(2, 3, 6, 6)
    torch.testing.assert_close(ours(x), plain(x))
    assert list(ours.state_dict()) == list(plain.state_dict())
    assert len(called) == compiled  # only the norm that a ReLU follows
    y = layers[0](x)
    torch.testing.assert_close(norm_relu(layers[1], y, plus=y), (layers[1](y) + y).relu())


@pytest.mark.parametrize("weights", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_other_precisions_are_torchs(monkeypatch, dtype, weights):
    monkeypatch.setattr(norm, "LEAST", 1)
    layer, x = nn.GroupNorm(2, 8).to(weights), torch.randn(2, 8, 4, 4).to(dtype)
    try:
        wanted = layer(x).relu()
    except RuntimeError:  # nor does torch take them together
        return
    torch.testing.assert_close(norm_relu(layer, x).float(), wanted.float(), rtol=0.02, atol=0.02)


def test_without_numba_it_is_torch(monkeypatch):
    monkeypatch.setitem(sys.modules, "vsacc.kernels.norm", None)  # as if it could not be imported
    norm.fastest.cache_clear()
    assert norm.fastest() is None
    norm.fastest.cache_clear()
