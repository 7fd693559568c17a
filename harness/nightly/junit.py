"""A night as JUnit XML, for CI: a test case a series that was measured, and one a cell that failed. Pure."""

from collections.abc import Sequence
from xml.etree.ElementTree import Element, SubElement, tostring

from harness.analyse.history.found import NightFound
from harness.analyse.history.values import Series
from harness.nightly.telling import how_much, how_sure, name_of
from harness.nightly.values import Alert
from harness.render.words import clean


def junit(found: NightFound, series: Sequence[Series], alerts: Sequence[Alert]) -> bytes:
    """Failures are alerts and series that are missing for too long; errors are cells that failed."""
    suite = Element("testsuite", name=clean(f"bench nightly {found.suite}"), timestamp=found.ended.removesuffix("Z"))
    bad = {alert.series.id: alert for alert in alerts}
    missing = set(found.missing)
    for one in series:
        case = SubElement(suite, "testcase", classname=_class(found, one.device, one.variant), name=_name(one))
        if one.id in bad:
            change = bad[one.id].change
            said = f"{how_much(one, change)}; {how_sure(one, change)}"
            SubElement(case, "failure", type="alert", message=said).text = f"{name_of(one)}: {said}"
        elif one.id in missing:
            what = one.missing[-1] if one.missing else None
            said = f"no value for {what.nights} nights: {clean(what.what)}" if what else "no value for several nights"
            SubElement(case, "failure", type="missing", message=said).text = said
    for cell in found.failures:
        case = SubElement(suite, "testcase", classname=_class(found, cell.device, None), name=clean(cell.what))
        SubElement(case, "error", type=clean(cell.status), message=clean(cell.reason)).text = clean(cell.reason)
    counts = {kind: sum(1 for _ in suite.iter(kind)) for kind in ("testcase", "failure", "error")}
    suite.set("tests", str(counts["testcase"]))
    suite.set("failures", str(counts["failure"]))
    suite.set("errors", str(counts["error"]))
    suite.set("skipped", "0")
    root = Element("testsuites")
    root.append(suite)
    body: bytes = tostring(root, encoding="utf-8", xml_declaration=True)
    return body + b"\n"


def _class(found: NightFound, device: str, variant: str | None) -> str:
    return ".".join(clean(part).replace(".", "_") for part in (found.suite, device, variant) if part)


def _name(series: Series) -> str:
    return clean(f"{series.workload} {series.metric}")
