"""One error class per cause that a user can act on, each with a stable code and an HTTP status.

A message says what happened, which file or field, and what to do next; page, API and command line show it alike.
"""

from __future__ import annotations

from typing import ClassVar


class EaselError(Exception):
    """Base of every error meant for a person.

    code: stable across releases, for programs. status: HTTP status of the answer.
    field: name of the request field at fault, or None. hint: the next thing to do, one sentence, or "".
    """

    code: ClassVar[str] = "error"
    status: ClassVar[int] = 500

    def __init__(self, message: str, *, field: str | None = None, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class InvalidField(EaselError):
    """A request field holds a value outside its range or of the wrong type."""

    code = "invalid_field"
    status = 422


class UnknownChoice(InvalidField):
    """A name (sampler, schedule, ...) that is not in its list."""

    code = "unknown_choice"


class InvalidPrompt(InvalidField):
    """A prompt that cannot be read."""

    code = "invalid_prompt"


class InvalidImage(InvalidField):
    """Bytes that are not an image this program reads, or one beyond the size limits."""

    code = "invalid_image"


class ModelNotFound(EaselError):
    """No model file answers to the name."""

    code = "model_not_found"
    status = 404


class BrokenModelFile(EaselError):
    """A model file that is damaged, half copied or not what it should be."""

    code = "broken_model_file"
    status = 422


class UnsafeModelFile(BrokenModelFile):
    """A file that carries code or a structure that is refused."""

    code = "unsafe_model_file"


class UnsupportedModel(EaselError):
    """A sound file of a family or kind that this program cannot use here."""

    code = "unsupported_model"
    status = 422


class ModelChanged(EaselError):
    """A model file was replaced or removed between the request and its turn."""

    code = "model_changed"
    status = 409


class DownloadFailed(EaselError):
    """A download that a server, the network or the file itself brought to an end."""

    code = "download_failed"
    status = 502


class DownloadNotFound(EaselError):
    """No download has this id."""

    code = "download_not_found"
    status = 404


class OutOfMemory(EaselError):
    """The device cannot hold one image of this size even after every fallback."""

    code = "out_of_memory"
    status = 507


class NotFiniteResult(EaselError):
    """The model gave NaN or infinity in every precision that was tried."""

    code = "not_finite"
    status = 500


class DiskFull(EaselError):
    """No room left to write a picture, a job or a snapshot."""

    code = "disk_full"
    status = 507


class CannotWrite(EaselError):
    """A folder or file that may not be written."""

    code = "cannot_write"
    status = 500


class JobNotFound(EaselError):
    """No job has this id, or it belongs to someone else."""

    code = "job_not_found"
    status = 404


class PictureNotFound(EaselError):
    """A job's picture that was not made, or whose file is gone."""

    code = "picture_not_found"
    status = 404


class ImageMissing(EaselError):
    """A request to redraw a picture comes without one."""

    code = "image_missing"
    status = 404


class BlobNotFound(EaselError):
    """An input image that the request names by hash is not in the store."""

    code = "blob_not_found"
    status = 404


class NewerVersion(EaselError):
    """A stored row was written by a newer version of this program."""

    code = "newer_version"
    status = 409


class Quarantined(EaselError):
    """A job that ended the process several times at the same place is not tried again."""

    code = "quarantined"
    status = 500


class DataFolderInUse(EaselError):
    """Another process owns the data folder."""

    code = "data_folder_in_use"
    status = 409


class NotAllowed(EaselError):
    """The caller has not logged in or lacks the right."""

    code = "not_allowed"
    status = 401


class Forbidden(EaselError):
    """A request that another web page may have sent in the user's name, or that the caller may not make."""

    code = "forbidden"
    status = 403


class NotServedYet(EaselError):
    """A flag, route or field that AUTOMATIC1111 has and this version does not serve."""

    code = "not_served_yet"
    status = 501


class UnknownSetting(EaselError):
    """A setting's name that is not known."""

    code = "unknown_setting"
    status = 422


class TrainingProblem(EaselError):
    """A training run that cannot start or go on; the message names the field or file."""

    code = "training_problem"
    status = 422


class TrainingBusy(EaselError):
    """Another process works on the run folder."""

    code = "training_busy"
    status = 409


class TrainingNotFound(EaselError):
    """No training has this id, or it belongs to someone else."""

    code = "training_not_found"
    status = 404


class ExtensionFailed(EaselError):
    """An extension raised or hung while a job waited for it; it is marked, and other jobs go on."""

    code = "extension_failed"
    status = 500


class UnexpectedFailure(EaselError):
    """A defect of this program: the log holds the traceback."""

    code = "unexpected_failure"
    status = 500
