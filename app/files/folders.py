"""Folders: where models, pictures and the program's own records lie, under A1111's conventional names.

Built once from the flags. Knows paths only: what is in the folders is the library's business.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from app.schema.errors import CannotWrite

PROGRAM_DIR = Path(__file__).resolve().parents[2]

CHECKPOINT = "checkpoint"
VAE = "vae"
LORA = "lora"
EMBEDDING = "embedding"
HYPERNETWORK = "hypernetwork"
UPSCALER = "upscaler"
CONTROLNET = "controlnet"
FACE_RESTORER = "face restorer"
VAE_APPROXIMATION = "vae approximation"
TEXT_ENCODER = "text encoder"

KINDS = (
    CHECKPOINT,
    VAE,
    LORA,
    EMBEDDING,
    HYPERNETWORK,
    UPSCALER,
    CONTROLNET,
    FACE_RESTORER,
    VAE_APPROXIMATION,
    TEXT_ENCODER,
)

_UPSCALER_FOLDERS = ("ESRGAN", "RealESRGAN", "SwinIR", "ScuNET", "LDSR", "DAT", "HAT", "BSRGAN")

PathLike = str | Path
Places = PathLike | Iterable[PathLike] | None


@dataclass(frozen=True)
class Folders:
    """Every folder, absolute. The first folder of a kind is where new files of that kind are put.

    outputs, log: pictures. state: the program's own databases, blobs and lock, below data_dir.
    """

    program: Path
    data: Path
    models: Path
    checkpoints: tuple[Path, ...]
    vaes: tuple[Path, ...]
    loras: tuple[Path, ...]
    embeddings: tuple[Path, ...]
    hypernetworks: tuple[Path, ...]
    upscalers: tuple[Path, ...]
    controlnets: tuple[Path, ...]
    face_restorers: tuple[Path, ...]
    vae_approximations: tuple[Path, ...]
    text_encoders: tuple[Path, ...]
    outputs: Path
    log: Path
    state: Path

    @classmethod
    def of(
        cls,
        *,
        data_dir: PathLike | None = None,
        models_dir: PathLike | None = None,
        ckpt_dir: Places = None,
        vae_dir: Places = None,
        lora_dir: Places = None,
        embeddings_dir: Places = None,
        hypernetwork_dir: Places = None,
        gfpgan_dir: PathLike | None = None,
        program_dir: PathLike = PROGRAM_DIR,
    ) -> Folders:
        """The folders that the flags name (a1111-facts 6.1 and 7); touches no disk.

        ckpt_dir and vae_dir are read beside the conventional folder, the others take its place. The program's
        own models/Stable-diffusion comes last and always: the built-in starter lies there.
        """
        program = _absolute(program_dir)
        data = _absolute(data_dir) if data_dir else program
        models = _absolute(models_dir) if models_dir else data / "models"
        return cls(
            program=program,
            data=data,
            models=models,
            checkpoints=_distinct(
                models / "Stable-diffusion", *_each(ckpt_dir), program / "models" / "Stable-diffusion"
            ),
            vaes=_distinct(models / "VAE", *_each(vae_dir)),
            loras=_distinct(*(_each(lora_dir) or (models / "Lora",)), models / "LyCORIS"),
            embeddings=_distinct(*(_each(embeddings_dir) or (data / "embeddings",))),
            hypernetworks=_distinct(*(_each(hypernetwork_dir) or (models / "hypernetworks",))),
            upscalers=tuple(models / name for name in _UPSCALER_FOLDERS),
            controlnets=(models / "ControlNet",),
            face_restorers=(_absolute(gfpgan_dir) if gfpgan_dir else models / "GFPGAN", models / "Codeformer"),
            vae_approximations=(models / "VAE-approx", models / "VAE-taesd"),
            text_encoders=(models / "text_encoder", models / "text_encoders"),
            outputs=data / "outputs",
            log=data / "log",
            state=data / "data",
        )

    @property
    def unsaved(self) -> Path:
        """Where pictures go that were not to be saved, until they are a day old."""
        return self.state / "unsaved"

    def of_kind(self, kind: str) -> tuple[Path, ...]:
        """The folders whose files are listed under a kind; VAEs beside checkpoints are the library's rule."""
        return {
            CHECKPOINT: self.checkpoints,
            VAE: self.vaes,
            LORA: self.loras,
            EMBEDDING: self.embeddings,
            HYPERNETWORK: self.hypernetworks,
            UPSCALER: self.upscalers,
            CONTROLNET: self.controlnets,
            FACE_RESTORER: self.face_restorers,
            VAE_APPROXIMATION: self.vae_approximations,
            TEXT_ENCODER: self.text_encoders,
        }[kind]

    def create(self) -> None:
        """Make the folders that users put files into and those the program writes.

        Folders that a flag only adds for reading, and the program's own, are left alone: a misspelt or unmounted
        one must not be hidden by an empty folder. Raises CannotWrite naming the folder.
        """
        firsts = (
            self.checkpoints,
            self.vaes,
            self.loras,
            self.embeddings,
            self.hypernetworks,
            self.upscalers,
            self.face_restorers,
        )
        for folder in (*(folders[0] for folders in firsts), self.outputs, self.log, self.state):
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise CannotWrite(
                    f"The folder {folder} cannot be made: {error.strerror or error}.",
                    hint="Choose another place with --data-dir or --models-dir, or change its permissions.",
                ) from error


def _absolute(path: PathLike) -> Path:
    return Path(path).expanduser().absolute()


def _each(places: Places) -> tuple[Path, ...]:
    if places is None or places == "":
        return ()
    if isinstance(places, str | Path):
        return (_absolute(places),)
    return tuple(_absolute(place) for place in places)


def _distinct(*folders: Path) -> tuple[Path, ...]:
    """The folders in order, each once, also where a link or a second spelling leads to the same one."""
    found: dict[Path, Path] = {}
    for folder in folders:
        found.setdefault(folder.resolve(), folder)
    return tuple(found.values())
