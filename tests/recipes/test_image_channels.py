"""What U-Nets for inpainting and for editing are told beside the latent when there is no picture."""

import pytest
import torch

from app.models import SD1
from app.recipes import EncodeImage, ModelFacts
from app.recipes.image_channels import channels_without_picture, inpainting_channels
from app.samplers import ModelSigmas
from app.schema.errors import UnsupportedModel


def facts(channels):
    sigmas = ModelSigmas.scaled_linear()
    alphas = 1 / (1 + sigmas.sigmas**2)
    return ModelFacts(sigmas, alphas, channels, 4, 8, SD1, "cpu")


def ended(generator, answer=None):
    try:
        generator.send(answer)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("the generator wanted more")


def test_a_plain_model_reads_only_the_latent():
    assert ended(channels_without_picture(facts(4), 2, 3)) is None


def test_an_inpainting_model_is_told_to_redraw_all_of_a_grey_picture():
    generator = channels_without_picture(facts(9), 2, 3)
    asked = next(generator)
    assert isinstance(asked, EncodeImage)
    assert torch.equal(asked.pixels, torch.zeros(3, 16, 24))
    grey = torch.full((1, 4, 2, 3), 0.5)
    channels = ended(generator, grey)
    assert torch.equal(channels, inpainting_channels(torch.ones(1, 1, 2, 3), grey))
    assert channels.shape == (1, 5, 2, 3)


def test_an_editing_model_gets_the_zeros_of_its_training():
    assert torch.equal(ended(channels_without_picture(facts(8), 2, 3)), torch.zeros(1, 4, 2, 3))


def test_a_model_of_other_channels_is_refused_in_words():
    with pytest.raises(UnsupportedModel, match="reads 5 channels"):
        next(channels_without_picture(facts(5), 2, 3))
