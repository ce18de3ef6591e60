"""`python -m cot`, the same as the command `cot`."""

import sys

from cot.cli import main

if __name__ == "__main__":
    sys.exit(main())
