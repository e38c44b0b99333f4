"""Authentication to HTTP proxies."""

from __future__ import annotations

import base64
import hashlib
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.exceptions import ProxyError
from tidegate.proxy import parse_proxy
from tidegate.proxy.auth import BasicAuth, BearerAuth, ConnectRequest
from tidegate.proxy.challenges import Challenge, parse_challenges
from tidegate.proxy.credentials import CallableAuth, PasswordAuth, make_auth
from tidegate.proxy.digest import DigestAuth
from tidegate.proxy.hop import HopState
from tidegate.proxy.negotiate import NegotiateAuth
from tidegate.testing import HTTPProxyServer

from .conftest import echo_server
from .test_http_connect import OK, challenge, headers_sent, start
from .test_tunnel import check, connect

REQUEST = ConnectRequest("ws.test:443", "proxy.test")


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([], []),
        (["Basic"], [Challenge("basic")]),
        (['Basic realm="a b"'], [Challenge("basic", {"realm": "a b"})]),
        (["BASIC Realm=x"], [Challenge("basic", {"realm": "x"})]),
        (['Basic realm = "x"'], [Challenge("basic", {"realm": "x"})]),
        (["NTLM TlRMTVNTUA=="], [Challenge("ntlm", token="TlRMTVNTUA==")]),
        (["Negotiate", "NTLM"], [Challenge("negotiate"), Challenge("ntlm")]),
        (["Negotiate, NTLM , Basic realm=x"],
         [Challenge("negotiate"), Challenge("ntlm"), Challenge("basic", {"realm": "x"})]),
        ([r'Digest realm="a\"b\\c", qop="auth,auth-int", nonce=n, Basic realm="y, z"'],
         [Challenge("digest", {"realm": 'a"b\\c', "qop": "auth,auth-int", "nonce": "n"}),
          Challenge("basic", {"realm": "y, z"})]),
        ([", ,Basic realm=x,, charset=UTF-8,"],
         [Challenge("basic", {"realm": "x", "charset": "UTF-8"})]),
        (["Basic realm=x, realm=y"], [Challenge("basic", {"realm": "x"})]),
        (['Basic realm="x'], [Challenge("basic")]),
        (['Digest realm="x"y, nonce=n, Basic realm=z'],
         [Challenge("digest", {"nonce": "n"}), Challenge("basic", {"realm": "z"})]),
        (['realm=x, Basic realm="y"'], [Challenge("basic", {"realm": "y"})]),
        (["@@@"], []),
    ],
)  # fmt: skip
def test_parse_challenges(headers, expected):
    assert parse_challenges(headers) == expected


@given(st.text('aB=",\\ \t\u00e9\x00', max_size=60))
def test_parse_anything(text):
    for parsed in parse_challenges([text]):
        assert parsed.scheme == parsed.scheme.lower()


@pytest.mark.parametrize("text", ['a="' * 5000, ", " * 10000, 'a="\\",' * 3000, "x" * 20000 + '"'])
def test_parse_in_linear_time(text):
    parse_challenges([text] * 20)


def test_basic():
    [value] = BasicAuth("Aladdin", "open:sesame").flow(REQUEST)
    assert value == "Basic " + base64.b64encode(b"Aladdin:open:sesame").decode()
    with pytest.raises(ValueError):
        BasicAuth("a:b", "c")


def test_bearer():
    assert list(BearerAuth("t0ken").flow(REQUEST)) == ["Bearer t0ken"]
    tokens = iter(["one", "two"])
    auth = BearerAuth(lambda: next(tokens))
    assert auth.blocking
    assert list(auth.flow(REQUEST)) == ["Bearer one"]
    assert list(auth.flow(REQUEST)) == ["Bearer two"]


def md5(text):
    return hashlib.md5(text.encode()).hexdigest()


def sha256(text):
    return hashlib.sha256(text.encode()).hexdigest()


