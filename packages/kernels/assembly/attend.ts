import { addFactored } from './add-factored'
import { addHalf } from './add-half'
import { addPacked } from './add-packed'
import { addRaw } from './add-raw'
import { blockAddends } from './block-addends'
import { dequantize } from './dequantize'
import { dotHalf } from './dot-half'
import { dotByChannel } from './dot-by-channel'
import { dotByToken } from './dot-by-token'
import { dotRaw } from './dot-raw'
import { multiplyRows } from './channel-factors'
import { codeBits, codeByChannel, codeFactors, codeGroup, ENTRY, entryAddress, entryCapacity, entryCode, entryRows, factorsOf, HALVES } from './page'
import { roundedBytes, roundQueries, roundQueriesShort } from './round-query'
import { BLOCK, isShort, STRIDE } from './simd'
import { finishLogits, weigh } from './tile-softmax'
import { touchNext } from './touch'

/** Queries of one call: three heads' groups of four, say. */
export const MAX_QUERIES: i32 = 12

/**
 * A few queries see the rows from `start` to `rows`. Block by block of 64 rows: logits, running softmax, values; the two page tables are walked
 * by one cursor each, so pages of keys and of values may end anywhere. Halves, packed keys, and packed values with a scale per token, are multiplied as they are;
 * other layouts are decoded first. Keys have `keyDim` channels, values `headDim`. `scratch`: 64 addends, logits, rounded queries, then one block of rows.
 */
export function attend(
  max: usize, sum: usize, output: usize, queries: usize, count: i32, keyDim: usize, headDim: usize,
  keyTable: usize, valueTable: usize, start: i32, rows: i32, bias: usize, scale: f32, logWeight: f32, logitsInto: usize, stride: usize, scratch: usize,
): void {
  const logits = scratch + 256
  const rounded = logits + <usize>MAX_QUERIES * STRIDE
  // A group has at least sixteen channels.
  const decoded = rounded + <usize>count * roundedBytes(16) * (keyDim + 15 >> 4) + (keyDim << 3)
  const keyBytes = keyDim << 2
  const rowBytes = headDim << 2
  let roundedFor = 0
  let keyRow = start
  let valueRow = start
  for (let first = start; first < rows; first += BLOCK) {
    const held = min(BLOCK, rows - first)
    for (let done = 0; done < held;) {
      while (keyRow >= entryRows(keyTable)) {
        keyRow -= entryRows(keyTable)
        keyTable += ENTRY
      }
      const take = min(held - done, entryRows(keyTable) - keyRow)
      const into = logits + (<usize>done << 2)
      if (entryCode(keyTable) == 0) {
        dotRaw(entryAddress(keyTable) + <usize>keyRow * keyBytes, take, keyDim, queries, count, into)
      } else if (entryCode(keyTable) == HALVES) {
        dotHalf(entryAddress(keyTable) + (<usize>keyRow * keyBytes >> 1), take, keyDim, queries, count, into, decoded)
      } else if (direct(entryCode(keyTable), keyDim)) {
        const fresh = entryCode(keyTable) != roundedFor || codeFactors(roundedFor)
        roundedFor = entryCode(keyTable)
        const after = rows - first - done + keyRow - entryRows(keyTable)
        if (after > 0 && 2 * take >= entryRows(keyTable) && touchesKeys(roundedFor)) touchNext(keyTable + ENTRY, 1, keyDim)
        if (codeByChannel(roundedFor)) {
          dotByChannel(entryAddress(keyTable), entryCapacity(keyTable), roundedFor, keyRow, take, keyDim, queries, rounded, fresh, count, into, decoded)
        } else {
          if (fresh) roundForTokens(keyTable, queries, count, keyDim, rounded, decoded)
          dotByToken(entryAddress(keyTable), entryCapacity(keyTable), roundedFor, keyRow, take, keyDim, rounded, count, into, decoded)
        }
      } else {
        dequantize(entryAddress(keyTable), entryCapacity(keyTable), entryCode(keyTable), keyRow, take, keyDim, decoded)
        dotRaw(decoded, take, keyDim, queries, count, into)
      }
      done += take
      keyRow += take
    }
    blockAddends(bias, first, held, logWeight, scratch)
    const columns = held + 3 & ~3
    for (let query = 0; query < count; query++) {
      const row = logits + <usize>query * STRIDE
      const at = <usize>query << 2
      const largest = finishLogits(row, columns, held, 15, scale, scratch)
      if (logitsInto) memory.copy(logitsInto + (<usize>query * stride + <usize>first << 2), row, <usize>held << 2)
      const factor = weigh(row, columns, largest, max + at, sum + at)
      if (factor != 1) rescale(output + <usize>query * rowBytes, rowBytes, factor)
    }
    for (let done = 0; done < held;) {
      while (valueRow >= entryRows(valueTable)) {
        valueRow -= entryRows(valueTable)
        valueTable += ENTRY
      }
      let take = min(held - done, entryRows(valueTable) - valueRow)
      const weights = logits + (<usize>done << 2)
      if (entryCode(valueTable) == 0) {
        addRaw(entryAddress(valueTable) + <usize>valueRow * rowBytes, take, headDim, weights, count, output)
      } else if (entryCode(valueTable) == HALVES) {
        addHalf(entryAddress(valueTable) + (<usize>valueRow * rowBytes >> 1), take, headDim, weights, count, output, decoded)
      } else if (!codeByChannel(entryCode(valueTable)) && direct(entryCode(valueTable), headDim)) {
        if (codeFactors(entryCode(valueTable))) {
          take = addFactored(valueTable, valueRow, held - done, rows - first - held, headDim, weights, count, output, decoded)
        } else take = addPacked(valueTable, valueRow, held - done, rows - first - held, headDim, weights, count, output, decoded)
      } else {
        dequantize(entryAddress(valueTable), entryCapacity(valueTable), entryCode(valueTable), valueRow, take, headDim, decoded)
        addRaw(decoded, take, headDim, weights, count, output)
      }
      done += take
      valueRow += take
    }
  }
}

/** True if packed rows of this layout are multiplied as they are. */
@inline function direct(code: i32, headDim: usize): bool {
  return ((headDim * codeBits(code) >> 3 | (codeByChannel(code) ? 0 : codeGroup(code))) & 15) == 0
}

/** Few bits with scales of channels are unpacked at the very start, in one burst, which finds its lines as fast. */
@inline function touchesKeys(code: i32): bool {
  return !codeByChannel(code) || codeBits(code) == 8
}

/** Rounds queries for pages whose tokens have scales. Only factors of channels differ from page to page. `scratch`: headDim factors. */
function roundForTokens(entry: usize, queries: usize, count: i32, headDim: usize, into: usize, scratch: usize): void {
  const code = entryCode(entry)
  const short = ASC_FEATURE_RELAXED_SIMD && isShort(codeBits(code))
  const factors = short || codeFactors(code) ? scratch : 0
  if (factors) {
    for (let c: usize = 0; c < headDim << 2; c += 16) v128.store(factors + c, f32x4.splat(1))
    if (codeFactors(code)) multiplyRows(factors, 1, headDim, factorsOf(entryAddress(entry), entryCapacity(entry), code, headDim))
  }
  if (short) roundQueriesShort(queries, count, headDim, codeGroup(code), factors, (1 << <i32>codeBits(code)) - 1, into)
  else roundQueries(queries, count, headDim, codeGroup(code), factors, into)
}

@inline function rescale(output: usize, bytes: usize, factor: f32): void {
  for (const end = output + bytes; output < end; output += 16) v128.store(output, f32x4.mul(v128.load(output), f32x4.splat(factor)))
}
