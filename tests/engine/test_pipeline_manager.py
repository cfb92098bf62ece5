"""The only owner of weights: loads once, in parts; evicts the least recently used, never a pinned model; two tiers."""

from __future__ import annotations

import gc
import weakref
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from app.engine import ModelChoice, Needs, PipelineManager, Tier
from app.models import Survey
from app.schema.errors import OutOfMemory
from app.schema.request import FileIdentity

CARD = torch.device("cuda", 0)
TEXT, UNET, VAE = 2, 8, 3
"""Bytes of the parts of every model here."""


class Weights(nn.Module):
    """Takes some bytes of a data type."""

    def __init__(self, size: int, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.register_buffer("bytes", torch.zeros(size, dtype=torch.uint8))
        self.kind = nn.Parameter(torch.zeros(0, dtype=dtype))


class Value(SimpleNamespace):
    """A LoadedModel or Vae as far as the manager looks."""

    @property
    def dtype(self) -> torch.dtype:
        """Of a VAE."""
        return self.module.kind.dtype  # type: ignore[no-any-return]


class Disk:
    """Loads models of equal sizes and remembers what was read, where to and over what.

    full: how many of the next loads find no memory.
    """

    def __init__(self) -> None:
        self.read: list[str] = []
        self.targets: list[str] = []
        self.written_over: list[str] = []
        self.dtypes: list[torch.dtype | None] = []
        self.full = 0

    def survey(self, choice: ModelChoice, *, unet: Any, vae: Any) -> Needs:
        return Needs(Survey(TEXT + UNET, 100, "equal"), Survey(VAE, 10, "vae"))

    def vae(self, choice: ModelChoice, device: Any, dtype: Any, into: Any, tell: Any) -> Any:
        self._read((choice.vae or choice.checkpoint).path + ".vae", device, into)
        if tell:
            tell("VAE", 10, 10)
        return Value(module=Weights(VAE, dtype or torch.float16), path=choice.checkpoint.path)

    def checkpoint(self, choice: ModelChoice, device: Any, dtype: Any, into: Any, tell: Any, vae: Any) -> Any:
        self._read(choice.checkpoint.path, device, into)
        self.dtypes.append(dtype)
        if tell:
            tell("U-Net", 50, 100)
        family = SimpleNamespace(name="SDXL" if "xl" in choice.checkpoint.path else "SD1")
        unet = Weights(UNET, dtype or torch.float16)
        return Value(
            unet=unet, text_encoders=(Value(module=Weights(TEXT)),), family=family, path=choice.checkpoint.path
        )

    def join(self, model: Any, vae: Any, choice: ModelChoice) -> None:
        model.vae = vae

    def _read(self, path: str, device: torch.device, into: Any) -> None:
        if self.full:
            self.full -= 1
            raise torch.OutOfMemoryError("injected")
        if "broken" in path:
            raise ValueError("broken")
        self.read.append(path)
        self.targets.append(device.type)
        if into is not None:
            self.written_over.append(into.path)


class Card:
    """A graphics card that is not there: writes down what moves. room: how many moves onto it succeed."""

    def __init__(self) -> None:
        self.moves: list[str] = []
        self.room = 1000

    def move(self, module: nn.Module, device: torch.device) -> None:
        if device.type == "cuda":
            if not self.room:
                raise torch.OutOfMemoryError("injected")
            self.room -= 1
        self.moves.append(f"{self._name(module)} to {'card' if device.type == 'cuda' else 'host'}")

    def stream(self, module: nn.Module, device: torch.device) -> Any:
        self.moves.append(f"{self._name(module)} streamed")
        return lambda: self.moves.append(f"{self._name(module)} not streamed")

    @staticmethod
    def _name(module: nn.Module) -> str:
        return {TEXT: "text", UNET: "unet", VAE: "vae"}[module.get_buffer("bytes").nbytes]


WHOLE = TEXT + UNET + VAE


def choice(name: str, vae: str | None = None, precision: str = "fp32") -> ModelChoice:
    files = [FileIdentity(path=path, size=10, mtime_ns=1) if path else None for path in (name, vae)]
    assert files[0] is not None
    return ModelChoice(files[0], files[1], precision)


def on_cpu(disk: Disk, models: float = 10) -> PipelineManager:
    """One tier, with room for so many models."""
    return PipelineManager(disk, device=torch.device("cpu"), host=Tier(int(WHOLE * models), 1000))


def with_card(disk: Disk, card: Card, *, size: int, host: int = 1000, thrift: Any = "") -> PipelineManager:
    """Two tiers of so many bytes."""
    return PipelineManager(
        disk,
        device=CARD,
        host=Tier(host, 1000),
        card=Tier(size, 100),
        thrift=thrift,
        move=card.move,
        stream=card.stream,
    )


def use(manager: PipelineManager, *wanted: ModelChoice, needs: Any = ("text", "unet", "vae")) -> Any:
    for one in wanted:
        with manager.use(one, needs) as model:
            pass
    return model


def test_a_model_is_loaded_once_and_lent_again() -> None:
    disk = Disk()
    manager = on_cpu(disk)
    assert use(manager, choice("a")) is use(manager, choice("a"))
    assert disk.read == ["a.vae", "a"]


def test_another_precision_is_another_model() -> None:
    disk = Disk()
    use(on_cpu(disk), choice("a"), choice("a", precision="bf16"))
    assert disk.read == ["a.vae", "a"] * 2


def test_a_vae_is_changed_without_its_checkpoint_and_shared_between_checkpoints() -> None:
    disk = Disk()
    manager = on_cpu(disk)
    model = use(manager, choice("a"))
    own = model.vae
    assert use(manager, choice("a", vae="v")) is model
    assert model.vae is not own
    use(manager, choice("b", vae="v"), choice("a"))
    assert model.vae is own
    assert disk.read == ["a.vae", "a", "v.vae", "b"]


def test_the_least_recently_used_goes_first() -> None:
    disk = Disk()
    use(on_cpu(disk, models=2), *map(choice, ("a", "b", "a", "c", "a", "b")))
    assert [path for path in disk.read if "vae" not in path] == ["a", "b", "c", "b"]


def test_what_goes_is_written_over_by_what_comes() -> None:
    disk = Disk()
    use(on_cpu(disk, models=1), choice("a"), choice("b"))
    assert disk.written_over == ["a", "a"]


def test_a_pinned_model_stays() -> None:
    disk = Disk()
    manager = on_cpu(disk, models=2)
    manager.pin("a")
    use(manager, *map(choice, "abcda"))
    assert [path for path in disk.read if "vae" not in path] == ["a", "b", "c", "d"]
    manager.unpin("a")
    use(manager, *map(choice, "bca"))
    assert disk.read[-1] == "a"


def test_a_model_larger_than_the_budget_is_kept_while_it_is_used() -> None:
    manager = on_cpu(Disk(), models=0.5)
    use(manager, choice("a"))
    assert manager.in_use == choice("a")
    assert manager.bytes() == WHOLE


def test_what_is_evicted_is_gone_from_memory() -> None:
    manager = on_cpu(Disk(), models=1)
    gone = weakref.ref(use(manager, choice("a")))
    use(manager, choice("b"))
    gc.collect()
    assert gone() is None
    assert manager.bytes() == WHOLE


def test_a_failed_load_keeps_nothing_and_the_next_works() -> None:
    manager = on_cpu(Disk())
    with pytest.raises(ValueError, match="broken"):
        use(manager, choice("broken", vae="v"))
    assert manager.memory().models == ()
    use(manager, choice("a"))
    assert manager.in_use == choice("a")


def test_without_memory_for_a_model_the_others_go_and_it_is_tried_again() -> None:
    disk = Disk()
    manager = on_cpu(disk)
    use(manager, choice("a"))
    disk.full = 1
    use(manager, choice("b"))
    assert manager.kept(choice("a")) is None
    assert disk.read == ["a.vae", "a", "b.vae", "b"]


def test_a_model_that_does_not_fit_at_all_is_named() -> None:
    disk = Disk()
    disk.full = 2
    with pytest.raises(OutOfMemory, match="not enough memory for big"):
        use(on_cpu(disk), choice("big"))


def test_unloading_spares_the_pinned_unless_they_are_named() -> None:
    manager = on_cpu(Disk())
    use(manager, choice("a"), choice("b"), choice("c"))
    manager.pin("a")
    manager.unload("b")
    assert [manager.kept(choice(name)) is not None for name in "abc"] == [True, False, True]
    manager.unload(None)
    assert [manager.kept(choice(name)) is not None for name in "abc"] == [True, False, False]
    manager.unload("a")
    assert manager.memory().models == ()


def test_a_load_is_told_as_one() -> None:
    told: list[tuple[str, int, int]] = []
    with on_cpu(Disk()).use(choice("a"), tell=lambda *line: told.append(line)):
        pass
    assert told == [("VAE", 10, 110), ("U-Net", 60, 110)]


def test_the_memory_names_every_model_with_its_tier() -> None:
    manager = with_card(Disk(), Card(), size=20)
    use(manager, choice("dir/a"), choice("b"))
    manager.pin("dir/a")
    told = manager.memory()
    assert [(tier.name, tier.device, tier.used, tier.budget) for tier in told.tiers] == [
        ("device", "cuda:0", 13, 20), ("host", "cpu", 13, 1000)
    ]  # fmt: skip
    assert [(one.name, one.kind, one.device_bytes, one.host_bytes, one.pinned, one.in_use) for one in told.models] == [
        ("b", "checkpoint", 10, 0, False, True),
        ("b", "vae", 3, 0, False, True),
        ("a", "checkpoint", 0, 10, True, False),
        ("a", "vae", 0, 3, True, False),
    ]
    assert manager.memory() is told


def test_a_large_card_gets_models_straight_from_the_disk_and_keeps_them() -> None:
    disk, card = Disk(), Card()
    use(with_card(disk, card, size=2 * WHOLE), *map(choice, "abab"))
    assert disk.targets == ["cuda"] * 4
    assert card.moves == []


def test_what_leaves_the_card_goes_to_the_machines_memory_and_comes_back() -> None:
    disk, card = Disk(), Card()
    manager = with_card(disk, card, size=WHOLE)
    use(manager, *map(choice, "aba"))
    assert disk.read == ["a.vae", "a", "b.vae", "b"]
    assert card.moves == [
        "vae to host", "text to host", "unet to host",
        "vae to host", "text to card", "text to host", "unet to host", "unet to card", "vae to card",
    ]  # fmt: skip


def test_without_room_in_the_machines_memory_it_goes_to_the_disk() -> None:
    disk, card = Disk(), Card()
    use(with_card(disk, card, size=WHOLE, host=0), *map(choice, "aba"))
    assert card.moves == []
    assert disk.read == ["a.vae", "a", "b.vae", "b", "a.vae", "a"]
    assert disk.written_over


def test_a_card_too_small_for_all_holds_what_is_in_use() -> None:
    disk, card = Disk(), Card()
    manager = with_card(disk, card, size=UNET + TEXT)
    for needs in (("text",), ("unet",), ("vae",), ("text",)):
        use(manager, choice("a"), needs=needs)
    assert disk.targets == ["cpu", "cpu"]
    assert card.moves == ["text to card", "unet to card", "text to host", "unet to host", "vae to card", "text to card"]


def test_a_u_net_larger_than_the_card_runs_block_by_block() -> None:
    card = Card()
    manager = with_card(Disk(), card, size=UNET - 1)
    for needs in (("text",), ("unet",), ("unet",), ("vae",)):
        use(manager, choice("a"), needs=needs)
    assert card.moves == ["text to card", "unet streamed", "vae to card"]


def test_medvram_holds_one_part_at_a_time() -> None:
    card = Card()
    manager = with_card(Disk(), card, size=1000, thrift="medvram")
    for needs in (("text",), ("unet",), ("unet",), ("vae",)):
        use(manager, choice("a"), needs=needs)
    assert card.moves == ["text to card", "text to host", "unet to card", "unet to host", "vae to card"]


def test_medvram_for_sdxl_spares_the_others() -> None:
    card = Card()
    manager = with_card(Disk(), card, size=1000, thrift="medvram-sdxl")
    for name in ("a", "xl"):
        for needs in (("text",), ("unet",)):
            use(manager, choice(name), needs=needs)
    assert card.moves == [
        "text to card", "unet to card", "text to host", "unet to host", "text to card", "text to host", "unet to card"
    ]  # fmt: skip


def test_lowvram_streams_the_u_net() -> None:
    card = Card()
    manager = with_card(Disk(), card, size=1000, thrift="lowvram")
    for needs in (("text",), ("unet",), ("unet",)):
        use(manager, choice("a"), needs=needs)
    assert card.moves == ["text to card", "text to host", "unet streamed"]


def test_a_card_that_other_programs_fill_is_lived_with() -> None:
    card = Card()
    manager = with_card(Disk(), card, size=WHOLE - 1)
    use(manager, choice("a"), needs=("text",))
    card.room = 0
    use(manager, choice("a"), needs=("unet",))
    assert card.moves[-3:] == ["text to host", "unet to host", "unet streamed"]


def test_offloading_first_clears_the_card_then_streams_and_then_gives_up() -> None:
    card = Card()
    manager = with_card(Disk(), card, size=1000)
    use(manager, choice("a"))
    with manager.use(choice("a"), ("unet",)):
        assert manager.offload()
        assert card.moves == ["vae to host", "text to host"]
        assert manager.offload()
        assert card.moves[2:] == ["unet to host", "unet streamed"]
        assert not manager.offload()
    card.moves.clear()
    manager.at_ease()
    use(manager, choice("a"), needs=("unet",))
    assert card.moves == ["unet not streamed", "unet to card"]


def test_a_card_that_is_lent_is_empty_and_its_models_come_back() -> None:
    disk, card = Disk(), Card()
    manager = with_card(disk, card, size=2 * WHOLE)
    manager.pin("a")
    use(manager, choice("a"))
    manager.lend()
    assert [tier.used for tier in manager.memory().tiers] == [0, WHOLE]
    use(manager, choice("a"))
    assert disk.read == ["a.vae", "a"]
    assert [tier.used for tier in manager.memory().tiers] == [WHOLE, 0]


def test_lending_without_a_card_changes_nothing() -> None:
    manager = on_cpu(Disk())
    use(manager, choice("a"))
    manager.lend()
    assert manager.bytes() == WHOLE


def test_offloading_without_a_card_drops_what_is_idle() -> None:
    manager = on_cpu(Disk())
    use(manager, choice("a"), choice("b"), choice("c"))
    manager.pin("a")
    assert manager.offload()
    assert [manager.kept(choice(name)) is not None for name in "abc"] == [True, False, True]
    assert not manager.offload()


def test_a_raised_precision_is_remembered_for_that_model_alone() -> None:
    disk = Disk()
    manager = on_cpu(disk)
    use(manager, choice("a"), choice("b"))
    assert manager.raise_precision(choice("a")) == "bf16"
    assert manager.raised(choice("a")) == {"unet": "bf16"}
    use(manager, choice("a"), choice("b"))
    manager.unload(None)
    use(manager, choice("a"))
    assert disk.dtypes == [None, None, torch.bfloat16, torch.bfloat16]
    assert manager.raised(choice("b")) == {}
    assert manager.raise_precision(choice("a")) == "fp32"


def test_a_precision_that_did_not_help_is_taken_back() -> None:
    disk = Disk()
    manager = on_cpu(disk)
    use(manager, choice("a"))
    assert manager.raise_precision(choice("a")) == "bf16"
    use(manager, choice("a"))
    assert manager.raise_precision(choice("a")) == "fp32"
    use(manager, choice("a"))
    assert manager.raise_precision(choice("a")) is None
    assert manager.raised(choice("a")) == {}
    use(manager, choice("a"))
    assert disk.dtypes == [None, torch.bfloat16, torch.float32, None]


def test_a_vae_that_went_to_float32_by_itself_starts_there_the_next_time() -> None:
    manager = on_cpu(Disk())
    with manager.use(choice("a")) as model:
        model.vae.module.float()
    assert manager.raised(choice("a")) == {"vae": "fp32"}
    assert manager.raised(choice("a", vae="v")) == {}
    manager.unload(None)
    assert use(manager, choice("a")).vae.dtype == torch.float32
    assert [(one.kind, one.precision, one.raised) for one in manager.memory().models] == [
        ("checkpoint", "fp16", False), ("vae", "fp32", True)
    ]  # fmt: skip


def test_changing_costs_nothing_at_hand_a_little_from_the_machines_memory_and_a_load_from_the_disk() -> None:
    manager = with_card(Disk(), Card(), size=WHOLE)
    use(manager, choice("a"), choice("b"))
    assert [manager.switch_cost(choice(name)) for name in "bac"] == [0.0, 0.1, 1.0]
    assert on_cpu(Disk()).switch_cost(choice("a")) == 1.0
