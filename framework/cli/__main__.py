"""`python -m triptych.cli`."""

from triptych.cli import main

raise SystemExit(main())
