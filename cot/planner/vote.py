"""The vote strategy: the answer that most samples agree on (self-consistency, Wang et al. 2022).

In: a chain. Out: its conclusion. The greedy direct answer is one vote, and wins ties. Samples are drawn in
rounds, each no larger than it takes to make a lead unassailable; those of a round share one prompt.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from cot.answer import comparable, show_answer, show_value
from cot.engine.base import Sampling
from cot.planner.asked import Asked
from cot.planner.budget import ChainStopped
from cot.planner.chain import Chain
from cot.planner.conclusion import Conclusion, unknown
from cot.planner.direct import ask_first, constraint_whole, parse_whole
from cot.step import FinalAnswer, Reasoning, Value

_MAX_SHOWN_ANSWERS = 5


@dataclass(frozen=True)
class Vote:
    """One answer to the whole question; the first one cast wins ties, and the direct answer is cast first."""

    value: Value
    raw: str


async def vote(chain: Chain) -> Conclusion:
    """Answer by majority; the confidence is the share of the votes that were cast, and the model's own where no other
    was than the direct answer. Raises ChainStopped."""
    first = await ask_first(chain)
    if first.stop_reason not in ("answered", "unparsed"):
        return first
    votes = [Vote(first.answer.value, first.answer.raw)] if first.stop_reason == "answered" else []
    left = chain.tuning.samples
    while n := still_needed(_said(chain, votes), left):
        try:
            drawn = await _draw(chain, n, seed=chain.seed + chain.tuning.samples - left)
        except ChainStopped as stopped:
            chain.note(str(stopped))
            return Conclusion(_outcome(chain, first, votes), stopped.stop_reason)
        votes += [Vote(sample.value, sample.raw) for sample in drawn if sample.problem is None]
        left -= n
    if not votes:
        return first
    return Conclusion(_outcome(chain, first, votes))


def still_needed(votes: Sequence[str], left: int) -> int:
    """How many samples it takes at least to make a lead unassailable, 0 if it is.

    votes: what each says, the first one winning ties. left: samples that may still be drawn.
    """
    if not votes:
        return min(left, 1)
    leader, second, wins_ties = _standing(votes)
    # With k more votes for the leader, left - k remain for the second: leader + k > second + left - k.
    short = left - (leader - second) + (0 if wins_ties else 1)
    return max(0, min(left, (short + 1) // 2))


def _said(chain: Chain, votes: Sequence[Vote]) -> list[str]:
    """What votes say, the same text for the same. Choices may differ in nothing but case, and are kept apart."""
    key = show_value if chain.question.choices else comparable
    return [key(one.value) for one in votes]


def _standing(votes: Sequence[str]) -> tuple[int, int, bool]:
    """Votes of the winner and of the next, and whether the winner would win any tie: it was voted for first."""
    counts = Counter(votes)
    best = _winner(votes)
    others = [count for text, count in counts.items() if text != best]
    return counts[best], max(others, default=0), best == votes[0]


def _winner(votes: Sequence[str]) -> str:
    counts = Counter(votes)
    most = max(counts.values())
    leaders = [text for text, count in counts.items() if count == most]
    return next(text for text in votes if text in leaders)


async def _draw(chain: Chain, n: int, *, seed: int) -> list[Asked[Value]]:
    drawn: list[Asked[Value]] = await chain.sample(
        "direct/answer",
        {"question": chain.question.text, "choices": chain.question.choices},
        lambda text: parse_whole(chain, text),
        step="sample",
        n=n,
        sampling=Sampling(temperature=chain.tuning.temperature, seed=seed),
        constraint=constraint_whole(chain),
        with_examples=True,
    )
    for sample in drawn:
        if sample.problem is not None:
            chain.note(f"a sample is no vote: {sample.problem}")
    return drawn


def _outcome(chain: Chain, first: Conclusion, votes: Sequence[Vote]) -> FinalAnswer:
    """The answer that won, none without votes. One vote would be all of them, however unsure the model is of it."""
    if len(votes) == 1 and first.stop_reason == "answered":
        return first.answer
    return _elect(chain, votes) if votes else unknown()


def _elect(chain: Chain, votes: Sequence[Vote]) -> FinalAnswer:
    texts = _said(chain, votes)
    best = _winner(texts)
    counts = Counter(texts)
    shown = [f'{counts[text]} for "{_shown(votes[texts.index(text)])}"' for text, _ in counts.most_common()]
    more = len(shown) - _MAX_SHOWN_ANSWERS
    listed = ", ".join(shown[:_MAX_SHOWN_ANSWERS]) + (f" and {more} other answer{'s' * (more > 1)}" if more > 0 else "")
    chain.add(Reasoning(text=f"Votes: {listed}."))
    chosen = votes[texts.index(best)]
    return FinalAnswer(
        text=show_answer(chosen.value, chosen.raw),
        value=chosen.value,
        raw=chosen.raw,
        confidence=counts[best] / len(votes),
        source="vote",
    )


def _shown(one: Vote) -> str:
    text = " ".join(show_answer(one.value, one.raw).split())
    return text if len(text) <= 60 else f"{text[:59]}…"
