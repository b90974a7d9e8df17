#!/usr/bin/env python3
"""Cost of a packet in instructions, heap allocations and reference counting, counted by valgrind.

Every figure is the difference of two runs that differ in the number of packets alone, so that starting costs nothing;
it is the same for the same program, whatever else the machine does.

  measure.py PROGRAM                   all scenarios, against Perf/thresholds; exits with 1 if one is over
  measure.py PROGRAM SCENARIO...       these alone
  measure.py PROGRAM --functions SCENARIO   where its instructions go, by function
"""

import os
import pathlib
import re
import subprocess
import sys
import tempfile

THRESHOLDS = pathlib.Path(__file__).parent.parent / "thresholds"
# What the packet path must not call per packet: reference counting, exclusivity checks, the heap.
FORBIDDEN = re.compile(
    r"^(swift_(retain|release|bridgeObject(Retain|Release)|beginAccess|endAccess|allocObject|deallocObject|dealloc\w*|"
    r"isUniquelyReferenced\w*|slowAlloc|slowDealloc|once|dynamicCast\w*)\w*|malloc|calloc|realloc|free|posix_memalign|"
    r"aligned_alloc|memalign)('\d+)?$")


# `Worker.round`: what is called there, and from there, is the packet path's. Starting is not: it counts references as
# random seeds will have it, some dozens more or less from run to run.
ROUND = "$s8Datapath6WorkerC5round8maySleepySb_tF"


def thresholds():
    """Rows of the table: scenario, most instructions, most allocations, rounds of the longer run."""
    rows = {}
    for line in THRESHOLDS.read_text().splitlines():
        fields = line.split("#")[0].split()
        if fields:
            rows[fields[0]] = tuple(int(field) for field in fields[1:4])
    return rows


def run(tool, program, rounds, scenario, burst):
    # Dictionaries of the same order in every run: setting up costs the same then.
    result = subprocess.run(
        ["valgrind", *tool, program, str(rounds), scenario, str(burst)], capture_output=True, text=True,
        env=dict(os.environ, SWIFT_DETERMINISTIC_HASHING="1"))
    if result.returncode != 0:
        sys.exit(f"{scenario}: {program} failed\n{result.stdout}{result.stderr}")
    return result.stderr


def callgrind(program, rounds, scenario, burst=32, within=None):
    """Instructions in all, instructions by function, and calls by function called; of one function alone, if it is named."""
    options = [f"--toggle-collect={within}"] if within else []
    with tempfile.NamedTemporaryFile(prefix="callgrind-") as output:
        run(["--tool=callgrind", *options, f"--callgrind-out-file={output.name}"], program, rounds, scenario, burst)
        lines = pathlib.Path(output.name).read_text(errors="replace").splitlines()
    names, own, calls = {}, {}, {}
    total, function, called, skip = 0, None, None, False

    def name(text):
        number, _, rest = text.partition(" ")
        if rest:
            names[number] = rest
        return names[number]

    for line in lines:
        if line.startswith("fn="):
            function = name(line[3:])
        elif line.startswith("cfn="):
            called = name(line[4:])
        elif line.startswith("calls="):
            count = int(line[6:].split()[0])
            calls[called] = calls.get(called, 0) + count
            skip = True
        elif line[:1] in "+-*0123456789" and line:
            if skip:  # the cost of the call, counted at the function called
                skip = False
                continue
            cost = int(line.split()[1])
            own[function] = own.get(function, 0) + cost
            total += cost
    return total, own, calls


def allocations(program, rounds, scenario):
    text = run(["--tool=memcheck", "--undef-value-errors=no"], program, rounds, scenario, 32)
    return int(re.search(r"total heap usage: ([0-9,]*) allocs", text)[1].replace(",", ""))


def forbidden_calls(calls):
    return {name: count for name, count in calls.items() if FORBIDDEN.match(name)}


def measure(program, scenario, many):
    """Instructions per packet; allocations of all packets; forbidden calls per packet, by name."""
    few = many // 4
    rounds = many - few
    first, second = (callgrind(program, count, scenario)[0] for count in (few, many))
    heap = allocations(program, many, scenario) - allocations(program, few, scenario)
    # A round may count references, as for each port; a packet must not. Bursts of other sizes tell them apart.
    calls = {}
    for burst in (8, 32):
        for count in (few, many):
            total, _, calls[burst, count] = callgrind(program, count, scenario, burst, within=ROUND)
            if total == 0:
                sys.exit(f"{scenario}: {program} has no function {ROUND}: calls can't be counted")
    per_packet = {}
    for name in forbidden_calls({name: 1 for counts in calls.values() for name in counts}):
        large, small = (calls[burst, many].get(name, 0) - calls[burst, few].get(name, 0) for burst in (32, 8))
        slope = (large - small) / (rounds * (32 - 8))
        if abs(slope) > 0.001:
            per_packet[name] = slope
    return (second - first) / (rounds * 32), heap, per_packet


def functions(program, scenario, many):
    few = many // 4
    _, first, _ = callgrind(program, few, scenario)
    _, second, _ = callgrind(program, many, scenario)
    packets = (many - few) * 32
    rows = [((second[name] - first.get(name, 0)) / packets, name) for name in second]
    rows = sorted((row for row in rows if row[0] >= 0.5), reverse=True)
    demangled = subprocess.run(
        ["swift", "demangle", "--compact", "--simplified"], input="\n".join(name for _, name in rows),
        capture_output=True, text=True).stdout.splitlines()
    for (cost, _), name in zip(rows, demangled):
        print(f"{cost:10.1f}  {name[:110]}")


def main():
    arguments = sys.argv[1:]
    if not arguments:
        sys.exit(__doc__)
    limits = thresholds()
    with tempfile.TemporaryDirectory() as folder:
        # valgrind 3.19 can't read Swift's DWARF 5.
        program = f"{folder}/{pathlib.Path(arguments[0]).name}"
        subprocess.run(["strip", "-g", arguments[0], "-o", program], check=True)
        scenarios = [argument for argument in arguments[1:] if not argument.startswith("-")] or list(limits)
        if "--functions" in arguments:
            for scenario in scenarios:
                functions(program, scenario, limits[scenario][2])
            return 0
        print(f"{'scenario':<12} {'instructions':>12} {'limit':>8} {'allocations':>12} {'limit':>6}  result, a packet")
        status = 0
        for scenario in scenarios:
            most, most_heap, many = limits[scenario]
            cost, heap, calls = measure(program, scenario, many)
            packets = (many - many // 4) * 32
            problems = []
            if cost > most:
                problems.append("too many instructions")
            if heap > most_heap * packets:
                problems.append("allocates")
            problems += [f"{count:.2f} {name}" for name, count in calls.items()]
            print(
                f"{scenario:<12} {cost:>12.1f} {most:>8} {heap / packets:>12.4f} {most_heap:>6}  "
                f"{', '.join(problems) or 'ok'}", flush=True)
            if problems:
                status = 1
        return status


sys.exit(main())
