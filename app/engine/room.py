"""Room: an act that needs memory on the device, repeated with less around it until it fits."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from app.models import is_out_of_memory
from app.schema.errors import OutOfMemory

Made = TypeVar("Made")


def until_it_fits(act: Callable[[], Made], make_room: Callable[[], bool], short: OutOfMemory) -> Made:
    """What the act gives. make_room: takes something else off the device, False when there is nothing left to take.

    Raises `short` when there is no room to be made, or the act's own OutOfMemory, which knows better; and whatever else
    the act raises.
    """
    while True:
        try:
            return act()
        except OutOfMemory:
            if not make_room():
                raise
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            if not make_room():
                raise short from error
