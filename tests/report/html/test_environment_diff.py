"""What differs in two headers, fact by fact, whatever they hold."""

from __future__ import annotations

from typing import Any

from keras_repro.report.html.environment_diff import header_facts


def header(**changed: Any) -> dict[str, Any]:
    environment = {"os": {"release": "6.1"}, "packages": {"numpy": "2.4.6", "pip": "24"}, "gpu": []}
    switches = [{"name": "onednn", "achieved": True}, {"name": "hash_seed", "achieved": 1}]
    return {"kind": "header", "created": "now", "environment": environment, "switches": switches} | changed


def test_equal_headers() -> None:
    found = header_facts(header(), header(created="later"))
    assert (found.differing, found.same) == ((), 6)


def test_what_changes_bits_comes_first() -> None:
    other = header(
        environment={"os": {"release": "6.2"}, "packages": {"numpy": "2.5", "pip": "25"}, "gpu": ["H100"]},
        switches=[{"name": "onednn", "achieved": False}],
    )
    found = header_facts(header(), other)
    assert [(f.name, f.a, f.b, f.changes_bits) for f in found.differing] == [
        ("packages numpy", "2.4.6", "2.5", True),
        ("gpu", "none", "H100", True),
        ("switch onednn", "on", "off", True),
        ("switch hash_seed", "1", "not recorded", True),
        ("os release", "6.1", "6.2", False),
        ("packages pip", "24", "25", False),
    ]
    assert found.same == 0


def test_of_long_lists_only_what_one_has() -> None:
    flags = [f"flag{i}" for i in range(40)]
    a, b = ({"environment": {"cpu": {"flags": f}}} for f in (flags, [*flags, "amx_tile"]))
    [fact] = header_facts(a, b).differing
    assert (fact.name, fact.a, fact.b) == (
        "cpu flags",
        "nothing that the other has not",
        "only here: amx_tile",
    )


def test_anything_is_met() -> None:
    odd: list[dict[str, Any]] = [
        {},
        {"environment": None, "switches": 7},
        {"environment": {"cpu": [1, {"a": None}]}, "switches": [None, "x", {}]},
        {"environment": {"a": {"b": {"c": {"d": {"e": {"f": {"g": 1}}}}}}}},
    ]
    for a in odd:
        for b in odd:
            found = header_facts(a, b)
            assert (found.differing == ()) == (a == b or {str(a), str(b)} <= {str(odd[0]), str(odd[1])})
