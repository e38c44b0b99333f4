"""Gives the tests the faces, one after the other."""

from __future__ import annotations

import pytest

from tidegate.testing.fixtures import http_proxy, https_proxy, https_proxy_ca, socks_proxy

from .drivers import OnLegacy, faces

__all__ = ["face", "http_proxy", "https_proxy", "https_proxy_ca", "socks_proxy"]

FACES = list(faces())

# What the older API does as the others do. The rest is about what it calls otherwise, or
# doesn't have.
ON_LEGACY = {
    "test_closing": """
        test_close test_close_while_nobody_receives test_close_with_an_error_code
        test_what_cannot_be_said test_close_ends_a_recv test_the_handler_returns
        test_the_handler_raises test_the_server_closes test_the_server_closes_during_an_opening
        test_a_peer_that_does_not_answer_the_close test_a_peer_that_leaves_without_a_word
        test_a_peer_that_resets test_a_peer_that_leaves_is_noticed_by_who_sends
        test_an_error_behind_messages
    """,
    "test_hostile": """
        test_from_a_server test_from_a_client test_from_a_client_without_a_mask
        test_a_decompression_bomb test_what_came_before_is_answered
    """,
    "test_keepalive": """
        test_ping_while_nobody_receives test_ping_beside_messages test_ping_while_messages_wait
        test_the_same_ping_twice test_pong test_keepalive_answers test_keepalive_finds_a_dead_peer
        test_keepalive_finds_a_dead_peer_while_nobody_receives
        test_pings_are_answered_while_nobody_receives
    """,
    "test_messages": """
        test_echo test_what_cannot_be_sent test_fragments_that_cannot_be_sent
        test_what_was_received_before_the_close_stays test_broadcast
        test_a_message_that_comes_byte_by_byte test_the_answer_comes_in_parts
    """,
    "test_opening": """
        test_subprotocols test_nobody_listens test_a_server_that_says_nothing
        test_a_client_that_says_nothing test_clients_that_are_none
        test_a_response_of_several_packets
    """,
    "test_ways": """
        test_tls test_close_in_tls test_errors_of_tls_say_with_whom test_an_unknown_certificate
        test_a_certificate_for_another_name test_tls_with_who_does_not_speak_it
        test_tls_that_never_begins test_tls_and_what_contradicts_it test_https_proxy
        test_an_https_proxy_that_is_not_trusted test_proxies_behind_each_other
        test_a_proxy_that_wants_a_password test_a_proxy_that_fails test_a_proxy_that_says_nothing
    """,
}


def pytest_generate_tests(metafunc):
    if "face" in metafunc.fixturenames:
        known = ON_LEGACY.get(metafunc.module.__name__.rpartition(".")[2], "").split()
        given = [*FACES, OnLegacy()] if metafunc.function.__name__ in known else FACES
        names = [face.name for face in given]
        metafunc.parametrize("face", given, ids=names, indirect=True)


@pytest.fixture
def face(request):
    """What drives one of the faces; `conftest` above runs the test on it."""
    return request.param
