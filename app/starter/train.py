"""Makes the starter model: VAE, then latents, then diffusion, then the file; `python -m app.starter.train`.

Seeded and resumable: the same command goes on from the newest snapshot (one a minute). One thread, since the number
of threads changes the last bits.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import torch

from app.starter.autoencoder import AutoencoderLesson, build_autoencoder, even_out, picture, psnr
from app.training.loop import LoopSettings, run
from app.training.schedule import cosine, with_warm_up
from app.training.snapshot import Snapshots

SEED = 20261121
RUN_FOLDER = Path("~/.cache/easel/starter-run")


def main() -> None:
    """Reads the command line and runs the stages asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=RUN_FOLDER, help="where snapshots and latents lie")
    parser.add_argument("--stage", choices=("vae",), default=None, help="one stage alone")
    parser.add_argument("--vae-steps", type=int, default=2200)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    folder = arguments.folder.expanduser()
    train_vae(folder, arguments.vae_steps)


def train_vae(folder: Path, steps: int, batch: int = 16) -> None:
    """The first stage; its product is the finished module in `vae.pt`'s place among the snapshots."""
    torch.manual_seed(SEED)
    module = build_autoencoder()
    lesson = AutoencoderLesson(module, SEED, steps, batch)
    settings = LoopSettings(steps, 1.5e-3, with_warm_up(cosine(steps), 100), average=0.99)
    test = torch.stack([picture(SEED, 10_000_000 + number) for number in range(32)])
    began = time.monotonic()

    def report(step: int, loss: float, rate: float) -> None:
        if step % 50 == 0:
            line = {"step": step, "loss": round(loss, 4), "rate": rate, "seconds": round(time.monotonic() - began)}
            if step % 200 == 0:
                module.eval()
                line["psnr"] = round(psnr(module, test), 2)
                module.train()
            print(json.dumps(line), flush=True)

    run(lesson, settings, Snapshots(folder / "vae"), report)
    print(f"VAE: {psnr(module, test):.2f} dB, eigenvalues {even_out(module, test)}", flush=True)


if __name__ == "__main__":
    main()
