"""The version of tidegate."""

version = "0.1.0"
