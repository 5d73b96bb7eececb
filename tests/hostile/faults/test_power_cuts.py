"""Power that fails at any call of a change, with any part of what was not synced lost."""

from __future__ import annotations

import random

import changes
import pytest
from harness import sample
from powercuts import RECORDED, Disk, State, materialise, replay

from ticli.errors import BadContent

# Of the thousands of states a change has; those after its end come on top.
STATES, ENDS = 5, 2
SWEPT, SWEPT_ENDS = 500, 100


@pytest.mark.parametrize("change", changes.CHANGES)
def test_what_was_acknowledged_is_there(
    server, stage, most, tmp_path, record_property, change
) -> None:
    place, trace = stage(change), tmp_path / "trace"
    before = place.observe()
    place.reset()
    # The library's folder may be made by the change; the one above it was there.
    roots = (place.home.parent, place.work)
    disk = Disk.of(*roots)
    record = ("-y", "-xx", "-s", "33554432", "-e", f"trace={RECORDED}", "-o", str(trace))
    assert server.run(change, *record) == 0, server.said()
    after = place.observe()
    states: dict[State, tuple[str, bool]] = {}
    draw = random.Random(0)
    for call, done in replay(disk, trace.read_text()):
        for state in disk.possible(draw):
            # What is possible at the end was possible before too, and has to hold what was said.
            states[state] = (call, done)
    ends = [state for state, (_, done) in states.items() if done]
    assert len(states) >= 4 and ends
    chosen = dict.fromkeys(
        [*sample(list(states), most(STATES) or SWEPT), *sample(ends, most(ENDS) or SWEPT_ENDS)]
    )
    for state in chosen:
        call, done = states[state]
        materialise(disk.filled(state), roots)
        found = place.observe()
        assert found == after if done else found in (before, after), call
        if change != "rebuild" or found == after:
            place.sound()
    record_property("power cuts", len(chosen))


def test_the_model_finds_a_sync_that_is_missing(server, stage, tmp_path) -> None:
    """Without the syncs of files and folders, a row is possible whose file is none."""
    place, trace = stage("add"), tmp_path / "trace"
    place.reset()
    roots = (place.home.parent, place.work)
    disk = Disk.of(*roots)
    record = ("-y", "-xx", "-s", "33554432", "-e", f"trace={RECORDED}", "-o", str(trace))
    assert server.run("add", *record) == 0
    careless = [line for line in trace.read_text().splitlines() if not line.startswith("fsync(")]
    assert len(careless) < len(trace.read_text().splitlines())
    *_, (_, done) = replay(disk, "\n".join(careless))
    assert done
    broken = 0
    for state in dict.fromkeys(disk.possible(random.Random(0))):
        materialise(disk.filled(state), roots)
        try:
            place.observe()
        except BadContent as error:
            broken += "'new' is" in error.message
    assert broken
