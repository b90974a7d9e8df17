import Testing

@testable import vswitchd

/// `other_config:pmd-cpu-mask`.
@Suite struct WorkerMaskTests {
  @Test(
    arguments: [
      ("0x1", [0]), ("6", [1, 2]), ("0X0f", [0, 1, 2, 3]), ("80", [7]), ("0", []), ("00001", [0]),
    ])
  func bitsAreCPUs(text: String, cpus: [Int]) {
    let mask = WorkerMask(text, cpuCount: 8)
    #expect(mask.cpus == cpus)
    #expect(mask.warning == nil)
  }

  @Test func cpusThatThereAreNotAreLeftOut() {
    let mask = WorkerMask("0x10000000000000000000000006", cpuCount: 2)
    #expect(mask.cpus == [1])
    #expect(mask.warning?.contains("CPU 2") == true)
  }

  @Test(arguments: ["", "0x", "two", "1,2", "-1", "0x 1", "1\n"]) func whatIsNoNumberIsSaid(text: String) {
    let mask = WorkerMask(text, cpuCount: 2)
    #expect(mask.cpus.isEmpty)
    #expect(mask.warning?.contains("no hexadecimal number") == true)
    #expect(mask.warning?.contains("\n") == false)
  }
}
