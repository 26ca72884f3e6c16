"""Unpacking in steps: whole, however the bytes come and whatever they unpack to."""

from __future__ import annotations

import gzip
import zlib

import pytest

from lib.files.inflate import STEP_BYTES, BrokenCompression, Inflater


def unpack(*pieces: bytes) -> bytes:
    inflater = Inflater()
    out = [step for piece in pieces for step in inflater.feed(piece)]
    out += inflater.end()
    assert all(0 < len(step) <= STEP_BYTES for step in out)
    return b"".join(out)


@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress])
@pytest.mark.parametrize("extra", [*range(-300, 301, 20), 3 * STEP_BYTES])
def test_what_ends_at_any_place_within_a_step(pack: type[bytes], extra: int) -> None:
    data = bytes(STEP_BYTES + extra)
    packed = pack(data)
    assert unpack(packed) == data
    assert unpack(*[packed[at : at + 1] for at in range(len(packed))]) == data


def test_members_cut_anywhere_are_one_file() -> None:
    packed = gzip.compress(b"one, ") + gzip.compress(b"two")
    for at in range(len(packed)):
        assert unpack(packed[:at], packed[at:]) == b"one, two"


def test_what_has_no_end_is_broken() -> None:
    packed = gzip.compress(b"one")
    for at in range(len(packed)):
        with pytest.raises(BrokenCompression):
            unpack(packed[:at])


def test_pending_output_is_given_at_the_end() -> None:
    """Without its checksum, zlib has said all and not yet ended."""
    inflater = Inflater()
    packed = zlib.compress(bytes(STEP_BYTES + 200))
    assert sum(map(len, inflater.feed(packed[:-4]))) <= STEP_BYTES + 200
    with pytest.raises(BrokenCompression):
        list(inflater.end())
