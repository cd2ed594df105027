#!/usr/bin/env bash
# Run once, as root, when Gradescope builds the image.
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive

# bubblewrap gives the strictest sandbox where the container may use it; the grader finds that out, and does without
apt-get update -qq || echo "setup: no package lists"
apt-get install -y -qq python3 python3-venv || echo "setup: python3 as it is"
apt-get install -y -qq bubblewrap || echo "setup: no bubblewrap; another kind of sandbox will be used"

python=python3
for candidate in python3.13 python3.12 python3.11 python3.10; do
  "$candidate" -c 'import ensurepip, venv' 2> /dev/null && python=$candidate && break  # apt's may come without
done
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 10) and "setup: Python 3.10 or newer is needed; choose a newer image")'

"$python" -m venv /autograder/venv
pip="/autograder/venv/bin/python -m pip install --quiet --no-cache-dir --disable-pip-version-check"
# the build without a GPU's libraries saves gigabytes; where its index cannot be reached, the usual one will do
$pip --index-url https://download.pytorch.org/whl/cpu @TORCH@ || echo "setup: PyTorch from the usual index"
$pip -r /autograder/source/package/requirements.txt
chmod -R go+rX,go-w /autograder/venv

# gold tags, tests and scorer: for root alone
chown -R root:root /autograder/source
chmod -R go-rwx /autograder/source
