"""As many words learn at a time as memory holds, to a limit."""

from __future__ import annotations

import torch

from ticli.inversion import fitting, most_at_a_time
from ticli.inversion.engine import MOST
from ticli.models import LOW, NONE, Hardware, measure_demand, pick_hardware
from ticli.models.locate import locate

CPU = torch.device("cpu")


def test_as_many_as_fit(tiny_folder):
    demand = measure_demand(locate(str(tiny_folder)), torch.float32, 64, CPU)
    three = demand.need(NONE, 4 * 3)
    assert demand.need(NONE, 4 * 4) > three
    assert [fitting(demand, 4, NONE, (most, three)) for most in (1, 2, 3, 8)] == [1, 2, 3, 3]
    assert fitting(demand, 4, NONE, (8, three - 1)) == 2
    assert fitting(demand, 4, NONE, (8, 0)) == 1
    # One picture at a time takes the same memory, however many words learn.
    assert fitting(demand, 4, LOW, (8, demand.need(LOW, 1))) == 8


def test_no_more_than_pay_and_than_there_are(tiny_folder):
    source, hardware = locate(str(tiny_folder)), pick_hardware("cpu")
    assert [most_at_a_time(source, hardware, (64, 4), words) for words in (1, 3, 100)] == [
        1,
        3,
        MOST,
    ]
    low = Hardware(hardware.device, hardware.dtype, "", low_memory=True)
    assert most_at_a_time(source, low, (64, 4), 100) == MOST
