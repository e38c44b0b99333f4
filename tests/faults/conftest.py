"""Gives the tests the faces."""

from __future__ import annotations

import pytest

from ..faces.drivers import faces

FACES = list(faces())


@pytest.fixture(params=FACES, ids=[face.name for face in FACES])
def face(request):
    """What drives one of the faces; `conftest` above runs the test on it."""
    return request.param
