"""Networks of a request: what its prompts name becomes files, in order, or is told to be missing.

Looks names up in the library as it is now (a1111-facts 2.5, 2.6). Reads no weights.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from app.files import EMBEDDING, HYPERNETWORK, LORA, Identity, ModelFile, ModelLibrary
from app.files.hashes import ADDNET, SHA256
from app.files.network_facts import EmbeddingFacts
from app.files.recognise import SDXL, SDXL_REFINER
from app.hooks import NetworkKind
from app.language import (
    LORA_KINDS,
    LearnedWord,
    NetworkTag,
    Reading,
    TextUnit,
    Timing,
    Tokenizer,
    chunked,
    plan_texts,
    strength,
)
from app.schema.errors import EaselError, ModelNotFound, UnsupportedModel
from app.schema.request import FileIdentity, GenerationRequest, NetworkUse

logger = logging.getLogger(__name__)

HYPERNET_TAG = "hypernet"
NO_KINDS: Mapping[str, NetworkKind] = MappingProxyType({})


class Word(NamedTuple):
    """An embedding of the library, as a text is searched for it. rows: 1 while the file's own number is not known."""

    name: str
    length: int
    rows: int
    file: ModelFile


class Words:
    """The embeddings of a library that fit a family, found by token ids, the longest first."""

    def __init__(self, files: Sequence[ModelFile], family: str, tokenizer: Tokenizer) -> None:
        """family: of the checkpoint, "" when it is not known; embeddings of another are no words, as in A1111."""
        self._words: dict[int, list[tuple[tuple[int, ...], Word]]] = defaultdict(list)
        for file in files:
            ids = tuple(tokenizer.encode(file.word))
            other = file.family and family and file.family != family
            if file.problem is None and ids and not other:
                facts = file.summary.network
                rows = facts.vectors if isinstance(facts, EmbeddingFacts) else 1
                self._words[ids[0]].append((ids, Word(file.word, len(ids), rows, file)))
        for words in self._words.values():
            words.sort(key=lambda word: -len(word[0]))

    def find(self, ids: Sequence[int]) -> Word | None:
        """As `FindWord`."""
        for wanted, word in self._words.get(ids[0], ()) if ids else ():
            if tuple(ids[: len(wanted)]) == wanted:
                return word
        return None


class LibraryWords:
    """The embeddings of a library as it is now, of every family, for whoever counts tokens."""

    def __init__(self, library: ModelLibrary, tokenizer: Tokenizer) -> None:
        self._library = library
        self._tokenizer = tokenizer
        self._known: tuple[Sequence[ModelFile], Words] | None = None

    def find(self, ids: Sequence[int]) -> Word | None:
        """As `FindWord`."""
        files, known = self._library.list(EMBEDDING), self._known
        if known is None or known[0] is not files:
            known = self._known = files, Words(files, "", self._tokenizer)
        return known[1].find(ids)


class Named(NamedTuple):
    """uses: in the order of the prompt, embeddings last. missing: names in tags that no file answers to."""

    uses: tuple[NetworkUse, ...]
    missing: tuple[str, ...]


def networks_of(
    request: GenerationRequest,
    library: ModelLibrary,
    checkpoint: ModelFile,
    tokenizer: Tokenizer,
    kinds: Mapping[str, NetworkKind] = NO_KINDS,
) -> Named:
    """What both prompts of a resolved request switch on. kinds: of extensions, by the word of their tags.

    Raises InvalidPrompt for a strength that is no number and an embedding too long for a chunk, UnsupportedModel for
    a LoRA of another family than the checkpoint's, the file's own problem when it cannot be used.
    """
    texts = plan_texts(request.prompt, request.negative_prompt, Reading(Timing(request.steps), request.emphasis))
    uses: list[NetworkUse] = []
    missing: list[str] = []
    for tag in () if request.ignore_network_tags else texts.tags:
        try:
            uses.extend(_tagged(tag, library, checkpoint, kinds))
        except ModelNotFound:
            missing.append(strength(tag).name)
    words = Words(library.list(EMBEDDING), checkpoint.family, tokenizer)
    units = (*(part.unit for part in texts.positive), texts.negative)
    found = {word.file: word for unit in units for word in _words_in(unit, words, tokenizer)}
    uses += [_use("embedding", word.name, word.file) for word in found.values()]
    return Named(tuple(uses), tuple(dict.fromkeys(missing)))


