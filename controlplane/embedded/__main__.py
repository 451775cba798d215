"""`python -m controlplane.embedded`: the stack in the foreground."""

import argparse
import sys

from controlplane.embedded.errors import EmbeddedError
from controlplane.embedded.options import add_arguments, read_options
from controlplane.embedded.stack import run_stack, say


def main() -> int:
    """Exit status of the whole run."""
    parser = argparse.ArgumentParser(prog="manage.py dev", description="Run the whole service on this machine.")
    add_arguments(parser)
    try:
        options = read_options(vars(parser.parse_args()))
    except EmbeddedError as error:
        say(str(error))
        return 1
    return run_stack(options)


if __name__ == "__main__":
    sys.exit(main())
