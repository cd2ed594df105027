"""A batch on more machines: through Dask, or as a script for a queue that runs the same command on each.

With Dask a worker process only waits: the submission runs in a sandboxed child of it, as everywhere, and the sandbox
has no network, so the scheduler's port is out of its reach. A worker that dies is the grader's fault, and its task is
not tried on others (they would die too); the next run of the batch takes it up.
"""

from __future__ import annotations

import argparse
import json
import math
import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grader.assignment import load_assignment
from grader.errors import UsageError
from grader.results import ROOT
from grader.secret import VARIABLE, secret_folder

if TYPE_CHECKING:
    from grader.grade_many import Work


def grade_there(work: Work, submission: Path) -> dict[str, Any] | None:
    """One submission, in a Dask worker."""
    from grader.grade_many import grade_one, sandbox_of

    return grade_one(work, submission, load_assignment(work.assignment), sandbox_of(work))


def with_dask(
    work: Work, jobs: int, scheduler: str | None, tls: Sequence[str] | None
) -> Iterator[tuple[Path, dict[str, Any] | None]]:
    """Results as they come, from the workers of a scheduler, or of a cluster of this machine made for it.

    Raises:
        UsageError: there is no Dask, or a scheduler of another machine is to be met without TLS.
    """
    try:
        import dask
        from distributed import Client, LocalCluster, Security, as_completed
    except ImportError:
        raise UsageError("--backend dask needs the extra `scale`: pip install -e '.[scale]'") from None
    if scheduler and not scheduler.startswith("tls://") and not is_this_machine(scheduler):
        raise UsageError(f"--scheduler {scheduler}: another machine only by tls://, with --tls CA CERT KEY")
    security = None
    if tls:
        names = ("tls_ca_file", "tls_client_cert", "tls_client_key")
        security = Security(require_encryption=True, **dict(zip(names, tls)))
    dask.config.set({"distributed.scheduler.allowed-failures": 0, "distributed.admin.tick.limit": "1h"})
    if scheduler:
        client, cluster = Client(scheduler, security=security), None
    else:
        cluster = LocalCluster(
            n_workers=jobs, threads_per_worker=1, processes=True, host="127.0.0.1", dashboard_address=None,
            memory_limit=0, nanny=True,
        )  # fmt: skip
        client = Client(cluster)
    try:
        futures = {
            client.submit(grade_there, work, path, pure=False, retries=0, key=f"{number}-{path.stem}"): path
            for number, path in enumerate(work.submissions)
        }
        for future in as_completed(futures):
            error = future.exception()
            if error:
                print(f"python -m grader: {futures[future].name}: lost: {error}", file=sys.stderr)
            yield futures[future], None if error else future.result()
    finally:
        client.close()
        if cluster:
            cluster.close()


def is_this_machine(address: str) -> bool:
    host = address.split("://")[-1].rsplit(":", 1)[0]
    return host in ("127.0.0.1", "localhost", "[::1]")


# Scripts for queues


def slurm_array(command: Sequence[str], submissions: int, jobs: int, args: argparse.Namespace) -> str:
    """A job array: a task for each submission, and a job that makes the tables when all are done."""
    grader = f"{shlex.quote(sys.executable)} -m grader {shlex.join(command)}"
    hours, minutes = divmod(longest_minutes(args), 60)
    root, logs = shlex.quote(str(ROOT)), shlex.quote(str(Path(args.out).resolve() / "logs"))
    return f"""\
#!/bin/bash
# Submit by: sbatch THIS_FILE; it submits the job that makes the tables itself. Tasks that are done are passed over.
#SBATCH --job-name=grade
#SBATCH --array=0-{submissions - 1}%{jobs}
#SBATCH --cpus-per-task=1
#SBATCH --mem=4G
#SBATCH --time={hours:02}:{minutes:02}:00
#SBATCH --output=/dev/null
cd {root} && mkdir -p {logs} || exit
if [ "$SLURM_ARRAY_TASK_ID" = "$SLURM_ARRAY_TASK_MIN" ]; then
  sbatch --dependency=afterany:"$SLURM_ARRAY_JOB_ID" --wrap {shlex.quote(f"cd {root} && {grader} --collect")}
fi
{grader} --index "$SLURM_ARRAY_TASK_ID" > {logs}/"$SLURM_ARRAY_TASK_ID".log 2>&1
"""


def k8s_job(command: Sequence[str], submissions: int, jobs: int, args: argparse.Namespace) -> str:
    """An indexed Job; submissions, results and a secret test set lie in a volume that all nodes see, at the paths that
    they have here. YAML, as JSON is. An index that fails is a fault of the grader, and ends no other index."""
    shell = f'exec python -m grader {shlex.join(command)} --index "$JOB_COMPLETION_INDEX"'
    folders = {str(Path(folder).resolve()) for folder in (args.folder, args.out)}
    secret = [str(secret_folder().resolve())] if secret_folder().is_dir() else []
    resources = {"cpu": "1", "memory": "4Gi"}
    container = {
        "name": "grade",
        "image": args.image,
        "command": ["/bin/sh", "-c", shell],
        "env": [{"name": VARIABLE, "value": folder} for folder in secret],
        "resources": {"requests": resources, "limits": resources},
        "volumeMounts": [
            {"name": "class", "mountPath": folder, "subPath": folder.strip("/")}
            for folder in sorted({*folders, *secret})
        ],
    }
    pod = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "containers": [container],
        "volumes": [{"name": "class", "persistentVolumeClaim": {"claimName": "class"}}],
    }
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "grade"},
        "spec": {
            "completionMode": "Indexed",
            "completions": submissions,
            "parallelism": jobs,
            "backoffLimitPerIndex": 0,
            "template": {"spec": pod},
        },
    }
    note = (
        "# kubectl apply -f THIS_FILE (Kubernetes 1.29 or newer); when it is done, the same command with --collect\n"
        "# in place of --index. The image has this repository as its working directory, and its requirements;\n"
        f"# the volume claim `class` holds, at these paths: {', '.join(sorted({*folders, *secret}))}\n"
    )
    return note + json.dumps(job, indent=2) + "\n"


def longest_minutes(args: argparse.Namespace) -> int:
    """What one submission can take: all of its runs to their limits, and ten minutes for the rest."""
    assignment = load_assignment(args.assignment)
    profile = assignment.profiles[args.profile]
    seconds = sum(
        min(stage.limits.wall, profile.wall) * (1 if stage.kind == "unit" else len(profile.seeds))
        for stage in assignment.stages
    )
    return 10 + math.ceil(seconds / 60)


EMITTERS = {"slurm-array": slurm_array, "k8s-job": k8s_job}
