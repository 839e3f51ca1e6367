"""`python -m chain_core`."""

import sys

from chain_core.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
