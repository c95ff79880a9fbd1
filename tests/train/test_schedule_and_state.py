"""The learning rate's course, the running average, and what a state file keeps or refuses."""

import math
from dataclasses import fields

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from edgedeblur.data.blur.recipe import BlurRecipe
from edgedeblur.errors import UserError
from edgedeblur.storage.contents import Origin
from edgedeblur.train.recipe import Adversary, ContentLosses, GeneratorRecipe
from edgedeblur.training.device import choose_compute
from edgedeblur.training.losses import charbonnier, frequency_loss, harm_loss, log_mse
from edgedeblur.training.recipe import GENERATOR_RECIPES, RECIPES, Fitting, find_recipe, read_recipe
from edgedeblur.training.recipe_table import read_recipe_table, to_table
from edgedeblur.training.schedule import Budget, rate_factor
from edgedeblur.training.state import RunningAverage, TrainingState


def from_table(table: dict) -> GeneratorRecipe:
    return read_recipe_table(GeneratorRecipe, table, Origin("a recipe"))


def state(seed: int = 0, identity: dict | None = None) -> TrainingState:
    torch.manual_seed(seed)
    network = nn.Linear(3, 2)
    optimiser = torch.optim.AdamW(network.parameters(), 0.1)
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    return TrainingState({"net": network}, {"net": optimiser}, scaler, 0.9, identity or {"seed": 0})


def take_steps(run: TrainingState, count: int) -> list[float]:
    losses = []
    for _ in range(count):
        loss = run.main(torch.rand(4, 3)).square().mean()
        run.optimise("net", loss, clip=1.0)
        run.finish_step(float(run.step))
        losses.append(loss.item())
    return losses


def test_the_rate_warms_up_then_follows_a_cosine_to_a_hundredth():
    assert [rate_factor(step, 0, warm_up=100) for step in (0, 49, 99)] == pytest.approx([0.01, 0.5, 1.0])
    assert rate_factor(0, 0) == 1
    assert rate_factor(10_000, 0.5, warm_up=100) == pytest.approx((1 + 0.01) / 2)
    assert rate_factor(10_000, 1, warm_up=100) == pytest.approx(0.01)


def test_the_linear_schedule_is_that_of_deblurgan():
    """Constant for 150 epochs, then to zero in 150."""
    epochs = (0, 100, 150, 225, 300)
    assert [rate_factor(5, epoch / 300, "linear") for epoch in epochs] == pytest.approx([1, 1, 1, 0.5, 0])


def test_a_budget_ends_by_steps_or_by_the_clock_whichever_is_first():
    both = Budget(steps=100, minutes=10)
    assert both.fraction(50, 60) == 0.5 and both.fraction(10, 300) == 0.5
    assert Budget(None, 2).fraction(10**6, 60) == 0.5 and Budget(10, None).fraction(20, 0) == 1


@pytest.mark.parametrize("steps, minutes", [(None, None), (0, None), (-1, None), (None, 0), (None, math.nan)])
def test_a_run_without_an_end_is_refused(steps, minutes):
    with pytest.raises(UserError):
        Budget(steps, minutes)


