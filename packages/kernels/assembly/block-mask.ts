/**
 * Which of a block's four groups of 16 rows a query block sees: one bit each. `list` and `end` bound the query block's row-block
 * numbers (ascending), each standing for `size` rows.
 */
export function blockMask(list: usize, end: usize, size: i32, firstRow: i32): i32 {
  let mask = 0
  let known = -1
  let found = 0
  for (let part = 0; part < 4; part++) {
    const wanted = (firstRow + part * 16) / size
    if (wanted != known) {
      known = wanted
      found = contains(list, end, wanted)
    }
    mask |= found << part
  }
  return mask
}

function contains(list: usize, end: usize, wanted: i32): i32 {
  while (list < end) {
    const middle = list + ((end - list >> 3) << 2)
    const value = load<i32>(middle)
    if (value == wanted) return 1
    if (value < wanted) list = middle + 4
    else end = middle
  }
  return 0
}
