"""Strategies that turn a question into steps and an answer."""
