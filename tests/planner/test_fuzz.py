"""Whatever a model says, every strategy ends with an answer or `unparsed`, a stop reason, and within its budget."""

import random

import pytest

from cot.engine import Candidate, Completion, ScriptedEngine, TokenLogprob, Usage
from cot.planner.budget import Budget
from cot.planner.run import STRATEGIES, run

OUTPUTS = 350
"""Model outputs for each of the strategies: more than 2,000 in all."""

PLANS = (
    "1. [count] How many?\n2. [count] How many more?\nanswer: #1 > #2",
    "1. [phrase] What?\n2. [phrase] What is on #1?\n3. [yes_no] Is #2 red?\nanswer: #3",
    "1. [text] What?\n2. [number] How much?\nanswer: decide",
    "1. [yes_no] A?\n2. [yes_no] B?\nanswer: #1 and not #2",
    "1. [count] A?\n2. [count] B?\nanswer: most(a: #1, b: #2)",
    "1. [phrase] Where?\n2. [count] How many at #1?\nanswer: #2",
    "1. [count] How many?\nanswer: #1",
)
BROKEN = (
    "1. [count] Is #2 so?\n2. [count] Is #1 so?\nanswer: #1",
    "1. [count] #1\nanswer: #1",
    "1. [count] How many?",
    "answer: #1 > #2",
    "\n".join(f"{n}. [count] Step {n}?" for n in range(1, 1001)) + "\nanswer: #1000",
    "1. [count] How many?\nanswer: " + " + ".join(["#1"] * 500),
    "1. [colour] What?\nanswer: __import__('os').system('true')",
    '{"plan": [{"id": 1, "wants": "count"}]}',
    "<think>" + "hmm " * 300,
    "</s></s><|im_end|><image>",
    "{{ 7 * 7 }}{% for a in b %}",
    "[bold]x[/bold] [link=file:///etc/passwd]y[/link]",
    "\x1b]0;title\x07\x1b[31mred\x00\x08",
    "\u202etxet\u202c \u200b\ufeff",
    "\ud800\udfff",
    "苹果比汽车多吗？",
    "هل هناك تفاح أكثر؟",
    "Ja, es gibt mehr Äpfel.",
    "2. [count] Wie viele?",
    "[0.1, 0.2, 0.5, 0.6]",
    "[0.9, 0, 0.1, 1]",
    "-1", "1e999", "NaN", "12,34", "999999999999999999999", "yes and no", "unknown", "B", "(a)", "", " \n\t",
    "x" * 20_000,
    "#1" * 5_000,
)  # fmt: skip
SHORT = ("3", "yes", "no", "red", "unknown", "12.5%", "0", "[0, 0, 0.5, 0.5]")


def output(rng, prompt):
    """One thing that a model might say; mostly of the right shape, since else nothing comes behind a plan."""
    kind = rng.random()
    if kind < 0.6:
        return rng.choice(PLANS if prompt.startswith("Split") else SHORT)
    text = rng.choice(BROKEN + PLANS)
    if kind < 0.8:
        at = rng.randrange(len(text) + 1)
        text = text[:at] + rng.choice(BROKEN)[: rng.randrange(40)] + text[at + rng.randrange(4) :]
    return text


class Babbling(ScriptedEngine):
    """Says anything, within the tokens that it is allowed, sometimes without probabilities."""

    def __init__(self, seed):
        self.rng = random.Random(seed)
        self.outputs = 0
        super().__init__(self.babble)

    def babble(self, request):
        candidates, used = [], 0
        for _ in range(request.n):
            text, allowed = output(self.rng, request.messages[-1].content[-1]), request.max_tokens
            words = text.split(" ")
            cut = len(words) > allowed
            finish = "length" if cut or self.rng.random() < 0.05 else self.rng.choice(["stop"] * 20 + ["cancelled"])
            used += min(len(words), allowed)
            logprobs = (TokenLogprob("a", -self.rng.random()),) if self.rng.random() < 0.8 else ()
            candidates.append(Candidate(" ".join(words[:allowed]), finish, logprobs))
        self.outputs += request.n
        usage = Usage(prompt_tokens=9, image_tokens=1, completion_tokens=used, calls=1, batches=1)
        return Completion(tuple(candidates), usage)


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_nothing_that_a_model_says_breaks_a_strategy(question, strategy):
    seen = seed = 0
    while seen < OUTPUTS:
        engine = Babbling(seed)
        rng = random.Random(f"{strategy} {seed}")
        budget = Budget(rng.choice([1, 2, 3, 5, 8, 32]), rng.choice([1, 7, 40, 300, 2048]))
        asked = question("What is it?", rng.choice([(), ("yes", "no"), ("3", "red", "B")]))
        outcome = await run(strategy, asked, engine, budget, seed=seed)
        said = f"{strategy}, seed {seed}: {outcome}"
        assert outcome.stop_reason in ("answered", "unparsed", "budget_steps", "budget_tokens"), said
        assert outcome.answer.value is not None or outcome.answer.text == "unknown", said
        assert (outcome.stop_reason != "unparsed") or outcome.answer.value is None, said
        assert len(engine.requests) <= budget.max_steps, said
        assert outcome.usage.completion_tokens <= budget.max_tokens, said
        assert sum(request.n * request.max_tokens for request in engine.requests[:1]) <= budget.max_tokens, said
        assert outcome.answer.value is None or not asked.choices or outcome.answer.value in asked.choices, said
        assert outcome.steps[-1] == outcome.answer, said
        assert 0 <= outcome.answer.confidence <= 1, said
        seen, seed = seen + engine.outputs, seed + 1
