"""Run every fault at every moment and print the table of faults as Markdown.

    python benchmarks/fault_table.py [--quick] [--report FILE.xml …]

Runs the tests that tests/hostile/faults/fault_list.py names, with --full-sweep unless --quick, and
counts from their report how many moments were tried: kills at a system call, calls that failed,
states of the disk after a power cut. With --report nothing is run, and such reports of pytest are
read. Exits 1 where a fault is not survived. A full sweep takes some ten minutes.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FAULTS = ROOT / "tests" / "hostile" / "faults"
sys.path.insert(0, str(FAULTS))


@dataclass(frozen=True)
class Case:
    """One test that ran: its file, its name, how it ended, and what it counted."""

    file: Path
    name: str
    ended: str
    counted: Counter[str]


def run(tests: list[str], quick: bool, report: Path) -> None:
    """Run tests into a report; what they say comes through."""
    command = [sys.executable, "-m", "pytest", *tests, f"--junitxml={report}"]
    # Other families of reports have no place for what a test counted.
    command += ["-o", "junit_family=xunit1"]
    subprocess.run(command + ([] if quick else ["--full-sweep"]), cwd=ROOT, check=False)


def read(report: Path) -> list[Case]:
    """The cases of a report."""
    cases = []
    for case in ElementTree.parse(report).getroot().iter("testcase"):
        counted: Counter[str] = Counter()
        for item in case.iter("property"):
            counted[item.get("name", "")] += int(item.get("value", "0"))
        ended = "passed"
        for child in case:
            if child.tag in ("failure", "error", "skipped"):
                ended = "skipped" if child.tag == "skipped" else "failed"
        module = case.get("classname", "").replace(".", "/") + ".py"
        cases.append(Case(ROOT / module, case.get("name", ""), ended, counted))
    return cases


def of_fault(tests: tuple[str, ...], cases: list[Case]) -> list[Case]:
    """The cases whose file and beginning of a name a fault lists."""
    found = {}
    for test in tests:
        file, _, start = test.partition("::")
        path = (FAULTS / file).resolve()
        for case in cases:
            if case.file == path and case.name.startswith(start):
                found[case.file, case.name] = case
    return list(found.values())


def row(fault: object, cases: list[Case]) -> tuple[str, bool]:
    """One line of the table, and whether the fault is survived."""
    counted: Counter[str] = Counter()
    for case in cases:
        counted.update(case.counted)
    ends = Counter(case.ended for case in cases)
    moments = ", ".join(f"{number:,} {name}" for name, number in sorted(counted.items()))
    good = ends["passed"] > 0 and not ends["failed"]
    said = f"{'holds' if good else 'BROKEN'} ({ends['passed']} passed"
    said += f", {ends['skipped']} skipped)" if ends["skipped"] else ")"
    return f"| {fault.number} | {fault.what} | {fault.how} | {moments or '–'} | {said} |", good


def main() -> None:
    from fault_list import FAULTS as listed

    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="Some moments of each fault.")
    parser.add_argument("--report", type=Path, nargs="+", help="Read these, run nothing.")
    options = parser.parse_args()
    tests = sorted({test.partition("::")[0] for fault in listed for test in fault.tests})
    paths = [str((FAULTS / test).resolve().relative_to(ROOT)) for test in tests]
    with tempfile.TemporaryDirectory() as folder:
        reports = options.report or [Path(folder) / "report.xml"]
        if not options.report:
            run(paths, options.quick, reports[0])
        cases = [case for report in reports for case in read(report)]
    print("| # | fault | shown | moments tried | result |\n|--:|---|---|---|---|")
    rows = [row(fault, of_fault(fault.tests, cases)) for fault in listed]
    print("\n".join(line for line, _ in rows))
    whole = Counter[str]()
    for case in cases:
        whole.update(case.counted)
    print("\nIn all: " + ", ".join(f"{number:,} {name}" for name, number in sorted(whole.items())))
    print(f"{sum(good for _, good in rows)} of {len(rows)} hold")
    sys.exit(0 if all(good for _, good in rows) else 1)


if __name__ == "__main__":
    main()
