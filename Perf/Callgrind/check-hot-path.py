#!/usr/bin/env python3
"""Looks for reference counting, exclusivity checks and heap calls inside the loops over packets of a program.

  check-hot-path.py PROGRAM

Callgrind counts such calls on the way between memory ports (measure.py). Taps and packet sockets need the kernel, so
their functions are read instead: a call between the target of a backward jump and that jump is in a loop. x86-64.
Exits with 1 if there is one.
"""

import re
import subprocess
import sys

# Functions whose loops are over packets, as demangled names begin.
FUNCTIONS = [
    "Datapath.Burst.processPending(", "Datapath.Burst.(process in ", "Datapath.Burst.(unicast in ",
    "Datapath.Burst.(flood in ", "Datapath.Burst.takeExit(", "Datapath.DecisionCache.",
    "Datapath.URingEngine.", "Datapath.EpollEngine.stage",
    "Datapath.TapPort.receive(", "Datapath.TapPort.transmit(", "Datapath.SystemPort.receive(",
    "Datapath.SystemPort.transmit(", "Datapath.SystemPort.(send in ", "Datapath.Worker.readDone(",
    "Datapath.Worker.writeDone(", "VSwitchCore.MACTable.refresh(", "VSwitchCore.MACTable.(", "VSwitchCore.PortHeap.",
]
# Loops around the loop over packets: here over batches of completions.
OUTER_LOOPS = {"Datapath.URingEngine.run(": 1}
# These are per round or per change of a port, whatever loop they are in.
NOT_PER_PACKET = re.compile(r"init|deinit|deallocate|register|\.close\(|\.remove\(_: Datapath.PortIO|metadata|witness|"
                            r"\.flush\(|\.forEach\(|indices|zeroed")
FORBIDDEN = re.compile(r"swift_(retain|release|bridgeObject|beginAccess|allocObject|dealloc|slowAlloc|"
                       r"isUniquelyReferenced)|^(malloc|calloc|realloc|free|posix_memalign)@")


def demangle(names):
    text = subprocess.run(["swift", "demangle", "--compact"], input="\n".join(names), capture_output=True, text=True)
    return dict(zip(names, text.stdout.splitlines()))


def functions(program):
    """(mangled name, [(address, instruction)]) of each function."""
    listing = subprocess.run(
        ["objdump", "-d", "--no-show-raw-insn", program], capture_output=True, text=True, check=True).stdout
    for block in listing.split("\n\n"):
        lines = block.splitlines()
        head = next((i for i, line in enumerate(lines) if re.match(r"^[0-9a-f]+ <.*>:$", line)), None)
        if head is None or "$s" not in lines[head]:
            continue
        name = lines[head].split("<", 1)[1][:-2]
        code = []
        for line in lines[head + 1:]:
            address, _, text = line.partition(":")
            if text:
                code.append((int(address, 16), text.strip()))
        yield name, code


def calls_in_loops(code, outer):
    start, end = code[0][0], code[-1][0]
    loops = []
    for address, text in code:
        jump = re.match(r"j\w+\s+([0-9a-f]+) <", text)
        if jump and start <= int(jump[1], 16) <= address <= end:
            loops.append((int(jump[1], 16), address))
    for address, text in code:
        call = re.match(r"call\s+[0-9a-f]+ <([^>]*)>", text)
        if call and len({first for first, last in loops if first <= address <= last}) > outer:
            yield address, call[1]


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    code = dict(functions(sys.argv[1]))
    names = demangle(list(code))
    wanted = [name for name in code
              if any(names[name].startswith(prefix) for prefix in FUNCTIONS) and not NOT_PER_PACKET.search(names[name])]
    # Copies and destructions of values that were moved out of line do the counting themselves.
    outlined = {name for name, body in code.items() if names[name].startswith("outlined")
                and any(FORBIDDEN.search(text) for _, text in body)}
    found = 0
    for name in wanted:
        outer = next((depth for prefix, depth in OUTER_LOOPS.items() if names[name].startswith(prefix)), 0)
        for address, callee in calls_in_loops(code[name], outer):
            if FORBIDDEN.search(callee) or callee in outlined:
                found += 1
                print(f"{names[name][:90]}: {names.get(callee, callee)[:70]} at {address:x}")
    present = {prefix for prefix in FUNCTIONS if any(names[name].startswith(prefix) for name in wanted)}
    print(f"{len(wanted)} functions read, {found} such calls in loops")
    if "Datapath.Burst.processPending(" not in present or "Datapath.TapPort.transmit(" not in present:
        sys.exit("the functions of the packet path were not found: have they other names now?")
    return 1 if found else 0


sys.exit(main())
