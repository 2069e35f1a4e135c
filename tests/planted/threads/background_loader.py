"""Loads batches in threads while the model trains."""

import queue
import threading


class BackgroundLoader:
    def __init__(self, x, y, batch_size, threads):
        self.x, self.y, self.batch_size, self.threads = x, y, batch_size, threads
        self.queue = queue.Queue(maxsize=4 * threads)

    def __len__(self):
        return len(self.x) // self.batch_size

    def _produce(self, first):
        for index in range(first, len(self), self.threads):
            rows = slice(index * self.batch_size, (index + 1) * self.batch_size)
            self.queue.put((self.x[rows].copy(), self.y[rows].copy()))

    def batches(self, epochs):
        for _ in range(epochs):
            workers = [threading.Thread(target=self._produce, args=(i,)) for i in range(self.threads)]
            for worker in workers:
                worker.start()
            for _ in range(len(self)):
                yield self.queue.get()
            for worker in workers:
                worker.join()
