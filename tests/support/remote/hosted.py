"""An object to be hosted elsewhere: it does what a test asks."""

import os
import signal
import sys
import threading
import time

import torch

from doubleback.rewards.types import ConfigError


class Hosted:
    """Counts its calls, so that their order can be told."""

    def __init__(self, number):
        if number < 0:
            raise ConfigError(f"{number} is refused")
        self.number, self.calls, self.go_on = number, [], threading.Event()

    def add(self, value):
        self.calls.append(value)
        return self.number + value

    def doubled(self, tensor):
        return tensor * 2

    def count(self, most, hand_over):
        """Hands over 0 to `most` - 1, and waits for `release` before the last."""
        for number in range(most):
            if number == most - 1:
                self.go_on.wait()
            hand_over(number)
        return self.calls

    def release(self):
        self.go_on.set()
        return "released"

    def refuse(self, text):
        raise ConfigError(text)

    def break_down(self):
        raise KeyError("a fault of the object's own")

    def work(self, seconds):
        start = time.process_time()
        while time.process_time() - start < seconds:
            pass
        return threading.current_thread().name

    def threads(self):
        return torch.get_num_threads()

    def pid(self):
        return os.getpid()

    def end(self, number):
        os.kill(os.getpid(), number)
        signal.pause()

    def has_vllm(self):
        return "vllm" in sys.modules

    def close(self):
        """Nothing is held."""
