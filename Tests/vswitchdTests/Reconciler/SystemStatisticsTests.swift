import Foundation
import TestSupport
import Testing

@testable import vswitchd

struct SystemStatisticsTests {
  @Test func loadIsThreeNumbers() {
    #expect(SystemStatistics.loadAverage("0.20 0.18 0.12 1/80 11206\n") == "0.20,0.18,0.12")
    for text in ["", "1 2", "a b c"] { #expect(SystemStatistics.loadAverage(text) == nil) }
  }

  @Test func memoryIsInKilobytes() {
    let text = """
      MemTotal:       1000 kB
      MemFree:         300 kB
      MemAvailable:    700 kB
      Buffers:          20 kB
      Cached:          100 kB
      SwapCached:        5 kB
      SwapTotal:        50 kB
      SwapFree:         40 kB
      """
    #expect(SystemStatistics.memory(text) == "1000,700,120,50,10")
    #expect(SystemStatistics.memory("") == nil)
  }

  @Test func processNameMayHoldAnything() {
    let rest = "S 1 1 1 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 4 0 1000 10485760 512 18446744073709551615"
    let value = SystemStatistics.process(
      "7 (a) b) \(rest)", pageKilobytes: 4, ticksPerSecond: 100, uptimeMilliseconds: 15_000)
    #expect(value == "10240,2048,3000,0,5000,5000")
    for text in ["", ")", "7 (a) S 1"] {
      #expect(
        SystemStatistics.process(text, pageKilobytes: 4, ticksPerSecond: 100, uptimeMilliseconds: 1) == nil)
    }
  }

  @Test func onlyLocalWritableFileSystemsCount() {
    let text = #"""
      /dev/sda1 / ext4 rw,relatime 0 0
      proc /proc proc rw 0 0
      /dev/sr0 /media/cd iso9660 ro 0 0
      server:/x /net nfs rw 0 0
      /dev/sdb1 /mnt/a\040b,c ext4 rw 0 0
      /dev/sdc1 /gone ext4 rw 0 0
      """#
    let value = SystemStatistics.fileSystems(text) { point in point == "/gone" ? nil : (1000, 10) }
    #expect(value == "/,1000,10 /mnt/a_b_c,1000,10")
    #expect(SystemStatistics.fileSystems("", size: { _ in nil }) == nil)
  }

  @Test func thisSystemIsDescribed() {
    let statistics = SystemStatistics.current()
    #expect(Int(statistics["cpu"] ?? "") ?? 0 >= 1)
    #expect(statistics["load_average"]?.split(separator: ",").count == 3)
    #expect(statistics["memory"]?.split(separator: ",").compactMap { Int($0) }.count == 5)
    let process = statistics["process_vswitchd"]?.split(separator: ",").compactMap { Int($0) } ?? []
    #expect(process.count == 6)
    #expect(process.first ?? 0 > 1000, "kilobytes of a program in Swift")
    #expect(process.last ?? 0 < 86_400_000)
  }

  @Test func machineIsKnownByTheFilesOfItsStartScript() {
    var generator = SeededGenerator(seed: 7)
    let files = [
      "/etc/os-release": "# x\nID=debian\nVERSION_ID=\"12\"\nBROKEN\n",
      "/etc/openvswitch/system-id.conf": "host-7\n", "/etc/openvswitch/system-version.conf": " \n",
    ]
    let known = SystemInformation(generator: &generator) { files[$0] }
    #expect(known.type == "debian")
    #expect(known.version == "12")
    #expect(known.identifier == "host-7")
    let unknown = SystemInformation(generator: &generator) { _ in nil }
    #expect(unknown.type == "unknown")
    #expect(unknown.version == "unknown")
    #expect(UUID(uuidString: unknown.identifier) != nil)
  }
}
