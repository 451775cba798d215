"""Workflows that the tests push, as the engine saves them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

IMAGE, GRAPHICS, BINARY, BOXES = "IODataType.IMAGE", "IODataType.INPUT_GRAPHICS", "IODataType.IMAGE_BINARY", "IODataType.OBJECT_DETECTION"
PAGE_LOST = "the page was lost at sea"


def task(task_id: int, name: str, inputs: list[str], outputs: list[str], **parameters: str) -> dict[str, Any]:
    """One task with its declared inputs, outputs and parameters."""
    return {
        "task_id": task_id,
        "task_data": {
            "name": name,
            "language": 0,
            "inputs": [{"name": kind} for kind in inputs],
            "outputs": [{"name": kind} for kind in outputs],
            "parameters": [{"name": key, "value": value} for key, value in parameters.items()],
        },
    }


def workflow(name: str, tasks: list[dict[str, Any]], connections: list[tuple[int, int, int, int]], description: str = "") -> dict[str, Any]:
    """A whole document; connections are (source, its output, target, its input)."""
    keys = ("source_id", "source_index", "target_id", "target_index")
    return {
        "api": {"python_version": "3.11", "version": "0.16.1"},
        "connections": [dict(zip(keys, ends, strict=True)) for ends in connections],
        "exposed_outputs": [],
        "exposed_parameters": [],
        "hardware_config": {"is_gpu_required": False, "min_cpu": 1, "min_ram": 1, "min_vram": 0},
        "metadata": {"description": description, "keywords": "", "name": name},
        "tasks": tasks,
    }


def blur(task_id: int = 0, size: str = "5") -> dict[str, Any]:
    """A box blur of `size` pixels."""
    return task(task_id, "ocv_blur", [IMAGE, GRAPHICS], [IMAGE], kSizeWidth=size, kSizeHeight=size)


def soft_edges(name: str = "soft_edges", description: str = "Blurs, then finds edges.") -> dict[str, Any]:
    """A blur whose result goes to an edge detector."""
    canny = task(1, "ocv_canny", [IMAGE, GRAPHICS], [BINARY], threshold1="0.000000", threshold2="255.000000")
    return workflow(name, [blur(), canny], [(-1, 0, 0, 0), (0, 0, 1, 0)], description)


def only_blur(name: str = "only_blur", size: str = "5") -> dict[str, Any]:
    """A blur alone."""
    return workflow(name, [blur(size=size)], [(-1, 0, 0, 0)])


def sure_boxes(name: str = "sure_boxes") -> dict[str, Any]:
    """Takes a picture and detections of another workflow and keeps those above a confidence."""
    kept = task(0, "ik_object_detection_filter", [IMAGE, BOXES], [IMAGE, BOXES], categories="all", confidence="0.000000")
    return workflow(name, [kept], [(-1, 0, 0, 0), (-1, 1, 0, 1)])


def circle(name: str = "circle") -> dict[str, Any]:
    """Two tasks that feed each other."""
    return workflow(name, [blur(0), blur(1)], [(-1, 0, 0, 0), (0, 0, 1, 0), (1, 0, 0, 1)])


def lost_page(name: str = "lost_page") -> dict[str, Any]:
    """A workflow whose plugin fails on every picture; see `write_failing_plugin`."""
    return workflow(name, [task(0, "lose_page", [IMAGE], [IMAGE])], [(-1, 0, 0, 0)])


def write_failing_plugin(folder: Path) -> Path:
    """Write the plugin `lose_page` below `folder`; return its own folder."""
    plugin = folder / "lose_page"
    plugin.mkdir()
    for name, text in {"__init__": "", "lose_page": INTERFACE, "lose_page_process": PROCESS}.items():
        (plugin / f"{name}.py").write_text(text)
    return plugin


INTERFACE = '''"""What the engine asks for the parts of the plugin."""

from ikomia import dataprocess

from lose_page.lose_page_process import LosePageFactory


class IkomiaPlugin(dataprocess.CPluginProcessInterface):
    def __init__(self):
        dataprocess.CPluginProcessInterface.__init__(self)

    def get_process_factory(self):
        return LosePageFactory()
'''

PROCESS = f'''"""A task that fails on every picture."""

from ikomia import core, dataprocess


class LosePage(dataprocess.C2dImageTask):
    def __init__(self, name, parameters):
        dataprocess.C2dImageTask.__init__(self, name)
        self.set_param_object(core.CWorkflowTaskParam())

    def run(self):
        self.begin_task_run()
        print("about to lose the page")
        raise ValueError("{PAGE_LOST}")


class LosePageFactory(dataprocess.CTaskFactory):
    def __init__(self):
        dataprocess.CTaskFactory.__init__(self)
        self.info.name = "lose_page"

    def create(self, parameters=None):
        return LosePage(self.info.name, parameters)
'''
