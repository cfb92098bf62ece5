"""Whether each method learns, judged on pictures: `python -m benchmarks.training [CASE ...] [--grids FOLDER]`.

Every case is trained in a process of its own over a run folder, its result drawn by the engine from its model folder.
Figures are kept in the folder, so that the same command goes on wherever it was broken off; each run is in the table.
CASE is the beginning of a case's name, as `lora` or `dreambooth/kite`; none for all of them.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import torch

from app.setup.start import set_quiet
from benchmarks.training.cases import CASES, LEAST
from benchmarks.training.measure import Bench
from benchmarks.training.own_error import own_error
from benchmarks.training.ship import ship
from benchmarks.training.studio import ROOT
from benchmarks.training.table import comparisons, costs, sheet, table

STARTER = ROOT / "models" / "Stable-diffusion" / "starter.safetensors"
FOLDER = Path("~/.cache/easel/training-benchmark")


def main() -> None:
    """Carries out what is asked for and prints what is known."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.training", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("cases", nargs="*", metavar="CASE")
    parser.add_argument("--starter", type=Path, default=STARTER, help="another checkpoint of the starter's kind")
    parser.add_argument("--folder", type=Path, default=FOLDER, help=f"where runs and figures are kept [{FOLDER}]")
    parser.add_argument("--table", action="store_true", help="only print what is known")
    parser.add_argument("--judge-again", action="store_true", help="judge the pictures at hand, train and draw nothing")
    parser.add_argument("--grids", type=Path, help="write a sheet of pictures for each method into this folder")
    parser.add_argument("--ship", action="store_true", help="train the samples that ship and put them in their folders")
    parser.add_argument("--judge", action="store_true", help="print the judges' own error on fresh drawings")
    arguments = parser.parse_args()
    set_quiet(os.environ)
    torch.set_num_threads(1)  # cases carried out side by side would wait for each other's threads
    if arguments.judge:
        print("\n".join(own_error(arguments.starter)))
        return
    folder = arguments.folder.expanduser()
    if arguments.ship:
        ship(folder / "ship", arguments.starter)
        return
    bench = Bench(folder, arguments.starter)
    known = bench.done()
    wanted = [case for case in CASES if not arguments.cases or any(case.key.startswith(one) for one in arguments.cases)]
    if not wanted:
        parser.error("No case begins so; there are:\n  " + "\n  ".join(case.key for case in CASES))
    if arguments.judge_again:
        known |= {case.key: bench.judge_again(case, known[case.key]) for case in wanted if case.key in known}
    for case in wanted if not (arguments.table or arguments.judge_again) else ():
        if case.key not in known or bench.outdated(case, known[case.key]):
            began = time.monotonic()
            known[case.key] = one = bench.carry_out(case)
            print(f"{case.key}: {one.before:.2f} -> {one.after:.2f} ({time.monotonic() - began:.0f} s)", flush=True)
    print("\n".join(["", *table(known), "", *comparisons(known), "", *costs(known)]))
    if arguments.grids:
        arguments.grids.mkdir(parents=True, exist_ok=True)
        for method in LEAST:
            if (picture := sheet(bench, method, known)) is not None:
                picture.save(arguments.grids / f"training-{method}.webp", quality=80, method=6)


if __name__ == "__main__":
    main()
