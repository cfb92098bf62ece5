"""The only owner of weights: loads once, evicts the least recently used, never a pinned model, gives memory back."""

import gc
import weakref

import pytest
import torch

from app.engine import ModelChoice, PipelineManager
from app.schema.errors import OutOfMemory
from app.schema.request import FileIdentity


class Weights:
    """Stands for a model that takes some bytes."""

    def __init__(self, size: int) -> None:
        self.size = size

    def bytes(self) -> int:
        return self.size


class Disk:
    """Loads a model as large as its file, and remembers what was loaded."""

    def __init__(self) -> None:
        self.loaded: list[str] = []

    def __call__(self, choice: ModelChoice) -> Weights:
        if choice.checkpoint.path == "broken":
            raise ValueError("broken")
        self.loaded.append(choice.checkpoint.path)
        return Weights(choice.checkpoint.size)


def choice(name: str, size: int = 10, precision: str = "fp32") -> ModelChoice:
    return ModelChoice(FileIdentity(path=name, size=size, mtime_ns=1), None, precision)


def use(manager: PipelineManager, wanted: ModelChoice) -> object:
    with manager.use(wanted) as model:
        return model


def test_a_model_is_loaded_once_and_lent_again():
    disk = Disk()
    manager = PipelineManager(disk, budget=100)
    assert use(manager, choice("a")) is use(manager, choice("a"))
    assert disk.loaded == ["a"]


def test_another_precision_is_another_model():
    disk = Disk()
    manager = PipelineManager(disk, budget=100)
    use(manager, choice("a"))
    use(manager, choice("a", precision="bf16"))
    assert disk.loaded == ["a", "a"]


def test_the_least_recently_used_goes_first():
    disk = Disk()
    manager = PipelineManager(disk, budget=20)
    for name in ("a", "b", "a", "c", "a", "b"):
        use(manager, choice(name))
    assert disk.loaded == ["a", "b", "c", "b"]


def test_a_pinned_model_stays():
    disk = Disk()
    manager = PipelineManager(disk, budget=20)
    use(manager, choice("a"))
    manager.pin("a")
    for name in ("b", "c", "d", "a"):
        use(manager, choice(name))
    assert disk.loaded == ["a", "b", "c", "d"]
    manager.unpin("a")
    for name in ("b", "c", "a"):
        use(manager, choice(name))
    assert disk.loaded[-1] == "a"


def test_a_model_larger_than_the_budget_is_kept_while_it_is_used():
    manager = PipelineManager(Disk(), budget=5)
    use(manager, choice("a", size=50))
    assert manager.in_use == choice("a", size=50)
    assert manager.bytes() == 50


def test_what_is_evicted_is_gone_from_memory():
    manager = PipelineManager(Disk(), budget=10)
    gone = weakref.ref(use(manager, choice("a")))
    use(manager, choice("b"))
    gc.collect()
    assert gone() is None
    assert manager.bytes() == 10


def test_a_failed_load_keeps_nothing_and_the_next_works():
    disk = Disk()
    manager = PipelineManager(disk, budget=100)
    with pytest.raises(ValueError, match="broken"):
        use(manager, choice("broken"))
    use(manager, choice("a"))
    assert manager.in_use == choice("a")


class SmallDevice(Disk):
    """Has room for one model, whatever the budget says."""

    def __call__(self, choice: ModelChoice) -> Weights:
        if self.room < choice.checkpoint.size:
            raise torch.OutOfMemoryError("injected")
        return super().__call__(choice)

    room = 10


def test_without_memory_for_a_model_the_others_go_and_it_is_tried_again():
    disk = SmallDevice()
    manager = PipelineManager(disk, budget=1000)
    use(manager, choice("a"))
    disk.room = 0
    release = manager.release

    def make_room() -> None:
        release()
        disk.room = 10

    manager.release = make_room  # type: ignore[method-assign]
    use(manager, choice("b"))
    assert manager.kept(choice("a")) is None
    assert disk.loaded == ["a", "b"]


def test_a_model_that_does_not_fit_at_all_is_named():
    with pytest.raises(OutOfMemory, match="not enough memory for big"):
        use(PipelineManager(SmallDevice(), budget=1000), choice("big", size=50))


def test_release_drops_all_but_the_pinned():
    manager = PipelineManager(Disk(), budget=100)
    use(manager, choice("a"))
    use(manager, choice("b"))
    manager.pin("a")
    manager.release()
    assert manager.kept(choice("a")) is not None
    assert manager.kept(choice("b")) is None
