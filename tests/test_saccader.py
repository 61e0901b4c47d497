"""The saccader against a naive loop, what teaches it where to look, and who else may choose its places."""

from dataclasses import replace

import pytest
import torch
from torch import distributions as D
from torch.nn import functional as F

from conftest import noise
from vsacc import saccader as policies
from vsacc.images.canvases import build_video
from vsacc.images.computed import enlarge, scatter
from vsacc.loss import lower_bound
from vsacc.saccader import Choice, Config, Saccader
from vsacc.sampler import as_pyramid, build_pyramid, glimpse
from vsacc.systems import find_system
from vsacc.tasks import Batch, find_task
from vsacc.training.evaluation import evaluate
from vsacc.vrnn import kl_normal

TINY = Config(hidden=8, features=12, proxy_widths=(4, 8), crop_widths=(8, 8), glimpses=3)
VARIANTS = {"ours": {}, "published": {"posterior": "dense", "inhibition": False, "likelihood": "pooled"}}
PAIR = find_task("identification").question
LABELS = torch.tensor([0, 10, 20, 54])


@pytest.fixture
def images():
    return build_pyramid(noise(4, 1, 100, 100))


@pytest.fixture(params=VARIANTS)
def model(request):
    torch.manual_seed(0)
    return Saccader(replace(TINY, **VARIANTS[request.param]), PAIR)


CENTRES = torch.arange(-15, 16, 2) / 16  # of 16 cells, along an axis


def naive_posterior(vrnn, features, summary, hidden, visited):
    """Mean and sigma of q for one image: features (F, 16, 16), summary and hidden (D,), visited (16, 16)."""
    if vrnn.spatial:
        asked = (features + vrnn.ask(hidden)[:, None, None]).relu()
        logits = (asked * vrnn.saliency.weight[0]).sum(0) + vrnn.saliency.bias - F.softplus(vrnn.inhibit) * visited
        weight = logits.exp()
        if not vrnn.training:  # nothing beyond 0.3 of the peak
            row, col = divmod(logits.argmax().item(), 16)
            far = (CENTRES - CENTRES[col]) ** 2 + (CENTRES[:, None] - CENTRES[row]) ** 2 > 0.3**2
            weight = weight.masked_fill(far, 0)
        share = weight / weight.sum()
        z_s, raw = vrnn.extent(torch.cat([(features * share).sum((1, 2)), hidden])).split([1, 3])
        place = torch.stack([(share * CENTRES).sum(), (share * CENTRES[:, None]).sum()])
    else:
        (z_s, *place), raw = vrnn.posterior_net(torch.cat([summary, hidden])).chunk(2)
        z_s, place = z_s[None], torch.stack(place).tanh()
    return torch.cat([z_s, place]), 0.02 + 0.38 * (raw - 2).sigmoid()


