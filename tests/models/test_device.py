import pytest
import torch

from eutectic.context import Context
from eutectic.errors import InputError
from eutectic.models import device


def test_threads_are_set_and_the_device_given():
    before = torch.get_num_threads()
    assert device.prepare(Context(threads=1)) == torch.device("cpu")
    assert torch.get_num_threads() == 1
    torch.set_num_threads(before)


def test_a_device_that_is_not_here_is_an_error():
    assert device.choose("cpu") == "cpu"
    with pytest.raises(InputError, match="not on this machine"):
        device.choose("tpu")
