"""An audit takes no time for what it does not use."""

import subprocess
import sys


def test_watching_for_kinks_does_not_import_the_compiler():
    script = (
        "import sys, torch\n"
        "from tracin_dask.runs.audit.plain.kinks import KinkWatch\n"
        "with KinkWatch(1e-5) as watch: torch.relu(torch.zeros(2))\n"
        "print(watch.is_near, 'torch._dynamo' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False"]
