"""Decoding as one compiled graph: passes that take one token a row, with inputs of few shapes.

In: a token, a place and positions for each row. Out: logits. Rows are padded to a power of two and what they see to a
bucket of lengths, so that a graph serves many batches; on CUDA it is recorded and replayed as a CUDA graph, for which
the buffers of keys and values must stay where they are. What cannot be compiled is left to `forward`, with the reason.
"""

import os
import shutil
import sys
import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad
from transformers import Cache
from transformers.cache_utils import CacheLayerMixin

from cot.engine.local.load import Loaded
from cot.engine.local.slots import Slots, power_of_two
from cot.errors import reason

BACKEND: str | Callable[..., Any] = "inductor"
LEAST_WIDTH = 256
"""Tokens that a row sees, at least, padding included: less would be other graphs, and hardly faster."""
MAX_GRAPHS = 512
"""Graphs that torch keeps for one function; beyond them it would silently run without."""
REASON_CHARACTERS = 160


def uncompiled_reason(loaded: Loaded) -> str:
    """Why decoding of this model cannot be compiled here, as far as that shows beforehand; empty if nothing does."""
    device = loaded.model.device.type
    if loaded.info.quantization != "none":
        return f"{loaded.info.quantization} layers of bitsandbytes cannot be"
    if device not in ("cpu", "cuda"):
        return f"torch cannot compile for {device}"
    if BACKEND != "inductor":
        return ""
    if device == "cuda":
        return "" if find_spec("triton") else "triton is not installed, which comes with torch for CUDA on Linux"
    compiler = os.environ.get("CXX") or {"darwin": "clang++", "win32": "cl"}.get(sys.platform, "g++")
    return "" if shutil.which(compiler) else f"the C++ compiler {compiler} is not there; install it, or name one by CXX"


class CompiledDecode:
    """The compiled pass of one model over its slots.

    on_failure: called with the reason when it turns out that it cannot be; from then on it is not tried again.
    """

    def __init__(self, loaded: Loaded, slots: Slots, on_failure: Callable[[str], None]):
        self._failed = False
        self._on_failure = on_failure
        self._slots = slots
        self._pad_id, self._device = loaded.pad_id, loaded.model.device
        self._graphs = self._device.type == "cuda"
        self._window = _Window()
        self._step = _compiled(loaded.model, self._window, slots.layers, graphs=self._graphs)

    @property
    def works(self) -> bool:
        """Whether it has not turned out that it cannot be."""
        return not self._failed

    def logits(self, tokens: Sequence[int], places: Sequence[int], positions: Tensor | None) -> Tensor | None:
        """Feed a token to each of the first slots. Returns logits, shape (rows, vocab), or None if that cannot be.

        places: of the tokens in their slots. positions: shape (axes, rows, 1), None where they are the places.
        Raises what a pass without compilation would raise for lack of memory.
        """
        if self._failed:
            return None
        rows = power_of_two(len(tokens))
        filler = rows - len(tokens)
        self._slots.reserve(rows, max(places) + 1)
        self._slots.grow()
        width = min(max(power_of_two(max(places) + 1), LEAST_WIDTH), self._slots.usable)
        ids = torch.tensor([*tokens, *[self._pad_id] * filler])[:, None].to(self._device)
        # Rows that fill up write where nobody reads, and see the first token of their slot.
        self._window.open(self._slots.first(rows), width, self._device)
        self._window.places = torch.tensor([*places, *[self._slots.usable] * filler]).to(self._device)
        self._window.last = torch.tensor([*places, *[0] * filler]).to(self._device)
        where = self._window.last[:, None] if positions is None else pad(positions, (0, 0, 0, filler)).to(self._device)
        try:
            if self._graphs:
                _let_this_thread_record()
                torch.compiler.cudagraph_mark_step_begin()
            # More than the default, 8, beyond which torch runs without, or gives up.
            with torch._dynamo.config.patch(recompile_limit=MAX_GRAPHS, accumulated_recompile_limit=4 * MAX_GRAPHS):
                out = self._step(ids, where)
        except Exception as error:
            if isinstance(error, torch.OutOfMemoryError) or "allocate memory" in str(error):
                raise
            self._failed = True
            # What follows an empty line is for torch's developers.
            said = reason(Exception(str(error).strip().partition("\n\n")[0]), most=REASON_CHARACTERS)
            self._on_failure(f"{type(error).__name__}: {said}")
            return None
        finally:
            # What is still held here could not be freed when the slots grow.
            self._window.close()
        # A copy: the next replay writes to the same memory.
        return out[: len(tokens)].to(torch.float32, copy=True)


