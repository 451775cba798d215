"""The engine's data types as requests name them, and which of them may stand for which."""

IMAGE_TYPES = frozenset({"IMAGE", "IMAGE_BINARY", "IMAGE_LABEL"})
FRAME_TYPES = frozenset({"VIDEO", "VIDEO_BINARY", "VIDEO_LABEL", "LIVE_STREAM", "LIVE_STREAM_BINARY", "LIVE_STREAM_LABEL"})
PICTURE_TYPES = IMAGE_TYPES | FRAME_TYPES
PATH_TYPES = frozenset({"FILE_PATH", "FOLDER_PATH"})
GRAPHICS_TYPES = frozenset({"INPUT_GRAPHICS", "OUTPUT_GRAPHICS"})
JSON_TYPES = frozenset(
    {
        "OBJECT_DETECTION",
        "INSTANCE_SEGMENTATION",
        "SEMANTIC_SEGMENTATION",
        "KEYPOINTS",
        "TEXT",
        "NUMERIC_VALUES",
        "BLOB_VALUES",
        "DATA_DICT",
        "ARRAY",
        *GRAPHICS_TYPES,
    }
)

# An input from storage whose type is the key of its wrapper, known once it has been read.
WRAPPED_JSON = "JSON"


def family(kind: str) -> str:
    """Types of one family may be given for each other: all pictures, frames included, and both kinds of graphics."""
    if kind in PICTURE_TYPES:
        return "IMAGE"
    return "GRAPHICS" if kind in GRAPHICS_TYPES else kind


def fits(kind: str, expected: set[str]) -> bool:
    """True when an input of that type may be given where the tasks expect these; where nothing is expected anything may."""
    if not expected:
        return True
    if kind == WRAPPED_JSON:
        return bool(expected & JSON_TYPES)
    return family(kind) in {family(name) for name in expected}
