"""Prints the steps of a CI file as JSON: python3 steps.py FILE. A step is its script, its variables and its shell."""

import json
import sys

from ruamel.yaml import YAML

with open(sys.argv[1], encoding="utf-8") as file:
    # Of a component of GitLab the first document says which inputs there are.
    document = list(YAML(typ="safe").load_all(file))[-1]
if "runs" in document:
    steps = [{"run": step["run"], "env": step.get("env", {})} for step in document["runs"]["steps"]]
else:
    jobs = {name: job for name, job in document.items() if isinstance(job, dict) and "script" in job}
    steps = [
        {"name": name, "run": "\n".join(job["script"]), "env": job.get("variables", {})} for name, job in jobs.items()
    ]
inputs = {name: one.get("default", "") for name, one in document.get("inputs", {}).items()}
print(json.dumps({"inputs": inputs, "steps": steps}))
