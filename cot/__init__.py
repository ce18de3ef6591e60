"""Answers questions about images by reasoning in visible, typed steps.

Importing this loads no model and no torch.
"""

__all__ = ["__version__"]

__version__ = "0.1.0"
