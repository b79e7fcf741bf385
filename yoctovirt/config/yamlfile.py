"""YAML files that users write: see :mod:`yoctovirt.base.yamlfile`."""

from yoctovirt.base.yamlfile import load_mapping

__all__ = ["load_mapping"]
