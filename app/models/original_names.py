"""Original names: what a file's tensors are called in the original single-file layout, whatever it calls them.

Knows LDM's layout with and without its prefix, averaged weights alone, and diffusers' names in one file. Reads no
weights and opens nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from app.models.ema_names import ema_names
from app.models.families import FAMILIES, SD1, SD2, SDXL, SDXL_REFINER
from app.models.keys import unet_sources, vae_sources

_UNET = "model.diffusion_model."
_VAE = "first_stage_model."
# What a pipeline's parts are called when several lie in one file.
PARTS = ("unet.", "vae.", "text_encoder.", "text_encoder_2.")

Shapes = Mapping[str, tuple[int, ...]]


def original_names(shapes: Shapes) -> tuple[dict[str, str], str] | None:
    """Original name -> name in the file, and the family where the layout tells it, else "".

    None where nothing has to be renamed. Tensors that belong to no part keep their names.
    """
    if any(name.startswith(_UNET) for name in shapes):
        return None
    averaged = ema_names(shapes)
    if averaged:
        return averaged | {name: name for name in shapes if not name.startswith("model_ema.")}, ""
    if "input_blocks.0.0.weight" in shapes:
        bare = ("input_blocks.", "middle_block.", "output_blocks.", "out.", "time_embed.", "label_emb.")
        return {_UNET + name if name.startswith(bare) else name: name for name in shapes}, ""
    if "conv_in.weight" in shapes and "up_blocks.0.resnets.0.conv1.weight" in shapes:  # a ControlNet has no way up
        return _part_names(shapes, "unet.", unprefixed=True), family_of_diffusers(shapes, "", ())
    if "unet.conv_in.weight" in shapes:
        parts = [part for part in PARTS if any(name.startswith(part) for name in shapes)]
        family = family_of_diffusers(shapes, "unet.", parts)
        names = {name: name for name in shapes if not name.startswith(PARTS)}
        for part in parts:
            names |= _part_names(shapes, part, family=family)
        return names, family
    return None


def original_vae_names(shapes: Shapes) -> dict[str, str] | None:
    """Original name with its prefix -> name in a file that holds a VAE in diffusers' naming; None for other files."""
    for part in ("", "vae."):
        if f"{part}encoder.down_blocks.0.resnets.0.conv1.weight" in shapes:
            return _part_names(shapes, "vae.", unprefixed=not part)
    return None


def _part_names(shapes: Shapes, part: str, *, family: str = "", unprefixed: bool = False) -> dict[str, str]:
    start = "" if unprefixed else part
    inside = [name[len(start) :] for name in shapes if name.startswith(start)]
    return {original: start + name for original, name in part_names(inside, part, family).items()}


def part_names(names: Collection[str], part: str, family: str) -> dict[str, str]:
    """Original name -> diffusers' name within one part ('unet.', 'vae.', 'text_encoder.', 'text_encoder_2.')."""
    if part == "unet.":
        found = unet_sources(names, _UNET)
    elif part == "vae.":
        found = vae_sources(names, _VAE)
    else:
        prefix = text_prefix(family, part)
        return {prefix + name: name for name in names}
    return {source.key: name for name, source in found.items()}


def text_prefix(family: str, part: str) -> str:
    """Prefix of the text encoder that diffusers calls 'text_encoder.' or 'text_encoder_2.'."""
    encoders = FAMILIES[family].text_encoders
    return encoders[-1 if part == "text_encoder_2." else 0].prefix


def family_of_diffusers(shapes: Shapes, prefix: str, parts: Collection[str]) -> str:
    """The family, by the parts that are there, else by the width of the text that the U-Net reads; never ""."""
    if "text_encoder_2." in parts:
        return SDXL.name if "text_encoder." in parts else SDXL_REFINER.name
    width = next((shape[-1] for name, shape in shapes.items() if name.endswith("attn2.to_k.weight") and shape), 0)
    by_width = {family.context_width: family.name for family in (SD1, SD2, SDXL, SDXL_REFINER)}
    if width in by_width:
        return by_width[width]
    if f"{prefix}add_embedding.linear_1.weight" in shapes:
        return SDXL.name
    projection = next((shape for name, shape in shapes.items() if name.endswith(".proj_in.weight")), ())
    return SD2.name if len(projection) == 2 else SD1.name
