"""What a Python script can say to Cronium: `import cronium`.

    cronium.input()              everything that was handed to this run
    cronium.input("name", 5)     one value of it, or 5
    cronium.output("rows", 42)   one named result; output({...}) sets several
    cronium.set_condition("ok")  a condition that later steps can ask for
    cronium.event()              what runs here: event, run, attempt

Values are anything JSON can say. Outside Cronium the inputs are empty and results go nowhere.
"""

# No annotations: scripts bring Pythons older than ours.
# ruff: noqa: ANN001, ANN201, ANN202
# pyright: basic

import json as _json
import os as _os

_FOLDER = _os.environ.get("CRONIUM_DIR", "/run/cronium")
_NOTHING = object()


def input(name=None, default=None):
    """All inputs, or the one called `name`."""
    values = _load("inputs.json")
    if name is None:
        return values
    return values.get(name, default) if isinstance(values, dict) else default


def output(name, value=_NOTHING):
    """Sets the result `name`. With one argument: an object adds its keys, any other value is the result."""
    _report("outputs", {"value": name if value is _NOTHING else {str(name): value}})


def set_condition(name, value=True):
    """Sets the condition `name` to true or false. With one boolean: the condition called "condition"."""
    if isinstance(name, bool):
        name, value = "condition", name
    if not isinstance(value, bool):
        raise TypeError("set_condition takes True or False, not " + repr(value)[:100])
    _report("conditions", {"name": str(name), "value": value})


def event():
    """What runs here: a dict of short texts."""
    return _load("event.json")


setCondition = set_condition  # noqa: N816 - the same name as in JavaScript


def _load(name):
    try:
        with open(_os.path.join(_FOLDER, name), encoding="utf-8") as file:
            return _json.load(file)
    except FileNotFoundError:
        return {}


def _report(name, record):
    line = _json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n"
    if not _os.path.isdir(_FOLDER):
        return
    # One write to a file opened for appending: several processes may report at once.
    with open(_os.path.join(_FOLDER, name), "ab", buffering=0) as file:
        file.write(line.encode("utf-8", "surrogatepass"))
