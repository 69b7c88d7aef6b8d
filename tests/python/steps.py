"""Prints the steps of a CI file as JSON: python3 steps.py FILE. A step is its script, its variables and its shell."""

import json
import sys

from ruamel.yaml import YAML

with open(sys.argv[1], encoding="utf-8") as file:
    document = YAML(typ="safe").load(file)
if "runs" in document:
    steps = [{"run": step["run"], "env": step.get("env", {})} for step in document["runs"]["steps"]]
else:
    jobs = [job for job in document.values() if isinstance(job, dict) and "script" in job]
    steps = [{"run": "\n".join(job["script"]), "env": job.get("variables", {})} for job in jobs]
inputs = {name: one.get("default", "") for name, one in document.get("inputs", {}).items()}
print(json.dumps({"inputs": inputs, "steps": steps}))
