"""`python -m runtime --bundle DIR --socket PATH`: serve one workflow."""

import sys

from runtime.server import serve
from runtime.settings import parse_arguments

if __name__ == "__main__":
    sys.exit(serve(parse_arguments(sys.argv[1:])))
