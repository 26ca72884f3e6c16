"""The version of the gateway. It stands here and nowhere else."""

VERSION = "0.1.0"
