"""Writes one run to one file that can be read at every instant, whatever happens to the writer.

The file is born complete: `create` publishes a live image in which every dataset has its full length and every
attribute its value. From then on HDF5 is out of the way. Rows go to the bytes that the image set aside for them with
plain `pwrite`, so no metadata is ever half-written and a full disk is an ordinary exception. A row counts once a commit
says so:

    write_step ... write_step      rows gather in memory
    commit                         rows to their place, then the 32 bytes of /run_state
    write_epoch                    the same, with an fsync after the rows and another after /run_state
    finish                         a second image, compressed and cut to length, is checked and takes the file's name

A commit happens every `COMMIT_STEPS` steps or `COMMIT_SECONDS`, whichever is first. `kill -9` loses what was not
committed, power loss at most what came after the last epoch. Only one process may write: `files.Lock`.

`take_up` goes on with a live file that somebody left, from the epoch of the checkpoint beside it. The steps after that
are computed again. Meanwhile /run_state stays as it is, and rows that the file holds already are compared instead of
written: a run that does not repeat itself, because of another machine or a plugin, must not end as a mixture of two.
Only values of a clock may differ, whose names contain "time".
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import attrs
import numpy as np
import numpy.typing as npt

from optiscope.errors import FileError, NotRepeatedError, PluginError
from optiscope.records import Checkpoint, EpochRecord, RunInfo, RunResult, Signal
from optiscope.storage import checkpoint, files, image, schema
from optiscope.storage.left import Left, left_behind, steps_in
from optiscope.whole import telling

COMMIT_STEPS = 10
COMMIT_SECONDS = 1.0

Recorded = Mapping[str, Mapping[str, npt.ArrayLike]]


class _Track:
    """The rows of one dataset that are not committed yet.

    `begin` is the number of the first of them. Those before number `stored` are in the file, and are compared.
    """

    __slots__ = ("_buffer", "_is_float", "_offset", "_start", "_stored", "dataset", "every")

    def __init__(self, dataset: schema.Dataset, offset: int, begin: int = 0, stored: int = 0) -> None:
        self.dataset = dataset
        self.every = dataset.every or "epoch"
        held = 1 if self.every == "epoch" else -(-COMMIT_STEPS // self.every)
        self._offset = offset
        self._start = begin
        self._stored = stored
        self._buffer = np.empty((held, *dataset.shape[1:]), "<" + dataset.dtype)
        self._is_float = self._buffer.ndim == 1 and self._buffer.dtype.kind == "f"

    def put(self, row: int, value: npt.ArrayLike) -> None:
        """Keep `value` as row number `row`; TypeError or ValueError where it does not fit."""
        if self._is_float and type(value) is float:
            self._buffer[row - self._start] = value
            return
        slot = self._buffer[row - self._start, ...]
        array = np.asarray(value)
        if array.shape != slot.shape:
            raise ValueError(f"shape {array.shape}")
        if not np.can_cast(array.dtype, slot.dtype, "same_kind"):
            raise TypeError(f"type {array.dtype}")
        slot[...] = array

    def leave(self, row: int) -> None:
        """Keep row number `row` as it was before anything was written."""
        self._buffer[row - self._start, ...] = self.dataset.fill

    def repeats(self, descriptor: int, end: int) -> bool:
        """Say whether the rows before number `end` are those that the file holds already, where it does."""
        known = max(0, min(end, self._stored) - self._start)
        if not known or "time" in self.dataset.path:
            return True
        data = self._buffer[:known].tobytes()
        return files.read_at(descriptor, len(data), self._at(self._start)) == data

    def write(self, descriptor: int, end: int) -> None:
        """Write the rows before number `end` to their place in the file, but for those that it holds already."""
        begin = max(self._start, min(end, self._stored))
        if end > begin:
            data = self._buffer[begin - self._start : end - self._start].tobytes()
            files.write_at(descriptor, data, self._at(begin))

    def _at(self, row: int) -> int:
        return self._offset + row * int(self._buffer[0].nbytes)

    def advance(self, end: int) -> None:
        """Forget the rows before number `end`: a commit vouches for them."""
        self._start = end

    def read(self, descriptor: int) -> npt.NDArray[Any]:
        """Return the committed rows from the file."""
        shape = (self._start, *self.dataset.shape[1:])
        data = files.read_at(descriptor, self._start * self._buffer[0].nbytes, self._offset)
        return np.frombuffer(data, self._buffer.dtype).reshape(shape)


class RunWriter:
    """A `Sink` that writes HDF5. Make one with `create` or `take_up`.

    End it with `finish`, or with `close` to leave a live file. As a context manager it closes on the way out, whatever
    happened inside. `kept` is where a run that was taken up goes on, and `repeats` how many steps a file held that are
    computed again.
    """

    def __init__(
        self,
        path: Path,
        info: RunInfo,
        lock: files.Lock,
        descriptor: int,
        layout: tuple[schema.Dataset, ...],
        root: Mapping[str, Any],
        offsets: Mapping[str, int],
        left: Left | None = None,
        repeats: int = 0,
    ) -> None:
        self.path = path
        self.kept = None if left is None else left.checkpoint
        self.repeats = repeats
        self._info = info
        self._lock: files.Lock | None = lock
        self._descriptor = descriptor
        self._layout = layout
        self._root = root
        self._state_offset = offsets[schema.RUN_STATE]
        self._n_steps = self._n_epochs = self._commits = self._status = 0
        self._stored = (0, 0)
        if left is not None:
            self._n_steps, self._n_epochs = left.checkpoint.step, len(left.checkpoint.epochs)
            self._stored, self._commits = (left.n_steps, left.n_epochs), left.commits
        self._tracks = [
            _Track(
                d,
                offsets[d.path],
                schema.rows(d.every, self._n_steps, self._n_epochs),
                schema.rows(d.every, *self._stored),
            )
            for d in layout
            if d.every is not None
        ]
        self._by_schedule: dict[schema.Every, list[_Track]] = {}
        self._declared: dict[str, set[str]] = {}
        for track in self._tracks:
            self._by_schedule.setdefault(track.every, []).append(track)
            recorder, name = track.dataset.source
            self._declared.setdefault(recorder, set()).add(name)
        self._committed = (self._n_steps, self._n_epochs)
        self._committed_at = time.monotonic()

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        info: RunInfo,
        signals: Mapping[str, tuple[Signal, ...]],
        overwrite: bool = False,
    ) -> Self:
        """Publish the live file of a run and return its writer; missing folders are made.

        `signals` maps each recorder's name to all that it will record. PluginError where a signal cannot be stored.
        FileError where `path` exists (unless `overwrite`), is being written, or cannot be written.
        """
        return cls._open(Path(path), info, signals, overwrite, go_on=False)

    @classmethod
    def take_up(cls, path: str | os.PathLike[str], info: RunInfo, signals: Mapping[str, tuple[Signal, ...]]) -> Self:
        """Go on with the live file that an earlier process left at `path`, or begin anew where that cannot be.

        It cannot be where there is no checkpoint yet, where the file has ended or is damaged, or where it is not that
        of this run in this environment. Errors are those of `create`.
        """
        return cls._open(Path(path), info, signals, overwrite=True, go_on=True)

    @classmethod
    def _open(
        cls, path: Path, info: RunInfo, signals: Mapping[str, tuple[Signal, ...]], overwrite: bool, go_on: bool
    ) -> Self:
        layout = schema.layout(info, signals)
        root: Mapping[str, Any] = schema.root_attributes(info)
        with telling(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = files.Lock(path)
            try:
                if path.exists() and not overwrite:
                    raise FileError(f"{path} exists: choose another folder, or ask for it to be overwritten")
                repeats = steps_in(path) if go_on else 0
                left = left_behind(path, layout, root) if go_on else None
                if left is None:
                    checkpoint.remove(checkpoint.path_of(path))
                    live = image.build_live(layout, root)
                    files.publish(path, live.data)
                    offsets: Mapping[str, int] = live.offsets
                else:
                    root, offsets, repeats = left.root, left.offsets, left.n_steps - left.checkpoint.step
                return cls(path, info, lock, os.open(path, os.O_RDWR), layout, root, offsets, left, repeats)
            except BaseException:
                lock.release()
                raise

    @property
    def committed(self) -> tuple[int, int]:
        """The numbers of steps and of epochs that the file vouches for."""
        return max(self._committed[0], self._stored[0]), max(self._committed[1], self._stored[1])

    def write_step(self, step: int, facts: Mapping[str, float], recorded: Recorded) -> None:
        """Take step number `step` (the next one, from 1), and commit if it is time.

        Without any `recorded`, as in the last row of a run that diverged, the recorders' signals stay NaN there.
        PluginError where a due value is missing or does not fit; FileError where the disk is full.
        """
        self._check_next("step", step, self._n_steps, self._info.steps)
        if self._n_steps - self._committed[0] >= COMMIT_STEPS:
            self._commit()
        values = {**recorded, "": {**facts, "step": step}}
        with np.errstate(over="ignore", invalid="ignore"):
            for every, tracks in self._by_schedule.items():
                if every != "epoch" and (step - 1) % every == 0:
                    row = (step - 1) // every
                    if not recorded:
                        silent = [track for track in tracks if track.dataset.source[0]]
                        tracks = [track for track in tracks if track not in silent]
                        for track in silent:
                            track.leave(row)
                    self._put(tracks, row, values, f"step {step}")
        self._refuse_undeclared(recorded)
        self._n_steps = step
        late = time.monotonic() - self._committed_at >= COMMIT_SECONDS
        if late or step - self._committed[0] >= COMMIT_STEPS:
            self._commit()

    def write_epoch(self, record: EpochRecord, recorded: Recorded) -> None:
        """Take the end of the next epoch and put everything so far on the disk for good (fsync)."""
        self._check_next("epoch", record.epoch, self._n_epochs, self._info.epochs)
        if self._n_epochs > self._committed[1]:
            self._commit()
        own = attrs.asdict(record) | {"digest": np.frombuffer(bytes.fromhex(record.digest or "00" * 32), "u1")}
        with np.errstate(over="ignore", invalid="ignore"):
            tracks = self._by_schedule.get("epoch", [])
            self._put(tracks, record.epoch - 1, {**recorded, "": own}, f"epoch {record.epoch}")
        self._refuse_undeclared(recorded)
        self._n_epochs = record.epoch
        self._commit(durable=True)

    def keep(self, kept: Checkpoint) -> None:
        """Put what the run can be taken up from beside the file, on the disk; FileError where there is no room."""
        self._check_open()
        where = checkpoint.path_of(self.path)
        with telling(where):
            checkpoint.write(where, kept)

    def finish(self, result: RunResult) -> None:
        """Take the end of the run: commit, then swap in the compressed file, and let go of it.

        FileError where there is no room for the compressed file: the live one, complete, then stays in its place.
        """
        self._check_open()
        self._stored = (0, 0)
        try:
            self._commit()
            self._status = schema.STATUS_CODES[result.status]  # the live file never has it: it is not the end yet
            root = {
                **self._root,
                "why": result.why,
                "first_bad_step": -1 if result.first_bad_step is None else result.first_bad_step,
                "wall_time": float(result.wall_time),
                "digest": result.digest,
            }
            with telling(self.path):
                values = {track.dataset.path: track.read(self._descriptor) for track in self._tracks}
                values[schema.RUN_STATE] = self._state()
                values[schema.OBSERVER_TIME] = self._observer_time(result)
                cut = tuple(
                    attrs.evolve(d, shape=(len(values[d.path]), *d.shape[1:])) if d.every is not None else d
                    for d in self._layout
                )
                files.publish(self.path, image.build_finished(cut, root, values), read_back=True)
                checkpoint.remove(checkpoint.path_of(self.path))
        finally:
            self._release()

    def close(self) -> None:
        """Commit what there is and leave the live file as it is, readable. After `finish`: nothing to do."""
        if self._lock is not None:
            try:
                self._commit()
            finally:
                self._release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _put(self, tracks: list[_Track], row: int, values: Recorded, when: str) -> None:
        for track in tracks:
            recorder, name = track.dataset.source
            try:
                track.put(row, values[recorder][name])
            except KeyError:
                raise PluginError(
                    f"recorder '{recorder}' gave no value for signal '{name}' at {when}: return one whenever it is due"
                ) from None
            except (TypeError, ValueError) as error:
                dataset = track.dataset
                raise PluginError(
                    f"recorder '{recorder}', signal '{name}' at {when}: expected shape {dataset.shape[1:]} of type "
                    f"{dataset.dtype}, got {error}: declare what is recorded, or record what was declared"
                ) from error

    def _refuse_undeclared(self, recorded: Recorded) -> None:
        for recorder, values in recorded.items():
            extra = values.keys() - self._declared.get(recorder, set())
            if extra:
                names = ", ".join(sorted(extra))
                raise PluginError(f"recorder '{recorder}' recorded {names}, which it did not declare: declare it")

    def _check_open(self) -> None:
        if self._lock is None:
            raise FileError(f"{self.path} is closed: make a new writer to record another run")

    def _check_next(self, kind: str, number: int, last: int, most: int) -> None:
        self._check_open()
        if number != last + 1 or number > most:
            raise FileError(
                f"{self.path} has {last} of {most} {kind}s, and {kind} {number} does not come next: write them in order"
            )

    def _state(self) -> npt.NDArray[np.int64]:
        steps, epochs = max(self._n_steps, self._stored[0]), max(self._n_epochs, self._stored[1])
        return np.array([steps, epochs, self._status, self._commits], "<i8")

    def _observer_time(self, result: RunResult) -> npt.NDArray[np.float64]:
        """Return the time of each observer that the file has a place for, NaN where the result does not know it."""
        scale = next(d.scales[0] for d in self._layout if d.path == schema.OBSERVER_TIME)
        names = next(d.values for d in self._layout if d.path == scale)
        return np.array([result.observer_time.get(name, np.nan) for name in names], "<f8")

    def _commit(self, durable: bool = False) -> None:
        """Write the waiting rows, then the record that vouches for them; `durable` fsyncs after each of the two."""
        ends = [schema.rows(track.every, self._n_steps, self._n_epochs) for track in self._tracks]
        with telling(self.path):
            for track, end in zip(self._tracks, ends, strict=True):
                if not track.repeats(self._descriptor, end):
                    raise NotRepeatedError(
                        f"{self.path} cannot be gone on with, as {track.dataset.path} does not come out as it is "
                        f"stored for steps {self._committed[0] + 1} to {self._n_steps}: go on where the run was begun, "
                        "or remove the file to begin it anew"
                    )
                track.write(self._descriptor, end)
            if durable:
                os.fsync(self._descriptor)
            self._commits += 1
            files.write_at(self._descriptor, self._state().tobytes(), self._state_offset)
            if durable:
                os.fsync(self._descriptor)
        for track, end in zip(self._tracks, ends, strict=True):
            track.advance(end)
        self._committed = (self._n_steps, self._n_epochs)
        self._committed_at = time.monotonic()

    def _release(self) -> None:
        lock, self._lock = self._lock, None
        if lock is not None:
            os.close(self._descriptor)
            lock.release()