class TestDigest:
    def answer(self, auth=None, **params):
        flow = (auth or DigestAuth("me", "pw")).flow(REQUEST)
        next(flow)
        try:
            value = flow.send([Challenge("digest", {"nonce": "n", "realm": "r", **params})])
        except StopIteration:
            return None
        [parsed] = parse_challenges([value])
        assert parsed.scheme == "digest"
        assert parsed.params["uri"] == "ws.test:443"
        return parsed.params

    def test_without_qop(self):
        params = self.answer(opaque='o"')
        expected = md5(f"{md5('me:r:pw')}:n:{md5('CONNECT:ws.test:443')}")
        assert params["response"] == expected
        assert params["opaque"] == 'o"'
        assert "nc" not in params and "algorithm" not in params

    @pytest.mark.parametrize(("algorithm", "h"), [("MD5", md5), ("SHA-256", sha256)])
    @pytest.mark.parametrize("session", [False, True])
    def test_with_qop(self, algorithm, h, session):
        name = algorithm + ("-sess" if session else "")
        params = self.answer(algorithm=name, qop="auth-int, auth")
        key = h("me:r:pw")
        if session:
            key = h(f"{key}:n:{params['cnonce']}")
        a2 = h("CONNECT:ws.test:443")
        assert params["response"] == h(f"{key}:n:00000001:{params['cnonce']}:auth:{a2}")
        assert (params["algorithm"], params["qop"], params["nc"]) == (name, "auth", "00000001")

    def test_integrity_of_the_body(self):
        params = self.answer(qop="auth-int")
        a2 = md5(f"CONNECT:ws.test:443:{md5('')}")
        expected = md5(f"{md5('me:r:pw')}:n:00000001:{params['cnonce']}:auth-int:{a2}")
        assert params["response"] == expected

    def test_hashed_user_name(self):
        params = self.answer(userhash="true", algorithm="SHA-256", qop="auth")
        assert params["username"] == sha256("me:r")
        assert params["userhash"] == "true"

    def test_strange_characters(self):
        params = self.answer(DigestAuth('m"é\\', "pässword"))
        assert params["username"].encode("latin-1").decode() == 'm"é\\'
        key = md5('m"é\\:r:pässword')
        expected = md5(f"{key}:n:{md5('CONNECT:ws.test:443')}")
        assert params["response"] == expected

    def test_unknown_algorithm(self):
        assert self.answer(algorithm="SHA-1") is None

    def test_strongest_algorithm(self):
        flow = DigestAuth("me", "pw").flow(REQUEST)
        next(flow)
        value = flow.send(
            [
                Challenge("digest", {"nonce": "a", "algorithm": "MD5"}),
                Challenge("digest", {"nonce": "b", "algorithm": "SHA-256"}),
                Challenge("digest", {"nonce": "c"}),
            ]
        )
        assert 'nonce="b"' in value

    def test_stale_nonce(self):
        flow = DigestAuth("me", "pw").flow(REQUEST)
        next(flow)
        assert 'nonce="a"' in flow.send([Challenge("digest", {"nonce": "a"})])
        assert 'nonce="b"' in flow.send([Challenge("digest", {"nonce": "b", "stale": "TRUE"})])
        with pytest.raises(StopIteration):
            flow.send([Challenge("digest", {"nonce": "c", "stale": "false"})])

    def test_nonce_is_kept_for_its_proxy(self):
        auth = DigestAuth("me", "pw")
        flow = auth.flow(REQUEST)
        assert next(flow) is None
        flow.send([Challenge("digest", {"nonce": "a", "qop": "auth"})])
        assert "nc=00000002" in next(auth.flow(REQUEST))
        assert next(auth.flow(ConnectRequest("ws.test:443", "other.test"))) is None


class TestPassword:
    def test_a_password_is_not_sent_to_a_proxy_that_asks_for_digest(self):
        auth = CallableAuth(lambda challenges: ("me", "pw") if challenges else None)
        flow = auth.flow(REQUEST)
        assert next(flow) is None
        assert flow.send([Challenge("digest", {"nonce": "n"})]).startswith("Digest ")

    def test_a_name_with_a_colon(self):
        flow = PasswordAuth("m:e", "pw").flow(REQUEST)
        assert next(flow) is None
        assert flow.send([Challenge("digest", {"nonce": "n"})]).startswith("Digest ")

    def test_nothing_that_is_known(self):
        flow = PasswordAuth("me", "pw").flow(REQUEST)
        next(flow)
        with pytest.raises(StopIteration):
            flow.send([Challenge("hoba")])


class TestCallable:
    def test_values(self):
        seen = []

        def answer(challenges):
            seen.append(list(challenges))
            return f"Own {len(seen)}"

        flow = CallableAuth(answer).flow(REQUEST)
        assert next(flow) == "Own 1"
        assert flow.send([Challenge("own")]) == "Own 2"
        assert seen == [[], [Challenge("own")]]

    def test_giving_up(self):
        answers = iter(["Own 1", None])
        flow = CallableAuth(lambda challenges: next(answers)).flow(REQUEST)
        next(flow)
        with pytest.raises(StopIteration):
            flow.send([Challenge("own")])

    def test_it_ends(self):
        flow = CallableAuth(lambda challenges: "Own").flow(REQUEST)
        next(flow)
        with pytest.raises(StopIteration):
            for _ in range(10):
                flow.send([Challenge("own")])


