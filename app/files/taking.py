"""Taking: the file of another step of a finished run takes the place of its last one in the model folder."""

from __future__ import annotations

from pathlib import Path

from app.files.best_step import best_step, measured_in
from app.files.run_folder import RunFolder
from app.files.run_log import read_log
from app.files.trained_file import placed
from app.schema.errors import TrainingProblem


def take_step(folder: RunFolder, step: int | None) -> Path:
    """Where the file is now. step: one of `RunFolder.results`; None: the last one's, as it came out.

    The file that the run put there before is replaced, and its preview where that is one of the run's samples.
    Raises TrainingProblem for a run that has not ended or a step without a file, DiskFull, CannotWrite.
    """
    last, results = folder.finished(), folder.results()
    if last is None:
        raise TrainingProblem("This training has not come to its end yet.", hint="Let it end, or stop and keep it.")
    if step is not None and step not in results:
        there = ", ".join(map(str, sorted(results))) or "none but the last"
        raise TrainingProblem(f"No file of step {step} was kept.", hint=f"There are {there}.")
    made = last if step is None else results[step]
    path = placed(made, folder.run(), folder.sample_of(step), [last, *results.values()])
    folder.took(step)
    return path


def take_words(folder: RunFolder, word: str) -> Path:
    """The same for 'best', 'last' or a step's number. Raises TrainingProblem for another word."""
    if word == "last":
        return take_step(folder, None)
    if word.isdecimal():
        return take_step(folder, int(word))
    if word != "best":
        raise TrainingProblem(f"'{word[:40]}' is no step.", hint="Write its number, 'best' or 'last'.")
    found = best_step(measured_in(read_log(folder.log)[0]))
    if found is None:
        raise TrainingProblem("Nothing was measured in this training, so none of its steps is known to be best.")
    return take_step(folder, found.step if found.step in folder.results() else None)
