"""`python -m controlplane.embedded.initialise`: tables, settings that name rows of them, bucket and signing key, in one process because loading
Django takes the time.
"""

import os
import sys
import time
from typing import Any

import django
from django.core.checks import Tags
from django.core.management import CommandError, call_command

# None changes anything when all is there.
COMMANDS: tuple[dict[str, Any], ...] = (
    {"command_name": "migrate", "interactive": False, "verbosity": 1},
    # A setting that the database refutes ends the start here, before any process of ours runs.
    {"command_name": "check", "tags": [Tags.database], "databases": ["default"]},
    {"command_name": "prepare"},
)


def main() -> None:
    """Run the commands in order; the first failure ends the process."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "controlplane.settings")
    django.setup()
    for command in COMMANDS:
        began = time.monotonic()
        try:
            call_command(**command)
        except CommandError as error:
            sys.exit(f"{command['command_name']}: {error}")
        print(f"{command['command_name']} took {time.monotonic() - began:.2f} s", flush=True)


if __name__ == "__main__":
    main()