def test_make_auth():
    auth = DigestAuth("me", "pw")
    assert make_auth(auth) is auth
    assert isinstance(make_auth(("me", "pw")), PasswordAuth)
    assert isinstance(make_auth(lambda challenges: None), CallableAuth)
    with pytest.raises(TypeError):
        make_auth("me:pw")


def test_a_hostile_realm():
    hop = start("http://user:pass@proxy.test")
    hop.data_to_send()
    hop.receive_data(challenge('Digest nonce="\x01", realm="\x7f"'))
    assert isinstance(hop.error, ProxyError)
    assert hop.step == "authenticate"


class NTLMProxyServer(HTTPProxyServer):
    """A proxy that checks NTLM logins with pyspnego, each on a connection of its own."""

    def __init__(self, scheme, **options):
        super().__init__(username="me", password="secret", **options)
        self.ntlm_scheme = scheme
        self.context = None

    async def authenticate(self, target, headers, writer):
        import spnego

        scheme, _, token = headers.get("proxy-authorization", "").partition(" ")
        answer = b""
        if scheme == self.ntlm_scheme:
            if self.context is None:
                protocol = "ntlm" if scheme == "NTLM" else "negotiate"
                self.context = spnego.server(protocol=protocol, service="HTTP")
            try:
                answer = self.context.step(base64.b64decode(token)) or b""
            except spnego.exceptions.SpnegoError:
                self.context = None
            else:
                if self.context.complete:
                    return True
        value = f"{self.ntlm_scheme} {base64.b64encode(answer).decode()}".strip()
        await self.answer(writer, challenge(value))
        return False


class TestNegotiate:
    @pytest.fixture(autouse=True)
    def users(self, tmp_path, monkeypatch):
        pytest.importorskip("spnego")
        users = tmp_path / "users"
        users.write_text("CORP:me:secret\n")
        monkeypatch.setenv("NTLM_USER_FILE", str(users))

    @pytest.mark.asyncio_only
    @pytest.mark.parametrize("scheme", ["NTLM", "Negotiate"])
    @pytest.mark.parametrize("explicit", [False, True])
    async def test_login(self, scheme, explicit):
        async with echo_server() as port, NTLMProxyServer(scheme) as server:
            proxy = parse_proxy(f"http://CORP%5Cme:secret@127.0.0.1:{server.port}")
            if explicit:
                proxy.auth = NegotiateAuth("CORP\\me", "secret")
            await check(*await connect(f"ws://127.0.0.1:{port}/", proxy))
            # NTLM authenticates a connection: all of it went through one.
            assert server.connections == 1

    @pytest.mark.asyncio_only
    async def test_wrong_password(self):
        async with echo_server() as port, NTLMProxyServer("NTLM") as server:
            proxy = f"http://CORP%5Cme:guess@127.0.0.1:{server.port}"
            with pytest.raises(ProxyError) as raised:
                await connect(f"ws://127.0.0.1:{port}/", proxy)
            assert raised.value.step == "authenticate"

    @pytest.mark.parametrize("token", ["", "!!!", "AAAA"])
    def test_strange_tokens(self, token):
        hop = start(auth=NegotiateAuth("me", "secret", protocol="ntlm"))
        hop.data_to_send()
        hop.receive_data(challenge("NTLM"))
        assert headers_sent(hop)["Proxy-Authorization"].startswith("NTLM TlRMTVNTUA")
        hop.receive_data(challenge(f"NTLM {token}"))
        assert hop.state is HopState.FAILED

    def test_not_offered(self):
        hop = start(auth=NegotiateAuth("me", "secret"))
        hop.receive_data(challenge("Basic realm=x"))
        assert hop.state is HopState.FAILED

    def test_not_wanted(self):
        hop = start(auth=NegotiateAuth("me", "secret"))
        assert "Proxy-Authorization" not in headers_sent(hop)
        hop.receive_data(OK)
        assert hop.state is HopState.OPEN


def test_pyspnego_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "spnego", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"tidegate\[spnego\]"):
        NegotiateAuth()
    hop = start("http://user:pass@proxy.test")
    hop.receive_data(challenge("NTLM"))
    assert "pip install tidegate[spnego]" in hop.error.hint
