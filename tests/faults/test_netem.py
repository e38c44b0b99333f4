"""Loss, delay and reordering by the kernel, in a network namespace of the test's own."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys

import pytest

# Who runs in the namespace: a server and clients of each face, over a network that loses.
PROGRAM = """
import sys
sys.path.insert(0, ".")
from tests.faces.drivers import echo, faces, uri_of

async def talk(face):
    messages = [f"{number} é" * 20 for number in range(40)] + [bytes(range(256)) * 800]
    async with face.serve(echo, close_timeout=30) as (address, running):
        async with face.connect(uri_of(address), open_timeout=60, close_timeout=30) as connection:
            for message in messages:
                await connection.send(message)
            received = [await face.recv(connection, 60) for _ in messages]
            assert received == messages
            await face.ping(connection, 60)
        assert connection.close_code == 1000, connection.close_code

for face in faces():
    face.run(talk(face))
    print(face.name, flush=True)
"""


@contextlib.contextmanager
def network(fault):
    """Make a namespace in which loopback does what a network does; gives its name."""
    name = f"tidegate-{os.getpid()}"
    if sys.platform != "linux" or os.geteuid() or not all(map(shutil.which, ("ip", "tc"))):
        pytest.skip("needs Linux, root, ip and tc")
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True)
    if made.returncode:
        pytest.skip(f"no network namespace can be made here: {made.stderr.strip()}")
    try:
        within = ["ip", "netns", "exec", name]
        shaped = None
        for command in (
            ["ip", "link", "set", "lo", "up"],
            ["tc", "qdisc", "add", "dev", "lo", "root", "netem", *fault.split()],
        ):
            shaped = subprocess.run([*within, *command], capture_output=True, text=True)
            if shaped.returncode:
                pytest.skip(f"the kernel can't do that here: {shaped.stderr.strip()}")
        yield within
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=True)


@pytest.mark.parametrize(
    "fault", ["delay 2ms loss 3%", "delay 3ms 2ms reorder 25% 50% gap 3", "delay 1ms duplicate 5%"]
)
def test_messages_over_a_network_that(fault):
    """All is delivered, once and in order, and the closing handshake is clean."""
    with network(fault) as within:
        done = subprocess.run(
            [*within, sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=300
        )
    assert done.returncode == 0, done.stderr
    assert "asyncio" in done.stdout.split()
