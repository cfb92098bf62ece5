@echo off
rem Your own settings; double-click this file to start Easel.

rem Flags for every start, for example: --listen --port 8080 --api
set COMMANDLINE_ARGS=

rem The Python to start with (3.11 or newer), and the folder of the environment made with it (- for none).
set PYTHON=
set VENV_DIR=

rem Where the packages come from: a mirror, and a build of torch other than the one chosen for this machine.
rem set INDEX_URL=
rem set TORCH_INDEX_URL=
rem set TORCH_COMMAND=

call "%~dp0webui.bat" %*
