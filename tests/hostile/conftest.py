"""Starts the programs that the cases are played to, once."""

from __future__ import annotations

import contextlib
import ssl
import sys

import pytest
import trustme

from .peers import CLIENTS, MEMORY, SERVERS, Client, Server, available


def pytest_collection_modifyitems(items):
    if sys.platform == "win32":
        for item in items:
            item.add_marker(pytest.mark.skip(reason="pipes can't be waited for on Windows"))


class House:
    """What the programs need: certificates and a folder."""

    def __init__(self, folder):
        authority = trustme.CA()
        issued = authority.issue_cert("localhost", "127.0.0.1")
        self.folder = folder
        self.authority = str(folder / "authority.pem")
        self.certificate = str(folder / "certificate.pem")
        authority.cert_pem.write_to_path(self.authority)
        issued.private_key_and_cert_chain_pem.write_to_path(self.certificate)
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        issued.configure_cert(server)
        client = ssl.create_default_context(cafile=self.authority)
        self.contexts = server, client


@pytest.fixture(scope="session")
def house(tmp_path_factory):
    """Certificates and a folder for programs."""
    return House(tmp_path_factory.mktemp("hostile"))


@pytest.fixture(scope="session")
def programs(house):
    """The servers, one for each face."""
    started = [Server(face, house.certificate, house.folder) for face in available(SERVERS)]
    with contextlib.ExitStack() as stack:
        for program in started:
            stack.callback(program.end)
        for program in started:
            program.ready(house.contexts[1])
        yield started


@pytest.fixture(scope="session")
def customers(house):
    """The clients, one for each face."""
    started = [Client(face, house.authority, house.folder) for face in available(CLIENTS)]
    with contextlib.ExitStack() as stack:
        for program in started:
            stack.callback(program.end)
        yield started


@pytest.fixture(scope="module")
def servers(programs):
    """The servers, whose memory is back after the cases of a module."""
    yield programs
    for program in programs:
        grown = program.memory() - program.weight
        assert grown < MEMORY, f"{program.face} holds {grown // 2**20} MiB more"


@pytest.fixture(scope="module")
def clients(customers):
    """The clients, which have nothing open after the cases of a module."""
    yield customers
    for program in customers:
        assert program.alive()
