"""Marks the outermost points and the centre of objects, without a model: thresholded contours."""

import cv2
from ikomia import core, dataprocess
from ikomia.core.task import TaskParam

NAMES = ["left", "top", "right", "bottom", "centre"]
CENTRE = 4


class FindKeypointsParam(TaskParam):
    """`min_area`: smallest object in pixels. `contrast`: how many grey levels above its surroundings an object is."""

    def __init__(self):
        TaskParam.__init__(self)
        self.cfg["min_area"] = 200
        self.cfg["contrast"] = 16.0

    def set_values(self, params):
        """Take parameters as strings."""
        self.cfg["min_area"] = int(params["min_area"])
        self.cfg["contrast"] = float(params["contrast"])


class FindKeypoints(dataprocess.CKeypointDetectionTask):
    """Outputs: the input picture and five keypoints for each object, each outer one linked to the centre."""

    def __init__(self, name, param):
        dataprocess.CKeypointDetectionTask.__init__(self, name)
        self.set_param_object(param if param is not None else FindKeypointsParam())

    def get_progress_steps(self):
        """One step."""
        return 1

    def run(self):
        """Find the points; the confidence is the share of an object's convex hull that the object fills."""
        self.begin_task_run()
        self.forward_input_image(0, 0)
        self.set_object_names(["object"])
        self.set_keypoint_names(NAMES)
        self.set_keypoint_links([link(index) for index in range(CENTRE)])
        wanted = self.get_param_object().cfg
        contours = find_contours(self.get_input(0).get_image(), wanted["min_area"], wanted["contrast"])
        for number, contour in enumerate(contours):
            x, y, width, height = cv2.boundingRect(contour)
            solidity = cv2.contourArea(contour) / cv2.contourArea(cv2.convexHull(contour))
            points = [(index, dataprocess.CPointF(*point)) for index, point in enumerate(keypoints(contour))]
            self.add_object(number, 0, float(solidity), float(x), float(y), float(width), float(height), points)
        self.emit_step_progress()
        self.end_task_run()


def link(index):
    """A line from an outer point to the centre."""
    line = dataprocess.CKeypointLink()
    line.start_point_index = index
    line.end_point_index = CENTRE
    line.label = f"{NAMES[index]}-{NAMES[CENTRE]}"
    line.color = [255, 160, 0]
    return line


def keypoints(contour):
    """Coordinates in the order of NAMES."""
    x, y = contour[:, 0, 0], contour[:, 0, 1]
    outer = [contour[index, 0] for index in (x.argmin(), y.argmin(), x.argmax(), y.argmax())]
    moments = cv2.moments(contour)
    centre = (moments["m10"] / moments["m00"], moments["m01"] / moments["m00"])
    return [(float(point[0]), float(point[1])) for point in [*outer, centre]]


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


class FindKeypointsFactory(dataprocess.CTaskFactory):
    """Describes the algorithm to the engine."""

    def __init__(self):
        dataprocess.CTaskFactory.__init__(self)
        self.info.name = "find_keypoints"
        self.info.short_description = "Mark the outermost points and the centre of objects"
        self.info.authors = "Slipway"
        self.info.version = "1.0.0"
        self.info.license = "Apache-2.0"
        self.info.path = "Plugins/Python/Keypoints"
        self.info.keywords = "keypoints,contours"
        self.info.algo_type = core.AlgoType.INFER
        self.info.algo_tasks = "KEYPOINTS_DETECTION"

    def create(self, param=None):
        """A new task."""
        return FindKeypoints(self.info.name, param)
