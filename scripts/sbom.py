#!/usr/bin/env python3
"""The bill of materials of a build, as SPDX 2.3 (JSON) on standard output: the Swift packages that were compiled, with version
and revision, and the system's libraries that the programs load, with the Debian package of each.

  sbom.py DIRECTORY      where vswitchd and vsctl are: a build's, as `swift build --show-bin-path` says
"""
import json
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
# Of packages that are there for Perf alone.
NOT_SHIPPED = {"benchmark", "package-jemalloc", "hdrhistogram-swift", "texttable"}


def swift_packages():
    """What the build was made of: SwiftPM's own record of it, held against what Package.swift asks for."""
    state = json.loads((ROOT / ".build" / "workspace-state.json").read_text())
    found = {}
    for dependency in state["object"]["dependencies"]:
        reference, checkout = dependency["packageRef"], dependency["state"].get("checkoutState", {})
        found[reference["identity"]] = (checkout.get("version"), checkout.get("revision"), reference["location"])
    asked = re.findall(r'\.package\(url: "([^"]+)", exact: "([^"]+)"\)', (ROOT / "Package.swift").read_text())
    for location, version in asked:
        identity = location.rsplit("/", 1)[1].removesuffix(".git").lower()
        if identity not in found:
            sys.exit(f"{identity} was not resolved: build first")
        if found[identity][0] != version:
            sys.exit(f"{identity} was built as {found[identity][0]}, Package.swift asks for {version}: build again")
    return {name: entry for name, entry in found.items() if name not in NOT_SHIPPED}


def system_libraries(directory):
    """Debian packages, with versions, of the shared libraries that the programs load."""
    packages = {}
    for program in ("vswitchd", "vsctl"):
        listed = subprocess.run(["ldd", str(directory / program)], capture_output=True, text=True, check=True).stdout
        for path in re.findall(r"=> (/\S+)", listed):
            # dpkg knows a file by the name that it was installed under, with or without /usr.
            real = os.path.realpath(path)
            for name in (real, real.removeprefix("/usr")):
                owner = subprocess.run(["dpkg-query", "-S", name], capture_output=True, text=True).stdout
                if owner:
                    package = owner.split(":")[0]
                    packages[package] = subprocess.run(
                        ["dpkg-query", "-W", "-f", "${Version}", package], capture_output=True, text=True).stdout
                    break
    return packages


def package(kind, name, version, location, purl):
    return {
        "SPDXID": f"SPDXRef-{kind}-{re.sub('[^A-Za-z0-9.]', '-', name)}", "name": name, "versionInfo": version,
        "downloadLocation": location, "filesAnalyzed": False, "licenseConcluded": "NOASSERTION",
        "licenseDeclared": "NOASSERTION", "copyrightText": "NOASSERTION",
        "externalRefs": [{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": purl}],
    }


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    directory = pathlib.Path(sys.argv[1])
    if not (directory / "vswitchd").exists():
        sys.exit(f"{directory} has no vswitchd: build first")
    version = subprocess.run(
        [str(directory / "vswitchd"), "--version"], capture_output=True, text=True, check=True).stdout.split()[-1]
    packages = [package("Package", "vswitch", version, "NOASSERTION", f"pkg:generic/vswitch@{version}")]
    for name, (built, revision, location) in sorted(swift_packages().items()):
        packages.append(package(
            "Swift", name, built, f"git+{location}@{revision}",
            f"pkg:swift/{location.removeprefix('https://').removesuffix('.git')}@{built}"))
    for name, installed in sorted(system_libraries(directory).items()):
        packages.append(package(
            "Debian", name, installed, "NOASSERTION", f"pkg:deb/debian/{name}@{installed}"))
    root = packages[0]["SPDXID"]
    relationships = [{"spdxElementId": "SPDXRef-DOCUMENT", "relationshipType": "DESCRIBES", "relatedSpdxElement": root}]
    relationships += [
        {"spdxElementId": root, "relationshipType": "DEPENDS_ON", "relatedSpdxElement": entry["SPDXID"]}
        for entry in packages[1:]]
    print(json.dumps({
        "spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT", "name": f"vswitch-{version}",
        "documentNamespace": f"urn:vswitch:sbom:{version}",
        # The same build gives the same text: no time of making.
        "creationInfo": {"created": "1970-01-01T00:00:00Z", "creators": ["Tool: vswitch-sbom"]},
        "packages": packages, "relationships": relationships}, indent=2))


main()
