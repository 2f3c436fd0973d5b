"""How many snapshots of a conversation are kept."""

from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from gemtab.backends.media import Media
from gemtab.chat.media import Prompt
from gemtab.chat.session import PromptCache, snapshot_capacity

MIB = 1 << 20


@pytest.mark.parametrize(("size", "count"), [(0, 16), (1 * MIB, 16), (6 * MIB, 10), (64 * MIB, 1), (100 * MIB, 1)])
def test_the_capacity_is_what_fits(size: int, count: int) -> None:
    assert snapshot_capacity(size) == count


@dataclass(frozen=True)
class Mark:
    position: int
    bytes: int


class Noting:
    """A backend that cannot rewind, and that notes its snapshots and the one that it was given back."""

    context = 10_000

    def __init__(self, size: int) -> None:
        self.size = size
        self.position = 0
        self.taken: list[int] = []
        self.restored: list[int] = []

    def set_sampling(self, temperature: float, top_k: int, top_p: float, seed: int) -> None:
        pass

    def fill(self, ids: Sequence[int], media: Sequence[Media] = ()) -> None:
        assert not media
        self.position += len(ids)

    def decode(self, token: int | None) -> int:
        raise NotImplementedError

    def snapshot(self) -> Mark:
        self.taken.append(self.position)
        return Mark(self.position, self.size)

    def restore(self, snapshot: Mark) -> None:
        self.position = snapshot.position
        self.restored.append(self.position)

    def rewind(self, position: int) -> bool:
        assert position != self.position
        return False

    def reset(self) -> None:
        self.position = 0


@pytest.mark.parametrize(("size", "oldest"), [(0, 50), (6 * MIB, 110), (100 * MIB, 200)])
def test_the_oldest_go_first(size: int, oldest: int) -> None:
    backend = Noting(size)
    cache = PromptCache(backend)
    for stable in range(10, 210, 10):
        cache.fill(Prompt(list(range(stable + 1))), stable)
    cache.fill(Prompt(list(range(300))), 0)
    assert backend.taken == list(range(10, 210, 10))
    reused = cache.fill(Prompt([*range(oldest + 5), 9999, 9999]), 0)
    assert (reused, backend.restored) == (oldest, [oldest])
    cache.fill(Prompt([*range(oldest - 1), 9999, 9999]), 0)
    assert backend.restored == [oldest], "an older one is no longer there"


def test_one_is_enough_for_one_position() -> None:
    backend = Noting(0)
    cache = PromptCache(backend)
    for _ in range(3):
        cache.fill(Prompt(list(range(11))), 10)
    assert backend.taken == [10]
