import type { z } from 'zod'
import type { Axis, Budgeter, Encoder, Folder, Placer, PrefillAttention, Protection, Scorer, Selector, Trigger } from './axes.ts'

/** What a method fills in, at most one part per axis. */
export interface Parts {
  budget?: Budgeter
  score?: Scorer
  protect?: Protection
  select?: Selector
  fold?: Folder
  encode?: Encoder
  place?: Placer
  attention?: PrefillAttention
  trigger?: Trigger
}

export interface MethodParts extends Parts {
  /** Parts that the method brings along in case no other preset claims their axis (the paper's own choice, say). */
  fallback?: Parts
}

/** Where a method comes from. */
export interface Paper {
  title: string
  arxiv?: string
  year: number
}

/** The declaration of a method: its only registration. */
export interface MethodSpec<Schema extends z.ZodObject = z.ZodObject> {
  /** Lower case, as in a policy text. */
  name: string
  /** The axes that `create` may claim (not those of its fallback). */
  axes: readonly Axis[]
  paper?: Paper
  /** One line for lists. */
  summary: string
  /** Defaults for everything; `describe` each for the catalogue. */
  params: Schema
  create(params: z.output<Schema>): MethodParts
}

/** A method's parts with its parameters bound. `compose` merges presets. */
export interface Preset extends MethodParts {
  readonly method: string
  /** The preset as policy text: `snapkv(budget=512)`, without parameters that are the default. */
  readonly text: string
}

/** Call it with parameters to get a preset; the declaration is on it. */
export interface Method<Schema extends z.ZodObject = z.ZodObject> extends MethodSpec<Schema> {
  (params?: z.input<Schema>): Preset
}
