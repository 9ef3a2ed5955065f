"""What tests of results share: values that are made by hand, without any run."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))  # last: `conftest` is the one of all rooms
