"""Checking plain mappings read from YAML, for the modules that must run on an old Python."""

import math
from typing import Any, Dict, Sequence

from nanorover.errors import InputError


def mapping_of(value: Any, where: str, known: Sequence[str]) -> Dict[str, Any]:
    """``value`` as a mapping that has only known keys; InputError names a stranger."""
    if not isinstance(value, dict):
        raise InputError("%s holds no mapping" % where, "known keys: %s" % ", ".join(known))
    for key in value:
        if key not in known:
            raise InputError("%s: unknown key '%s'" % (where, key), "known keys: %s" % ", ".join(known))
    return value


def checked(given: Dict[str, Any], key: str, kind: type, where: str, choices: Sequence[Any] = ()) -> Any:
    """``given[key]``, of the type ``kind``, one of ``choices`` if any; InputError says what is wrong."""
    if key not in given:
        raise InputError("%s: '%s' is missing" % (where, key), "it must be a %s" % kind.__name__)
    value = given[key]
    if not isinstance(value, kind) or isinstance(value, bool) != (kind is bool):
        raise InputError("%s: '%s' is %r" % (where, key, value), "it must be a %s" % kind.__name__)
    if choices and value not in choices:
        raise InputError("%s: '%s' is %r" % (where, key, value), "one of: %s" % ", ".join(str(c) for c in choices))
    return value


def all_numbers(values: Sequence[Any]) -> bool:
    """Whether all are numbers, and finite."""
    return all(isinstance(v, (int, float)) and not isinstance(v, bool) and math.isfinite(v) for v in values)
