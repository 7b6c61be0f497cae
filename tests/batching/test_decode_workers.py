from __future__ import annotations

import hashlib
import io
import pickle
import signal
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tunesmith.batching.decode_workers import Readers, read_patches, readers, serve
from tunesmith.batching.example import Placed
from tunesmith.batching.patches import empty, fill
from tunesmith.errors import DataError
from tunesmith.images.picture import Picture


def placed(folder: Path, number: int) -> Placed:
    file = folder / f"{number}.png"
    noise = np.random.default_rng(number).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    Image.fromarray(noise).save(file)
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    return Placed(Picture(file.name, sha256, 60, 40, "0" * 16, root=folder), 0, 1 + number % 3, 2, 14, 2)


def test_processes_read_what_is_read_here_however_many_there_are(tmp_path: Path) -> None:
    pictures = [placed(tmp_path, number) for number in range(7)]
    here = read_patches(pictures, workers=1)
    for workers in (2, 9):
        np.testing.assert_array_equal(read_patches(pictures, workers), here)
        np.testing.assert_array_equal(read_patches(pictures[:3], workers), read_patches(pictures[:3], 1))
        readers(workers).close()


def test_a_broken_file_is_named_and_the_processes_go_on(tmp_path: Path) -> None:
    pictures = [placed(tmp_path, number) for number in range(4)]
    pictures[2].picture.file.write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"2\.png: has changed since the data was prepared"):
        read_patches(pictures, workers=2)
    np.testing.assert_array_equal(read_patches(pictures[:2], 2), read_patches(pictures[:2], 1))
    readers(2).close()


def test_a_process_that_was_killed_is_told_and_the_next_call_works(tmp_path: Path) -> None:
    pictures = [placed(tmp_path, number) for number in range(4)]
    pool = Readers(2)
    places = [empty([one]) for one in pictures]
    assert pool.fill(pictures, places) == [None] * 4
    pool._processes[1].send_signal(signal.SIGKILL)
    pool._processes[1].wait()
    with pytest.raises(DataError) as caught:
        pool.fill(pictures, places)
    assert "a process that reads pictures has ended (exit codes [None, -9])" in str(caught.value)
    assert pool.fill(pictures, places) == [None] * 4
    pool.close()


def test_what_goes_over_the_pipe_is_a_fault_or_the_patches(tmp_path: Path) -> None:
    whole, gone = placed(tmp_path, 1), placed(tmp_path, 2)
    gone.picture.file.unlink()
    answers = io.BytesIO()
    serve(io.BytesIO(pickle.dumps([gone, whole])), answers)
    answers.seek(0)
    assert "2.png: cannot be read" in pickle.load(answers)
    assert pickle.load(answers) is None
    patches = empty([whole])
    assert fill(whole, patches) is None
    assert answers.read() == patches.tobytes()
