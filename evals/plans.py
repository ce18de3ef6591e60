"""How well a checkpoint of the embedded model's kind plans, by program: `python -m evals.plans`.

Asks for plans of questions that are drawn anew, behind their images as the planner asks, and counts those that are the
program word for word. Prints a table for each kind of wording. The same checkpoint gives the same figures.
"""

import argparse
import random
import sys
from collections import Counter
from collections.abc import Sequence
from typing import Final, get_args

import torch
from tokenizers import Tokenizer

from cot.engine.local.load import load
from cot.engine.local.source import find_source
from cot.errors import CotError, EngineError
from cot.train.charts import make_chart
from cot.train.data import QUESTIONS_DRAWN, as_shown, evenly, plan_opening, plan_turn, without_details
from cot.train.model import PREFIX_TOKENS
from cot.train.objective import Objective
from cot.train.packing import IGNORE, OPENING, pack
from cot.train.sample import INPUT_PIXELS, QA, Sample
from cot.train.scenes import make_scene
from cot.train.shapes import make_shapes
from cot.train.wording import Wording
from evals.embedded import positive

QUESTIONS: Final = 8
"""Of those that are drawn about an image, so many of different programs where there are."""


def program(qa: QA) -> str:
    """What a question's program is, without its names and numbers: how its facts begin, and its expression."""
    asked = " ".join(qa.facts[0].text.split()[:2])
    return f"{asked}: {without_details(qa.expression).strip()}"


@torch.inference_mode()
def right(objective: Objective, sample: Sample, qas: Sequence[QA]) -> list[bool]:
    """Whether the plan of each question about a sample's image is its program word for word."""
    tokenizer, model = objective.tokenizer, objective.model
    packed = pack(
        tokenizer, [plan_turn(qa) for qa in qas], prefix_tokens=PREFIX_TOKENS, max_tokens=sys.maxsize,
        opening=plan_opening(tokenizer),
    )  # fmt: skip
    names = ("ids", "targets", "segments", "above", "positions")
    batch = {name: torch.tensor([getattr(packed, name)]) for name in names}
    batch["pixels"] = torch.from_numpy(as_shown(sample.image))[None]
    seen = model.model.multi_modal_projector(objective.features(batch))
    hidden = objective.read(seen, batch)[0].last_hidden_state[:, PREFIX_TOKENS:]
    wrong = (batch["targets"] != IGNORE) & (model.lm_head(hidden).argmax(-1) != batch["targets"])
    numbers = range(OPENING + 1, OPENING + 1 + len(qas))
    return [not bool(wrong[batch["segments"] == number].any()) for number in numbers]


def measure(objective: Objective, wording: Wording, *, limit: int) -> dict[str, tuple[int, int]]:
    """Program -> how many plans were asked for, and how many are the program; at least `limit` in all."""
    rng = random.Random(f"plans/{wording}")
    asked: Counter[str] = Counter()
    found: Counter[str] = Counter()
    while asked.total() < limit:
        (make,) = rng.choices((make_scene, make_shapes, make_chart), (5, 3, 2))
        sample = make(rng, questions=QUESTIONS_DRAWN, wording=wording)
        qas = evenly(sample.qas, rng)[:QUESTIONS]
        for qa, is_right in zip(qas, right(objective, sample, qas), strict=True):
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
    if (pixels := model.config.vision_config.image_size) != INPUT_PIXELS:
        raise EngineError(f"{options.model} sees images of {pixels} pixels; expected a model of {INPUT_PIXELS}")
    objective = Objective(model, tokenizer, "cpu")
    for wording in get_args(Wording):
        figures = measure(objective, wording, limit=options.limit)
        number, exact = (sum(column) for column in zip(*figures.values(), strict=True))
        print(f"{wording}: {100 * exact / number:.1f}% of {number:,} plans are the program", flush=True)
        for name, (asked, of_these) in sorted(figures.items(), key=lambda one: one[1][1] / one[1][0]):
            print(f"  {100 * of_these / asked:5.1f}% of {asked:4}  {name}", flush=True)


if __name__ == "__main__":
    try:
        main()
    except CotError as error:
        sys.exit(f"error: {error}")
