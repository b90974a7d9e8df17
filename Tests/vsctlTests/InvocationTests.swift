// The grammar of the whole line.

import ArgumentParser
import TestSupport
import Testing

@testable import vsctl

@Suite(.blocking) struct InvocationTests {
  @Test func doubleDashSeparatesCommands() throws {
    let line = try Invocation(["--", "list-br", "--", "--", "--may-exist", "add-br", "br0", "--"])
    #expect(
      line.commands == [
        CommandWords(verb: "list-br"), CommandWords(options: ["--may-exist"], verb: "add-br", arguments: ["br0"]),
      ])
  }

  @Test func globalOptionsStandAnywhere() throws {
    let line = try Invocation(["-t", "5", "--db=unix:/x", "show", "--json", "--", "--no-wait", "list-br", "-fcsv"])
    #expect(line.globalOptions == ["-t", "5", "--db=unix:/x", "--json", "--no-wait", "-fcsv"])
    #expect(line.commands.map(\.verb) == ["show", "list-br"])
    let options = try Main.globalOptions(line.globalOptions)
    #expect(options.timeout == 5)
    #expect(options.json)
    #expect(options.format == .csv)
  }

  @Test func optionsAfterTheVerbBelongToIt() throws {
    let line = try Invocation(["add-br", "br0", "--may-exist"])
    #expect(line.commands == [CommandWords(options: ["--may-exist"], verb: "add-br", arguments: ["br0"])])
  }

  @Test func argumentsOfAnyTextAreNoOptions() throws {
    let line = try Invocation(["br-set-external-id", "br0", "key", "--json"])
    #expect(line.commands[0].arguments == ["br0", "key", "--json"])
    #expect(line.globalOptions.isEmpty)
    let set = try Invocation(["set", "interface", "p1", "-1", "options:a=--json"])
    #expect(set.commands[0].arguments == ["interface", "p1", "-1", "options:a=--json"])
  }

  @Test func groupsTakeTheirSecondWord() throws {
    #expect(try Invocation(["fdb", "show", "br0"]).commands == [CommandWords(verb: "fdb show", arguments: ["br0"])])
    #expect(try Invocation(["list", "port", "p1"]).commands[0].arguments == ["port", "p1"])
  }

  @Test(arguments: [
    (["--help"], ["--help"]), (["add-br", "-h"], ["add-br", "-h"]),
    (["fdb", "add", "--help"], ["fdb", "add", "--help"]),
    (["help", "set"], ["help", "set"]), (["-V"], ["--version"]),
    (["--generate-completion-script", "zsh"], ["--generate-completion-script", "zsh"]),
  ])
  func questionsGoToArgumentParser(words: [String], asked: [String]) throws {
    #expect(try Invocation(words).question?.words == asked)
  }

  @Test(arguments: [[], ["--"], ["--", "--"], ["--may-exist"]])
  func aLineWithoutCommandIsRefused(words: [String]) {
    #expect(throws: CommandFault.self) { try Invocation(words) }
  }

  @Test func unknownOptionsAreRefusedWithTheNearest() {
    #expect {
      try Invocation(["--mayexist", "add-br", "br0"])
    } throws: {
      "\($0)" == "unrecognized option '--mayexist': did you mean --may-exist?"
    }
  }

  @Test func theListOfGlobalOptionsIsThatOfTheDeclaration() throws {
    let help = GlobalOptions.helpMessage()
    let declared = help.split(whereSeparator: { " ,.\n".contains($0) }).map(String.init)
      .filter { $0.hasPrefix("-") && $0.contains(where: \.isLetter) }.filter { $0 != "-h" && $0 != "--help" }
    for name in declared where !name.contains("=") { #expect(Invocation.globalNames[name] != nil, "\(name)") }
    let samples = [
      "--run-dir": "/x", "--db": "unix:/x", "--timeout": "1", "-t": "1", "--format": "csv", "-f": "csv",
      "--data": "bare", "-d": "bare", "--max-column-width": "5", "--private-key": "k", "-p": "k", "--certificate": "c",
      "-c": "c", "--ca-cert": "a", "-C": "a", "--bootstrap-ca-cert": "a", "--peer-ca-cert": "a",
    ]
    for (name, takesValue) in Invocation.globalNames {
      _ = try GlobalOptions.parse(takesValue ? [name, try #require(samples[name])] : [name])
    }
  }

  @Test func everyOptionOfAVerbIsKnownToTheGrammar() {
    for (verb, type) in VerbTable.byName {
      let usage = type.usageString(includeHidden: true)
      for word in usage.split(whereSeparator: { " []".contains($0) }) where word.hasPrefix("--") {
        #expect(Invocation.commandNames[String(word)] != nil, "\(word) of \(verb)")
      }
    }
  }
}
