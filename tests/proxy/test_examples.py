"""The examples about proxies run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("through_a_proxy", ["answer: hello", "http://me:***@127.0.0.1:", "ms  handshake"]),
        ("proxies_one_after_the_other", ["hello through socks5h://", "HTTP 403", "hint: "]),
        ("another_proxy_at_run_time", ["hello through http://127.0.0.1:"]),
    ],
)
def test_example(name, words):
    done = subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLES / f"{name}.py")],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stderr == ""
    assert done.returncode == 0
    for word in words:
        assert word in done.stdout
