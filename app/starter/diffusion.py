"""The starter's diffusion: U-Net and text encoder learn together to draw latents that captions describe.

v-prediction on Stable Diffusion's own betas, so that every sampler and schedule of the big models fits. Knows latents
and captions; pictures and files are others' business.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from app.language import BOS, EOS, VOCABULARY_SIZE, Tokenizer
from app.models import SD1, alphas_cumprod
from app.starter.captions import draw_caption, draw_training_scene, training_scene
from app.training.objective import add_noise, mean_squared_error, target
from app.training.randomness import generator, numpy_generator

CHANNELS = (48, 64, 96, 128)
GROUPS = 4
HEADS = 4
TEXT_WIDTH = 96
TEXT_LAYERS = 2
TEXT_HEADS = 4
CONTEXT_LENGTH = 77
EMPTY_CAPTIONS = 0.1
HIDDEN = 0.5
"""Share of the samples with a picture that lacks something, where there is one, that the U-Net sees in its place."""
LAST_HIDDEN = 200
"""Below this timestep a picture is finished, and what it lacks stays away."""


def build_unet() -> Any:
    """A UNet2DConditionModel in SD1's topology: four levels of two layers, attention on the first three."""
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel  # noqa: PLC0415 - takes seconds

    return UNet2DConditionModel(
        sample_size=16,
        block_out_channels=CHANNELS,
        layers_per_block=2,
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=HEADS,  # diffusers means the number of heads (its issue 2011)
        norm_num_groups=GROUPS,
    )


def build_text_encoder() -> Any:
    """A CLIPTextModel with CLIP's vocabulary and length."""
    from transformers import CLIPTextConfig, CLIPTextModel  # noqa: PLC0415 - takes seconds

    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=VOCABULARY_SIZE,
            hidden_size=TEXT_WIDTH,
            intermediate_size=4 * TEXT_WIDTH,
            num_hidden_layers=TEXT_LAYERS,
            num_attention_heads=TEXT_HEADS,
            projection_dim=TEXT_WIDTH,
            bos_token_id=BOS,
            eos_token_id=EOS,
        )
    )


def token_ids(text: str, tokenizer: Tokenizer) -> list[int]:
    """The 77 ids of one chunk as SD1 reads it: BOS, at most 75 tokens, EOS to the end."""
    ids = [BOS, *tokenizer.encode(text)[: CONTEXT_LENGTH - 2]]
    return ids + [EOS] * (CONTEXT_LENGTH - len(ids))


@dataclass
class DiffusionLesson:
    """Cached latents [n, 4, 16, 16] of training pictures 0 ... n - 1, a fresh caption each time one is shown.

    lacking: by number, latents [4, 16, 16] of some of them without their moon or thing.
    shuffled: captions belong to other pictures; the control that must fail the examination. first_step: steps of an
    earlier run, whose draws are not repeated.
    """

    unet: Any
    text_encoder: Any
    latents: Tensor
    lacking: Mapping[int, Tensor]
    seed: int
    batch: int
    shuffled: bool = False
    first_step: int = 0

    def __post_init__(self) -> None:
        self._tokenizer = Tokenizer()
        self._alphas = alphas_cumprod(SD1)

    def parameters(self) -> Mapping[str, Tensor]:
        """All of both networks."""
        unet = {f"unet.{name}": tensor for name, tensor in self.unet.named_parameters()}
        return unet | {f"text.{name}": tensor for name, tensor in self.text_encoder.named_parameters()}

    def loss(self, step: int) -> Tensor:
        """Mean squared error of v over uniformly drawn timesteps (Salimans and Ho 2022)."""
        step += self.first_step
        draws = generator(self.seed, "diffusion", step)
        chosen = torch.randint(len(self.latents), (self.batch,), generator=draws)
        t = torch.randint(len(self._alphas), (self.batch,), generator=draws)
        latent = self.latents[chosen].float()
        noise = torch.randn(latent.shape, generator=draws)
        ids = self._captions(step, chosen.roll(1) if self.shuffled else chosen)
        noise = self._hiding(latent, noise, chosen, t, draws)
        x = add_noise(latent, noise, self._alphas, t)
        context = self.text_encoder(ids).last_hidden_state
        answer = self.unet(x, t, context, return_dict=False)[0]
        return mean_squared_error(answer, target(latent, noise, self._alphas, t, "v"))

    def _hiding(self, latent: Tensor, noise: Tensor, chosen: Tensor, t: Tensor, draws: torch.Generator) -> Tensor:
        """The noise, now and then such that what comes of it shows a picture without its moon or thing.

        So stands a sampler that was kept from drawing it, as inpainting is by what surrounds the mask: it is to draw
        what the caption names none the less. Input perturbation (Ning et al. 2023), with the likeliest of errors.
        """
        hidden = torch.rand(len(chosen), generator=draws) < HIDDEN
        for place, number in enumerate(chosen.tolist()):
            if hidden[place] and number in self.lacking and t[place] >= LAST_HIDDEN:
                alpha = self._alphas[t[place]]
                shown = self.lacking[number].float() - latent[place]
                noise[place] += (alpha / (1 - alpha)).sqrt() * shown
        return noise

    def _captions(self, step: int, numbers: Tensor) -> Tensor:
        draw = numpy_generator(self.seed, "captions", step)
        scenes = [training_scene(self.seed, number) for number in numbers.tolist()]
        return torch.tensor([token_ids(draw_caption(scene, draw, EMPTY_CAPTIONS), self._tokenizer) for scene in scenes])


@torch.no_grad()
def settle_unseen_words(text_encoder: Any, seed: int) -> int:
    """Gives the token rows that no caption uses the mean of the used ones and a little noise; returns how many are."""
    table = text_encoder.get_input_embeddings().weight
    used = sorted(_used_tokens())
    rows = table[used]
    noise = torch.randn(table.shape, generator=generator(seed, "unseen words"))
    settled = rows.mean(0) + 0.1 * rows.std(0) * noise
    settled[used] = rows
    table.copy_(settled)
    return len(used)


def _used_tokens(captions: int = 20_000) -> set[int]:
    """Every token that the captions' words come to, found by drawing many of them."""
    tokenizer = Tokenizer()
    draw = numpy_generator(0, "words")
    texts = {draw_caption(draw_training_scene(draw), draw) for _ in range(captions)}
    return {BOS, EOS} | {token for text in texts for token in tokenizer.encode(text)}
