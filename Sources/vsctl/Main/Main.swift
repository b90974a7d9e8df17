// Entry of the program: split the command line, answer what ArgumentParser answers, run the rest, print, exit.

import ArgumentParser
import Glibc

@main
enum Main {
  static func main() async {
    let words = Array(CommandLine.arguments.dropFirst())
    do throws(CommandFault) {
      exit(try await run(words))
    } catch {
      Terminal.complain(error.description)
      exit(error.exitCode)
    }
  }

  private static func run(_ words: [String]) async throws(CommandFault) -> Int32 {
    // Completion scripts call back with words of ArgumentParser's own.
    if let first = words.first, first.hasPrefix("---") { return answer(words) }
    let invocation = try Invocation(words)
    if let question = invocation.question { return answer(question.words) }
    let options = try globalOptions(invocation.globalOptions)
    var verbs: [any Verb] = []
    for words in invocation.commands {
      switch try VerbTable.parse(words) {
      case let verb as any ControlVerb:
        guard invocation.commands.count == 1 else {
          throw CommandFault(
            "'\(words.verb)' asks the running switch and can't be part of a transaction",
            remedy: "give it a command line of its own")
        }
        startTimeout(options.timeout, waitingFor: "the daemon's answer")
        return try await ControlSession(options: options).run(verb)
      case let verb as any Verb: verbs.append(verb)
      default: throw CommandFault("unknown command '\(words.verb)'", remedy: "see vsctl --help")
      }
    }
    startTimeout(options.timeout, waitingFor: "the switch; what was committed stays and takes effect when it can")
    let session = DatabaseSession(
      options: options, verbs: verbs, commandLine: words.map(TextSafety.oneLine).joined(separator: " "))
    let result = try await session.run(renderer: Renderer(options: options.output, isColoured: Terminal.wantsColour))
    Terminal.print(result.text)
    for complaint in result.complaints { Terminal.complain(complaint) }
    return result.exitCode
  }

  static func globalOptions(_ words: [String]) throws(CommandFault) -> GlobalOptions {
    do {
      return try GlobalOptions.parse(words)
    } catch {
      throw CommandFault(VerbTable.sentence(GlobalOptions.message(for: error)), remedy: "see vsctl --help")
    }
  }

  /// Help, version, completion: ArgumentParser's.
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

  /// Ends the process as SIGALRM would, but says why.
  private static func startTimeout(_ seconds: Int, waitingFor what: String) {
    guard seconds > 0 else { return }
    Task.detached {
      try? await Task.sleep(for: .seconds(seconds))
      Terminal.complain("timed out after \(seconds) s waiting for \(what)")
      _exit(128 + SIGALRM)
    }
  }
}
