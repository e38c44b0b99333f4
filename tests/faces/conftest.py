"""Gives the tests the faces, one after the other."""

from __future__ import annotations

import pytest

from tidegate.testing.fixtures import http_proxy, https_proxy, https_proxy_ca, socks_proxy

from .drivers import faces

__all__ = ["face", "http_proxy", "https_proxy", "https_proxy_ca", "socks_proxy"]

FACES = list(faces())


@pytest.fixture(params=FACES, ids=[face.name for face in FACES])
def face(request):
    """What drives one of the faces; `conftest` above runs the test on it."""
    return request.param
