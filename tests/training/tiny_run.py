"""``showroom train tiny ...`` as its own process, for tests that kill it or need several."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import tiny_task
import torch

from showroom_ros.cli import train
from showroom_ros.errors import ShowroomError

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser()
    train.add_arguments(parser)
    try:
        sys.exit(train.run(parser.parse_args(), tiny_task.TASKS))
    except ShowroomError as error:
        sys.exit(f"tiny: {error}")
