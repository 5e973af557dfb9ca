"""The `doctor` command: checks the set-up, then every study in the store."""

import sys

from sweep.cli.setup_check import Check, check_setup
from sweep.cli.terminal import print_json
from sweep.errors import UserError
from sweep.recovery.findings import Finding, View
from sweep.recovery.reconcile import reconcile
from sweep.store import storage
from sweep.store.home import Home
from sweep.store.links import run_linker, study_link
from sweep.store.secrets import redact
from sweep.tracking import trackers
from sweep.tracking.trackers import TrackerError


def doctor_command(home: Home, fix: bool, as_json: bool) -> int:
    """Check, and repair with `fix`; returns exit code 0 where all is well or was repaired, 1 otherwise."""
    checks = check_setup(home)
    findings: list[Finding] = []
    if home.has_stores():
        try:
            findings = _findings(home, fix)
        except (TrackerError, UserError) as error:
            checks.append(Check("tracking store", False, " ".join(redact(str(error)).split())[:300]))
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
    found: list[Finding] = []
    for name in storage.stored_names(store):
        study = storage.load(store, name)
        if study_link(study):  # else it is being created, or its creation failed
            tracker = trackers.build(home, study)
            view = View(study, home, tracker, run_linker(store))
            try:
                found += [f for f in reconcile(view, fix) if f not in found]
            except Exception as error:  # a client raises a dozen kinds for a server that does not answer
                raise TrackerError(f"{tracker.location}: {error}") from error
    return found


def _show(checks: list[Check], findings: list[Finding], fix: bool) -> None:
    for check in checks:
        print(f"{'ok ' if check.ok else 'BAD'}  {check.name}: {check.text}")
    for finding in findings:
        print(f"{'fixed' if fix else 'found'}  {finding.study}: {finding.text}")
    if not findings:
        print("the stores agree")
    elif not fix:
        print(f"{len(findings)} to repair: python -m sweep doctor --fix", file=sys.stderr)
