import type { Basis, BasisPlace, LayerRows } from '@kvfold/kv-core'
import { type Block, matricesOf, type LayerMatrices } from './xquant-matrices.ts'

/** Rows that are multiplied at a time. */
const STRIP = 512

/** The inputs of layer `layer` as they are read back, [room][inputs] at `address`, of which `rows` are known. */
interface Held {
  address: number
  room: number
  rows: number
  layer: number
}

/**
 * A layer's keys and values as what they are made of: its input, in coordinates of its own. From layer `deltas` on, only the difference to the
 * input of the layer before, as that is read back, is packed; Infinity: whole inputs everywhere.
 */
export class XquantBasis implements Basis {
  private readonly method: string
  private readonly at: BasisPlace
  private readonly deltas: number
  private held: Held | undefined

  constructor(method: string, at: BasisPlace, deltas: number) {
    this.method = method
    this.at = at
    this.deltas = deltas
  }

  store({ layer, first, count, keys, values }: LayerRows): void {
    const matrices = this.matrices(layer)
    const slabs = [...keys, ...values]
    this.addBiases(slabs, count, matrices.biases, -1)
    for (const { numbers, packed, toPacked } of this.blocks(slabs, matrices)) this.multiply(numbers, count, toPacked, packed)
    if (layer >= this.deltas) this.addTimes(this.heldAt(first), count, matrices.minusInput!, this.packedOf(slabs, matrices))
  }

  stored(rows: LayerRows): void {
    if (rows.layer >= this.deltas - 1) this.advance(rows)
  }

  restore(rows: LayerRows): void {
    const { layer, count, keys, values } = rows
    const matrices = this.matrices(layer)
    const slabs = [...keys, ...values]
    if (layer >= this.deltas - 1) this.advance(rows)
    if (layer >= this.deltas) {
      this.clear(slabs, count)
      this.addTimes(this.heldAt(0), count, matrices.weights, slabs)
    } else for (const { numbers, packed, fromPacked } of this.blocks(slabs, matrices)) this.multiply(packed, count, fromPacked, numbers)
    this.addBiases(slabs, count, matrices.biases, 1)
  }

  end(): void {
    const { held, at } = this
    if (held) at.free(held.address, held.room * this.inputBytes)
    this.held = undefined
  }

  private matrices(layer: number): LayerMatrices {
    const { model, shape } = this.at
    return matricesOf(this.method, model, layer, shape.kvHeads * shape.headDim, this.deltas < Infinity)
  }

  /** The products of a layer, with the heads' arrays that hold each one's numbers, and then what is packed of them. */
  private blocks(
    slabs: readonly number[],
    { blocks }: LayerMatrices,
  ): (Omit<Block, 'numbers' | 'packed'> & Record<'numbers' | 'packed', number[]>)[] {
    const { headDim } = this.at.shape
    let first = 0
    return blocks.map(({ numbers, packed, ...products }) => {
      const own = slabs.slice(first, (first += numbers / headDim))
      return { ...products, numbers: own, packed: own.slice(0, packed / headDim) }
    })
  }

  private packedOf(slabs: readonly number[], matrices: LayerMatrices): number[] {
    return this.blocks(slabs, matrices).flatMap(({ packed }) => packed)
  }

  /** Adds rows that were packed as differences to those of the layer before: they are then this layer's inputs. Each row once a layer. */
  private advance({ layer, first, count, keys, values }: LayerRows): void {
    const matrices = this.matrices(layer)
    const held = this.room(first + count)
    if (held.layer !== layer) Object.assign(held, { layer, rows: 0 })
    const skip = held.rows - first
    if (skip >= count) return
    const { kernels, shape } = this.at
    const row = this.inputBytes
    const into = held.address + (first + skip) * row
    if (layer === this.deltas - 1) kernels.heap.f32.fill(0, into >> 2, (into + (count - skip) * row) >> 2)
    this.withMatrix(matrices.toInput!, (matrix) => {
      for (const [h, slab] of this.packedOf([...keys, ...values], matrices).entries())
        kernels.matmul(
          slab + skip * shape.headDim * 4,
          { address: matrix + h * shape.headDim * row, stride: matrices.inputs },
          { address: into, stride: matrices.inputs },
          count - skip,
          shape.headDim,
          matrices.inputs,
        )
    })
    held.rows = first + count
  }

