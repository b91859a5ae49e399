"""Settings of all tests."""

import os

import torch
from hypothesis import settings

torch.set_num_threads(1)  # the tests' tensors are small, and threads that share cores wait for each other

# Times are not asserted: machines differ. In CI the same examples are drawn every time, elsewhere new ones.
settings.register_profile("sciml", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("sciml")
