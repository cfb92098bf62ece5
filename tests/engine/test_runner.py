"""Groups on a real, tiny model: equal answers alone and together within rounding, and what happens without memory."""

from dataclasses import replace

import pytest
import torch

from app.engine import Loading, ModelChoice, Runner
from app.engine import runner as runner_module
from app.engine.runner import SMALL
from app.files import Identity
from app.language import Reading, Timing, Tokenizer, plan_texts
from app.models import guidance_embedding, is_out_of_memory
from app.recipes import Decode, EncodeImage, EncodeText, Evaluate, Residuals
from app.samplers import ModelSigmas
from app.schema.errors import ModelChanged, ModelNotFound, NotFiniteResult, OutOfMemory, UnsupportedModel
from app.schema.request import FileIdentity
from tests.models.checkpoints import write_tiny_checkpoint

READING = Reading(Timing(4))


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = write_tiny_checkpoint(tmp_path_factory.mktemp("models") / "tiny.safetensors", "SD1")
    identity = Identity.of(path)
    return FileIdentity(path=identity.path, size=identity.size, mtime_ns=identity.mtime_ns)


@pytest.fixture(scope="module")
def model(file):
    return Loading(torch.device("cpu"))(ModelChoice(file, None, "fp32"))


@pytest.fixture(scope="module")
def sigmas(model):
    return ModelSigmas.from_alphas_cumprod(model.alphas_cumprod)


@pytest.fixture
def runner():
    return Runner(Tokenizer())


def evaluation(runner, model, sigmas, *prompts, seed=0, sigma=2.0):
    units = [EncodeText(plan_texts(prompt, "", READING).positive[0].unit) for prompt in prompts]
    schedules = runner.run(model, sigmas, units)
    x = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(seed)) * sigma
    return Evaluate(x, sigma, tuple(schedule.at(0, 4) for schedule in schedules))


def test_a_group_answers_as_its_effects_alone(runner, model, sigmas):
    effects = [evaluation(runner, model, sigmas, "a cat", "", seed=seed, sigma=1.0 + seed) for seed in range(3)]
    together = runner.run(model, sigmas, effects)
    for effect, answer in zip(effects, together, strict=True):
        (alone,) = runner.run(model, sigmas, [effect])
        assert answer.shape == (2, 4, 8, 8)
        assert torch.allclose(alone, answer, atol=1e-5)


def test_the_answer_is_the_formula_of_epsilon_prediction(runner, model, sigmas):
    effect = evaluation(runner, model, sigmas, "a cat")
    (answer,) = runner.run(model, sigmas, [effect])
    with torch.inference_mode():
        noise = model.unet(
            effect.x / (1 + effect.sigma**2) ** 0.5,
            sigmas.sigma_to_t(effect.sigma).view(1),
            effect.conditionings[0].context,
            return_dict=False,
        )[0]
    assert torch.allclose(answer, effect.x - effect.sigma * noise, atol=1e-5)


def test_contexts_of_different_lengths_are_answered_in_their_order(runner, model, sigmas):
    long = "a cat " * 40
    effect = evaluation(runner, model, sigmas, long, "a cat", long)
    (answer,) = runner.run(model, sigmas, [effect])
    (short,) = runner.run(model, sigmas, [effect._replace(conditionings=effect.conditionings[1:2])])
    assert torch.allclose(answer[0], answer[2])
    assert torch.allclose(answer[1:2], short, atol=1e-5)


def shapes_inside(model, effect):
    """The shapes of what the U-Net hands from its way down to its way up, and of its middle."""
    found = []
    watched = [model.unet.conv_in, *model.unet.down_blocks, model.unet.mid_block]

    def note(module, inputs, output):
        found.extend(output[1] if isinstance(output, tuple) else [output])

    hooks = [module.register_forward_hook(note) for module in watched]
    with torch.inference_mode():
        model.unet(effect.x, 1.0, effect.conditionings[0].context)
    for one in hooks:
        one.remove()
    return [tuple(one.shape[1:]) for one in found]


