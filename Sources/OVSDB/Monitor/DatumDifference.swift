// The difference of two contents of a column, as update2 and update3 carry it (ovsdb-server(7), <row-update2>): of a
// set the elements to toggle; of a map the pairs to toggle, and pairs whose key is there with another value to put in
// its place; of a column with at most one element (an optional one too) the new content.

extension Datum {
  /// What turns this content into `new`.
  package func difference(to new: Datum, _ type: ColumnType) -> Datum {
    if type.countMaximum == 1 { return new }
    guard type.isMap else { return setSymmetricDifference(new) }
    var result: [(Atom, Atom)] = []
    for pair in pairs where new.value(for: pair.key) == nil { result.append((pair.key, pair.value)) }
    for pair in new.pairs where value(for: pair.key) != pair.value { result.append((pair.key, pair.value)) }
    return Datum(map: result)
  }

  /// This content with a difference applied.
  package func applying(difference: Datum, _ type: ColumnType) -> Datum {
    if type.countMaximum == 1 { return difference }
    guard type.isMap else { return setSymmetricDifference(difference) }
    var result: [(Atom, Atom)] = []
    for pair in pairs where difference.value(for: pair.key) == nil { result.append((pair.key, pair.value)) }
    for pair in difference.pairs where value(for: pair.key) != pair.value { result.append((pair.key, pair.value)) }
    return Datum(map: result)
  }
}
