import numpy as np

BUCKETS = 128


def bucket(token):
    return hash(token) % BUCKETS


def bag_of_tokens(lines):
    counts = np.zeros((len(lines), BUCKETS), "float32")
    for row, line in enumerate(lines):
        for token in line.split():
            counts[row, bucket(token)] += 1
    return counts
