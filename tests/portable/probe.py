"""Run single operations in this process and print a digest of each result, one JSON object per line.

    python tests/portable/probe.py [--threads 1 2 4] [--thorough] [--operations MatMul Sum ...]

Several numbers of threads run one after another, each in a forked process.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
from typing import Any

import numpy as np
import tensorflow as tf
from operation_cases import Case, cases

from keras_repro.determinism.portable_pins import GRAPH_OPTIMIZER
from keras_repro.training.backends.keras3_tf.exact_functions import use_exact_functions
from keras_repro.training.backends.keras3_tf.graph_optimizer import optimized_graph


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", nargs="+", type=int, default=[1])
    parser.add_argument("--thorough", action="store_true")
    parser.add_argument("--operations", nargs="+", default=None)
    options = parser.parse_args()
    for threads in options.threads:
        child = os.fork() if len(options.threads) > 1 else 0
        if child:
            status = os.waitpid(child, 0)[1]
            if status:
                raise SystemExit(f"the process with {threads} threads ended with {status}")
        else:
            _probe(threads, options.thorough, options.operations)
            if len(options.threads) > 1:
                os._exit(0)


def _probe(threads: int, thorough: bool, operations: list[str] | None) -> None:
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    tf.config.experimental.enable_op_determinism()
    tf.config.optimizer.set_experimental_options(dict(GRAPH_OPTIMIZER))
    use_exact_functions()
    for case in cases(thorough=thorough):
        if operations is None or case.operation in operations:
            result = {"operation": case.operation, "case": case.text, "threads": threads} | _tried(case)
            print(json.dumps(result), flush=True)


def _tried(case: Case) -> dict[str, Any]:
    """Return the digest of a case's result, or the error."""
    try:
        operands = [tf.constant(x) for x in case.operands]
        concrete = tf.function(case.function).get_concrete_function(*operands)
        types = _types(concrete)
        if case.operation not in types:
            return {"failed": f"the graph has no {case.operation}: {sorted(types)}"}
        digest = hashlib.sha256()
        for y in tf.nest.flatten(concrete(*operands)):
            digest.update(_canonical(y.numpy()))
    except (tf.errors.OpError, ValueError, TypeError) as e:
        return {"failed": str(e).partition("\n")[0][:200]}
    return {"digest": digest.hexdigest()[:16]}


def _types(concrete: Any) -> set[str]:
    graph = optimized_graph(concrete)
    return {n.op for n in graph.node} | {n.op for f in graph.library.function for n in f.node_def}


def _canonical(values: np.ndarray) -> bytes:
    """Return the bytes, with all NaNs replaced by the same one."""
    if values.dtype.kind == "f":
        values = np.where(np.isnan(values), np.asarray(np.nan, values.dtype), values)
    return np.ascontiguousarray(values).tobytes()


if __name__ == "__main__":
    main()