def naive(model, image, eps):
    """The paper's loop for one image (C, 96, 96), every saccade looked at before the next one; eps (T, 3), noise of z.

    Returns where (T, 3), h_{i-1} (T, D), logits (K,), and the sums of log p(c | z_i, h_{i-1}) and of the KL.
    """
    vrnn, image = model.vrnn, image[None] / 255
    c = F.avg_pool2d(image, 3)
    features = vrnn.encode(2 * c - 1)
    summary = vrnn.summary(features)[0]
    hidden = cell = torch.zeros(8)
    visited, where, states, read, log_c, kl = torch.zeros(16, 16), [], [], [], 0, 0
    for noise_of_z in eps:
        mu, sigma = naive_posterior(vrnn, features[0], summary, hidden, visited)
        prior_mu, prior_raw = vrnn.prior_net(hidden).chunk(2)
        kl += D.kl_divergence(D.Normal(mu, sigma), D.Normal(prior_mu, 0.01 + F.softplus(prior_raw))).sum()
        z = mu + sigma * noise_of_z
        density = D.Normal(vrnn.decode(z[None], hidden[None]), vrnn.log_sigma_c.exp()).log_prob(c)
        log_c += (density - torch.tensor(255.0).log()).sum()
        s, x, y = 0.2 + 0.1 * z[0].sigmoid(), z[1], z[2]
        where.append(torch.stack([s, x, y]))
        states.append(hidden)
        theta = torch.stack([s, s * 0, x, s * 0, s, y]).view(1, 2, 3)
        grid = F.affine_grid(theta, [1, 1, 32, 32], align_corners=False)
        read.append(model.crop(F.grid_sample(image, grid, "bilinear", "border", align_corners=False))[0])
        gates = F.linear(torch.cat([summary, vrnn.phi_z(z)]), vrnn.cell.weight_ih, vrnn.cell.bias_ih)
        write, keep, new, show = (gates + F.linear(hidden, vrnn.cell.weight_hh, vrnn.cell.bias_hh)).chunk(4)
        cell = keep.sigmoid() * cell + write.sigmoid() * new.tanh()
        hidden = show.sigmoid() * cell.tanh()
        visited = visited + torch.exp(-0.5 * ((CENTRES - x) ** 2 + (CENTRES[:, None] - y) ** 2) / (0.5 * s) ** 2)
    return torch.stack(where), torch.stack(states), model.likelihood(torch.stack(read)[None])[0], log_c, kl


@pytest.mark.parametrize("training", [True, False])
def test_it_is_the_papers_loop(model, training):
    """A sample of q in training, the mean in evaluation; all steps read and decoded at once."""
    images, eps = noise(4, 1, 96, 96), torch.zeros(4, 4, 3)
    model.train(training)
    if training:
        torch.manual_seed(1)
        eps = torch.stack([torch.randn(4, 3) for _ in range(4)])
    torch.manual_seed(1)
    roll = model.roll_out(as_pyramid(images), 4, policies.sample if training else policies.mean)
    after, _ = model.read(as_pyramid(images), roll.where)
    logits = after[:, -1]
    log_c = model.vrnn.log_proxy(roll.proxy, roll.z, roll.hidden).sum(0)
    kl = kl_normal(roll.posterior, model.vrnn.prior(roll.hidden)).sum(0)
    found = [roll.where, roll.hidden.transpose(0, 1), logits, log_c, kl]
    for i in range(4):
        for one, other in zip(found, naive(model, images[i], eps[:, i]), strict=True):
            torch.testing.assert_close(one[i], other, rtol=1e-4, atol=1e-5)
    torch.manual_seed(1)
    output = model(images, glimpses=4)
    for one, other in zip([output.where, output.logits, *output.terms.values()], [*found[:1], *found[2:]], strict=True):
        assert one.equal(other)
    torch.testing.assert_close(output.glimpses, glimpse(images, output.where, 32))


def test_every_parameter_is_trained(model, images):
    output = model(images)
    lower_bound(output.logits, LABELS, output.terms).loss.backward()
    idle = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert idle == []


STILL = {
    "pyramid": lambda: build_pyramid(noise(6, 2, 100, 100)),
    "enlarged": lambda: enlarge(noise(6, 2, 50, 50), 100),
    "scattered": lambda: scatter(100, noise(6, 3, 28, 28), torch.randint(72, (6, 3, 2))),
}


