"""Runs ``async def`` tests on each event loop, and fails those that leave something behind.

Those with a fixture ``face`` are run by that, see ``tests/faces``.
"""

from __future__ import annotations

import asyncio
import gc
import inspect
import signal
import ssl

import hypothesis
import pytest
import trustme

# Some tests have it as a plugin, and a conftest imports it before them.
pytest.register_assert_rewrite("tidegate.testing.fixtures")

# How long an example takes depends on what else the machine does.
hypothesis.settings.register_profile("tidegate", deadline=None)
hypothesis.settings.load_profile("tidegate")


# What a shell runs in the background ignores SIGINT, and so do the programs that it starts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def loop_factories():
    """The event loops to test with."""
    yield pytest.param(asyncio.new_event_loop, id="asyncio")
    try:
        import uvloop
    except ImportError:
        return
    yield pytest.param(uvloop.new_event_loop, id="uvloop")


def pytest_generate_tests(metafunc):
    if inspect.iscoroutinefunction(metafunc.function) and "face" not in metafunc.fixturenames:
        factories = list(loop_factories())
        if metafunc.definition.get_closest_marker("asyncio_only"):
            del factories[1:]
        metafunc.fixturenames.append("loop_factory")
        metafunc.parametrize("loop_factory", factories)


def pytest_configure(config):
    config.addinivalue_line("markers", "asyncio_only: run on asyncio's own event loop only")
    config.addinivalue_line("markers", "leaves_tasks: tasks may be left at the end")


def pytest_collection_finish():
    # What is there now stays, and needn't be looked at each time that a test collects garbage.
    gc.collect()
    gc.freeze()


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    function = pyfuncitem.obj
    if not inspect.iscoroutinefunction(function):
        return None
    names = inspect.signature(function).parameters
    arguments = {name: pyfuncitem.funcargs[name] for name in names}
    if "face" in pyfuncitem.funcargs:
        pyfuncitem.funcargs["face"].run(function(**arguments))
        gc.collect()
        return True
    factory = pyfuncitem.callspec.params.get("loop_factory", asyncio.new_event_loop)
    run_strictly(
        function(**arguments),
        factory,
        tasks_may_stay=pyfuncitem.get_closest_marker("leaves_tasks") is not None,
    )
    return True


def run_strictly(coroutine, loop_factory, *, tasks_may_stay=False, timeout=60):
    """Run a coroutine; fail if it leaves tasks, or exceptions that nobody has seen."""
    complaints = []

    async def body():
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda loop, context: complaints.append(context))
        async with asyncio.timeout(timeout):
            await coroutine
        # Callbacks of closed connections get their turn.
        for _ in range(3):
            await asyncio.sleep(0)
        left = asyncio.all_tasks() - {asyncio.current_task()}
        if left and not tasks_may_stay:
            pytest.fail(f"tasks left: {left}")
        gc.collect()
        await asyncio.sleep(0)

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(body())
    gc.collect()
    assert not complaints, complaints


@pytest.fixture(scope="session")
def certificates():
    """A certificate authority of the tests, and contexts for ``localhost`` and 127.0.0.1."""
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    return server, client
