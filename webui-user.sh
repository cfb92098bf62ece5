#!/usr/bin/env bash
# Your own settings for webui.sh: take the # away in front of a line and change it.

# Flags for every start, for example: --listen --port 8080 --api
#export COMMANDLINE_ARGS=""

# The Python to start with (3.11 or newer), and the folder of the environment made with it ("-" for none).
#export PYTHON="python3"
#export VENV_DIR=".venv"

# Where the packages come from: a mirror, and a build of torch other than the one chosen for this machine.
#export INDEX_URL=""
#export TORCH_INDEX_URL=""
#export TORCH_COMMAND=""