def _tagged(
    tag: NetworkTag, library: ModelLibrary, checkpoint: ModelFile, kinds: Mapping[str, NetworkKind]
) -> Iterator[NetworkUse]:
    """The use that a tag asks for; none for a word that stands for no network. Raises ModelNotFound."""
    if tag.kind in LORA_KINDS:
        wanted = strength(tag)
        file = library.find(wanted.name, LORA)
        if file.stem != wanted.name and file.alias == wanted.name and _shared(wanted.name, library):
            raise ModelNotFound(f"Several LoRAs call themselves '{wanted.name}'.", field="prompt")
        _require_family(file, checkpoint)
        rank = None if wanted.rank is None else max(wanted.rank, 0)
        yield _use("lora", wanted.name, file, wanted.text, wanted.unet, rank)
    elif tag.kind == HYPERNET_TAG:
        wanted = strength(tag)
        file = library.find(wanted.name, HYPERNETWORK)
        yield _use(HYPERNET_TAG, wanted.name, file, wanted.text, wanted.text)
    elif tag.kind in kinds:
        wanted = strength(tag)
        path = kinds[tag.kind].find(wanted.name)
        if path is None:
            raise ModelNotFound(f"There is no {tag.kind} called '{wanted.name}'.", field="prompt")
        now = Identity.of(path)
        identity = FileIdentity(path=now.path, size=now.size, mtime_ns=now.mtime_ns)
        yield NetworkUse(
            kind=tag.kind, name=wanted.name, file=identity, text=wanted.text, unet=wanted.unet, rank=wanted.rank
        )


def _shared(alias: str, library: ModelLibrary) -> bool:
    """A1111 lets no two files share the name that their trainer gave them: then only file names count."""
    return sum(file.alias == alias for file in library.list(LORA)) > 1


def _require_family(file: ModelFile, checkpoint: ModelFile) -> None:
    # SDXL's refiner takes of its LoRAs what it has layers for.
    family = SDXL if checkpoint.family == SDXL_REFINER else checkpoint.family
    if file.family and family and file.family not in (family, checkpoint.family):
        raise UnsupportedModel(
            f"The LoRA {file.stem} was made for {file.family}; {checkpoint.stem} is of the family {checkpoint.family}.",
            field="prompt",
            hint="Choose a checkpoint of its family, or take it out of the prompt.",
        )


def _words_in(unit: TextUnit, words: Words, tokenizer: Tokenizer) -> Iterator[Word]:
    """The words that encoding this unit will come upon."""
    found: list[Word] = []

    def find(ids: Sequence[int]) -> LearnedWord | None:
        word = words.find(ids)
        if word is not None:
            found.append(word)
        return word

    for text in {variant.text: None for variant in unit.variants}:
        chunked(text, tokenizer, attention=unit.attention, find_word=find, comma_backtrack=unit.comma_backtrack)
    yield from found


def _use(
    kind: str, name: str, file: ModelFile, text: float = 1.0, unet: float = 1.0, rank: int | None = None
) -> NetworkUse:
    identity = FileIdentity(path=str(file.path), size=file.size, mtime_ns=file.mtime_ns, sha256=file.sha256)
    return NetworkUse(kind=kind, name=name, file=identity, text=text, unet=unet, rank=rank, hash=file.short_hash or "")


def hashed(use: NetworkUse, library: ModelLibrary) -> NetworkUse:
    """The use with the hash that infotexts print; a file that was replaced meanwhile goes without, as do networks of
    extensions."""
    kinds = {"lora": (LORA, ADDNET, 12), HYPERNET_TAG: (HYPERNETWORK, SHA256, 10), "embedding": (EMBEDDING, SHA256, 12)}
    if use.kind not in kinds:
        return use
    kind, algorithm, digits = kinds[use.kind]
    wanted = (use.file.path, use.file.size, use.file.mtime_ns)
    entry = next((file for file in library.list(kind) if file.identity == wanted), None)
    if use.hash or entry is None:
        return use
    try:
        said = entry.short_hash or library.hashes.compute(entry, algorithm)
    except EaselError as error:
        logger.warning("No hash for the infotext: %s", error)
        return use
    return use.model_copy(update={"hash": said[:digits]})


def network_entries(uses: Sequence[NetworkUse]) -> list[tuple[str, str]]:
    """Infotext entries: `Lora hashes`, `TI hashes` (a1111-facts 4.2, 4.5), each name once."""
    entries = []
    for key, kind in (("Lora hashes", "lora"), ("TI hashes", "embedding")):
        # As A1111 writes it: the name as it stands in the prompt, without what divides the list.
        named = {use.name.replace(":", "").replace(",", ""): use.hash for use in uses if use.kind == kind}
        text = ", ".join(f"{name}: {value}" for name, value in named.items() if value)
        if text:
            entries.append((key, text))
    return entries
