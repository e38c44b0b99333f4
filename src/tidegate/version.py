"""The version of tidegate."""

__all__ = ["commit", "tag", "version"]

version = "0.1.0"

# The names that tools look for in a package that is built from a repository.
tag = version
commit = version
released = "dev" not in version
