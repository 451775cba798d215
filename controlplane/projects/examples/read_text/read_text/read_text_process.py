"""Reads printed capitals and digits, without a model: each dark shape is compared with drawn characters.

It knows plain sans-serif letters and upright text that is darker than its surroundings; it is no general OCR.
"""

import itertools

import cv2
import numpy as np
from ikomia import core, dataprocess
from ikomia.core.task import TaskParam

CHARACTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
FONTS = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX)
STROKES = (6, 14)
SIZE = (24, 32)


class ReadTextParam(TaskParam):
    """`min_confidence`: least likeness of a shape to a character, 0 to 1. `min_length`: shortest text in characters."""

    def __init__(self):
        TaskParam.__init__(self)
        self.cfg["min_confidence"] = 0.6
        self.cfg["min_length"] = 3

    def set_values(self, params):
        """Take parameters as strings."""
        self.cfg["min_confidence"] = float(params["min_confidence"])
        self.cfg["min_length"] = int(params["min_length"])


class ReadText(dataprocess.C2dImageTask):
    """Outputs: the input picture and the text fields."""

    def __init__(self, name, param):
        dataprocess.C2dImageTask.__init__(self, name)
        self.add_output(dataprocess.CTextIO())
        self.set_param_object(param if param is not None else ReadTextParam())
        self.templates = draw_templates()

    def get_progress_steps(self):
        """One step."""
        return 1

    def run(self):
        """Read; a field's confidence is the mean likeness of its characters."""
        self.begin_task_run()
        self.forward_input_image(0, 0)
        fields = self.get_output(1)
        fields.clear_data()
        fields.init(self.name, 0)
        wanted = self.get_param_object().cfg
        found = read_characters(self.get_input(0).get_image(), self.templates, wanted["min_confidence"])
        long_enough = [line for line in group_lines(found) if len(line) >= wanted["min_length"]]
        for number, line in enumerate(long_enough):
            x, y = min(box[0] for box, _, _ in line), min(box[1] for box, _, _ in line)
            right, bottom = max(box[0] + box[2] for box, _, _ in line), max(box[1] + box[3] for box, _, _ in line)
            confidence = sum(likeness for _, _, likeness in line) / len(line)
            box = (float(x), float(y), float(right - x), float(bottom - y))
            fields.add_text_field(number, "text", spell(line), float(confidence), *box, [255, 160, 0, 255])
        fields.finalize()
        self.emit_step_progress()
        self.end_task_run()


def draw_templates():
    """(character, shape, width by height) for each character in each font, thin and bold."""
    templates = []
    for font, stroke, character in itertools.product(FONTS, STROKES, CHARACTERS):
        canvas = np.zeros((160, 160), np.uint8)
        cv2.putText(canvas, character, (30, 110), font, 2.5, 255, stroke, cv2.LINE_AA)
        x, y, width, height = cv2.boundingRect(canvas)
        templates.append((character, normalise(canvas[y : y + height, x : x + width]), width / height))
    return templates


def normalise(shape):
    """A shape at a fixed size, as a vector of length 1 around its mean."""
    vector = cv2.resize(shape, SIZE, interpolation=cv2.INTER_AREA).astype(np.float32).ravel()
    vector -= vector.mean()
    return vector / (np.linalg.norm(vector) or 1.0)


def read_characters(image, templates, min_confidence):
    """(box, character, likeness) of each dark shape that is like a character."""
    grey = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    dark = cv2.adaptiveThreshold(grey, 255, cv2.ADAPTIVE_THRESH_MEAN_C, cv2.THRESH_BINARY_INV, 61, 25)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(dark, connectivity=8)
    found = []
    for number in range(1, count):
        x, y, width, height, area = (int(value) for value in stats[number])
        if not 10 <= height <= grey.shape[0] // 3 or width > 2 * height or area < 0.1 * width * height:
            continue
        shape = np.where(labels[y : y + height, x : x + width] == number, 255, 0).astype(np.uint8)
        character, likeness = most_like(shape, templates)
        if likeness >= min_confidence:
            found.append(((x, y, width, height), character, likeness))
    return found


def most_like(shape, templates):
    """The character that a shape resembles most; other proportions count against it."""
    vector = normalise(shape)
    proportion = shape.shape[1] / shape.shape[0]
    scored = [
        (float(vector @ template) * min(proportion / wanted, wanted / proportion) ** 0.5, character)
        for character, template, wanted in templates
    ]
    likeness, character = max(scored)
    return character, min(likeness, 1.0)


def group_lines(found):
    """Characters of like height beside each other, left to right."""
    lines = []
    for item in sorted(found, key=lambda item: item[0][0]):
        x, y, _, height = item[0]
        for line in lines:
            last_x, last_y, last_width, last_height = line[-1][0]
            like_height = 0.6 < height / last_height < 1.6
            same_row = abs((y + height / 2) - (last_y + last_height / 2)) < 0.4 * last_height
            if like_height and same_row and x - (last_x + last_width) < 1.5 * last_height:
                line.append(item)
                break
        else:
            lines.append([item])
    return sorted(lines, key=lambda line: line[0][0][1])


def spell(line):
    """The text of a line; a wide gap is a space."""
    text = ""
    end = None
    for (x, _, width, height), character, _ in line:
        if end is not None and x - end > 0.3 * height:
            text += " "
        text += character
        end = x + width
    return text


class ReadTextFactory(dataprocess.CTaskFactory):
    """Describes the algorithm to the engine."""

    def __init__(self):
        dataprocess.CTaskFactory.__init__(self)
        self.info.name = "read_text"
        self.info.short_description = "Read printed capitals and digits"
        self.info.authors = "Slipway"
        self.info.version = "1.0.0"
        self.info.license = "Apache-2.0"
        self.info.path = "Plugins/Python/Text"
        self.info.keywords = "text,ocr"
        self.info.algo_type = core.AlgoType.INFER
        self.info.algo_tasks = "OCR"

    def create(self, param=None):
        """A new task."""
        return ReadText(self.info.name, param)
