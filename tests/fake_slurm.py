"""Stand-ins for the commands of SLURM that run an array's jobs at once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

_COMMANDS = {
    "sbatch": """#!/bin/bash
last=$(sed -n 's/^#SBATCH --array=0-\\([0-9]*\\).*/\\1/p' "$1")
grep -q -- --partition=rooms "$1" || exit 1
echo "$last" >> "$0.log"
echo Submitted batch job 4242
export SLURM_NTASKS=1 SLURM_JOB_NUM_NODES=1 SLURM_NODEID=0 SLURM_PROCID=0 SLURM_LOCALID=0 SLURM_ARRAY_JOB_ID=4242
for task in $(seq 0 "$last"); do
    SLURM_JOB_ID=$((5000 + task)) SLURM_ARRAY_TASK_ID=$task bash "$1" > /dev/null 2>&1 &
done
""",
    "srun": """#!/bin/bash
shift 5  # --unbuffered --output FILE --error FILE
exec "$@"
""",
    "sacct": "#!/bin/bash\necho 'JobID|State|NodeList'\n",
}


def install_fake_slurm(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Puts the commands first on the path; ``rooms`` is the one partition. Returns a log with an array's last index."""
    folder.mkdir()
    for name, script in _COMMANDS.items():
        (folder / name).write_text(script)
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder / "sbatch.log"
