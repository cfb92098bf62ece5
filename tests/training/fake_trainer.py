"""A training process whose learning is a chain of hashes: python -m tests.training.fake_trainer RUN_FOLDER

Keeps a snapshot every few steps, as the real one does, and goes on from it. Imports torch as little as `run` does.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from app.files.run_folder import RunFolder, Wish
from app.files.whole_file import write_whole
from app.schema.errors import TrainingBusy, TrainingProblem
from app.schema.training_run import TrainingRun
from app.training.run import BUSY, carry_out

EVERY = 7
BEST = 20
PAUSE = float(os.environ.get("FAKE_TRAINING_PAUSE", "0.002"))


def train(run: TrainingRun, folder: RunFolder, tell: Callable[..., None], wished: Callable[[], Wish]) -> Path | None:
    state = folder.snapshots / "state.json"
    step, chain = json.loads(state.read_text()) if state.exists() else (0, "begin")
    request = run.request
    if request.comment == "breaks" and not (folder.path / "mended").exists():
        raise TrainingProblem("The data are wrong.", field="data")
    if request.comment == "dies":
        os._exit(9)
    tell("prepared", step=step, steps=request.steps, text="4 pictures in 1 size")
    while step < (0 if run.untrained else request.steps):
        step += 1
        if request.comment == "too fast" and step == 10 and float(request.learning_rate) > 1e-4:
            raise TrainingProblem("The loss of step 10 is nan.", field="learning_rate", hint="Take a lower one.")
        chain = hashlib.sha256(f"{chain}{step}".encode()).hexdigest()
        time.sleep(PAUSE)
        tell("step", step=step, epoch=1, loss=1 / step, rate=1e-4, memory=1000)
        if request.sample_every and step % request.sample_every == 0:
            name = f"{step:06d}-00.png"
            Image.new("RGB", (64, 64), (step % 256, 90, 160)).save(folder.samples / name)
            tell("sample", step=step, name=name, prompt="a picture of sks")
            tell("validation", step=step, loss=1 + abs(step - BEST))
            tell("drift", step=step, drift=step / 100)
            if step == BEST:
                write_whole(folder.best / f"{request.name}-{step:06d}.safetensors", f"{chain} best".encode())
        wish = wished()
        if step % EVERY == 0 or wish != "go" or step == request.steps:
            write_whole(state, json.dumps([step, chain]).encode())
        if wish == "pause" or (wish == "stop" and request.comment == "rests"):
            return None
        if wish == "stop":
            break
    made = folder.outbox / f"{request.name}.safetensors"
    write_whole(made, f"{chain} {request.created}".encode())
    return made


if __name__ == "__main__":
    try:
        sys.exit(carry_out(Path(sys.argv[1]), train))
    except TrainingBusy:
        sys.exit(BUSY)
