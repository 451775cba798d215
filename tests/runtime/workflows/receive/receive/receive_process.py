"""Tells what it received: inputs of every type that other deployments give."""
# mypy: ignore-errors

import json

from ikomia import dataprocess
from ikomia.core.task import TaskParam
from ikomia.dataprocess.io import DataDictIO


class Receive(dataprocess.C2dImageTask):
    """Output: for each input its type and what it holds."""

    def __init__(self, name, param):
        dataprocess.C2dImageTask.__init__(self, name)
        self.remove_output(0)
        self.remove_input(1)
        for given in (
            dataprocess.CObjectDetectionIO(),
            dataprocess.CInstanceSegmentationIO(),
            dataprocess.CSemanticSegmentationIO(),
            dataprocess.CKeypointsIO(),
            dataprocess.CTextIO(),
            dataprocess.CNumericIO(),
            dataprocess.CBlobMeasureIO(),
            dataprocess.CArrayIO(),
            DataDictIO(),
        ):
            self.add_input(given)
        self.add_output(DataDictIO())
        self.set_param_object(param if param is not None else TaskParam())

    def run(self):
        """Describe all inputs."""
        self.begin_task_run()
        self.get_output(0).data = {str(given.data_type): describe(given) for given in self.get_inputs() if given is not None}
        self.end_task_run()


def describe(given):
    """The content as the engine would write it."""
    kind = str(given.data_type)
    if kind == "IMAGE":
        return list(given.get_image().shape)
    if kind == "ARRAY":
        return given.get_array().tolist()
    return json.loads(given.to_json() or "{}")


class ReceiveFactory(dataprocess.CTaskFactory):
    """Describes the algorithm to the engine."""

    def __init__(self):
        dataprocess.CTaskFactory.__init__(self)
        self.info.name = "receive"
        self.info.short_description = "Tells what it received"
        self.info.version = "1.0.0"
        self.info.path = "Plugins/Python/Tests"

    def create(self, param=None):
        """A new task."""
        return Receive(self.info.name, param)
