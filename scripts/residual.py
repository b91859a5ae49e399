"""What the law of a run leaves over: python scripts/residual.py run=DIR; discover.py does it where asked."""

from __future__ import annotations

from common import main, road

if __name__ == "__main__":
    main(road("looks:look_again_at"), "residual_run")
