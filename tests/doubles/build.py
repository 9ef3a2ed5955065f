"""Builds the double of NVIDIA's management library."""

import subprocess
from pathlib import Path

from needs import need_packages

SOURCE = Path(__file__).with_name("nvml.c")


def nvml_environment(tmp_path_factory) -> dict[str, str]:
    """Give what a process's environment must have for it to see two GPUs of 16 GiB."""
    need_packages("dask_cuda", "pynvml")
    folder = tmp_path_factory.mktemp("nvml")
    name = "libnvidia-ml.so.1"
    subprocess.run(["cc", "-shared", "-fPIC", f"-Wl,-soname,{name}", "-o", folder / name, SOURCE], check=True)
    # dask-cuda's own switch for its tests: a device of which no context can be made is no error
    return {"LD_LIBRARY_PATH": str(folder), "DASK_CUDA_TEST_SINGLE_GPU": "1"}
