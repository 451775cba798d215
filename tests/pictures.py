"""Real photographs, free of copyright, from the data files of scikit-image (`.venvs/pictures`; nothing of it is imported)."""

from pathlib import Path

_DATA = Path(__file__).parent.parent / ".venvs/pictures/lib"


def _picture(name: str) -> Path:
    """The path whatever the Python version in it; a missing one is named by the test that opens it."""
    return next(_DATA.glob(f"python3*/site-packages/skimage/data/{name}"), _DATA / name)


COINS = _picture("coins.png")
"""24 Greek coins on a dark ground, grey, 384x303 (Brooklyn Museum, no known copyright restrictions)."""

COFFEE = _picture("coffee.png")
"""A cup of coffee, colour, 600x400 (CC0, Rachel Michetti)."""

ROCKET = _picture("rocket.jpg")
"""A rocket launch, colour JPEG, 640x427 (public domain, SpaceX)."""
