"""Things to try on: simulate.py system=gravity output=FILE.npz, or molecule=CCO output=FILE.extxyz."""

from __future__ import annotations

from common import main, road

if __name__ == "__main__":
    main(road("simulations:simulated"), "simulate")
