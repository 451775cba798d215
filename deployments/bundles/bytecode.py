"""Byte code of the packages in a bundle, so that no start has to compile them: made by the interpreter that will read it, of which nothing else is run."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from deployments.bundles.tool import run_program

CACHE = "__pycache__"
# Source can be written that takes any amount of memory to compile.
MEMORY_BYTES = 4 * 1024**3
# Without the environment's own packages and without the present folder on the path: what is compiled cannot take the place of the compiler.
PLAIN = ("-I", "-S", "-c")
COMPILE = """
import compileall, py_compile, sys
compileall.compile_dir(sys.argv[1], quiet=2, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
"""


def compile_packages(folder: Path, *, python: Path, seconds: float, tick: Callable[[], None] = lambda: None) -> bool:
    """Compile what lies in a folder, after what packages brought compiled has gone; False, with nothing compiled, when that ends badly.

    The same files give the same bytes: one process, in the order of the names, names relative to the folder, the hash of the source in place of
    its date. A file that is no source of this Python stays as it is. Raises BuildFailed (TIMEOUT).
    """
    drop_compiled(folder)
    command = [str(python), *PLAIN, COMPILE, folder.name]
    status, _ = run_program(command, folder=folder.parent, seconds=seconds, memory=MEMORY_BYTES, tick=tick)
    if status == 0:
        return True
    drop_compiled(folder)
    return False


def drop_compiled(folder: Path) -> None:
    """Remove all byte code below a folder."""
    for place, folders, _ in os.walk(folder):
        if CACHE in folders:
            folders.remove(CACHE)
            shutil.rmtree(os.path.join(place, CACHE), ignore_errors=True)
