"""What the embedded model can do, measured."""
