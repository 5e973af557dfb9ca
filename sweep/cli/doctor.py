"""The `doctor` command: checks the set-up, then every study in the store."""

import sys

from sweep.cli.setup_check import Check, check_setup
from sweep.cli.terminal import print_json
from sweep.recovery.findings import Finding, View
from sweep.recovery.reconcile import reconcile
from sweep.store import storage
from sweep.store.home import Home
from sweep.store.secrets import redact
from sweep.store.study_view import StudyView
from sweep.tracking.client import Tracker
from sweep.tracking.linking import linker


def doctor_command(home: Home, fix: bool, as_json: bool) -> int:
    """Check, and repair with `fix`; returns exit code 0 where all is well or was repaired, 1 otherwise."""
    checks = check_setup(home)
    findings: list[Finding] = []
    if home.has_stores():
        try:
            findings = _findings(home, fix)
        except Exception as error:  # MLflow's client raises a dozen kinds for a server that does not answer
            text = f"{storage.display_url(home.mlflow_url)}: {' '.join(redact(str(error)).split())[:300]}"
            checks.append(Check("tracking store", False, text))
    good = all(check.ok for check in checks) and (fix or not findings)
    if as_json:
        print_json(
            {
                "ok": good,
                "checks": [vars(check) for check in checks],
                "findings": [finding.as_dict() for finding in findings],
                "mended": fix,
            }
        )
    else:
        _show(checks, findings, fix)
    return 0 if good else 1


def _findings(home: Home, fix: bool) -> list[Finding]:
    home.create()
    store = storage.open_optuna(home)
    tracker = Tracker(home)
    found: list[Finding] = []
    for name in storage.stored_names(store):
        study = storage.load(store, name)
        if StudyView.of(study).is_linked:  # else it is being created, or its creation failed
            view = View(study, home, tracker, linker(store))
            found += [f for f in reconcile(view, fix) if f not in found]
    return found


def _show(checks: list[Check], findings: list[Finding], fix: bool) -> None:
    for check in checks:
        print(f"{'ok ' if check.ok else 'BAD'}  {check.name}: {check.text}")
    for finding in findings:
        print(f"{'mended' if fix else 'found '}  {finding.study}: {finding.text}")
    if not findings:
        print("the stores agree")
    elif not fix:
        print(f"{len(findings)} to repair: python -m sweep doctor --fix", file=sys.stderr)
