"""Pasting: what an infotext fills into the form, and why a picture would come out differently. Knows no widgets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import Any

from app.files import CHECKPOINT, EMBEDDING, LORA, VAE, ModelFile
from app.jobs import Jobs, Resolver, lookups_of
from app.jobs.expand import expand
from app.schema.errors import EaselError
from app.schema.infotext import (
    Difference,
    Infotext,
    NamedFile,
    PastedRequest,
    Present,
    checkpoint_difference,
    differences,
    picture_entries,
    picture_request,
    read_infotext_text,
    request_from_infotext,
    write_infotext,
)
from app.schema.request import GenerationRequest
from app.schema.settings import SettingValues


@dataclass(frozen=True)
class Pasting:
    """jobs: whose last one is read again. resolver: knows this machine's files and styles."""

    jobs: Jobs
    resolver: Resolver

    def last(self, scope: str | None) -> str:
        """The infotext of the caller's newest job, "" when there is none; it is stored, so a restart loses nothing."""
        for job in self.jobs.history(scope, limit=1):
            if job.images:
                return min(job.images, key=lambda image: image.index).infotext
            plan = expand(job.id, job.owner, job.resolved)[0]
            request = job.resolved.request
            return write_infotext(
                request.prompt, request.negative_prompt, picture_entries(plan, models=self.resolver.extensions)
            )
        return ""

    def read(self, infotext: Infotext, settings: SettingValues) -> PastedRequest:
        """The fields to fill in; notes in words on what is not here or not known."""
        lookups = lookups_of(
            self.resolver,
            styles=settings.infotext_styles != "Ignore",
            checkpoint=not settings.disable_weights_auto_swap,
        )
        pasted = request_from_infotext(infotext, lookups, self.resolver.extensions)
        fields = dict(pasted.fields)
        fields.setdefault("extensions", {})
        if settings.infotext_styles == "Discard" or (not fields.get("styles") and settings.infotext_styles != "Apply"):
            fields.pop("styles", None)
        elif settings.infotext_styles == "Apply":
            fields.setdefault("styles", ())
        if not infotext.fields:
            # A plain prompt says nothing of the rest of the form.
            fields = {name: fields[name] for name in ("prompt", "negative_prompt", "styles") if fields.get(name)}
        return pasted._replace(fields=fields)

    def notices(self, infotext: Infotext, pasted: PastedRequest, settings: SettingValues) -> list[str]:
        """What a person should know before generating."""
        quiet = settings.disable_weights_auto_swap
        found = [note.text for note in pasted.notes if not (quiet and note.key in ("Model hash", "Model", "Hashes"))]
        file = self._file(pasted.fields.get("checkpoint", ""), CHECKPOINT)
        told = checkpoint_difference(infotext.fields, named(file), True) if file else None
        if told and told.certain:
            found.append(f"Checkpoint {told.theirs}: {told.words} Here: {told.ours}.")
        noted = {note.key for note in pasted.notes}
        unused = [key for key in pasted.leftover if key not in noted]
        if unused:
            found.append(f"Read and not used: {', '.join(unused)[:500]}.")
        return found

    def why(self, infotext: Infotext, request: GenerationRequest) -> list[Difference]:
        """Why the request would give another picture than the infotext's. Raises EaselError for what cannot run."""
        lookups = lookups_of(self.resolver, styles=False)
        pasted = request_from_infotext(infotext, lookups, self.resolver.extensions)
        return differences(infotext, pasted, self._present(request))

    def _present(self, request: GenerationRequest) -> Present:
        resolved = self.resolver(request)
        checkpoint = self._file(resolved.request.checkpoint, CHECKPOINT)
        vae = self._file(PurePath(resolved.vae.path).name, VAE) if resolved.vae else None
        files = [*self.resolver.library.list(LORA), *self.resolver.library.list(EMBEDDING)]
        return Present(
            picture_request(expand("", "", resolved)[0]),
            named(checkpoint) if checkpoint else NamedFile(resolved.checkpoint_name),
            NamedFile(vae.file_name, named(vae).hashes) if vae else None,
            {name: named(file) for file in reversed(files) for name in (file.alias, file.word, file.stem)},
            request.seed == -1,
            request.batch_size,
        )

    def _file(self, name: str, kind: str) -> ModelFile | None:
        try:
            return self.resolver.library.find(name, kind) if name else None
        except EaselError:
            return None


def infotext_of(text: str, program: str = "") -> Infotext:
    """A text read; program: who made the picture, where its own format has been rewritten."""
    infotext = read_infotext_text(text)
    return replace(infotext, program=program) if program else infotext


def named(file: ModelFile) -> NamedFile:
    """A library's file as comparisons name it."""
    known: Sequence[str | None] = (file.short_hash, file.sha256, file.addnet_hash, file.legacy_hash)
    return NamedFile(file.stem, tuple(one for one in known if one))


def difference_shown(difference: Difference) -> dict[str, Any]:
    """A difference as the browser's side gets it."""
    return {**difference._asdict(), "fields": list(difference.fields)}