def test_residuals_reach_the_rows_that_they_are_for(runner, model, sigmas):
    effect = evaluation(runner, model, sigmas, "a cat", "cat " * 100)
    *down, middle = shapes_inside(model, effect)
    second = torch.tensor([0.0, 1.0]).view(2, 1, 1, 1)
    added = Residuals(tuple(torch.ones(2, *shape) * second for shape in down), torch.ones(2, *middle) * second)
    (plain,) = runner.run(model, sigmas, [effect])
    (changed,) = runner.run(model, sigmas, [effect._replace(residuals=added)])
    assert torch.allclose(changed[0], plain[0], atol=1e-5)
    assert float((changed[1] - plain[1]).abs().mean()) > 0.01
    twice = [effect._replace(residuals=added), effect._replace(residuals=added + added)]
    together = runner.run(model, sigmas, twice)
    assert torch.allclose(together[0], changed, atol=1e-5)
    assert float((together[1] - changed).abs().mean()) > 0.001


def test_answers_can_be_changed_outside_of_inference_mode(runner, model, sigmas):
    (answer,) = runner.run(model, sigmas, [evaluation(runner, model, sigmas, "a cat")])
    assert not answer.is_inference()


def test_a_decoded_picture_has_bytes(runner, model, sigmas):
    (pixels,) = runner.run(model, sigmas, [Decode(torch.zeros(1, 4, 8, 12))])
    assert pixels.shape == (3, 64, 96)
    assert pixels.dtype == torch.uint8


def too_large_above(limit, monkeypatch, model):
    """Calls with more rows than this run out of memory; returns the sizes that were tried."""
    tried = []
    forward = model.unet.forward

    def limited(sample, *rest, **named):
        tried.append(len(sample))
        if len(sample) > limit:
            raise torch.OutOfMemoryError("injected")
        return forward(sample, *rest, **named)

    monkeypatch.setattr(model.unet, "forward", limited)
    return tried


def test_a_group_without_memory_is_halved_until_it_fits(runner, model, sigmas, monkeypatch):
    effects = [evaluation(runner, model, sigmas, "a cat", "", seed=seed) for seed in range(4)]
    wanted = runner.run(model, sigmas, effects)
    tried = too_large_above(2, monkeypatch, model)
    answers = runner.run(model, sigmas, effects)
    assert tried == [8, 4, 2, 2, 4, 2, 2]
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(answers, wanted, strict=True))


def test_one_effect_without_memory_is_asked_row_by_row(runner, model, sigmas, monkeypatch):
    effect = evaluation(runner, model, sigmas, "a cat", "")
    (wanted,) = runner.run(model, sigmas, [effect])
    tried = too_large_above(1, monkeypatch, model)
    (answer,) = runner.run(model, sigmas, [effect])
    assert tried == [2, 1, 1]
    assert torch.allclose(answer, wanted, atol=1e-5)


def test_without_memory_for_one_row_it_says_so(runner, model, sigmas, monkeypatch):
    effect = evaluation(runner, model, sigmas, "a cat")
    too_large_above(0, monkeypatch, model)
    with pytest.raises(OutOfMemory, match="smaller width and height"):
        runner.run(model, sigmas, [effect])


