"""Why a verdict is what it is, in one sentence, and where the endpoints of a claim disagree."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from sweep.evidence.finding import Finding, Judged
from sweep.evidence.looks import LOOKS


def because(judged: Judged) -> Judged:
    """The same with its reason."""
    return replace(judged, why=_reason(judged))


def disagreement(judged: Iterable[Judged]) -> str | None:
    """A sentence for the endpoints of one claim that have different verdicts; None where they agree."""
    verdicts: dict[str, list[str]] = {}
    for each in judged:
        verdicts.setdefault(each.verdict, []).append(each.endpoint.title)
    if len(verdicts) < 2:
        return None
    parts = "; ".join(f"{verdict} on {_listed(titles)}" for verdict, titles in verdicts.items())
    opposed = {"supported", "contradicted"} <= verdicts.keys()
    return f"The verdict {'turns on' if opposed else 'depends on'} the endpoint: {parts}."


def side_name(arms: Sequence[str]) -> str:
    """Arms as text: a, b and c."""
    return _listed(arms)


def contrast_name(finding: Finding) -> str:
    """What a contrast predicts, as text."""
    verb = "no better than" if finding.contrast.not_better else "worse than"
    return f"{side_name(finding.worse.arms)} {verb} {side_name(finding.better.arms)}"


def _reason(judged: Judged) -> str:
    at = f"at the look of {judged.look} blocks" if judged.look else f"in {judged.blocks} columns"
    if judged.verdict == "supported":
        return f"All that it predicts was found {at}: {_all(judged.findings)}."
    if judged.verdict == "contradicted":
        return f"It is excluded {at}: {'; '.join(_excluded(f) for f in judged.findings if f.excluded)}."
    open_ones = [finding for finding in judged.findings if not finding.found or _settled_small(finding)]
    undecided = (
        f"not decided {at}: {_all(open_ones)}" if judged.look or judged.claim.paired == "column" else ""
    )
    if judged.missing:
        gaps = _listed([f"{arm} in block {block}" for arm, block in judged.missing])
        return f"The look of {judged.next_look} blocks waits for {gaps}: not run yet, or crashed."
    if judged.next_look is not None:
        wait = f"{judged.blocks} of the {judged.next_look} blocks for the next look are at hand"
    elif judged.claim.paired == "column":
        wait = ""
    elif judged.look == LOOKS[-1]:
        wait = "it was the last look"
    else:
        wait = "the study has no more blocks for another look"
    return _sentence(undecided, wait)


def _sentence(*parts: str) -> str:
    text = "; ".join(filter(None, parts))
    return f"{text[:1].upper()}{text[1:]}."


def _settled_small(finding: Finding) -> bool:
    return finding.excluded and not finding.contrast.not_better


def _all(findings: Iterable[Finding]) -> str:
    return "; ".join(contrast_name(finding) for finding in findings)


def _excluded(finding: Finding) -> str:
    worse, better = side_name(finding.worse.arms), side_name(finding.better.arms)
    if finding.contrast.not_better:
        return f"{worse} better than {better}"
    return f"{worse} not worse than {better} by {100 * finding.contrast.margin:g} % or more"


def _listed(names: Sequence[str]) -> str:
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"
