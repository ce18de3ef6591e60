"""What a step may call besides the model: a computation, a closer look, and users' own functions."""
