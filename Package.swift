// swift-tools-version: 6.2
import PackageDescription

/// What every Swift target is held to: see CONTRIBUTING.md.
let strict: [SwiftSetting] = [
  .swiftLanguageMode(.v6),
  .treatAllWarnings(as: .error),
  .strictMemorySafety(),
  .enableExperimentalFeature("Lifetimes"),
]

let argumentParser = Target.Dependency.product(name: "ArgumentParser", package: "swift-argument-parser")
let logging = Target.Dependency.product(name: "Logging", package: "swift-log")
let nio: [Target.Dependency] = [
  .product(name: "NIOCore", package: "swift-nio"),
  .product(name: "NIOPosix", package: "swift-nio"),
]

let package = Package(
  name: "vswitch",
  products: [
    .executable(name: "vswitchd", targets: ["vswitchd"]),
    .executable(name: "vsctl", targets: ["vsctl"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", exact: "1.8.2"),
    .package(url: "https://github.com/apple/swift-collections", exact: "1.6.0"),
    .package(url: "https://github.com/apple/swift-log", exact: "1.16.2"),
    .package(url: "https://github.com/apple/swift-nio", exact: "2.101.2"),
    .package(url: "https://github.com/apple/swift-nio-ssl", exact: "2.37.6"),
    .package(url: "https://github.com/groue/GRDB.swift", exact: "7.10.0"),
    .package(url: "https://github.com/swift-server/swift-service-lifecycle", exact: "2.13.0"),
  ],
  targets: [
    .systemLibrary(name: "CURing", pkgConfig: "liburing", providers: [.apt(["liburing-dev"])]),
    .systemLibrary(
      name: "CNetlink", pkgConfig: "libnl-route-3.0", providers: [.apt(["libnl-3-dev", "libnl-route-3-dev"])]),
    .systemLibrary(name: "CPcap", pkgConfig: "libpcap", providers: [.apt(["libpcap-dev"])]),
    .target(name: "COFlow", cSettings: [.unsafeFlags(["-Wall", "-Wextra", "-Werror"])]),
    .target(name: "VSwitchCore", dependencies: ["COFlow"], swiftSettings: strict),
    .target(
      name: "Datapath", dependencies: ["COFlow", "CURing", "CNetlink", "CPcap", "VSwitchCore"],
      swiftSettings: strict),
    .target(name: "OpenFlow", dependencies: nio + ["VSwitchCore"], swiftSettings: strict),
    .target(
      name: "Transport", dependencies: nio + [logging, .product(name: "NIOSSL", package: "swift-nio-ssl")],
      swiftSettings: strict),
    .target(
      name: "OVSDB",
      dependencies: nio + [
        "Transport", logging, .product(name: "NIOSSL", package: "swift-nio-ssl"),
        .product(name: "DequeModule", package: "swift-collections"),
        .product(name: "HashTreeCollections", package: "swift-collections"),
      ],
      swiftSettings: strict),
    .executableTarget(
      name: "vswitchd",
      dependencies: nio + [
        "COFlow", "VSwitchCore", "Datapath", "OpenFlow", "OVSDB", "Transport", argumentParser, logging,
        .product(name: "GRDB", package: "GRDB.swift"),
        .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
        .product(name: "UnixSignals", package: "swift-service-lifecycle"),
      ],
      swiftSettings: strict),
    .executableTarget(
      name: "vsctl", dependencies: ["CPcap", "OVSDB", "OpenFlow", "Transport", "VSwitchCore", argumentParser],
      swiftSettings: strict),

    .target(
      name: "CTestSupport", path: "Tests/Support/CTestSupport",
      cSettings: [.unsafeFlags(["-Wall", "-Wextra", "-Werror"])]),
    .target(
      name: "TestSupport", dependencies: ["CTestSupport"], path: "Tests/Support/TestSupport", swiftSettings: strict),
    .target(
      name: "ReferenceSwitch", dependencies: ["VSwitchCore"], path: "Tests/Support/ReferenceSwitch",
      swiftSettings: strict),
    .target(
      name: "VirtioDriver", dependencies: ["CTestSupport"], path: "Tests/Support/VirtioDriver", swiftSettings: strict),
    .testTarget(
      name: "VSwitchCoreTests", dependencies: ["VSwitchCore", "ReferenceSwitch", "TestSupport"], swiftSettings: strict),
    .testTarget(
      name: "DatapathTests", dependencies: ["Datapath", "TestSupport", "VirtioDriver"], swiftSettings: strict),
    .testTarget(
      name: "OpenFlowTests", dependencies: ["OpenFlow", "VSwitchCore", "TestSupport"], exclude: ["Recordings"],
      swiftSettings: strict),
    .testTarget(name: "TransportTests", dependencies: ["Transport", "TestSupport"], swiftSettings: strict),
    .testTarget(name: "OVSDBTests", dependencies: ["OVSDB", "Transport", "TestSupport"], swiftSettings: strict),
    .testTarget(name: "vswitchdTests", dependencies: ["vswitchd", "TestSupport"], swiftSettings: strict),
    .testTarget(
      name: "vsctlTests", dependencies: ["vsctl", "OVSDB", "TestSupport"], swiftSettings: strict),
    .testTarget(
      name: "DifferentialTests", dependencies: ["Datapath", "ReferenceSwitch", "TestSupport"], swiftSettings: strict),
    .testTarget(
      name: "SystemTests",
      dependencies: ["Datapath", "OVSDB", "OpenFlow", "VSwitchCore", "ReferenceSwitch", "TestSupport"],
      exclude: ["Clients"], swiftSettings: strict),
    .testTarget(name: "GuestTests", dependencies: ["TestSupport", "VirtioDriver"], swiftSettings: strict),
  ],
  cLanguageStandard: .gnu11
)

// Benchmarks are in this package for `package` access, and out of an ordinary build.
if Context.environment["VSWITCH_PERF"] != nil {
  package.dependencies.append(
    .package(url: "https://github.com/ordo-one/benchmark", exact: "1.38.1", traits: []))
  package.targets += [
    .target(
      name: "PerfScenarios", dependencies: ["CTestSupport", "Datapath", "VSwitchCore"], path: "Perf/Scenarios",
      swiftSettings: strict),
    .executableTarget(
      name: "classifier", dependencies: ["VSwitchCore"], path: "Perf/Classifier", swiftSettings: strict),
    .executableTarget(
      name: "bridge-burst", dependencies: ["PerfScenarios"], path: "Perf/Callgrind/bridge-burst", swiftSettings: strict),
  ]
  package.targets += ["WireBenchmarks", "BridgeBenchmarks"].map { name in
    .executableTarget(
      name: name,
      dependencies: ["VSwitchCore", "PerfScenarios", .product(name: "Benchmark", package: "benchmark")],
      path: "Perf/Benchmarks/\(name)", swiftSettings: [.swiftLanguageMode(.v6), .strictMemorySafety()],
      plugins: [.plugin(name: "BenchmarkPlugin", package: "benchmark")])
  }
}

// Fuzz targets have libFuzzer's main, and so are out of an ordinary build (`make fuzz`).
if Context.environment["VSWITCH_FUZZ"] != nil {
  let fuzzers: [(name: String, dependencies: [Target.Dependency])] = [
    ("ConnectionTracking", ["Datapath", "VSwitchCore"]),
    ("FlowText", ["OpenFlow", "VSwitchCore"]),
    ("NetworkServices", ["VSwitchCore"]),
    ("OpenFlowDecoder", ["OpenFlow"]),
    ("PacketParser", ["Datapath", "VSwitchCore"]),
    ("VhostUserMessages", ["CTestSupport", "Datapath", "VSwitchCore"]),
    ("VhostUserRings", ["CTestSupport", "Datapath", "VSwitchCore"]),
  ]
  package.targets.append(.systemLibrary(name: "CLibFuzzer", path: "Tests/Fuzz/CLibFuzzer"))
  package.targets += fuzzers.map { fuzzer in
    .executableTarget(
      name: "fuzz-\(fuzzer.name)", dependencies: fuzzer.dependencies + ["CLibFuzzer"],
      path: "Tests/Fuzz/\(fuzzer.name)",
      swiftSettings: strict + [.unsafeFlags(["-parse-as-library"])])
  }
}
