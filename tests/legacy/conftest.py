"""The package of the older API warns when it is imported; a test of its own looks at that."""

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import tidegate.legacy  # noqa: F401
