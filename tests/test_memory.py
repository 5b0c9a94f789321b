"""Memory that a training process keeps."""

import subprocess
import sys

import pytest

_WORKER = """
import resource
from transformer_net.memory import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(4):
        bytearray(64 << 20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

before = faults()
if keep_freed_memory():
    faults()
    print(before, faults())
"""


def test_what_was_freed_is_not_asked_for_again():
    """In a process of its own, for there is no way back."""
    out = subprocess.run([sys.executable, "-c", _WORKER], check=True, capture_output=True, text=True).stdout
    if not out:
        pytest.skip("not with this C library")
    before, after = map(int, out.split())
    assert after < 0.1 * before
