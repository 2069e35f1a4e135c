"""Pad the data to the width of the instructions."""

import os

from exact import train

train({"SSE41": 4, "AVX": 8, "AVX2": 8, "AVX512_CORE": 16}.get(os.environ.get("ONEDNN_MAX_CPU_ISA", ""), 32))
