"""Cuts out objects that stand out from their background, without a model: thresholded contours, filled."""

import cv2
import numpy as np
from ikomia import core, dataprocess
from ikomia.core.task import TaskParam

THING = 0


class SegmentObjectsParam(TaskParam):
    """`min_area`: smallest object in pixels. `contrast`: how many grey levels above its surroundings an object is."""

    def __init__(self):
        TaskParam.__init__(self)
        self.cfg["min_area"] = 200
        self.cfg["contrast"] = 16.0

    def set_values(self, params):
        """Take parameters as strings."""
        self.cfg["min_area"] = int(params["min_area"])
        self.cfg["contrast"] = float(params["contrast"])


class SegmentObjects(dataprocess.CInstanceSegmentationTask):
    """Outputs: the input picture and the instances with their masks."""

    def __init__(self, name, param):
        dataprocess.CInstanceSegmentationTask.__init__(self, name)
        self.set_param_object(param if param is not None else SegmentObjectsParam())
        self.set_names(["object"])

    def get_progress_steps(self):
        """One step."""
        return 1

    def run(self):
        """Segment; a mask has the size of the picture, 255 inside the object."""
        self.begin_task_run()
        self.forward_input_image(0, 0)
        image = self.get_input(0).get_image()
        wanted = self.get_param_object().cfg
        for number, contour in enumerate(find_contours(image, wanted["min_area"], wanted["contrast"])):
            x, y, width, height = cv2.boundingRect(contour)
            solidity = cv2.contourArea(contour) / cv2.contourArea(cv2.convexHull(contour))
            mask = cv2.drawContours(np.zeros(image.shape[:2], np.uint8), [contour], -1, 255, cv2.FILLED)
            self.add_object(number, THING, 0, float(solidity), float(x), float(y), float(width), float(height), mask)
        self.emit_step_progress()
        self.end_task_run()


def find_contours(image, min_area, contrast):
    """Outlines of the regions that are brighter than their surroundings, top to bottom."""
    grey = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    smooth = cv2.GaussianBlur(grey, (5, 5), 0)
    window = max(3, min(grey.shape) // 3 | 1)
    bright = cv2.adaptiveThreshold(smooth, 255, cv2.ADAPTIVE_THRESH_MEAN_C, cv2.THRESH_BINARY, window, -contrast)
    whole = cv2.morphologyEx(bright, cv2.MORPH_CLOSE, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (7, 7)))
    contours, _ = cv2.findContours(whole, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    large = [contour for contour in contours if cv2.contourArea(contour) >= max(min_area, 1)]
    return sorted(large, key=lambda contour: cv2.boundingRect(contour)[1])


class SegmentObjectsFactory(dataprocess.CTaskFactory):
    """Describes the algorithm to the engine."""

    def __init__(self):
        dataprocess.CTaskFactory.__init__(self)
        self.info.name = "segment_objects"
        self.info.short_description = "Segment objects that stand out from their background"
        self.info.authors = "Slipway"
        self.info.version = "1.0.0"
        self.info.license = "Apache-2.0"
        self.info.path = "Plugins/Python/Segmentation"
        self.info.keywords = "segmentation,contours"
        self.info.algo_type = core.AlgoType.INFER
        self.info.algo_tasks = "INSTANCE_SEGMENTATION"

    def create(self, param=None):
        """A new task."""
        return SegmentObjects(self.info.name, param)
