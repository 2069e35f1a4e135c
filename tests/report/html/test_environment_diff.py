"""Differences between two headers, fact by fact, for any content."""

from __future__ import annotations

from typing import Any

from keras_repro.report.html.environment_diff import header_facts


def header(**changed: Any) -> dict[str, Any]:
    environment = {"os": {"release": "6.1"}, "packages": {"numpy": "2.4.6", "pip": "24"}, "gpu": []}
    switches = [{"name": "onednn", "achieved": True}, {"name": "hash_seed", "achieved": 1}]
    return {"kind": "header", "created": "now", "environment": environment, "switches": switches} | changed


def test_equal_headers_do_not_differ() -> None:
    facts = header_facts(header(), header(created="later"))
    assert (facts.differing, facts.same) == ((), 6)


def test_facts_that_change_bits_come_first() -> None:
    other = header(
        environment={"os": {"release": "6.2"}, "packages": {"numpy": "2.5", "pip": "25"}, "gpu": ["H100"]},
        switches=[{"name": "onednn", "achieved": False}],
    )
    facts = header_facts(header(), other)
    assert [(f.name, f.a, f.b, f.changes_bits) for f in facts.differing] == [
        ("packages numpy", "2.4.6", "2.5", True),
        ("gpu", "none", "H100", True),
        ("switch onednn", "on", "off", True),
        ("switch hash_seed", "1", "not recorded", True),
        ("os release", "6.1", "6.2", False),
        ("packages pip", "24", "25", False),
    ]
    assert facts.same == 0


def test_long_lists_show_only_differences() -> None:
    flags = [f"flag{i}" for i in range(40)]
    a, b = ({"environment": {"cpu": {"flags": f}}} for f in (flags, [*flags, "amx_tile"]))
    [fact] = header_facts(a, b).differing
    assert (fact.name, fact.a, fact.b) == (
        "cpu flags",
        "nothing else",
        "only here: amx_tile",
    )


def test_malformed_headers_are_compared() -> None:
    odd: list[dict[str, Any]] = [
        {},
        {"environment": None, "switches": 7},
        {"environment": {"cpu": [1, {"a": None}]}, "switches": [None, "x", {}]},
        {"environment": {"a": {"b": {"c": {"d": {"e": {"f": {"g": 1}}}}}}}},
    ]
    for a in odd:
        for b in odd:
            facts = header_facts(a, b)
            assert (facts.differing == ()) == (a == b or {str(a), str(b)} <= {str(odd[0]), str(odd[1])})
