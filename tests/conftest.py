"""Settings of all tests."""

import os

from hypothesis import settings

# Times are not asserted: machines differ. In CI the same examples are drawn every time, elsewhere new ones.
settings.register_profile("sciml", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("sciml")
