"""Reads a file and a folder, and writes a file and a folder: where it is told to, below the folder for temporary files."""
# mypy: ignore-errors

import os
import tempfile
from pathlib import Path

from ikomia import dataprocess
from ikomia.core.task import TaskParam
from ikomia.dataprocess import IODataType
from ikomia.dataprocess.io import DataDictIO


class FilesParam(TaskParam):
    """`file` and `folder` to give as outputs instead of new ones, `link`: put one into the folder, `forget`: give nothing."""

    def __init__(self):
        TaskParam.__init__(self)
        self.cfg = {"file": "", "folder": "", "link": "", "forget": ""}

    def set_values(self, params):
        """Take parameters as strings."""
        self.cfg.update(params)


class Files(dataprocess.CWorkflowTask):
    """Inputs: a file and a folder. Outputs: what they were, a file, a folder."""

    def __init__(self, name, param):
        dataprocess.CWorkflowTask.__init__(self, name)
        self.add_input(dataprocess.CPathIO(IODataType.FILE_PATH))
        self.add_input(dataprocess.CPathIO(IODataType.FOLDER_PATH))
        self.add_output(DataDictIO())
        self.add_output(dataprocess.CPathIO(IODataType.FILE_PATH))
        self.add_output(dataprocess.CPathIO(IODataType.FOLDER_PATH))
        self.set_param_object(param if param is not None else FilesParam())

    def run(self):
        """Describe the inputs, make the outputs."""
        self.begin_task_run()
        wanted = self.get_param_object().cfg
        file, folder = Path(self.get_input(0).get_path()), Path(self.get_input(1).get_path())
        names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))
        self.get_output(0).data = {"name": file.name, "size": file.stat().st_size, "names": names, "types": self.types()}
        if not wanted["forget"]:
            self.get_output(1).set_path(wanted["file"] or self.write_file())
            self.get_output(2).set_path(wanted["folder"] or self.write_folder(wanted["link"]))
        self.end_task_run()

    def types(self):
        """How the inputs came."""
        return [str(given.data_type) for given in self.get_inputs()]

    def write_file(self):
        """A text file."""
        path = Path(os.environ["HOME"], "report.csv")
        path.write_text("label,count\nbox,3\n")
        return str(path)

    def write_folder(self, link):
        """Two files, one of them deeper."""
        folder = Path(tempfile.mkdtemp(dir=os.environ["HOME"]))
        (folder / "deeper").mkdir()
        (folder / "one.txt").write_text("1")
        (folder / "deeper/two.txt").write_text("2")
        if link:
            (folder / "link").symlink_to(link)
        return str(folder)


class FilesFactory(dataprocess.CTaskFactory):
    """Describes the algorithm to the engine."""

    def __init__(self):
        dataprocess.CTaskFactory.__init__(self)
        self.info.name = "files"
        self.info.short_description = "Reads and writes files"
        self.info.version = "1.0.0"
        self.info.path = "Plugins/Python/Tests"

    def create(self, param=None):
        """A new task."""
        return Files(self.info.name, param)
