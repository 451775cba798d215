"""Does next to nothing, so that what is measured or killed is everything else."""
# mypy: ignore-errors

import time
from pathlib import Path

from ikomia import dataprocess
from ikomia.core.task import TaskParam
from ikomia.dataprocess.io import DataDictIO


class EchoParam(TaskParam):
    """`seconds` to sleep; `text` to give back; `mark`: a file that gets one line for each execution."""

    def __init__(self):
        TaskParam.__init__(self)
        self.cfg = {"seconds": "0", "text": "", "mark": ""}

    def set_values(self, params):
        """Take parameters as strings."""
        self.cfg.update(params)


class Echo(dataprocess.C2dImageTask):
    """Output: a dictionary with the text and the size of the picture."""

    def __init__(self, name, param):
        dataprocess.C2dImageTask.__init__(self, name)
        self.remove_output(0)
        self.add_output(DataDictIO())
        self.set_param_object(param if param is not None else EchoParam())

    def run(self):
        """Mark, sleep, answer."""
        self.begin_task_run()
        wanted = self.get_param_object().cfg
        if wanted["mark"]:
            with Path(wanted["mark"]).open("a") as file:
                file.write("executed\n")
        if float(wanted["seconds"]):
            print("sleeping")
            time.sleep(float(wanted["seconds"]))
        height, width = self.get_input(0).get_image().shape[:2]
        self.get_output(0).data = {"text": wanted["text"], "width": width, "height": height}
        self.end_task_run()


class EchoFactory(dataprocess.CTaskFactory):
    """Describes the algorithm to the engine."""

    def __init__(self):
        dataprocess.CTaskFactory.__init__(self)
        self.info.name = "echo"
        self.info.short_description = "Does next to nothing"
        self.info.version = "1.0.0"
        self.info.path = "Plugins/Python/Tests"

    def create(self, param=None):
        """A new task."""
        return Echo(self.info.name, param)
