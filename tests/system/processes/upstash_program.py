"""The double of Upstash in a process of its own: in the tests' own it would wait for whatever they do."""

from __future__ import annotations

import json
import sys

from tests.system.processes.others_redis import OthersRedis
from tests.unit.store.upstash_double import running_upstash


def main(port: int) -> None:
    with running_upstash(OthersRedis(port)) as double:
        print(json.dumps(double.environ), flush=True)
        sys.stdin.read()  # until whoever started us closes it, or is gone


if __name__ == "__main__":
    main(int(sys.argv[1]))
