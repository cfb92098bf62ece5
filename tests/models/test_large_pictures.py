"""A picture of 4096 pixels is made larger by a network, and coded by a VAE in tiles, within a stated memory."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

START = """
import resource, torch
torch.set_num_threads(1)
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
"""
UPSCALER = """
from app.models import FileUpscaler
from app.models.spandrel_import import spandrel
library = spandrel()
from spandrel.architectures.Compact.__arch.SRVGG import SRVGGNetCompact
torch.manual_seed(3)
state = SRVGGNetCompact(num_feat=8, num_conv=1, upscale=2).state_dict()
upscaler = FileUpscaler(library.ModelLoader("cpu").load_from_state_dict(dict(state)).eval(), "small")
upscaler(torch.zeros(3, 400, 400, dtype=torch.uint8), 2, lambda done, total: None)
picture = torch.randint(0, 256, (3, 4096, 4096), dtype=torch.uint8)
before = peak()
answer = upscaler(picture, 2, lambda done, total: None)
cut = upscaler(picture[:, 900:1040, 900:1040].contiguous(), 2, lambda done, total: None)
# Far from the cut's rim the network sees the same, wherever tiles begin; near a tile's rim both fade.
inside = (answer[:, 1840:2040, 1840:2040].int() - cut[:, 40:240, 40:240].int()).abs()
print(tuple(answer.shape), peak() - before - answer.numel(), inside.float().quantile(0.9).item())
"""
VAE = """
from app.models import Vae
from tests.models.test_vae import FormulaVae
vae = Vae(FormulaVae(), scaling_factor=1.0)
with torch.inference_mode():
    vae.decode(torch.zeros(1, 4, 80, 80), tile=64)
    latent = torch.randn(1, 4, 512, 512)
    before = peak()
    pixels = vae.decode(latent, tile=64)
    same = torch.allclose(pixels[..., ::8, ::8], latent[:, :3], atol=1e-5)
    back = vae.encode(pixels, tile=64)
    print(tuple(pixels.shape), peak() - before, int(same), torch.allclose(back[:, :3], latent[:, :3], atol=1e-4))
"""


def told(program: str) -> list[str]:
    child = subprocess.run(
        [sys.executable, "-c", START + program], capture_output=True, text=True, timeout=500, check=False
    )
    assert child.returncode == 0, child.stderr
    return child.stdout.rsplit(")", 1)[1].split()


def test_beside_the_answer_an_upscaler_takes_less_than_150_megabytes() -> None:
    more, difference = told(UPSCALER)
    assert int(more) < 150 << 20
    assert float(difference) <= 1


def test_a_local_vae_in_tiles_takes_less_than_1_gigabyte_and_is_the_whole_one() -> None:
    more, decoded, encoded = told(VAE)
    assert int(more) < 1 << 30
    assert (decoded, encoded) == ("1", "True")
