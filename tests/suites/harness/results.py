"""Reads what test runners write, as a map from the test's name to (outcome, reason)."""

import json
import re
import xml.etree.ElementTree as xml

RANK = {"passed": 0, "skipped": 1, "failed": 2}


def _first_line(text):
    lines = [line.strip() for line in (text or "").splitlines() if line.strip()]
    return lines[0][:300] if lines else ""


def _keep_worst(outcomes, name, outcome, reason):
    # A test reported twice (its body and its teardown) is as bad as its worse half.
    if name not in outcomes or RANK[outcome] > RANK[outcomes[name][0]]:
        outcomes[name] = (outcome, reason)


def _junit_outcome(case):
    for tag in ("failure", "error"):
        found = case.find(tag)
        if found is not None:
            return "failed", _first_line(found.get("message") or found.text)
    skipped = case.find("skipped")
    if skipped is not None:
        return "skipped", _first_line(skipped.get("message"))
    return "passed", ""


def pytest(report):
    outcomes = {}
    for case in xml.parse(report).iter("testcase"):
        name = f"{case.get('classname')}::{case.get('name')}" if case.get("classname") else case.get("name")
        _keep_worst(outcomes, "_".join(name.split()), *_junit_outcome(case))
    return outcomes


def _node_cases(element, path):
    for child in element:
        if child.tag == "testcase":
            yield [*path, child.get("name")], child
        elif child.get("name"):
            # A suite; when its file was ended in the midst of it, the element has another name.
            yield from _node_cases(child, [*path, child.get("name")])


def node(report):
    """Node nests suites; the same words may stand under two of them, so the path is the name."""
    outcomes = {}
    for path, case in _node_cases(xml.parse(report).getroot(), []):
        outcome, reason = _junit_outcome(case)
        _keep_worst(outcomes, "_".join("::".join(path).split()), outcome, reason)
    return outcomes


def go(report):
    outcomes = {}
    output = {}
    for line in report.read_text().splitlines():
        if not line.startswith("{"):
            # The compiler's own words come on the same stream.
            continue
        event = json.loads(line)
        name = event.get("Test")
        if not name:
            continue
        if event["Action"] == "output":
            output.setdefault(name, []).append(event["Output"])
        outcome = {"pass": "passed", "fail": "failed", "skip": "skipped"}.get(event["Action"])
        if outcome:
            told = [text for text in output.get(name, []) if not text.lstrip().startswith(("=== ", "--- "))]
            outcomes[name] = (outcome, _first_line("\n".join(told)))
        elif event["Action"] == "run":
            # Overwritten when it ends; a crash of the program leaves it so.
            outcomes[name] = ("failed", "did not end")
    return outcomes


def libtest(report):
    """What `cargo test` prints. Several files may have a test of one name, so the file is part of it."""
    outcomes = {}
    file = ""
    for line in report.read_text().splitlines():
        if running := re.match(r" +Running (\S+)\.rs \(", line):
            file = running[1]
            # Taken back when the file tells its result; a crash of the program leaves it so.
            outcomes[file] = ("failed", "did not end")
        elif test := re.match(r"test (.+) \.\.\. (ok|FAILED|ignored)", line):
            outcome = {"ok": "passed", "FAILED": "failed", "ignored": "skipped"}[test[2]]
            outcomes[f"{file}::{test[1]}"] = (outcome, "")
        elif line.startswith("test result:"):
            outcomes.pop(file, None)
        elif panicked := re.match(r"thread '(.+)' .*panicked at (.+)", line):
            name = f"{file}::{panicked[1]}"
            if name in outcomes:
                outcomes[name] = (outcomes[name][0], f"panicked at {panicked[2]}")
    return outcomes
