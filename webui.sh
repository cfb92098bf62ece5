#!/usr/bin/env bash
# Starts Easel on Linux and macOS. Your own settings go into webui-user.sh.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd) || exit 1
if [[ -f "$here/webui-user.sh" ]]; then
  # shellcheck source=webui-user.sh
  source "$here/webui-user.sh"
fi

# Exported, so that what webui-user.sh merely sets arrives too; python_cmd and venv_dir are AUTOMATIC1111's names.
PYTHON=${PYTHON:-${python_cmd:-}}
VENV_DIR=${VENV_DIR:-${venv_dir:-}}
export COMMANDLINE_ARGS PYTHON VENV_DIR INDEX_URL TORCH_INDEX_URL TORCH_COMMAND

if [[ -z "${PYTHON:-}" ]]; then
  for candidate in python3 python3.13 python3.12 python3.11; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      PYTHON=$candidate
      break
    fi
  done
fi
if [[ -z "${PYTHON:-}" ]]; then
  echo "Easel needs Python 3.11 or newer, and none was found. Install it, or name it as PYTHON in webui-user.sh." >&2
  exit 1
fi

exec "$PYTHON" "$here/webui.py" "$@"
