"""One of the processes that torchrun starts in tests of data-parallel training.

    torchrun ... training_process.py JOBS.json RESULT.json

Runs each job (fields of TrainOptions, and `interrupt`: the step at which the last process gets a SIGINT) and writes
from the first process its losses of every step and how the run ended.
"""

import json
import os
import signal
import sys
from pathlib import Path

import torch
from torch import distributed

from edgedeblur.errors import UserError
from edgedeblur.train.generator import TrainOptions, train_generator
from edgedeblur.training.processes import joined_processes
from edgedeblur.training.progress import Reporter


def main(jobs: Path, result: Path) -> None:
    torch.set_num_threads(1)
    with joined_processes(torch.device("cpu")):
        told = [run(dict(job)) for job in json.loads(jobs.read_text())]
    if int(os.environ["RANK"]) == 0:
        result.write_text(json.dumps(told))


def run(job: dict) -> dict:
    """The losses of every step, and how the run ended here."""
    interrupt, losses = job.pop("interrupt", None), []
    original = Reporter.step

    def noted(reporter, state, budget, values):
        losses.append(values)
        if state.step == interrupt and distributed.get_rank() == distributed.get_world_size() - 1:
            signal.raise_signal(signal.SIGINT)
        original(reporter, state, budget, values)

    Reporter.step = noted
    try:
        ended = str(train_generator(options(job)))
    except UserError as error:
        ended = error.message
    except SystemExit as silent:
        ended = f"exit {silent.code}"
    finally:
        Reporter.step = original
    return {"losses": losses, "ended": ended}


def options(job: dict) -> TrainOptions:
    fixed = {"device": "cpu", "precision": "float32", "tensorboard": False}
    job["output"] = Path(job["output"])
    return TrainOptions(**fixed | job | {name: tuple(job[name]) for name in ("data", "validation")})


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
