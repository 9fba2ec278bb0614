"""A remote in a thread of this process: it dies when it is told to, and what it was asked dies with it."""

from concurrent.futures import Future
from queue import SimpleQueue
from threading import Lock, Thread

from doubleback.rl.remote.remote import PASSED_ON, DeadRemoteError


class Worker:
    """A thread that nobody waits for at the end: a test that fails may leave it waiting for ever."""

    def __init__(self):
        self._work = SimpleQueue()
        Thread(target=self._run, daemon=True).start()

    def submit(self, function):
        self._work.put(function)

    def end(self):
        self._work.put(None)

    def _run(self):
        while (function := self._work.get()) is not None:
            function()


class ThreadRemote:
    """See `rl.remote.remote.Remote`."""

    def __init__(self, name, make):
        self.name, self.node = name, "here"
        self.seconds, self.is_dead, self.calls = 0.0, False, []
        self.stands_still = False
        """Whether it computes nothing from one look to the next; else it does, however late an answer comes."""
        self._lock, self._waiting = Lock(), set()
        self._work, self._aside = Worker(), Worker()
        self.hosted = None
        self.started = self._submit(self._work, lambda: setattr(self, "hosted", make()))

    def call(self, method, *arguments, on_part=None):
        self.calls.append(method)
        parts = () if on_part is None else (lambda part: None if self.is_dead else on_part(part),)
        return self._submit(self._work, lambda: getattr(self.hosted, method)(*arguments, *parts))

    def beside(self, method, *arguments):
        return self._submit(self._aside, lambda: getattr(self.hosted, method)(*arguments))

    def processor_seconds(self):
        self.seconds += 0.0 if self.stands_still else 1.0
        return self.seconds

    def die(self, why="it was killed"):
        with self._lock:
            self.is_dead, waiting = True, self._waiting
            self._waiting = set()
        for future in waiting:
            future.set_exception(DeadRemoteError(why))

    def kill(self):
        self.die()
        self._work.end()
        self._aside.end()

    close = kill

    def _submit(self, threads, function):
        future = Future()
        with self._lock:
            if self.is_dead:
                future.set_exception(DeadRemoteError("it was killed"))
                return future
            self._waiting.add(future)

        def run():
            try:
                result, error = function(), None
            except PASSED_ON as raised:
                result, error = None, raised
            with self._lock:
                if future not in self._waiting:
                    return
                self._waiting.discard(future)
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)

        threads.submit(run)
        return future
