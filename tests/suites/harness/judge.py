"""Tells the failures that are expected from the new ones.

`expected/SUITE.txt` has a line for each: the broker it holds for (`any`, `warren`), the name
of the test (`*` stands for any characters) and the reason.
"""

from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

EXPECTED = Path(__file__).resolve().parent.parent / "expected"
BROKERS = ("any", "flaky", "warren")


@dataclass
class Expectation:
    broker: str
    pattern: str
    reason: str
    met: bool = False


@dataclass
class Verdict:
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    forgiven: int = 0
    new: int = 0
    lines: list = field(default_factory=list)


def expected(suite, yardstick):
    file = EXPECTED / f"{suite}.txt"
    if not file.exists():
        return []
    found = []
    for line in file.read_text().splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        broker, pattern, reason = line.split(None, 2)
        if broker not in BROKERS:
            raise SystemExit(f"{file.name}: {broker} is none of {', '.join(BROKERS)}")
        if not (yardstick and broker == "warren"):
            found.append(Expectation(broker, pattern, reason))
    return found


def _matches(pattern, name):
    # Names hold brackets, which fnmatch would take for a set.
    return fnmatchcase(name, pattern.replace("[", "[[]"))


def judge(outcomes, expectations):
    verdict = Verdict()
    for name, (outcome, reason) in sorted(outcomes.items()):
        setattr(verdict, outcome, getattr(verdict, outcome) + 1)
        fitting = [one for one in expectations if _matches(one.pattern, name)]
        if outcome == "failed":
            for one in fitting:
                one.met = True
            if fitting:
                verdict.forgiven += 1
                verdict.lines.append(f"expected {name}: {fitting[0].reason}")
            else:
                verdict.new += 1
                verdict.lines.append(f"NEW {name}: {reason}")
        elif outcome == "skipped":
            for one in fitting:
                one.met = True
    for one in expectations:
        # The list must shrink as the broker grows, or it would hide what breaks again.
        if not one.met and one.broker != "flaky":
            verdict.new += 1
            verdict.lines.append(f"NEW {one.pattern}: passes now, take it out of the expected failures")
    return verdict
