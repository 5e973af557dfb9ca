"""How many lanes are at work after a crash, after memory ran out, and after trials that ended well."""

from sweep.engine.room import Room


def test_every_crash_halves_what_was_at_work_and_results_bring_it_back() -> None:
    room = Room(8)
    seen = []
    for at_work in (8, 4, 2, 1):
        room.crashed(at_work)
        seen.append(room.open)
    assert seen == [4, 2, 1, 1]
    opened = []
    for _ in range(1 + 2 + 4):
        room.succeeded()
        opened.append(room.open)
    assert opened == [2, 2, 4, 4, 4, 4, 8]
    for _ in range(100):
        room.succeeded()
    assert room.open == 8


def test_a_crash_of_a_trial_that_was_alone_closes_nothing() -> None:
    room = Room(8)
    room.crashed(at_work=1)
    room.crashed(at_work=0)
    assert room.open == 8


def test_memory_that_runs_out_beside_others_closes_a_lane_for_good() -> None:
    room = Room(4)
    assert [room.out_of_memory(root, was_beside=True) for root in range(5)] == [True] * 5
    assert room.open == 1, "one is always open"
    for _ in range(100):
        room.succeeded()
    assert room.open == 1
    assert not room.out_of_memory(9, was_beside=False), "alone, it was its own fault"


def test_lanes_closed_for_a_trial_that_does_not_fit_alone_either_are_opened_again() -> None:
    room = Room(4)
    room.out_of_memory(7, was_beside=True)
    room.out_of_memory(3, was_beside=True)
    room.out_of_memory(7, was_beside=True)
    assert room.open == 1
    assert not room.out_of_memory(7, was_beside=False)
    assert room.open == 3, "the one that was closed for another trial stays closed"


def test_a_trial_that_crashes_its_process_whenever_it_runs_is_soon_alone() -> None:
    """Whatever the number of lanes: there are log2 of them crashes before, and no result in between."""
    for lanes in range(1, 33):
        room, crashes = Room(lanes), 0
        while room.open > 1:
            room.crashed(room.open)
            crashes += 1
        assert crashes == lanes.bit_length() - 1
