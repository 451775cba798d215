"""Turn a job's inputs into the engine's objects."""

import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pybase64

from runtime.data_types import IMAGE_TYPES, JSON_TYPES, PATH_TYPES, WRAPPED_JSON, fits
from runtime.engine.failures import RunFailed
from runtime.wire import Failure, JobInput

_CLASSES = {
    "OBJECT_DETECTION": "CObjectDetectionIO",
    "INSTANCE_SEGMENTATION": "CInstanceSegmentationIO",
    "SEMANTIC_SEGMENTATION": "CSemanticSegmentationIO",
    "BLOB_VALUES": "CBlobMeasureIO",
    "DATA_DICT": "DataDictIO",
    "INPUT_GRAPHICS": "CGraphicsInput",
    "OUTPUT_GRAPHICS": "CGraphicsOutput",
}


def build_input(index: int, given: JobInput, expected: str | None) -> Any:
    """The engine's object for one input; raises RunFailed naming the input when its content can't be read."""
    try:
        if given.type == "IMAGE":
            return _image(_content(given), expected)
        if given.type in PATH_TYPES:
            io: Any = importlib.import_module("ikomia.dataprocess")
            return io.CPathIO(getattr(io.IODataType, given.type), given.path, "")
        if given.path is None:
            return _from_json(given.type, bytes(given.data).decode())
        return build_value(_content(given), given.type, expected)
    except Exception as error:
        raise RunFailed(Failure("invalid_input", f"Input {index} ({given.type}) can't be read: {error}")) from error


def build_value(content: bytes, wanted: str, expected: str | None) -> Any:
    """The engine's object for the JSON of a storage object: what its type describes, alone or within the wrapper that results have.

    `wanted` is the type that the request named, or JSON when the wrapper is to tell. Raises ValueError for anything else.
    """
    if content[:1] == b"[":
        raise ValueError("it is a list of frames; give it together with a video")
    members = msgspec.json.decode(content, type=dict[str, msgspec.Raw])
    found = [name for name in members if name in JSON_TYPES]
    if not found and wanted == WRAPPED_JSON:
        raise ValueError(f"it must have one key that names its type, it has: {', '.join(members)[:200] or 'none'}")
    kind = found[0] if found else wanted
    if not fits(kind, {expected} if expected else set()) or (wanted != WRAPPED_JSON and not fits(kind, {wanted})):
        raise ValueError(f"it is {kind}, {expected or wanted} is expected there")
    return _from_json(kind, bytes(members[kind] if found else content).decode())


def _content(given: JobInput) -> bytes:
    return given.data if given.path is None else Path(given.path).read_bytes()


def _image(data: bytes, expected: str | None) -> Any:
    """Decoded as the engine itself does it (depth and channels kept, RGB order), in half the time."""
    cv2: Any = importlib.import_module("cv2")
    numpy: Any = importlib.import_module("numpy")
    io: Any = importlib.import_module("ikomia.dataprocess")
    pixels = cv2.imdecode(numpy.frombuffer(data, numpy.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise ValueError("the image is damaged or in a format that can't be decoded")
    if pixels.ndim == 3 and pixels.shape[2] in (3, 4):
        pixels = cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB if pixels.shape[2] == 3 else cv2.COLOR_BGRA2RGBA)
    kind = expected if expected in IMAGE_TYPES else "IMAGE"
    return io.CImageIO(getattr(io.IODataType, kind), pixels, "")


def _from_json(kind: str, text: str) -> Any:
    if (build := _BUILDERS.get(kind)) is not None:
        return build(json.loads(text))
    module = "ikomia.dataprocess.io" if kind == "DATA_DICT" else "ikomia.dataprocess"
    value: Any = getattr(importlib.import_module(module), _CLASSES[kind])()
    value.from_json(text)
    return value


def _array(content: dict[str, Any]) -> Any:
    """The inverse of what outputs.py writes: shape, dtype and the base64 of the values in C order."""
    numpy: Any = importlib.import_module("numpy")
    io: Any = importlib.import_module("ikomia.dataprocess")
    dtype = numpy.dtype(content["dtype"])
    if dtype.hasobject:
        raise ValueError("arrays of objects are not accepted")
    values = numpy.frombuffer(pybase64.b64decode(content["data"], validate=True), dtype).reshape(content["shape"])
    return io.CArrayIO(values.copy(), "")


def _values(content: dict[str, Any]) -> Any:
    """Built column by column: the engine's own reader repeats each column's first value. Words stay strings."""
    io: Any = importlib.import_module("ikomia.dataprocess")
    columns = content["values"]
    try:
        columns = [[float(value) for value in column] for column in columns]
        value = io.CNumericIO()
    except ValueError:
        value = io.CDataStringIO()
    value.set_output_type(io.NumericOutputType.values[content.get("outputType", 2)])
    value.set_plot_type(io.PlotType.values[content.get("plotType", 0)])
    headers, labels = content.get("headers", []), content.get("valueLabels", [])
    for index, column in enumerate(columns):
        value.add_value_list(column, *headers[index : index + 1], *labels[index : index + 1])
    return value


def _keypoints(content: dict[str, Any]) -> Any:
    """Built object by object: the engine's own reader loses the objects and shifts the links."""
    io: Any = importlib.import_module("ikomia.dataprocess")
    value = io.CKeypointsIO()
    value.init("input", content.get("referenceImageIndex", 0))
    value.set_keypoint_names(content.get("names", []))
    value.set_keypoint_links([_keypoint_link(io, link) for link in content.get("links", [])])
    for found in content["objects"]:
        points = [(point["index"], io.CPointF(float(point["x"]), float(point["y"]))) for point in found["points"]]
        box = [float(found["box"][name]) for name in ("x", "y", "width", "height")]
        value.add_object(found.get("id", 0), found["label"], float(found["confidence"]), *box, points, _color(found))
    return value


def _keypoint_link(io: Any, link: dict[str, Any]) -> Any:
    made = io.CKeypointLink()
    made.start_point_index = link["index1"]
    made.end_point_index = link["index2"]
    made.label = link.get("label", "")
    made.color = _color(link)
    return made


def _texts(content: dict[str, Any]) -> Any:
    """Built field by field: the engine's own reader mixes up the corners of the polygons."""
    io: Any = importlib.import_module("ikomia.dataprocess")
    value = io.CTextIO()
    value.init("input", content.get("referenceImageIndex", 0))
    for field in content["fields"]:
        polygon = [io.CPointF(float(point["x"]), float(point["y"])) for point in field["polygon"]]
        value.add_text_field(field.get("id", 0), field["label"], field["text"], float(field["confidence"]), polygon, _color(field))
    value.finalize()
    return value


def _color(item: dict[str, Any]) -> list[int]:
    color = item.get("color", {})
    return [color.get("r", 255), color.get("g", 0), color.get("b", 0), color.get("a", 255)]


# Types whose JSON the engine reads wrongly or not at all.
_BUILDERS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "ARRAY": _array,
    "NUMERIC_VALUES": _values,
    "KEYPOINTS": _keypoints,
    "TEXT": _texts,
}