def _compiled(model: Any, window: "_Window", layers: int, *, graphs: bool) -> Callable[[Tensor, Tensor], Tensor]:
    """The pass as a compiled function of ids, shape (rows, 1), and positions; it reads and writes the window."""
    cache = Cache(layers=[_WindowLayer(window, index) for index in range(layers)])
    least = torch.finfo(model.dtype).min

    def step(ids: Tensor, positions: Tensor) -> Tensor:
        seen = torch.arange(window.width, device=ids.device) <= window.last[:, None]
        hidden = torch.full((), least, dtype=model.dtype, device=ids.device)
        out = model(
            input_ids=ids,
            attention_mask=torch.where(seen, torch.zeros_like(hidden), hidden)[:, None, None],
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        logits: Tensor = out.logits[:, -1]
        return logits

    mode = "reduce-overhead" if graphs and BACKEND == "inductor" else None
    compiled: Callable[[Tensor, Tensor], Tensor] = torch.compile(
        step, fullgraph=True, dynamic=False, backend=BACKEND, mode=mode
    )
    return compiled


def _let_this_thread_record() -> None:
    """Before torch 2.13 only the thread that imported this module can (https://github.com/pytorch/pytorch/pull/184357)."""
    from torch._inductor import cudagraph_trees as trees

    if not hasattr(trees.local, "tree_manager_containers"):
        trees.local.tree_manager_containers = {}
        trees.local.tree_manager_locks = defaultdict(threading.Lock)


class _Window:
    """What a compiled pass sees: the slots from the first on, up to a width.

    buffers: keys and values of each layer, shape (rows, length, kv_heads, head_dim). rows: their numbers. places:
    where each row's token goes. last: the last place that each row sees. All of shape (rows,).
    """

    def __init__(self) -> None:
        self.buffers: list[list[Tensor]] = []
        self.width = 0
        self.rows = self.places = self.last = torch.empty(0, dtype=torch.long)

    def open(self, buffers: list[list[Tensor]], width: int, device: torch.device) -> None:
        """Look at some slots."""
        if device.type == "cuda":
            for buffer in (buffer for layer in buffers for buffer in layer):
                # A CUDA graph would copy its inputs otherwise, and refuse to write to them.
                torch._dynamo.mark_static_address(buffer, guard=False)
        self.buffers, self.width = buffers, width
        self.rows = torch.arange(len(buffers[0][0]), device=device)

    def close(self) -> None:
        """Let go of them."""
        self.buffers = []


class _WindowLayer(CacheLayerMixin):
    """What one attention layer sees of the window: tensors alone say where it writes."""

    is_sliding = False
    is_compileable = True

    def __init__(self, window: _Window, index: int):
        super().__init__()  # type: ignore[no-untyped-call]
        self._window = window
        self._index = index
        self.is_initialized = True

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Nothing to do: the slots make their buffers."""

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Take the new keys and values, shape (rows, kv_heads, 1, head_dim); returns all that the rows see."""
        window = self._window
        keys, values = window.buffers[self._index]
        keys[window.rows, window.places] = key_states[:, :, 0]
        values[window.rows, window.places] = value_states[:, :, 0]
        return keys[:, : window.width].transpose(1, 2), values[:, : window.width].transpose(1, 2)

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Length and offset of what is seen."""
        return self._window.width, 0

    def get_seq_length(self) -> int:
        """Not 0, since something is there."""
        return self._window.width

    def get_max_length(self) -> int:
        """No limit but memory."""
        return -1