  private heldAt(row: number): number {
    return this.held!.address + row * this.inputBytes
  }

  private get inputBytes(): number {
    return this.matrices(0).inputs * 4
  }

  /** The inputs held, with room for so many rows. */
  private room(rows: number): Held {
    const { held, at } = this
    if (held && held.room >= rows) return held
    const address = at.malloc(rows * this.inputBytes)
    if (held) {
      at.kernels.heap.u8.copyWithin(address, held.address, held.address + held.room * this.inputBytes)
      at.free(held.address, held.room * this.inputBytes)
    }
    return (this.held = { rows: 0, layer: -1, ...held, address, room: rows })
  }

  /** into += input * matrix: [count][inputs] times [inputs][into.length * headDim], to the heads' arrays. */
  private addTimes(input: number, count: number, matrix: Float32Array, into: readonly number[]): void {
    const { kernels, shape } = this.at
    const { headDim } = shape
    const { inputs } = this.matrices(0)
    const stride = into.length * headDim
    this.withMatrix(matrix, (address) => {
      for (const [h, slab] of into.entries())
        kernels.matmul(input, { address: address + h * headDim * 4, stride }, { address: slab, stride: headDim }, count, inputs, headDim)
    })
  }

  /** into = from * matrix, both the arrays of heads, which may be the same. */
  private multiply(from: readonly number[], rows: number, matrix: Float32Array, into: readonly number[]): void {
    const { kernels, shape, malloc, free } = this.at
    const { headDim } = shape
    const strip = Math.min(STRIP, rows) * headDim * 4
    const stride = into.length * headDim
    const scratch = malloc(into.length * strip)
    this.withMatrix(matrix, (address) => {
      for (let first = 0; first < rows; first += STRIP) {
        const count = Math.min(STRIP, rows - first)
        const at = first * headDim * 4,
          bytes = count * headDim * 4
        this.clear(
          into.map((_, g) => scratch + g * strip),
          count,
        )
        for (const [h, slab] of from.entries())
          for (let g = 0; g < into.length; g++)
            kernels.matmul(
              slab + at,
              { address: address + (h * headDim * stride + g * headDim) * 4, stride },
              { address: scratch + g * strip, stride: headDim },
              count,
              headDim,
              headDim,
            )
        for (const [g, slab] of into.entries()) kernels.heap.u8.copyWithin(slab + at, scratch + g * strip, scratch + g * strip + bytes)
      }
    })
    free(scratch, into.length * strip)
  }

  private clear(slabs: readonly number[], count: number): void {
    const { kernels, shape } = this.at
    for (const slab of slabs) kernels.heap.f32.fill(0, slab >> 2, (slab >> 2) + count * shape.headDim)
  }

  private addBiases(slabs: readonly number[], count: number, biases: Float32Array | undefined, sign: number): void {
    if (!biases) return
    const { kernels, shape } = this.at
    const { headDim } = shape
    const { f32 } = kernels.heap
    for (const [h, slab] of slabs.entries())
      for (let i = 0, at = slab >> 2; i < count * headDim; i++, at++) f32[at] += sign * biases[h * headDim + (i % headDim)]
  }

  /** Lends a matrix a place in the heap. */
  private withMatrix(matrix: Float32Array, use: (address: number) => void): void {
    const { kernels, malloc, free } = this.at
    const address = malloc(matrix.byteLength)
    kernels.heap.f32.set(matrix, address >> 2)
    use(address)
    free(address, matrix.byteLength)
  }
}
