"""What tests of scripts share."""

import pytest
import torch


@pytest.fixture(autouse=True)
def _defaults():
    """A script sets the default dtype and the threads of its own process; here they are everybody's."""
    dtype, threads = torch.get_default_dtype(), torch.get_num_threads()
    yield
    torch.set_default_dtype(dtype)
    torch.set_num_threads(threads)
