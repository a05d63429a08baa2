"""``python -m daemon.cli``: the same as ``tsdaemon``."""

import sys

from daemon.cli.main import main

sys.exit(main())
