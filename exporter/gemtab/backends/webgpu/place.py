"""Assigns values to slots. Values that live at different times share a slot."""

from dataclasses import dataclass


@dataclass
class _Slot:
    bytes: int
    free_after: int


def place(lifetimes: dict[str, tuple[int, int]], sizes: dict[str, int]) -> tuple[dict[str, int], list[int]]:
    """Return the slot of each value, and the bytes of each slot.

    lifetimes: indices of the first and the last dispatch that binds a value. sizes: bytes of a value. Two values share
    a slot only if no dispatch is in both lifetimes: a slot is one GPU buffer, which a dispatch must not bind twice.
    """
    slots: list[_Slot] = []
    chosen: dict[str, int] = {}
    for name, (born, died) in sorted(lifetimes.items(), key=lambda item: (item[1][0], -sizes[item[0]])):
        free = [i for i, slot in enumerate(slots) if slot.free_after < born]
        if free:
            # The slot of the nearest size: growing a slot costs memory, and using up a large one may force a new one.
            best = min(free, key=lambda i: (abs(slots[i].bytes - sizes[name]), i))
        else:
            best = len(slots)
            slots.append(_Slot(0, -1))
        slots[best].bytes = max(slots[best].bytes, sizes[name])
        slots[best].free_after = died
        chosen[name] = best
    return chosen, [slot.bytes for slot in slots]
