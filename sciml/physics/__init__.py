"""Physics: simulators, integrators, ephemerides."""
