import type { ColumnSpec } from './axes.ts'

/** Numbers kept per row of one head: positions and what methods declared. They move with the rows. */
export class Columns {
  rows = 0
  private readonly specs: readonly ColumnSpec[]
  private data: Float32Array[]

  private readonly claim: (bytes: number) => void

  /** `claim` is told of every byte taken and (negative) given back. */
  constructor(specs: readonly ColumnSpec[], claim: (bytes: number) => void) {
    this.specs = specs
    this.claim = claim
    this.data = specs.map(() => new Float32Array(0))
  }

  /** Adds rows with the initial values. */
  append(count: number): void {
    const rows = this.rows + count
    if (rows > this.room) this.grow(count === 1 ? rows + 7 + (rows >> 4) : rows)
    for (let i = 0; i < this.data.length; i++) this.data[i].fill(this.specs[i].initial, this.rows, rows)
    this.rows = rows
  }

  private grow(room: number): void {
    const before = this.bytes
    this.data = this.data.map((old) => {
      const grown = new Float32Array(room)
      grown.set(old.subarray(0, this.rows))
      return grown
    })
    this.claim(this.bytes - before)
  }

  /** [rows], writable. Throws on a name that no method declared. */
  get(name: string): Float32Array {
    const index = this.specs.findIndex((spec) => spec.name === name)
    if (index < 0) throw new TypeError(`No column "${name}": a method declares the columns it uses.`)
    return this.data[index].subarray(0, this.rows)
  }

  has(name: string): boolean {
    return this.specs.some((spec) => spec.name === name)
  }

  /** Puts row order[i] at place i and forgets the others. */
  reorder(order: Uint32Array): void {
    const before = this.bytes
    this.data = this.data.map((old) => Float32Array.from(order, (row) => old[row]))
    this.rows = order.length
    this.claim(this.bytes - before)
  }

  /** Rows that there is memory for. */
  get room(): number {
    return this.data[0]?.length ?? 0
  }

  /** Takes `rows` rows, whose values are to be set, with room for `room`, in place of what is held. */
  resize(rows: number, room: number): void {
    const before = this.bytes
    this.data = this.specs.map(() => new Float32Array(room))
    this.rows = rows
    this.claim(this.bytes - before)
  }

  copy(): Columns {
    const copy = new Columns(this.specs, this.claim)
    copy.data = this.data.map((column) => column.slice(0, this.rows))
    copy.rows = this.rows
    this.claim(copy.bytes)
    return copy
  }

  get bytes(): number {
    return this.data.reduce((sum, column) => sum + column.byteLength, 0)
  }
}
