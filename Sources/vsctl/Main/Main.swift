// Entry of the program: split the command line, answer what ArgumentParser answers, run the rest, print, exit.

import ArgumentParser
import Glibc

@main
enum Main {
  static func main() async {
    let program = Program(path: CommandLine.arguments.first ?? "vsctl")
    do throws(CommandFault) {
      exit(try await run(Array(CommandLine.arguments.dropFirst()), as: program))
    } catch {
      Terminal.complain(error, as: program)
      exit(error.exitCode)
    }
  }

  private static func run(_ words: [String], as program: Program) async throws(CommandFault) -> Int32 {
    // Completion scripts call back with words of ArgumentParser's own.
    if let first = words.first, first.hasPrefix("---") { return answer(words) }
    let invocation =
      program.style == .openVSwitch ? try OpenVSwitchGrammar.invocation(words) : try Invocation(words)
    if let question = invocation.question { return answer(question, as: program) }
    var options = try globalOptions(invocation.globalOptions)
    if options.runDir == nil { options.runDir = program.defaultRunDirectory }
    var verbs: [any Verb] = []
    for words in invocation.commands {
      switch try VerbTable.parse(words) {
      case let verb as any ControlVerb:
        try checkIsAlone(words, invocation)
        startTimeout(options.timeout, waitingFor: "the daemon's answer", program)
        return try await ControlSession(options: options).run(verb)
      case let verb as any FollowingVerb:
        try checkIsAlone(words, invocation)
        startTimeout(options.timeout, waitingFor: "what happens", program)
        return try await ControlSession(options: options).follow(verb)
      case let verb as any StandaloneVerb:
        try checkIsAlone(words, invocation)
        Terminal.print(Renderer(options: options.output).text([try verb.output()]))
        return 0
      case let verb as any FlowVerb:
        try checkIsAlone(words, invocation)
        startTimeout(options.timeout, waitingFor: "the switch's answer", program)
        return try await FlowSession.run(verb, options)
      case let verb as any Verb: verbs.append(verb)
      default: throw CommandFault("unknown command '\(words.verb)'", remedy: "see vsctl --help")
      }
    }
    startTimeout(
      options.timeout, waitingFor: "the switch; what was committed stays and takes effect when it can", program)
    let session = DatabaseSession(
      program: program, options: options, verbs: verbs,
      commandLine: words.map(TextSafety.oneLine).joined(separator: " "))
    let result = try await session.run(renderer: Renderer(options: options.output, isColoured: Terminal.wantsColour))
    return result.exitCode
  }

  private static func checkIsAlone(_ words: CommandWords, _ invocation: Invocation) throws(CommandFault) {
    guard invocation.commands.count == 1 else {
      throw CommandFault(
        "'\(words.verb)' can't be part of a transaction", remedy: "give it a command line of its own")
    }
  }

  static func globalOptions(_ words: [String]) throws(CommandFault) -> GlobalOptions {
    do {
      return try GlobalOptions.parse(words)
    } catch {
      throw CommandFault(VerbTable.sentence(GlobalOptions.message(for: error)), remedy: "see vsctl --help")
    }
  }

  private static func answer(_ question: Invocation.Question, as program: Program) -> Int32 {
    if let answer = question.answer {
      Terminal.print(answer)
      return 0
    }
    if question.words == ["--version"] {
      Terminal.print(program.version + "\n")
      return 0
    }
    // A table, or a column, of the database.
    if let words = HelpTopic.words(question.words) {
      do throws(CommandFault) {
        Terminal.print(try HelpTopic.text(words))
        return 0
      } catch {
        Terminal.complain(error.text(as: program.style), as: program)
        return error.exitCode
      }
    }
    return answer(question.words)
  }

  /// Help and completion: ArgumentParser's.
  private static func answer(_ words: [String]) -> Int32 {
    do {
      var command = try VSCtl.parseAsRoot(words)
      try command.run()
      return 0
    } catch {
      let status = VSCtl.exitCode(for: error)
      if status.isSuccess {
        Terminal.print(VSCtl.fullMessage(for: error) + "\n")
        return 0
      }
      Terminal.complain(VSCtl.message(for: error))
      return 1
    }
  }

  /// Ends the process by SIGALRM, but says why.
  private static func startTimeout(_ seconds: Int, waitingFor what: String, _ program: Program) {
    guard seconds > 0 else { return }
    Task.detached {
      try? await Task.sleep(for: .seconds(seconds))
      switch program.style {
      case .vsctl: Terminal.complain("timed out after \(seconds) s waiting for \(what)")
      case .openVSwitch:
        Terminal.warn(
          [Warning(module: "fatal_signal", text: "terminating with signal 14 (Alarm clock)")], as: program)
      }
      // Threads of the concurrency pool block all signals.
      signal(SIGALRM, SIG_DFL)
      var alarm = sigset_t()
      unsafe sigemptyset(&alarm)
      unsafe sigaddset(&alarm, SIGALRM)
      unsafe pthread_sigmask(SIG_UNBLOCK, &alarm, nil)
      raise(SIGALRM)
      _exit(128 + SIGALRM)
    }
  }
}
