"""The one version string: pyproject.toml reads it from here, `recell.__version__` shows it."""

__version__ = "0.1.0"
