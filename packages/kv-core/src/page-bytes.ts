import type { Heap } from '@kvfold/kernels'
import { partsOf, type Page } from './page.ts'

/** A page's rows without the room that it has for more: what a page of just that capacity would hold. */
function pieces({ codec, capacity, bytes, rows }: Page, headDim: number): { offset: number; length: number }[] {
  const { parts, shared } = partsOf(codec.layout, codec, headDim)
  const found = parts.map(({ base, width }) => ({ offset: base * capacity, length: width * rows }))
  return shared > 0 ? [...found, { offset: bytes - shared, length: shared }] : found
}

/** Copies a page that lies at `address` to `into`, from `at` on. Returns where it ends. */
export function readPage(heap: Heap, page: Page, address: number, headDim: number, into: Uint8Array, at: number): number {
  for (const { offset, length } of pieces(page, headDim)) {
    into.set(heap.u8.subarray(address + offset, address + offset + length), at)
    at += length
  }
  return at
}

/** Fills a page from what `readPage` wrote. Returns where it ends. */
export function writePage(heap: Heap, page: Page, headDim: number, from: Uint8Array, at: number): number {
  for (const { offset, length } of pieces(page, headDim)) {
    heap.u8.set(from.subarray(at, at + length), page.address + offset)
    at += length
  }
  return at
}