@pytest.mark.parametrize("kind", STILL)
def test_each_image_stops_when_it_is_sure(kind):
    """A naive twin: what is said after each glimpse of all images, of which each one's first sure answer counts."""
    torch.manual_seed(3)
    images = STILL[kind]()
    model = Saccader(replace(TINY, channels=images.shape[1]), find_task("one_digit").question).eval()
    model.temperatures = 0.08, 0.05, 0.04  # untrained it is never sure
    with torch.no_grad():
        full = model(images, 5)
    sure = (full.after / torch.tensor([0.08, 0.05, 0.04, 0.04, 0.04])[:, None]).softmax(-1).amax(-1)  # (B, T)
    for stop in (0.0, sure[:, :4].median().item(), 1.1):
        first = [next((t for t in range(5) if row[t] >= stop), 4) for row in sure.tolist()]
        output = model(images, 5, stop=stop)
        assert (output.looks - 1).tolist() == first and output.terms == {} and output.after is None
        for i, t in enumerate(first):
            torch.testing.assert_close(output.logits[i], full.after[i, t], rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(output.where[i, : t + 1], full.where[i, : t + 1], rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(output.glimpses[i, : t + 1], full.glimpses[i, : t + 1], rtol=1e-3, atol=1e-3)
            assert output.where[i, t:].equal(output.where[i, t].expand(5 - t, 3))
    scores = evaluate(model, [Batch(images, torch.arange(6), None)], stop=0.0)
    assert scores.looks == 1


def test_nothing_is_computed_for_images_that_are_done(monkeypatch):
    model = Saccader(TINY, find_task("one_digit").question).eval()
    images, seen = build_pyramid(noise(4, 1, 100, 100)), []
    monkeypatch.setattr(model.crop, "forward", lambda o: seen.append(len(o)) or torch.rand(len(o), 12))
    said = iter([[0.9, 0.2, 0.9, 0.2], [0.2, 0.9], [0.2]])  # of the likeliest class of those that are left

    def likelihood(features, where):
        p = torch.tensor(next(said)).unsqueeze(1)
        assert len(features) == len(where) == len(p)
        return torch.cat([p, (1 - p) / 9 * torch.ones(1, 9)], 1).log()

    monkeypatch.setattr(model.likelihood, "forward", likelihood)
    assert model(images, 3, stop=0.8).looks.tolist() == [1, 3, 1, 2] and seen == [4, 2, 1]


def test_what_cannot_stop_by_itself_says_so():
    video = find_task("moving_digit").question
    with pytest.raises(ValueError, match="leave out stop"):
        Saccader(TINY, video).eval()(build_video(noise(2, 3, 1, 64, 64)), 3, stop=0.5)
    with pytest.raises(ValueError, match="leave out stop"):
        Saccader(TINY, find_task("megapixel_multi").question).eval()(noise(2, 1, 64, 64), 3, stop=0.5)


def test_h_may_be_told_what_was_read(images):
    """At first nothing changes; then what the first glimpse shows moves the second look, and only that one."""
    torch.manual_seed(0)
    model, told = (Saccader(replace(TINY, feedback=kind), PAIR) for kind in ("none", "reader"))
    told.load_state_dict(model.state_dict(), strict=False)
    model.eval(), told.eval()
    before = told(images, 3)
    torch.testing.assert_close(before.where, model(images, 3).where)
    torch.nn.init.normal_(told.vrnn.phi_o.weight)
    output = told.train()(images, 3)
    lower_bound(output.logits, LABELS, output.terms).loss.backward()
    assert told.vrnn.phi_o.weight.grad.abs().sum() > 0
    after = told.eval()(images, 3)
    assert after.where[:, 0].equal(before.where[:, 0]) and (after.where[:, 1] - before.where[:, 1]).abs().max() > 1e-4
    with pytest.raises(ValueError, match="not in videos"):
        told(build_video(noise(4, 3, 1, 64, 64)), 3)
    with pytest.raises(ValueError, match="feedback must be"):
        Saccader(replace(TINY, feedback="eyes"), PAIR)


def test_the_classification_alone_teaches_where_to_look(model, images):
    """The gradient of log p(y | o) runs through the glimpses' pixels into q(z | c, h)."""
    F.cross_entropy(model(images).logits, LABELS).backward()
    assert model.vrnn.encode[1].weight.grad.abs().sum() > 0


def test_it_can_look_longer_than_it_was_trained_to(model, images):
    model.eval()
    short, long = model(images, glimpses=2), model(images, glimpses=5)
    assert long.where.shape == (4, 5, 3)
    torch.testing.assert_close(short.where, long.where[:, :2])


def test_without_annealing_sigma_and_scale_are_learned_from_the_start(model):
    model.config = replace(model.config, annealed=False)
    before = [buffer.clone() for buffer in (model.vrnn.sigma_floor, model.vrnn.scale_top)]
    model.anneal(0.0)
    assert [model.vrnn.sigma_floor, model.vrnn.scale_top] == before


def test_annealing_ends_at_the_configured_sigma(model):
    for progress, sigma in ((0.0, 0.4), (0.25, (0.4 * 0.02) ** 0.5), (0.5, 0.02), (1.0, 0.02)):
        model.anneal(progress)
        assert model.vrnn.sigma_floor == pytest.approx(sigma)


@pytest.mark.parametrize("zoom", [0.0, 0.5, 1.0])
def test_frames_begin_wide_as_far_as_the_zoom_says(zoom):
    vrnn = Saccader(replace(TINY, scale=(0.2, 0.3, 0.6), zoom=zoom), PAIR).vrnn
    narrow, wide = torch.tensor([[-50.0, 0, 0]]), torch.tensor([[50.0, 0, 0]])
    for amount, low, high in ((1.0, 0.2 + 0.4 * zoom, 0.6), (0.5, 0.2 + 0.2 * zoom, 0.45), (0.0, 0.2, 0.3)):
        vrnn.widen(amount)
        assert vrnn.where(narrow)[0, 0] == pytest.approx(low) and vrnn.where(wide)[0, 0] == pytest.approx(high)
        there = vrnn.where(vrnn.latent(torch.tensor([[(low + high) / 2, 0.1, 0.2]])))
        torch.testing.assert_close(there, torch.tensor([[(low + high) / 2, 0.1, 0.2]]), rtol=0, atol=1e-5)


@pytest.mark.parametrize("variant", [{}, find_system("saccader").variants["as_published"].config])
def test_paper_size(variant):
    """Table 1: 7.4 M parameters."""
    config = replace(find_system("saccader").sizes["paper"], **variant)
    assert 6.9e6 < sum(p.numel() for p in Saccader(config, PAIR).parameters()) < 7.9e6


# Who chooses the places


def test_evaluation_looks_at_the_mean_and_training_samples(model, images):
    for training, chance in ((False, policies.sample), (True, policies.mean)):
        model.train(training)
        assert model(images).where.equal(model(images).where) != training
        assert model(images, policy=chance).where.equal(model(images, policy=chance).where) == training


@pytest.mark.parametrize("glimpses", [1, 3])
def test_staying(model, images, glimpses):
    """With one glimpse there is nothing to keep; with more, all of them show what the first one shows."""
    expected, output = model.eval()(images, glimpses), model(images, glimpses, policy=policies.stay)
    torch.testing.assert_close(output.where, expected.where[:, :1].expand(-1, glimpses, -1))
    torch.testing.assert_close(output.glimpses, expected.glimpses[:, :1].expand(-1, glimpses, -1, -1, -1))
    assert output.logits.equal(expected.logits) == (glimpses == 1)


def test_looks_go_astray_from_the_third_on_and_only_in_training():
    torch.manual_seed(0)
    model = Saccader(Config(astray=0.5, sigma=(0.02, 0.03)), find_task("one_digit").question)
    images = build_pyramid(noise(200, 1, 64, 64))
    model.train().anneal(1.0)
    where = model(images, 5).where[..., 1:]
    usual = model.roll_out(as_pyramid(images), 5).posterior.mean[..., 1:].transpose(0, 1)
    far = (where - usual).norm(dim=-1) > 0.25  # eight sigmas
    assert not far[:, :2].any() and where.abs().max() <= 1
    assert ((0.3 < far[:, 2:].float().mean(0)) & (far[:, 2:].float().mean(0) < 0.6)).all()
    quiet = model.eval()(images, 5).where
    torch.testing.assert_close(model(images, 5).where, quiet, rtol=0, atol=0)


@pytest.mark.parametrize("place", [(0.25, 0.3, -0.7), (0.9, 0.1, 0.2), (0.05, 1.0, -1.0)])
def test_a_hand_overrules_one_step_and_the_recurrence_goes_on_from_there(model, images, place):
    """Looked at exactly, whatever the scales of the model; what follows is as if the nearest z had been drawn."""
    where, z = torch.tensor(place).expand(4, 3), model.eval().vrnn.latent(torch.tensor(place)).expand(4, 3)
    usual = model.roll_out(images, 3)
    roll = model.roll_out(images, 3, policies.Hand({1: place}))
    drawn = model.roll_out(images, 3, lambda turn: Choice(z) if turn.step == 1 else policies.mean(turn))
    assert roll.where[:, 1].equal(where) and roll.where[:, 0].equal(usual.where[:, 0])
    assert roll.z[1].equal(z) and roll.z.equal(drawn.z) and roll.hidden.equal(drawn.hidden)
    assert roll.where[:, 2].equal(drawn.where[:, 2]) and not roll.where[:, 2].equal(usual.where[:, 2])
    kept = model.roll_out(images, 3, policies.Hand({1: place}, otherwise=policies.stay)).where
    assert kept[:, 2].equal(kept[:, 0]) and kept[:, 1].equal(where)
    seen = model(images, policy=policies.Hand({1: place})).glimpses
    torch.testing.assert_close(seen[:, 1], glimpse(images, where, 32))


def test_given_places_are_looked_at_exactly_and_as_often_as_asked(model, images):
    """Its own places, given, change nothing that it reads."""
    own = model.eval()(images)
    assert model(images, policy=policies.Given(own.where)).logits.equal(own.logits)
    where = policies.coarse_to_fine(4, 5)
    for steps in (2, 5):
        output = model(images, steps, policies.Given(where))
        assert output.where.equal(where[:, :steps])
        assert output.after.equal(model.read(images, where[:, :steps])[0]) and output.logits.equal(output.after[:, -1])


def test_what_is_said_after_each_glimpse_is_what_fewer_glimpses_say(model, images):
    model.eval()
    after = model(images, 4).after
    for steps in range(1, 5):
        torch.testing.assert_close(after[:, steps - 1], model(images, steps).logits)


def test_anywhere_is_the_same_places_in_every_call(model, images):
    first, again, other = (model(images, 3, policies.Anywhere(0.3, seed)).where for seed in (0, 0, 1))
    assert first.equal(again) and not first.equal(other)
    assert (first[..., 0] == 0.3).all() and len(first.flatten(0, 1).unique(dim=0)) == 12


@pytest.mark.parametrize("s", [0.0, 0.3, 1.0])
def test_random_places_are_uniform_over_all_that_keep_the_frame_inside(s):
    where = policies.random_places(2000, 3, s, torch.Generator().manual_seed(0))
    assert where.shape == (2000, 3, 3) and (where[..., 0] == s).all()
    assert (where[..., 1:].abs() <= 1 - s + 1e-6).all()
    expected = (1 - s) ** 2 / 3 * torch.eye(2)  # no correlation
    torch.testing.assert_close(where[..., 1:].flatten(0, 1).T.cov(), expected, rtol=0.05, atol=0.02)
    assert where[..., 1:].mean((0, 1)).abs().max() < 0.03


def test_grids_by_hand():
    expected = [[0.5, -0.5, -0.5], [0.5, 0.5, -0.5], [0.5, -0.5, 0.5]]  # row by row
    assert policies.grid_places(2, 3, 0.5).tolist() == [expected] * 2
    assert policies.grid_places(1, 5, 0.1)[0, 4].tolist() == pytest.approx([0.1, 0, 0])  # the middle of 3 x 3
    fine = policies.coarse_to_fine(2, 7)
    assert fine.shape == (2, 7, 3) and fine[0, :4].tolist() == [[1.0, 0.0, 0.0], *expected]
    assert fine[1, 5].tolist() == [0.25, -0.75, -0.75] and (fine[..., 1:].abs() + fine[..., :1] <= 1).all()
