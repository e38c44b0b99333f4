"""What tests of hubs on engines share."""

import pytest

from .servers import NatsServer, RedisServer


@pytest.fixture(params=[RedisServer, NatsServer], ids=["redis", "nats"])
def Engine(request):
    """The server of an engine."""
    pytest.importorskip(request.param.package)
    return request.param
