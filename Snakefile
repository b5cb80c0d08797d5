"""The batch: which notebook runs with which parameters, and what it needs.

`notebooks/batch.yaml` lists the notebooks, `notebooks/profiles/` their parameters and variants. A run is named by a
digest of its code, parameters, data and library, so a run that exists is up to date, whatever the dates of files.
`make book` calls this; by hand: `snakemake --cores 2 --config profile=quick`.
"""

import sys
from pathlib import Path

from ecgkit.batch.plan import make_plan

PROFILE, DATA = config.get("profile", "quick"), config.get("data", "")
PLAN = make_plan(Path(workflow.basedir), PROFILE, DATA)
RUNS = {run.folder.name: run for run in PLAN.runs}
OPTIONS = ["--profile", PROFILE, "--data", DATA] if DATA else ["--profile", PROFILE]


def path(file):
    return str(file.relative_to(PLAN.root))


rule book:
    input:
        [path(run.record) for run in PLAN.runs],
    output:
        path(PLAN.stamp),
    params:
        python=sys.executable,
        options=[*OPTIONS, "--planned", PLAN.digest],
    localrule: True
    shell:
        "{params.python:q} -m ecgkit.batch pages {params.options:q}"


rule notebook:
    input:
        lambda wildcards: [path(read.record) for read in RUNS[wildcards.run].reads],
    output:
        f"_build/{PROFILE}/runs/{{run}}/record.json",
    params:
        python=sys.executable,
        name=lambda wildcards: RUNS[wildcards.run].name,
        options=OPTIONS,
    threads: lambda wildcards: RUNS[wildcards.run].threads
    shell:
        "{params.python:q} -m ecgkit.batch notebook {params.name} {params.options:q} --threads {threads} --planned {wildcards.run}"
