# mypy: ignore-errors
"""Gives child processes tidegate in the place of websockets, too.

Python imports this when it starts, where `tidegate run` put this folder into PYTHONPATH. Another
sitecustomize that is there has its turn afterwards. It may be another Python that reads this, an
older one for example.
"""

import os
import sys


def start():
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [place for place in sys.path if os.path.abspath(place) != here]
    words = os.environ.get("TIDEGATE_AS_WEBSOCKETS", "").split()
    if words:
        try:
            from tidegate.integrations.websockets import install
        except ImportError:
            # Not the Python, or not the environment, that tidegate is installed in.
            pass
        else:
            install(int(words[0]), report="report" in words)
    ours = sys.modules.pop("sitecustomize", None)
    try:
        import sitecustomize  # noqa: F401
    except ImportError as exc:
        if getattr(exc, "name", "sitecustomize") != "sitecustomize":
            raise
    finally:
        sys.modules.setdefault("sitecustomize", ours)


if __name__ == "sitecustomize":
    start()
