"""Engines on tiny checkpoints, and requests to ask them."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import tiny_models
from PIL import Image

from cot.engine import Completion, Message, Request
from cot.engine.local import LocalEngine
from cot.image import LoadedImage


@pytest.fixture(scope="session")
def alike() -> Callable[[Completion, Completion], bool]:
    """Same tokens and ends, and the same probabilities up to rounding: sums run in another order in another batch."""

    def said(completion: Completion) -> Any:
        return [(one.text, one.finish_reason, [item.token for item in one.logprobs]) for one in completion.candidates]

    def sure(completion: Completion) -> list[float]:
        return [item.logprob for one in completion.candidates for item in one.logprobs]

    return lambda first, second: said(first) == said(second) and sure(first) == pytest.approx(sure(second), abs=1e-4)


@pytest.fixture(scope="session")
def picture() -> Callable[..., LoadedImage]:
    """Makes plain images."""

    def make(color: str = "red", *, width: int = 40, height: int = 30) -> LoadedImage:
        return LoadedImage(Image.new("RGB", (width, height), color), sha256=f"{color}{width}x{height}", source=color)

    return make


@pytest.fixture(scope="session")
def ask(picture: Callable[..., LoadedImage]) -> Callable[..., Request]:
    """Makes requests of one user message; without content, one about a red image."""

    def make(*content: str | LoadedImage, max_tokens: int = 12, **settings: Any) -> Request:
        return Request((Message("user", content or (picture(), "how many cats")),), max_tokens, **settings)

    return make


@pytest.fixture(scope="session")
def llava_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LLaVA checkpoint whose generation configuration names two end tokens and tries to change every answer."""
    return tiny_models.llava(
        tmp_path_factory.mktemp("llava"),
        eos_token_id=[2, 4],
        do_sample=True,
        temperature=3.0,
        top_k=7,
        repetition_penalty=5.0,
        min_length=50,
        suppress_tokens=[*range(60, 200)],
    )


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Gives the tiny checkpoint of a family, made once."""

    @cache
    def make(family: str) -> Path:
        if family in tiny_models.NEED_TORCHVISION:
            pytest.importorskip("torchvision")
        return {**tiny_models.BATCHED, **tiny_models.ONE_BY_ONE}[family](tmp_path_factory.mktemp(family))

    return make


@pytest.fixture(scope="session")
def engine(llava_folder: Path) -> Iterator[LocalEngine]:
    """One engine for all tests that leave it open and unchanged."""
    shared = LocalEngine.load(llava_folder, device="cpu")
    yield shared
    asyncio.run(shared.close())


@pytest.fixture
async def own_engine(llava_folder: Path) -> AsyncIterator[LocalEngine]:
    """An engine that the test may break or close."""
    own = LocalEngine.load(llava_folder, device="cpu")
    yield own
    await own.close()
