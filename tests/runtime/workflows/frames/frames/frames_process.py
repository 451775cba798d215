"""Looks at pictures one after the other and remembers how many there were since the video began."""
# mypy: ignore-errors

import os
import signal
import time
from pathlib import Path

import numpy as np
from ikomia import dataprocess
from ikomia.core.task import TaskParam
from ikomia.dataprocess import IODataType
from ikomia.dataprocess.io import DataDictIO

COLOR = [255, 160, 0, 255]


class FramesParam(TaskParam):
    """`how` (kill, raise, sleep, blind, grow) to behave at frame `at`, `mark`: a file that gets a line for each frame."""

    def __init__(self):
        TaskParam.__init__(self)
        self.cfg = {"how": "", "at": "-1", "mark": ""}

    def set_values(self, params):
        """Take parameters as strings."""
        self.cfg.update(params)


class Frames(dataprocess.CVideoTask):
    """Outputs: inverted picture, mask, labels, a detection, facts, a file with a line for each frame."""

    def __init__(self, name, param):
        dataprocess.CVideoTask.__init__(self, name)
        self.count = 0
        self.starts = 0
        self.add_input(dataprocess.CObjectDetectionIO())
        self.add_output(dataprocess.CImageIO(IODataType.IMAGE_BINARY))
        self.add_output(dataprocess.CImageIO(IODataType.IMAGE_LABEL))
        self.add_output(dataprocess.CObjectDetectionIO())
        self.add_output(DataDictIO())
        self.add_output(dataprocess.CPathIO(IODataType.FILE_PATH))
        self.add_output(dataprocess.CVideoIO())
        self.set_param_object(param if param is not None else FramesParam())

    def notify_video_start(self, frame_count):
        """Forget what was before."""
        self.count = 0
        self.starts += 1

    def run(self):
        """Look at one picture."""
        self.begin_task_run()
        number, wanted = self.count, self.get_param_object().cfg
        self.count += 1
        if wanted["mark"]:
            with Path(wanted["mark"]).open("a") as file:
                file.write(f"{number}\n")
        image = self.get_input(0).get_image()
        if number == int(wanted["at"]):
            image = getattr(self, "do_" + wanted["how"])(image)
        if image is not None:
            self.get_output(0).set_image(255 - image)
        mask = (image if image is not None else np.zeros((48, 64, 3), np.uint8))[:, :, 0] > 100
        self.get_output(1).set_image(mask.astype(np.uint8) * 255)
        self.get_output(2).set_image(mask.astype(np.uint8) * 7)
        self.get_output(3).init(self.name, 0)
        self.get_output(3).add_object(0, "bright", 0.5, float(number), 2.0, 10.0, 6.0, COLOR)
        self.get_output(4).data = self.facts(number)
        self.write_report(number)
        self.end_task_run()

    def facts(self, number):
        """What is known about this frame."""
        given = self.get_input(2)
        boxes = [] if given is None else [found.box[0] for found in given.get_objects()]
        return {"count": number, "starts": self.starts, "mean": float(self.get_input(0).get_image().mean()), "boxes": boxes}

    def write_report(self, number):
        """One more line."""
        report = Path(os.environ["HOME"], "frames.csv")
        with report.open("a" if number else "w") as file:
            file.write(f"{number}\n")
        self.get_output(5).set_path(str(report))

    def do_kill(self, image):
        """As the kernel does when the memory is full."""
        os.kill(os.getpid(), signal.SIGKILL)

    def do_raise(self, image):
        """An exception of its own."""
        raise ValueError("this frame is odd")

    def do_sleep(self, image):
        """Take very long."""
        print("sleeping")
        time.sleep(600)

    def do_blind(self, image):
        """Give no picture."""

    def do_grow(self, image):
        """Give a larger picture."""
        return np.repeat(np.repeat(image, 2, axis=0), 2, axis=1)


class FramesFactory(dataprocess.CTaskFactory):
    """Describes the algorithm to the engine."""

    def __init__(self):
        dataprocess.CTaskFactory.__init__(self)
        self.info.name = "frames"
        self.info.short_description = "Looks at pictures one after the other"
        self.info.version = "1.0.0"
        self.info.path = "Plugins/Python/Tests"

    def create(self, param=None):
        """A new task."""
        return Frames(self.info.name, param)