def test_the_running_average_is_the_average_it_says():
    network = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(network.weight)
    average = RunningAverage(network, 0.9)
    expected = 0.0
    for step in range(200):
        nn.init.constant_(network.weight, step)
        average.update(step)
        decay = min(0.9, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * step
    assert average.network.weight.item() == pytest.approx(expected, rel=1e-5)


def test_a_restored_state_goes_on_bit_by_bit(tmp_path):
    whole = state()
    torch.manual_seed(1)
    expected = take_steps(whole, 6)
    first = state()
    torch.manual_seed(1)
    begun = take_steps(first, 3)
    first.save(tmp_path / "run.state.pt")
    second = state(seed=9)
    second.restore(tmp_path / "run.state.pt")
    assert begun + take_steps(second, 3) == expected
    assert torch.equal(second.averaged.weight, whole.averaged.weight) and second.step == 6


def test_a_state_of_other_settings_is_refused_by_name(tmp_path):
    state().save(tmp_path / "run.state.pt")
    with pytest.raises(UserError, match="another seed: 0, now 5"):
        state(identity={"seed": 5}).restore(tmp_path / "run.state.pt")


def test_a_state_from_before_blur_had_a_key_goes_on_as_with_its_default(tmp_path):
    before = {name: value for name, value in to_table(BlurRecipe()).items() if name != "recorded_share"}
    state(identity={"recipe": {"blur": before}}).save(tmp_path / "run.state.pt")
    now = to_table(BlurRecipe())
    state(identity={"recipe": {"blur": now}, "shake": None}).restore(tmp_path / "run.state.pt")
    with pytest.raises(UserError, match="another recipe"):
        state(identity={"recipe": {"blur": now | {"recorded_share": 0.5}}}).restore(tmp_path / "run.state.pt")
    with pytest.raises(UserError, match="another shake"):
        state(identity={"recipe": {"blur": now}, "shake": "phone"}).restore(tmp_path / "run.state.pt")


def test_missing_truncated_and_foreign_states_are_messages(tmp_path):
    path = tmp_path / "run.state.pt"
    with pytest.raises(UserError, match="no training state"):
        state().restore(path)
    state().save(path)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(UserError, match="is not a training state"):
        state().restore(path)
    torch.save({"weights": 1}, path)
    with pytest.raises(UserError, match="is not a training state"):
        state().restore(path)


def test_a_state_file_that_would_run_code_is_refused(tmp_path):
    class Exploit:
        def __reduce__(self):
            return (print, ("executed",))

    torch.save({"identity": Exploit(), "step": 0, "averaged": {}}, tmp_path / "run.state.pt")
    with pytest.raises(UserError, match="is not a training state"):
        state().restore(tmp_path / "run.state.pt")


def test_a_resumed_run_goes_on_with_its_own_rate(tmp_path):
    first = state()
    take_steps(first, 1)
    first.save(tmp_path / "run.state.pt")
    second = state()
    second.optimisers["net"].param_groups[0]["base_rate"] = 0.02
    second.restore(tmp_path / "run.state.pt")
    second.set_rates(0.5)
    assert second.optimisers["net"].param_groups[0]["lr"] == pytest.approx(0.01)


def test_a_clip_of_zero_leaves_gradients_as_they_are():
    run = state()
    run.optimise("net", 1e6 * run.main(torch.ones(1, 3)).sum(), clip=0.0)
    assert run.main.weight.grad.abs().max() == 1e6


def test_a_scaler_skips_an_overflowing_step_and_lowers_its_scale():
    run = state()
    run.scaler = torch.amp.GradScaler("cpu", init_scale=1024.0, enabled=True)
    before = run.main.weight.clone()
    run.optimise("net", run.main(torch.full((1, 3), 3e38)).sum() * 10, clip=1.0)
    assert torch.equal(run.main.weight, before) and run.scaler.get_scale() == 512.0
    run.optimise("net", run.main(torch.ones(1, 3)).sum(), clip=1.0)
    assert not torch.equal(run.main.weight, before)


def test_a_nan_gradient_changes_nothing():
    run = state()
    before = run.main.weight.clone()
    run.optimise("net", run.main(torch.full((1, 3), math.nan)).sum(), clip=1.0)
    assert torch.equal(run.main.weight, before)


def test_charbonnier_is_l1_for_large_differences_and_its_floor_at_zero():
    a = torch.tensor([3.0, 0.0])
    assert charbonnier(a, torch.zeros(2)).item() == pytest.approx((math.sqrt(9 + 1e-6) + 1e-3) / 2)


def test_the_frequency_loss_of_a_flat_difference_is_all_in_one_coefficient():
    a = torch.full((1, 1, 8, 8), 0.5)
    coefficients = 8 * 5 * 2  # half a spectrum, real and imaginary parts
    assert frequency_loss(a, torch.zeros_like(a)).item() == pytest.approx(0.5 * 8 / coefficients, rel=1e-5)


def test_the_log_of_the_squared_error_is_psnr():
    sharp, off = torch.full((2, 3, 8, 8), 0.5), torch.full((2, 3, 8, 8), 0.6)
    assert -10 * log_mse(off, sharp).item() == pytest.approx(20, abs=1e-3)
    assert log_mse(sharp, sharp).isfinite()


def test_only_pictures_that_come_out_worse_have_a_loss_of_harm():
    sharp = torch.full((3, 3, 8, 8), 0.5)
    blurred = sharp + torch.tensor([0.0, 0.1, 0.1]).view(3, 1, 1, 1)
    restored = (sharp + torch.tensor([0.01, 0.05, 0.2]).view(3, 1, 1, 1)).requires_grad_()
    loss = harm_loss(restored, blurred, sharp)
    wanted = (math.log10((1e-4 + 1e-5) / 1e-5) + math.log10((0.04 + 1e-5) / (0.01 + 1e-5))) / 3
    assert loss.item() == pytest.approx(wanted, rel=1e-4)
    loss.backward()
    assert [bool(gradient.any()) for gradient in restored.grad] == [True, False, True]


@pytest.mark.parametrize("recipe", sorted(RECIPES.glob("*.toml")), ids=lambda path: path.stem)
def test_shipped_recipes_are_read(recipe):
    from edgedeblur.distill.recipe import DistillRecipe

    read_recipe(recipe, DistillRecipe if recipe.stem.startswith("student") else GeneratorRecipe)


@pytest.mark.parametrize(
    "text, message",
    [
        ("[fitting]\nbtach = 3", "unknown key fitting.btach"),
        ("[fitting]\nbatch = 'three'", "fitting.batch = 'three'; an integer is needed"),
        ("[fitting]\ncrop = 100", "multiple of 16"),
        ("[adversary]\nkind = 'vanilla'", "wgan-gp, lsgan, ragan-ls, bce, none"),
        ("[adversary]\ndiscriminator = 'triple'", "patch, double"),
        ("[adversary]\nbetas = [0.5]", "betas are"),
        ("[fitting]\nreuse = 0", "reuse is 0; it must be 1 to 64"),
        ('[fitting]\noptimiser = "sgd"', "fitting.optimiser is 'sgd'; allowed are adamw, muon"),
        ("[adversary]\nupdates = 0", "updates 0"),
        ("[fitting]\nschedule = 'step'", "cosine, linear"),
        ("[content]\nl2 = 1", "unknown key content.l2"),
        ("[content]\nmse = 0", "no loss above 0"),
        ("[content]\nmse = -1", "must not be negative"),
        ("[content]\nperceptual = 1", "content_without_vgg must name"),
        ("[network]\nname = 'resnet_7blocks'", "resnet_9blocks, resnet_6blocks"),
        ("[network]\nname = 'fpn_mobilenet'\nwidths = [1]", "unknown key network.widths; allowed are name, filters"),
        ("[network]\nname = 'resnet_9blocks'\nblock_layout = 'two'", "dropout, no dropout, one convolution"),
        ("[network]\nname = 'resnet_9blocks'\nngf = 0", "network.ngf is 0"),
        ("[network]\nname = 'fpn_inception'\n[fitting]\ncrop = 64", "multiples of 32 from 128 on"),
        ("vgg = 3", "vgg = 3; a string is needed"),
        ("[content]\nmse = nan", "content.mse = nan; a finite number"),
        ("frozen_fraction = 2", "frozen_fraction is 2.0"),
        ("fitting = 3", "fitting = 3; a table is needed"),
        ("[network]\nwidths = [1, 2]", "not a U-Net configuration"),
        ("[[", "recipe"),
    ],
)
def test_recipes_that_do_not_fit_are_messages(tmp_path, text, message):
    (tmp_path / "bad.toml").write_text(text)
    with pytest.raises(UserError, match=message):
        read_recipe(tmp_path / "bad.toml", GeneratorRecipe)


def test_an_unknown_recipe_is_answered_with_those_that_ship():
    with pytest.raises(UserError, match="deblurgan, deblurgan-v2, unet"):
        find_recipe("deblurgan-v3")


def test_shipped_recipes_are_what_their_papers_say():
    v1, v2 = (read_recipe(find_recipe(name), GeneratorRecipe) for name in ("deblurgan", "deblurgan-v2"))
    assert v1.content.used == {"perceptual": 100} and v1.content_without_vgg.used == {"l1": 100}
    assert (v1.adversary.kind, v1.adversary.updates, v1.adversary.penalty) == ("wgan-gp", 5, 10)
    assert v2.content.used == {"mse": 0.5, "perceptual": 0.006} and v2.adversary.weight == 0.01
    assert (v2.adversary.kind, v2.adversary.discriminator) == ("ragan-ls", "double")
    for recipe in (v1, v2):
        assert recipe.fitting.rate == recipe.adversary.rate == 1e-4
        assert recipe.fitting.crop == 256 and 8 <= recipe.fitting.batch <= 16


@pytest.mark.parametrize("name", GENERATOR_RECIPES)
def test_a_recipe_survives_as_a_table(name):
    recipe = read_recipe(find_recipe(name), GeneratorRecipe)
    assert from_table(to_table(recipe)) == recipe


def _tables(depth: int) -> st.SearchStrategy:
    names = [field.name for part in (GeneratorRecipe, Fitting, Adversary, ContentLosses) for field in fields(part)]
    names += ["name", "ngf", "filters", "block_layout", "upsample_kernel", "widths", "tile"]
    words = st.sampled_from(["unet", "resnet_9blocks", "fpn_mobilenet", "lsgan", "double", "linear", ""])
    values = st.one_of(
        st.integers(), st.floats(), st.booleans(), words, st.lists(st.integers() | st.floats(), max_size=3)
    )
    inner = st.one_of(values, _tables(depth - 1)) if depth else values
    return st.dictionaries(st.sampled_from(names), inner, max_size=4)


@given(_tables(2))
def test_any_table_is_a_recipe_or_a_message(table):
    try:
        recipe = from_table(table)
    except UserError as error:
        assert error.message.startswith("a recipe: ")
    else:
        assert from_table(to_table(recipe)) == recipe


def test_left_out_keys_keep_their_defaults():
    recipe = from_table({"fitting": {"batch": 7}})
    assert recipe.fitting.batch == 7 and recipe.fitting.crop == GeneratorRecipe().fitting.crop


@pytest.mark.parametrize("device", ["tpu", "cuda:99", "mps"])
def test_devices_that_are_not_here_are_messages(device):
    with pytest.raises(UserError, match=device):
        choose_compute(device)


def test_float16_on_a_cpu_is_refused():
    with pytest.raises(UserError, match="needs a GPU"):
        choose_compute("cpu", "float16")
