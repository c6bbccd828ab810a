"""Sums up what pip-audit wrote for each pinned set: findings, and what nobody could look up."""

import json
import sys
from pathlib import Path

CLEAN, VULNERABLE, UNKNOWN = 0, 1, 3


def main(folder: Path) -> int:
    """Print findings. Returns the exit status."""
    findings: set[str] = set()
    unanswered: set[str] = set()
    reports = sorted(folder.glob("*.json"))
    for report in reports:
        for package in json.loads(report.read_text())["dependencies"]:
            name = package["name"]
            if "skip_reason" in package:
                unanswered.add(name)
            for advisory in package.get("vulns", []):
                fixed = ", ".join(advisory["fix_versions"]) or "no version"
                findings.add(f"{name} {package['version']}: {advisory['id']} (fixed in {fixed})")
    for finding in sorted(findings):
        print(finding)
    if findings:
        return VULNERABLE
    if not reports:
        print("audit: the advisory database did not answer; NOTHING WAS AUDITED")
        return UNKNOWN
    if unanswered:
        print(f"audit: {len(unanswered)} packages could not be looked up; THEY WERE NOT AUDITED")
        return UNKNOWN
    print("audit: no known vulnerability in any pinned package")
    return CLEAN


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
