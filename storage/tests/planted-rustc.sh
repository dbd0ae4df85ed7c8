#!/bin/sh
# Called by cargo instead of rustc, for the crates of this workspace alone: everybody else's stay as they are built.
exec "$@" --cfg ofd_planted
