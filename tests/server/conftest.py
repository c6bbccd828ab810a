"""Lets the tests of this folder's parts share `sessions_app`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
