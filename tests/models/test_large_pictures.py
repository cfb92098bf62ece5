"""A picture of 4096 pixels is made larger by a network, and coded by a VAE in strips, within a stated memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

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
import sys
from pathlib import Path
from app.models import Precision, load_checkpoint
from tests.models.checkpoints import write_tiny_checkpoint
precise = Precision(torch.float32, torch.float32, torch.float32)
file = write_tiny_checkpoint(Path(sys.argv[1]) / "vae.safetensors")
vae = load_checkpoint(file, device=torch.device("cpu"), precision=precise).vae
with torch.inference_mode():
    for latent in (torch.randn(1, 4, 16, 16), torch.randn(1, 4, 512, 128)):
        before = peak()
        pixels = vae.decode(latent, strip=1 << 20)
        between = peak()
        code = vae.encode(pixels, strip=1 << 20)
        after = peak()
    same = (pixels - vae.decode(latent)).abs().max().item()
    alike = (code - vae.encode(pixels)).abs().max().item()
    print(tuple(pixels.shape), between - before - pixels.nbytes, after - before - pixels.nbytes, same, alike)
"""


def told(program: str, *arguments: str) -> list[str]:
    child = subprocess.run(
        [sys.executable, "-c", START + program, *arguments], capture_output=True, text=True, timeout=500, check=False
    )
    assert child.returncode == 0, child.stderr
    return child.stdout.rsplit(")", 1)[1].split()


def test_beside_the_answer_an_upscaler_takes_less_than_150_megabytes() -> None:
    more, difference = told(UPSCALER)
    assert int(more) < 150 << 20
    assert float(difference) <= 1


def test_beside_the_answer_a_vae_in_strips_takes_one_and_a_half_of_its_largest_map_and_some_strips(
    tmp_path: Path,
) -> None:
    largest_map, strip = 4 * 32 * 4096 * 1024, 4 << 20
    decoding, encoding, different, otherwise = told(VAE, str(tmp_path))
    assert int(decoding) < 1.5 * largest_map + 20 * strip
    assert int(encoding) < 1.5 * largest_map + 20 * strip
    assert float(different) < 2 / 255 / 100
    assert float(otherwise) < 1e-4
