"""One process of several that do a run together, as `accelerate launch` and `torchrun` start them.

In: the environment's RANK, WORLD_SIZE and LOCAL_RANK, and the samples in order. Out: which image groups are this
process's share. The processes send each other nothing: each reads the same data, and they share the run's folder.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from cot.errors import ConfigError
from cot.task import Sample


@dataclass(frozen=True)
class Shard:
    """Which process this is. rank: from 0, of world_size >= 2. local_rank: from 0 on its machine."""

    rank: int
    world_size: int
    local_rank: int

    @property
    def label(self) -> str:
        """For people, who count from 1: `1/2`."""
        return f"{self.rank + 1}/{self.world_size}"


class Share:
    """The image groups that are one process's: every n-th of n processes, as they first appear in the data.

    n: samples in it so far.
    """

    def __init__(self, shard: Shard) -> None:
        self.n = 0
        self._shard = shard
        self._seen: set[bytes] = set()
        self._mine: set[bytes] = set()

    def dealing(self, samples: Iterator[Sample]) -> Iterator[Sample]:
        """The samples as they are, all of them; on the way their groups are dealt out."""
        for sample in samples:
            key = _key(sample.group)
            if key not in self._seen:
                if len(self._seen) % self._shard.world_size == self._shard.rank:
                    self._mine.add(key)
                self._seen.add(key)
            self.n += key in self._mine
            yield sample

    def __contains__(self, group: str) -> bool:
        return _key(group) in self._mine


def find_shard(environment: Mapping[str, str]) -> Shard | None:
    """Which of several processes this is; None if it is alone.

    LOCAL_RANK may be missing, and is RANK then. Raises ConfigError for values that make no sense.
    """
    world_size = _number(environment, "WORLD_SIZE", "1")
    if world_size <= 1:
        return None
    rank = _number(environment, "RANK", "")
    if rank >= world_size:
        raise ConfigError(f"got RANK {rank} and WORLD_SIZE {world_size}; expected RANK from 0 to {world_size - 1}")
    return Shard(rank, world_size, _number(environment, "LOCAL_RANK", str(rank)))


def _number(environment: Mapping[str, str], name: str, default: str) -> int:
    text = environment.get(name) or default
    if not (text.isascii() and text.isdecimal() and len(text) < 7):
        raise ConfigError(
            f"the environment has {name}={text!r}; expected a whole number, as accelerate launch and torchrun set it;"
            " unset WORLD_SIZE for a process that is alone"
        )
    return int(text)


def _key(group: str) -> bytes:
    # Eight bytes of each, so that a large data set does not fill the memory.
    return hashlib.sha256(group.encode()).digest()[:8]
