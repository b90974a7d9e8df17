// Which translations the queues wait for, and which of them the front-end was asked for. All that a burst lacks is asked for at once:
// a question costs the front-end milliseconds under load, and a guest that maps its buffers one by one has one for each.
//
// Thread: the worker; control code only by commands that it runs. Invariant: no miss is there twice. A question ends with its answer, or, as a
// front-end without an answer says nothing, after `answerSeconds`; it is not asked twice, as by then the page may be the guest's again.

extension IOTLB {
  /// Some queue waits for a translation.
  var isMissing: Bool { unsafe state.pointee.questionCount > 0 }
  var hasQuestionRoom: Bool { unsafe state.pointee.questionCount < IOTLB.questionLimit }

  /// Whether there are questions that control code has not been told of.
  func takeNews() -> Bool {
    defer { unsafe state.pointee.hasNewQuestions = false }
    return unsafe state.pointee.hasNewQuestions
  }

  /// Notes that a translation is wanted.
  func note(_ miss: Miss) {
    for position in 0..<(unsafe state.pointee.questionCount) where unsafe questions[position].miss == miss { return }
    guard hasQuestionRoom else { return }
    unsafe (questions + state.pointee.questionCount).initialize(to: Question(miss: miss, askedSeconds: nil))
    unsafe state.pointee.questionCount &+= 1
    unsafe state.pointee.hasNewQuestions = true
  }

  /// Notes all pages of a buffer that are unknown.
  func noteAll(_ address: UInt64, byteCount: UInt64, writes: Bool) {
    let pageByteCount: UInt64 = 1 << IOTLB.pageByteCountLog2
    var (end, overflow) = address.addingReportingOverflow(byteCount)
    if overflow { end = UInt64.max }
    var page = address & ~(pageByteCount - 1)
    while page < end, hasQuestionRoom {
      if case .unknown(let miss) = find(page, wanted: 1, writes: writes) { note(miss) }
      (page, overflow) = page.addingReportingOverflow(pageByteCount)
      guard !overflow else { return }
    }
  }

  /// What the front-end is to be asked for now.
  func takeQuestions(now: UInt32) -> [Miss] {
    var misses: [Miss] = []
    for position in 0..<(unsafe state.pointee.questionCount) where unsafe questions[position].askedSeconds == nil {
      unsafe questions[position].askedSeconds = now
      unsafe misses.append(questions[position].miss)
    }
    return misses
  }

  /// Gives up questions without an answer: who still wants one notes it anew.
  func expireQuestions(now: UInt32) {
    keepQuestions { question in question.askedSeconds.map { now &- $0 <= IOTLB.answerSeconds } ?? true }
  }

  /// The pages from `address` on are answered.
  func removeQuestions(address: UInt64, byteCount: UInt64) {
    let first = address & ~(1 << IOTLB.pageByteCountLog2 - 1)
    let (sum, overflow) = address.addingReportingOverflow(byteCount)
    let end = overflow ? UInt64.max : sum
    keepQuestions { question in question.miss.address < first || question.miss.address >= end }
  }

  private func keepQuestions(_ isKept: (Question) -> Bool) {
    var kept = 0
    for position in 0..<(unsafe state.pointee.questionCount) where unsafe isKept(questions[position]) {
      unsafe questions[kept] = questions[position]
      kept &+= 1
    }
    unsafe state.pointee.questionCount = kept
  }
}
