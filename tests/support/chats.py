"""Conversations as transformers' chat templates take them."""

from typing import Any

from cot.engine import Request


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
