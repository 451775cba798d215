"""The JSON of an output, in the wrapper that clients expect: `{"image": …}` or `{"<DATA TYPE>": {…}}`."""

import importlib
from collections.abc import Callable
from typing import Any

import msgspec
import pybase64

from runtime.data_types import PICTURE_TYPES


def encode_output(output: Any) -> bytes:
    """One output as JSON. An output without data keeps its place, as its type's empty form."""
    kind = str(output.data_type)
    if kind in PICTURE_TYPES:
        return _image(output, kind)
    writer = _WRITERS.get(kind, _own_json)
    return b"".join((b'{"', kind.encode(), b'":', writer(output), b"}"))


def _image(output: Any, kind: str) -> bytes:
    """Colour and grey pictures of 8 bits are written here with the very bytes that the engine would write, only faster."""
    if not output.is_data_available():
        return b'{"image":""}'
    if kind == "IMAGE":
        pixels = output.get_image()
        if pixels.dtype == "uint8" and (pixels.ndim == 2 or pixels.shape[2] == 3):
            cv2: Any = importlib.import_module("cv2")
            if pixels.ndim == 3:
                pixels = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
            # Joined, here and on its way out: formatting is slow for what is large.
            return b"".join((b'{"image":"', pybase64.b64encode(cv2.imencode(".jpg", pixels)[1]), b'"}'))
    return bytes(output.to_json().encode())


def _own_json(output: Any) -> bytes:
    """What the engine writes itself; it writes nothing for some types."""
    return output.to_json().encode() or b"{}"


def _keypoints(output: Any) -> bytes:
    """The third coordinate is uninitialised memory in the engine: left out."""
    content = msgspec.json.decode(output.to_json())
    for found in content.get("objects", []):
        for point in found.get("points", []):
            point.pop("z", None)
    return msgspec.json.encode(content)


def _path(output: Any) -> bytes:
    return msgspec.json.encode({"path": output.get_path()})


def _array(output: Any) -> bytes:
    if not output.is_data_available():
        return b'{"shape":[0],"dtype":"float32","data":""}'
    values = output.get_array()
    data = pybase64.b64encode(values.tobytes()).decode()
    return msgspec.json.encode({"shape": list(values.shape), "dtype": str(values.dtype), "data": data})


def _data_dict(output: Any) -> bytes:
    return msgspec.json.encode(getattr(output, "data", {}), enc_hook=_plain)


def _dataset(output: Any) -> bytes:
    if not output.is_data_available():
        return b'{"format":"","images":[],"categories":{}}'
    categories = {str(number): str(name) for number, name in dict(output.get_categories()).items()}
    images = [str(path) for path in output.get_image_paths()]
    return msgspec.json.encode({"format": output.get_source_format(), "images": images, "categories": categories})


def _widget(output: Any) -> bytes:
    """A widget of the desktop application has nothing to show elsewhere."""
    return b"{}"


def _plain(value: Any) -> Any:
    """NumPy values inside a plugin's dictionary become plain ones, anything else its text."""
    return value.tolist() if hasattr(value, "tolist") else str(value)


_WRITERS: dict[str, Callable[[Any], bytes]] = {
    "KEYPOINTS": _keypoints,
    "FILE_PATH": _path,
    "FOLDER_PATH": _path,
    "ARRAY": _array,
    "DATA_DICT": _data_dict,
    "DNN_DATASET": _dataset,
    "WIDGET": _widget,
}
