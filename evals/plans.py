"""How well a checkpoint of the embedded model's kind plans, by program: `python -m evals.plans`.

Asks for plans of questions that are drawn anew, without their images, which programs do not depend on, and counts those
that are the program word for word. Prints a table for each kind of wording. The same checkpoint gives the
same figures.
"""

import argparse
import random
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Final, get_args

import torch
from tokenizers import Tokenizer

from cot.engine.local.load import load
from cot.engine.local.source import find_source
from cot.errors import CotError
from cot.train.charts import make_chart
from cot.train.data import PLAN_COLUMNS, evenly, plan_opening, plan_turn, without_details
from cot.train.model import PREFIX_TOKENS
from cot.train.objective import before_an_image, plan_states
from cot.train.packing import IGNORE, OPENING, pack_rows, packed_mask
from cot.train.sample import QA
from cot.train.scenes import make_scene
from cot.train.shapes import make_shapes
from cot.train.wording import Wording
from evals.embedded import positive

ROWS: Final = 8
ROW_TOKENS: Final = 600
QUESTIONS: Final = 40
"""Samples whose questions fill a batch of rows: more than fit, so that rare programs are among them."""


def program(qa: QA) -> str:
    """What a question's program is, without its names and numbers: how its facts begin, and its expression."""
    asked = " ".join(qa.facts[0].text.split()[:2])
    return f"{asked}: {without_details(qa.expression).strip()}"


def questions(wording: Wording, rng: random.Random) -> list[QA]:
    """Questions of all families about things that are drawn, as many of each program as there are."""
    makers = (make_scene, make_shapes, make_chart)
    drawn = [rng.choices(makers, (5, 3, 2))[0](rng, questions=18, wording=wording) for _ in range(QUESTIONS)]
    return evenly([qa for sample in drawn for qa in sample.qas], rng)


@torch.inference_mode()
def right(model: Any, tokenizer: Tokenizer, qas: Sequence[QA]) -> Iterator[tuple[QA, bool]]:
    """Each question of those that fit into a batch of rows, and whether its plan is the program word for word."""
    rows = pack_rows(
        tokenizer, map(plan_turn, qas), rows=ROWS, prefix_tokens=PREFIX_TOKENS, max_tokens=ROW_TOKENS,
        opening=plan_opening(tokenizer),
    )  # fmt: skip

    def column(name: str, value: int) -> torch.Tensor:
        return torch.tensor([[*getattr(row, name), *[value] * (ROW_TOKENS - len(row.ids))] for row in rows])

    batch = {f"plan_{name}": column(name, IGNORE if name == "targets" else 0) for name in PLAN_COLUMNS}
    start = before_an_image(tokenizer)
    segments, targets = batch["plan_segments"], batch["plan_targets"]
    mask = packed_mask(segments, batch["plan_above"], start.shape[1]).float()
    decoder = model.model.language_model
    hidden = plan_states(decoder, decoder.embed_tokens(start), batch, mask)
    wrong = (targets != IGNORE) & (model.lm_head(hidden).argmax(-1) != targets)
    for segment in segments[targets != IGNORE].unique().tolist():
        yield qas[segment - OPENING - 1], not bool(wrong[segments == segment].any())


def measure(model: Any, tokenizer: Tokenizer, wording: Wording, *, limit: int) -> dict[str, tuple[int, int]]:
    """Program -> how many plans were asked for, and how many are the program; at least `limit` in all."""
    rng = random.Random(f"plans/{wording}")
    asked: Counter[str] = Counter()
    found: Counter[str] = Counter()
    while asked.total() < limit:
        for qa, is_right in right(model, tokenizer, questions(wording, rng)):
            asked[program(qa)] += 1
            found[program(qa)] += is_right
    return {name: (number, found[name]) for name, number in sorted(asked.items())}


def main(arguments: list[str] | None = None) -> None:
    """Measure and print. Raises EngineError for a wrong model."""
    parser = argparse.ArgumentParser(prog="python -m evals.plans", description=__doc__)
    parser.add_argument("--model", default="embedded", help="embedded, or a checkpoint folder")
    parser.add_argument("--limit", type=positive, default=3000, help="plans of each kind of wording")
    options = parser.parse_args(arguments)
    model = load(options.model, device="cpu", dtype="float32").model
    tokenizer = Tokenizer.from_file(str(find_source(options.model).folder / "tokenizer.json"))
    for wording in get_args(Wording):
        figures = measure(model, tokenizer, wording, limit=options.limit)
        number, exact = (sum(column) for column in zip(*figures.values(), strict=True))
        print(f"{wording}: {100 * exact / number:.1f}% of {number:,} plans are the program", flush=True)
        for name, (asked, of_these) in sorted(figures.items(), key=lambda one: one[1][1] / one[1][0]):
            print(f"  {100 * of_these / asked:5.1f}% of {asked:4}  {name}", flush=True)


if __name__ == "__main__":
    try:
        main()
    except CotError as error:
        sys.exit(f"error: {error}")
