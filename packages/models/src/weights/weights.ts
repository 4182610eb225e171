import type { PackedRow, PackedWeights } from '@kvfold/kernels'

/** A parameter as its file stores it. Matrices are [out, in]: a row makes one output. */
export interface StoredTensor {
  readonly shape: readonly number[]
  /** The file's name for its type, e.g. 'F16' or 'Q4_1'. */
  readonly type: string
  /** Fetches the stored bytes and returns a reader of rows. The bytes are freed with the reader. */
  load(): Promise<Rows>
}

/** Decodes stored rows one at a time, so that no second full copy is made. */
export interface Rows {
  /** Writes row `index` (all of a vector is row 0) to `into`, from `at` on. */
  read(index: number, into: Float32Array, at: number): void
  /** Stored rows as kernels take them, if they take the type. */
  readonly packed?: { readonly kind: PackedWeights['kind']; row(index: number): PackedRow }
}

/** All parameters of a model, under their Hugging Face names (`model.layers.0.self_attn.q_proj.weight` ...). */
export interface Weights {
  /** For messages. */
  readonly name: string
  find(name: string): StoredTensor | undefined
  close(): Promise<void>
}
