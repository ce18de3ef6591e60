"""Conversations as transformers' chat templates take them, and what its `generate` makes of them."""

from typing import Any

from cot.engine import Request
from cot.engine.local import LocalEngine


def processed(processor: Any, request: Request) -> Any:
    """Model inputs of a request, made by transformers alone."""
    turns = [
        {
            "role": message.role,
            "content": [
                {"type": "text", "text": part} if isinstance(part, str) else {"type": "image", "image": part.pixels}
                for part in message.content
            ],
        }
        for message in request.messages
    ]
    return processor.apply_chat_template(
        turns, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
    )


def reference(engine: LocalEngine, request: Request) -> list[str]:
    """Tokens of one plain `generate` call."""
    loaded = engine._runner._loaded
    inputs = processed(loaded.processor, request)
    ids = loaded.model.generate(
        **inputs, max_new_tokens=request.max_tokens, do_sample=False, eos_token_id=list(loaded.eos_ids), pad_token_id=0
    )[0]
    return [loaded.tokenizer.decode([int(token)]) for token in ids[inputs["input_ids"].shape[1] :]]


def tokens(answer: Any) -> list[str]:
    """Tokens of an answer."""
    return [item.token for item in answer.logprobs]
