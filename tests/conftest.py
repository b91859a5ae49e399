"""Settings of all tests."""

from hypothesis import settings

settings.register_profile("sciml", deadline=None)  # times are not asserted: machines differ
settings.load_profile("sciml")
