"""OpenCV's number of threads belongs to the program; loader threads borrow it."""

import subprocess
import sys

import cv2
import numpy as np
from model_files import photo

from edgedeblur.data.batches import Stock, batches
from edgedeblur.data.blur.blurring import KINDS, BlurRecipe
from edgedeblur.data.images import write_image
from edgedeblur.data.sources import Photos


def test_importing_edgedeblur_leaves_opencvs_threads_as_they_are():
    code = (
        "import cv2\n"
        "cv2.setNumThreads(3)\n"
        "import edgedeblur.data.blur.blurring, edgedeblur.data.synth, edgedeblur.data.batches\n"
        "import edgedeblur.restore.deblur\n"
        "print(cv2.getNumThreads())\n"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "3"


def test_batches_are_made_by_one_thread_each_and_give_the_setting_back(tmp_path):
    write_image(tmp_path / "a.png", photo(64, 64))
    before = cv2.getNumThreads()
    cv2.setNumThreads(3)
    try:
        stream = batches(Stock(Photos([tmp_path / "a.png"], BlurRecipe()), 0, 1, 32), 0)
        next(stream)
        assert cv2.getNumThreads() == 1
        stream.close()
        assert cv2.getNumThreads() == 3
    finally:
        cv2.setNumThreads(before)


def test_blur_does_not_depend_on_the_number_of_threads(tmp_path):
    write_image(tmp_path / "a.png", photo(200, 200))
    shares = {f"{kind}_share": 1.0 for kind in KINDS}
    source, before = Photos([tmp_path / "a.png"], BlurRecipe(**shares)), cv2.getNumThreads()
    drawn = {}
    try:
        for threads in (1, 4):
            cv2.setNumThreads(threads)
            drawn[threads] = [source.draw(np.random.default_rng(seed), 160)[0] for seed in range(8)]
    finally:
        cv2.setNumThreads(before)
    assert all(np.array_equal(one, four) for one, four in zip(drawn[1], drawn[4], strict=True))
