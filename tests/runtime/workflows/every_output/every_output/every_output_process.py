"""Has one output of every type that plugins can make, filled from the picture."""
# mypy: ignore-errors

import cv2
import numpy as np
from ikomia import core, dataprocess
from ikomia.core.task import TaskParam
from ikomia.dataprocess import IODataType
from ikomia.dataprocess.io import DataDictIO

COLOR = [255, 160, 0, 255]


class EveryOutput(dataprocess.C2dImageTask):
    """The order of the outputs is that of add_output below, after the picture."""

    def __init__(self, name, param):
        dataprocess.C2dImageTask.__init__(self, name)
        for output in (
            dataprocess.CImageIO(IODataType.IMAGE_BINARY),
            dataprocess.CImageIO(IODataType.IMAGE_LABEL),
            dataprocess.CObjectDetectionIO(),
            dataprocess.CInstanceSegmentationIO(),
            dataprocess.CSemanticSegmentationIO(),
            dataprocess.CKeypointsIO(),
            dataprocess.CTextIO(),
            dataprocess.CNumericIO(),
            dataprocess.CDataStringIO(),
            dataprocess.CBlobMeasureIO(),
            dataprocess.CGraphicsOutput(),
            dataprocess.CArrayIO(),
            DataDictIO(),
            dataprocess.CPathIO(IODataType.FILE_PATH),
            dataprocess.CPathIO(IODataType.FOLDER_PATH),
            dataprocess.CDatasetIO(),
            dataprocess.CVideoIO(),
        ):
            self.add_output(output)
        self.set_param_object(param if param is not None else TaskParam())

    def run(self):
        """Fill all outputs but the data set and the video."""
        self.begin_task_run()
        self.forward_input_image(0, 0)
        image = self.get_input(0).get_image()
        mask = np.zeros(image.shape[:2], np.uint8)
        cv2.rectangle(mask, (20, 30), (120, 90), 1, cv2.FILLED)
        self.fill_images(mask)
        self.fill_detections(mask)
        self.fill_values(image)
        self.end_task_run()

    def fill_images(self, mask):
        """Binary and label picture."""
        self.get_output(1).set_image(mask * 255)
        self.get_output(2).set_image(mask * 7)

    def fill_detections(self, mask):
        """What detectors give."""
        self.get_output(3).init(self.name, 0)
        self.get_output(3).add_object(0, "box", 0.5, 20.0, 30.0, 100.0, 60.0, COLOR)
        self.get_output(4).init(self.name, 0, mask.shape[1], mask.shape[0])
        self.get_output(4).add_object(0, 0, 0, "box", 0.5, 20.0, 30.0, 100.0, 60.0, mask * 255, COLOR)
        self.get_output(5).clear_data()
        self.get_output(5).set_class_names(["ground", "box"])
        self.get_output(5).set_class_colors([[0, 0, 0], [255, 160, 0]])
        self.get_output(5).set_mask(mask)
        keypoints = self.get_output(6)
        keypoints.init(self.name, 0)
        keypoints.set_keypoint_names(["corner", "middle"])
        link = dataprocess.CKeypointLink()
        link.start_point_index, link.end_point_index, link.label = 0, 1, "diagonal"
        link.color = COLOR
        keypoints.set_keypoint_links([link])
        points = [(0, dataprocess.CPointF(20.0, 30.0)), (1, dataprocess.CPointF(70.0, 60.0))]
        keypoints.add_object(0, "box", 0.5, 20.0, 30.0, 100.0, 60.0, points, COLOR)
        self.get_output(7).init(self.name, 0)
        self.get_output(7).add_text_field(0, "sign", "QUAY 7", 0.5, 20.0, 30.0, 100.0, 60.0, COLOR)

    def fill_values(self, image):
        """Numbers, strings, shapes, arrays, paths."""
        self.get_output(8).clear_data()
        self.get_output(8).add_value_list([1.0, 2.5], "sizes", ["small", "large"])
        self.get_output(9).clear_data()
        self.get_output(9).add_value_list(["one", "two"], "words")
        blob = dataprocess.CObjectMeasure(core.CMeasure(core.MeasureId.SURFACE), 6000.0, 1, "box")
        self.get_output(10).clear_data()
        self.get_output(10).add_object_measure(blob)
        self.get_output(11).clear_data()
        self.get_output(11).add_rectangle(20.0, 30.0, 100.0, 60.0)
        self.get_output(12).set_array(image[:2, :3].astype(np.float32))
        self.get_output(13).data = {"mean": image.mean(), "shape": np.array(image.shape), "nothing": float("nan")}
        self.get_output(14).set_path("/results/report.txt")
        self.get_output(15).set_path("/results")


class EveryOutputFactory(dataprocess.CTaskFactory):
    """Describes the algorithm to the engine."""

    def __init__(self):
        dataprocess.CTaskFactory.__init__(self)
        self.info.name = "every_output"
        self.info.short_description = "Has one output of every type"
        self.info.version = "1.0.0"
        self.info.path = "Plugins/Python/Tests"

    def create(self, param=None):
        """A new task."""
        return EveryOutput(self.info.name, param)