def convolutions_fit_up_to(numbers, monkeypatch):
    """A convolution of more numbers runs out of memory; strips are of half as many."""
    convolution = torch.nn.functional.conv2d

    def limited(values, *rest, **named):
        if values.numel() > numbers:
            raise torch.OutOfMemoryError("injected")
        return convolution(values, *rest, **named)

    monkeypatch.setattr(torch.nn.functional, "conv2d", limited)
    monkeypatch.setattr(runner_module, "STRIP", numbers // 2)


def test_a_picture_without_memory_is_decoded_in_strips(runner, model, sigmas, monkeypatch):
    effect = Decode(torch.randn(1, 4, 8, SMALL + 8, generator=torch.Generator().manual_seed(1)))
    (wanted,) = runner.run(model, sigmas, [effect])
    convolutions_fit_up_to(700_000, monkeypatch)
    (pixels,) = runner.run(model, sigmas, [effect])
    assert pixels.shape == (3, 64, (SMALL + 8) * 8)
    assert int((pixels.int() - wanted.int()).abs().max()) <= 1
    assert not pixels.is_inference()


def test_without_memory_for_one_strip_it_says_so(runner, model, sigmas, monkeypatch):
    convolutions_fit_up_to(4, monkeypatch)
    with pytest.raises(OutOfMemory, match="smaller width and height"):
        runner.run(model, sigmas, [Decode(torch.zeros(1, 4, 8, SMALL + 8))])


@pytest.mark.parametrize(
    "words",
    [
        "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes",
        "DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes",
        "MPS backend out of memory (MPS allocated: 9 GB)",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
    ],
)
def test_allocators_that_say_it_in_words_are_understood(words):
    assert is_out_of_memory(RuntimeError(words))
    assert not is_out_of_memory(RuntimeError("shapes do not fit"))


def test_not_a_number_is_no_picture(runner, model, sigmas):
    effect = evaluation(runner, model, sigmas, "a cat")
    with pytest.raises(NotFiniteResult):
        runner.run(model, sigmas, [effect._replace(x=torch.full_like(effect.x, float("nan")))])


def test_a_file_replaced_after_submission_is_not_drawn_with(file):
    changed = file.model_copy(update={"mtime_ns": 5})
    with pytest.raises(ModelChanged, match="was replaced"):
        Loading(torch.device("cpu"))(ModelChoice(changed, None, "fp32"))


def test_a_file_that_is_gone_is_named(file):
    gone = file.model_copy(update={"path": file.path + ".gone.safetensors"})
    with pytest.raises(ModelNotFound, match=r"tiny\.safetensors\.gone"):
        Loading(torch.device("cpu"))(ModelChoice(gone, None, "fp32"))


def identity(path):
    found = Identity.of(path)
    return FileIdentity(path=found.path, size=found.size, mtime_ns=found.mtime_ns)


def test_a_checkpoint_without_a_vae_is_drawn_with_the_one_that_was_chosen(file, tmp_path):
    bare = identity(write_tiny_checkpoint(tmp_path / "bare.safetensors", without=("first_stage_model.",)))
    model = Loading(torch.device("cpu"))(ModelChoice(bare, file, "bf16"))
    assert model.vae.scaling_factor == model.family.scaling_factor
    assert model.vae.dtype == torch.bfloat16
    assert model.vae.file == (file.path, file.size, file.mtime_ns)


def test_another_vae_makes_another_fingerprint(file, model):
    assert Loading(torch.device("cpu"))(ModelChoice(file, file, "fp32")).fingerprint != model.fingerprint


def test_a_vae_that_does_not_fit_is_refused_in_words(file, tmp_path):
    coarse = write_tiny_checkpoint(tmp_path / "coarse.safetensors", vae_channels=(32, 32, 32))
    with pytest.raises(UnsupportedModel, match=r"coarse\.safetensors does not fit tiny\.safetensors"):
        Loading(torch.device("cpu"))(ModelChoice(file, identity(coarse), "fp32"))


def test_a_vae_that_is_gone_is_the_fault_of_its_own_field(file):
    gone = file.model_copy(update={"path": file.path + ".gone.safetensors"})
    with pytest.raises(ModelNotFound) as caught:
        Loading(torch.device("cpu"))(ModelChoice(file, gone, "fp32"))
    assert caught.value.field == "vae"


@pytest.mark.parametrize("channels", [8, 9])
def test_the_channels_beside_the_latent_follow_it_into_the_unet(channels, runner, model, sigmas, tmp_path):
    editing = identity(write_tiny_checkpoint(tmp_path / "editing.safetensors", in_channels=channels))
    loaded = Loading(torch.device("cpu"))(ModelChoice(editing, None, "fp32"))
    effect = evaluation(runner, model, sigmas, "a cat")
    image = torch.randn(1, channels - 4, 8, 8, generator=torch.Generator().manual_seed(5))
    seen = replace(effect.conditionings[0], image=image)
    (answer,) = runner.run(loaded, sigmas, [effect._replace(conditionings=(seen,))])
    with torch.inference_mode():
        noise = loaded.unet(
            torch.cat([effect.x / (1 + effect.sigma**2) ** 0.5, image], dim=1),
            sigmas.sigma_to_t(effect.sigma).view(1),
            seen.context,
            return_dict=False,
        )[0]
    assert torch.allclose(answer, effect.x - effect.sigma * noise, atol=1e-5)


def test_a_picture_is_encoded_in_the_scale_of_the_unet(runner, model, sigmas):
    pixels = torch.rand(3, 64, 96, generator=torch.Generator().manual_seed(1)) * 2 - 1
    (latent,) = runner.run(model, sigmas, [EncodeImage(pixels)])
    assert latent.shape == (1, 4, 8, 12)
    with torch.inference_mode():
        mean = model.vae.module.encode(pixels[None], return_dict=False)[0].mean
    assert torch.allclose(latent, mean * model.family.scaling_factor, atol=1e-6)
    assert not latent.is_inference()


def test_a_picture_without_memory_is_encoded_in_strips(runner, model, sigmas, monkeypatch):
    effect = EncodeImage(torch.rand(3, 64, (SMALL + 8) * 8, generator=torch.Generator().manual_seed(1)) * 2 - 1)
    (wanted,) = runner.run(model, sigmas, [effect])
    convolutions_fit_up_to(700_000, monkeypatch)
    (latent,) = runner.run(model, sigmas, [effect])
    assert latent.shape == (1, 4, 8, SMALL + 8)
    assert torch.allclose(latent, wanted, atol=1e-5)


def test_tokens_are_merged_for_those_who_want_it(runner, model, sigmas):
    effect = evaluation(runner, model, sigmas, "a cat", "")
    (plain,) = runner.run(model, sigmas, [effect])
    (merged,) = runner.run(model, sigmas, [effect._replace(merging=0.5)])
    assert not torch.allclose(plain, merged, atol=1e-5)
    assert torch.equal(runner.run(model, sigmas, [effect])[0], plain)


def test_a_distilled_u_net_is_told_each_pictures_own_guidance_scale(tmp_path, runner):
    path = write_tiny_checkpoint(tmp_path / "lcm.safetensors", "SD1", guidance_width=16)
    identity = Identity.of(path)
    file = FileIdentity(path=identity.path, size=identity.size, mtime_ns=identity.mtime_ns)
    model = Loading(torch.device("cpu"))(ModelChoice(file, None, "fp32"))
    sigmas = ModelSigmas.from_alphas_cumprod(model.alphas_cumprod)
    effect = evaluation(runner, model, sigmas, "a cat")
    weak, strong, unsaid = runner.run(
        model, sigmas, [effect._replace(scale=1.5), effect._replace(scale=8.0), effect._replace(scale=None)]
    )
    assert torch.allclose(strong, unsaid, atol=1e-6)
    with torch.inference_mode():
        noise = model.unet(
            effect.x / (1 + effect.sigma**2) ** 0.5,
            sigmas.sigma_to_t(effect.sigma).view(1),
            effect.conditionings[0].context,
            timestep_cond=guidance_embedding(torch.tensor([1.5]), 16),
            return_dict=False,
        )[0]
    assert torch.allclose(weak, effect.x - effect.sigma * noise, atol=1e-5)
    assert not torch.allclose(weak, strong, atol=1e-3)
