"""Finds objects that stand out from their background, without a model: thresholded contours."""

import cv2
from ikomia import core, dataprocess
from ikomia.core.task import TaskParam


class DetectObjectsParam(TaskParam):
    """`min_area`: smallest object in pixels. `contrast`: how many grey levels above its surroundings an object is."""

    def __init__(self):
        TaskParam.__init__(self)
        self.cfg["min_area"] = 200
        self.cfg["contrast"] = 16.0

    def set_values(self, params):
        """Take parameters as strings."""
        self.cfg["min_area"] = int(params["min_area"])
        self.cfg["contrast"] = float(params["contrast"])


class DetectObjects(dataprocess.CObjectDetectionTask):
    """Outputs: the input picture and the object detections."""

    def __init__(self, name, param):
        dataprocess.CObjectDetectionTask.__init__(self, name)
        self.set_param_object(param if param is not None else DetectObjectsParam())
        self.set_names(["object"])

    def get_progress_steps(self):
        """One step."""
        return 1

    def run(self):
        """Detect; the confidence is the share of an object's convex hull that the object fills."""
        self.begin_task_run()
        self.forward_input_image(0, 0)
        wanted = self.get_param_object().cfg
        contours = find_contours(self.get_input(0).get_image(), wanted["min_area"], wanted["contrast"])
        for number, contour in enumerate(contours):
            x, y, width, height = cv2.boundingRect(contour)
            solidity = cv2.contourArea(contour) / cv2.contourArea(cv2.convexHull(contour))
            self.add_object(number, 0, float(solidity), float(x), float(y), float(width), float(height))
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


class DetectObjectsFactory(dataprocess.CTaskFactory):
    """Describes the algorithm to the engine."""

    def __init__(self):
        dataprocess.CTaskFactory.__init__(self)
        self.info.name = "detect_objects"
        self.info.short_description = "Detect objects that stand out from their background"
        self.info.authors = "Slipway"
        self.info.version = "1.0.0"
        self.info.license = "Apache-2.0"
        self.info.path = "Plugins/Python/Detection"
        self.info.keywords = "detection,contours"
        self.info.algo_type = core.AlgoType.INFER
        self.info.algo_tasks = "OBJECT_DETECTION"

    def create(self, param=None):
        """A new task."""
        return DetectObjects(self.info.name, param)
