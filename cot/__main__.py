"""`python -m cot`, and what the command `cot` runs.

It imports nothing of weight itself: an interrupt while the command line is being imported ends as one after it does.
"""

import sys


def main() -> int:
    """Run the process's command line and return its exit code, 130 if it was interrupted."""
    try:
        from cot.cli import main as run

        return run()
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
