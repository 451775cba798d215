"""Fails in the way it is told to."""
# mypy: ignore-errors

import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from ikomia import dataprocess
from ikomia.core.task import TaskParam


class MisbehaveParam(TaskParam):
    """`how` to fail, `mark`: a file that gets one line for each execution, `number`: must be one."""

    def __init__(self):
        TaskParam.__init__(self)
        self.cfg = {"how": "", "mark": "", "number": 0}

    def set_values(self, params):
        """Take parameters as strings; raises ValueError for a number that is none."""
        self.cfg.update(params)
        self.cfg["number"] = int(params["number"])


class Misbehave(dataprocess.C2dImageTask):
    """Output: the input picture, when it does not fail."""

    def __init__(self, name, param):
        dataprocess.C2dImageTask.__init__(self, name)
        self.set_param_object(param if param is not None else MisbehaveParam())

    def run(self):
        """Fail as told."""
        self.begin_task_run()
        wanted = self.get_param_object().cfg
        if wanted["mark"]:
            with Path(wanted["mark"]).open("a") as file:
                file.write("executed\n")
        getattr(self, "fail_" + wanted["how"], lambda: None)()
        self.forward_input_image(0, 0)
        self.end_task_run()

    def fail_raise(self):
        """An exception of its own, two frames deep."""
        divide(1, 0)

    def fail_exit(self):
        """What a script would do."""
        raise SystemExit(3)

    def fail_abort(self):
        """A crash in C."""
        os.abort()

    def fail_segv(self):
        """A read from nowhere."""
        ctypes.string_at(0)

    def fail_kill(self):
        """As the kernel does when the memory is full."""
        os.kill(os.getpid(), signal.SIGKILL)

    def fail_leave(self):
        """End the process without a word."""
        os._exit(7)

    def fail_hang(self):
        """Never end, deaf to signals that can be blocked."""
        print("hanging")
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        while True:
            time.sleep(60)

    def fail_memory(self):
        """Ask for 4 GB."""
        np.ones(1 << 29)

    def fail_noise(self):
        """Print everywhere, also from C and from another program."""
        print("from print")
        sys.stderr.write("WARNING from stderr\n")
        ctypes.CDLL(None).printf(b"from printf\n")
        subprocess.run(["echo", "from a program"], check=False)
        os.write(1, b'{"not": "a result"}\n')

    def fail_forget(self):
        """Give no output: what was there before must not be seen."""
        self.get_output(0).clear_data()


def divide(one, other):
    """Raises for 0."""
    return one / other


class MisbehaveFactory(dataprocess.CTaskFactory):
    """Describes the algorithm to the engine."""

    def __init__(self):
        dataprocess.CTaskFactory.__init__(self)
        self.info.name = "misbehave"
        self.info.short_description = "Fails in the way it is told to"
        self.info.version = "1.0.0"
        self.info.path = "Plugins/Python/Tests"

    def create(self, param=None):
        """A new task."""
        return Misbehave(self.info.name, param)
