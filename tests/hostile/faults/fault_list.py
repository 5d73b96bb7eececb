"""The faults a library and a run must survive, and which tests show that they do."""

from __future__ import annotations

from dataclasses import dataclass

REAL, SIMULATED, NOT_SHOWN = "real", "simulated", "not shown"
HERE = "tests/hostile/faults"
CUTS, FAILS = "test_power_cuts.py::test_what", "test_failing_calls.py"
LAYER = "test_fault_layer.py"


@dataclass(frozen=True)
class Fault:
    """One fault: how it is shown, and the beginnings of the names of the tests that show it."""

    number: int
    what: str
    how: str
    tests: tuple[str, ...]


def kills(*changes: str) -> tuple[str, ...]:
    return tuple(f"test_killed_changes.py::test_killed_at_every_call[{name}]" for name in changes)


FAULTS = (
    Fault(
        1,
        "SIGKILL at every call of an import",
        REAL,
        (*kills("first", "add", "overwrite", "bring", "keep", "note"), LAYER),
    ),
    Fault(
        2,
        "SIGKILL while a word is learned, and in a checkpoint",
        REAL,
        (*kills("checkpoint"), "test_killed_training.py::test_killed_anywhere"),
    ),
    Fault(
        3,
        "SIGKILL in export, merge, backup, and while a picture is written",
        REAL,
        kills("send", "combine", "back_up", "draw"),
    ),
    Fault(
        4,
        "SIGINT, SIGTERM, SIGHUP, a closed terminal, a closed pipe",
        REAL,
        ("../../shell/test_signals.py", "../../shell/test_pipes.py", "../../training/test_runs.py"),
    ),
    Fault(
        5,
        "Disk full at any write",
        f"{REAL} (a small disk), {SIMULATED} (ENOSPC at each call, limits)",
        ("test_strange_disks.py::test_on_a_disk", "test_no_room.py", f"{FAILS}::test_a_call"),
    ),
    Fault(6, "Library, database or folder that may only be read", REAL, ("test_read_only.py",)),
    Fault(
        7,
        "Two processes import the same word",
        REAL,
        ("test_many_processes.py::test_the_same", "test_many_processes.py::test_of_two"),
    ),
    Fault(
        8,
        "Two processes learn the same name",
        REAL,
        ("test_clocks_and_locks.py::test_a_second_run",),
    ),
    Fault(9, "Eight writers at once", REAL, ("test_many_processes.py::test_eight",)),
    Fault(
        10,
        "First runs at once, upgrades at once",
        REAL,
        ("test_many_processes.py::test_first", "test_many_processes.py::test_upgrades"),
    ),
    Fault(
        11,
        "Readers during a long write, a writer during a long read",
        REAL,
        ("test_many_processes.py::test_readers", "test_many_processes.py::test_a_writer"),
    ),
    Fault(
        12,
        "Database empty, garbage, cut, foreign, or missing beside its files",
        REAL,
        ("test_damaged_databases.py", *kills("rebuild")),
    ),
    Fault(
        13,
        "Flipped bytes in a page, a concept's file, a checkpoint",
        REAL,
        (
            "test_damaged_parts.py::test_a_flipped",
            "test_damaged_parts.py::test_a_broken_file_breaks_one_concept[flipped]",
            "../../training/test_runs.py::test_a_damaged",
        ),
    ),
    Fault(
        14,
        "Hot journal, deleted journal, stray -wal and -shm, a copy made while it is written",
        REAL,
        (
            "test_damaged_parts.py::test_a_hot",
            "test_damaged_parts.py::test_a_journal",
            "test_damaged_parts.py::test_what_another",
            "test_damaged_parts.py::test_a_database_copied",
        ),
    ),
    Fault(
        15,
        "A concept's file missing, cut, swapped, a link, a folder",
        REAL,
        ("test_damaged_parts.py::test_a_broken_file",),
    ),
    Fault(
        16,
        "Files without a row, temporary files, locks of the dead and of others",
        REAL,
        (
            "../../cli/test_prune.py",
            "test_clocks_and_locks.py::test_the_lock",
            "test_clocks_and_locks.py::test_what_stands",
        ),
    ),
    Fault(
        17,
        "Clocks that jump back and forth",
        SIMULATED,
        (
            "../../cli/test_prune.py::test_a_clock",
            "test_clocks_and_locks.py::test_order",
            "test_clocks_and_locks.py::test_the_same_word",
        ),
    ),
    Fault(18, "Power cut at every call, unsynced writes lost", SIMULATED, (CUTS,)),
    Fault(
        19,
        "fsync answers EIO",
        SIMULATED,
        (f"{FAILS}::test_a_sync", f"{FAILS}::test_a_call"),
    ),
    Fault(
        20,
        "A rename that happened in a folder that was not synced",
        SIMULATED,
        (CUTS, "test_power_cuts.py::test_the_model"),
    ),
    Fault(
        21,
        "A newer schema, an older one, a foreign database of our name",
        REAL,
        ("test_damaged_databases.py", *kills("upgrade"), "../../cli/test_doctor.py::test_neither"),
    ),
    Fault(
        22,
        "Disks without hard links, modes or locks",
        f"{SIMULATED} (errors of link, chmod and lock); a mounted NFS or SMB {NOT_SHOWN}",
        ("test_strange_disks.py::test_without",),
    ),
    Fault(
        23,
        "HOME unset, odd names, a current folder that is gone, long paths",
        REAL,
        ("test_odd_places.py",),
    ),
    Fault(
        24,
        "A half-written checkpoint",
        REAL,
        (*kills("checkpoint"), "test_killed_training.py::test_a_half"),
    ),
    Fault(25, "The old checkpoint gone before the new one is whole", REAL, kills("checkpoint")),
    Fault(
        26,
        "The learning process killed for memory; the device lost",
        f"{REAL} (killed); a CUDA device that is lost {NOT_SHOWN}",
        ("test_killed_training.py::test_killed_anywhere",),
    ),
    Fault(
        27,
        "A model that is half downloaded or absent; no network",
        REAL,
        ("../../unit/models/test_sources.py",),
    ),
    Fault(
        28,
        "Photos deleted or changed while a word is learned",
        REAL,
        ("test_killed_training.py::test_photos", "../../training/test_runs.py::test_changed"),
    ),
    Fault(
        29,
        "Ten thousand concepts: short folders, a doctor that stays linear",
        f"{REAL} (folders; times are in RESULTS.md)",
        ("test_clocks_and_locks.py::test_no_folder",),
    ),
    Fault(
        30,
        "An interrupted prune, rebuild, restore, upgrade",
        REAL,
        kills("prune", "rebuild", "restore", "upgrade", "rename", "remove"),
    ),
)
